package bpf

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
)

func TestTheCheckedInObjectIsMadeOfTheSource(t *testing.T) {
	version, err := exec.Command("clang", "--version").Output()
	if err != nil || !bytes.Contains(version, []byte("version 14.")) {
		t.Skip("needs clang 14: others make other bytes")
	}
	tool, err := exec.Command("go", "tool", "-n", "bpf2go").Output()
	if err != nil {
		t.Skip("needs the go command in the module's folder, and its cache")
	}
	doc, err := os.ReadFile("doc.go")
	must(t, err)
	line := regexp.MustCompile(`(?m)^//go:generate go tool bpf2go (.*)$`).FindSubmatch(doc)
	if line == nil {
		t.Fatal("doc.go has no go:generate line")
	}
	dir := t.TempDir()
	for _, name := range []string{"steer.c", "kernel.h"} {
		b, err := os.ReadFile(name)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, name), b, 0o644))
	}
	generate := exec.Command(strings.TrimSpace(string(tool)), strings.Fields(string(line[1]))...)
	generate.Dir = dir
	generate.Env = append(os.Environ(), "GOPACKAGE=bpf", "GOFILE=doc.go")
	if out, err := generate.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, name := range []string{"steer_bpfel.o", "steer_bpfel.go"} {
		want, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what steer.c makes: run go generate ./bpf (%v)", name, err)
		}
	}
}

// The verifier looks at up to a million instructions; a program near that
// limit would be refused by some kernel.
func TestTheVerifierHasLittleWork(t *testing.T) {
	needRoot(t)
	s, err := Load(Config{})
	must(t, err)
	defer s.Close()
	info, err := s.objects.LvxSteer.Info()
	must(t, err)
	verified, _ := info.VerifiedInstructions()
	translated, err := info.TranslatedSize()
	must(t, err)
	jited, _ := info.JitedSize()
	spec, err := loadSteer()
	must(t, err)
	t.Logf("%d instructions, %d after translation, %d bytes of machine code; verified %d",
		len(spec.Programs[steerProgLvxSteer].Instructions), translated/8, jited, verified)
	if verified > 100_000 {
		t.Errorf("verifier looked at %d instructions", verified)
	}
}

// The checks of the Go side count on this layout.
func TestKeysHaveNoHoles(t *testing.T) {
	spec, err := loadSteer()
	must(t, err)
	if z := spec.Maps["zones"]; z.KeySize != 32 || z.ValueSize != uint32(4*maxRanges) || z.Type != ebpf.LPMTrie {
		t.Errorf("zones is a %v of %d byte keys and %d byte values", z.Type, z.KeySize, z.ValueSize)
	}
	for name, want := range map[string][2]uint32{
		"doors": {12, 4}, "services": {32, 4}, "replies": {32, 4}, "own": {32, 4},
	} {
		m := spec.Maps[name]
		if m.KeySize != want[0] || m.ValueSize != want[1] || m.Type != ebpf.Hash {
			t.Errorf("%s is a %v of %d byte keys and %d byte values, want %v", name, m.Type, m.KeySize, m.ValueSize, want)
		}
	}
}
