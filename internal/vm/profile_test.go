package vm

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

func TestAnAddressIsFoundInItsFunction(t *testing.T) {
	const text = `ffffffff81000100 T second
ffffffff81000000 t first
0000000000000000 A nowhere
ffffffff81000180 D data
ffffffffc0000000 t bpf_prog_1_lvx_steer	[bpf]
ffffffffc0000200 t last	[igb]
`
	kernel, err := kernelSymbols(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	all := append(symbols{{0x401000, 0x401080, "main.main"}}, kernel...)
	for _, c := range []struct {
		address uint64
		name    string
		first   bool
	}{
		{0x400fff, "other programs", false},
		{0x401000, "main.main", true},
		{0x40107f, "main.main", false},
		{0x401080, "other programs", false},
		{0xffffffff80ffffff, "kernel without a name", false},
		{0xffffffff81000000, "first", true},
		{0xffffffff810000ff, "first", false},
		{0xffffffff81000100, "second", true},
		{0xffffffffc0000001, "bpf_prog_1_lvx_steer", false},
		{0xffffffffffffffff, "last", false},
	} {
		if name, first := all.at(c.address); name != c.name || first != c.first {
			t.Errorf("%x: %s %t, want %s %t", c.address, name, first, c.name, c.first)
		}
	}
}

func TestAProgramHasSymbols(t *testing.T) {
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s, err := programSymbols(path)
	if err != nil {
		t.Skipf("this test has no symbols: %v", err)
	}
	for _, f := range s {
		if name, first := s.at(f.start); f.name == "runtime.mallocgc" && (name != f.name || !first) {
			t.Errorf("%+v is found as %s", f, name)
		}
	}
}

func TestAProfileSharesTheWorkOfPackets(t *testing.T) {
	s := symbols{{0x1000, 0x2000, "f"}, {kernelHalf, kernelHalf, "g"}}
	before := profile{0x1000: {1, 10}, 0x1010: {1, 5}, kernelHalf: {2, 8}}
	after := profile{0x1000: {5, 50}, 0x1010: {3, 15}, kernelHalf: {2, 8}, kernelHalf + 4: {4, 12}}
	p := after.less(before).over(4)
	if programs, kernel := p.sum(); programs != 12.5 || kernel != 3 || p.total() != 15.5 {
		t.Errorf("programs %v, kernel %v, together %v", programs, kernel, p.total())
	}
	want := map[string]work{"f": {1, 12.5}, "g": {0, 3}}
	if got := p.functions(s); !reflect.DeepEqual(got, want) {
		t.Errorf("functions %v, want %v", got, want)
	}
	const table = "instructions calls\n        12.5  1.00  f\n         3.0  0.00  g\n"
	if got := p.table(s); got != table {
		t.Errorf("table:\n%s, want:\n%s", got, table)
	}
}
