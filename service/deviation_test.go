package service

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/bits"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/deviations.md")

const deviationsPage = "../docs/deviations.md"

// TestTheDocumentIsTheList compares docs/deviations.md with what the list
// makes of it.
func TestTheDocumentIsTheList(t *testing.T) {
	want := documentOf(AllDeviations())
	if *update {
		if err := os.WriteFile(deviationsPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(deviationsPage)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/deviations.md is not the list; go test ./service -run TheDocument -update writes it")
	}
}

const deviationsHead = `# How lvx differs from IPVS

` + "`lvx run --strict`" + ` switches off all that has a switch here. ` + "`--deviate NAME,...`" + ` switches
some on, also with --strict, ` + "`--no-deviate NAME,...`" + ` some off; ` + "`lvx info`" + ` says what is on.
An embedding program has Strict, Deviate and NoDeviate of ` + "`lvx.Config`" + `.

| switch | at first | IPVS | lvx, switched on |
|---|---|---|---|
`

func documentOf(list []Deviation) string {
	var b, rest strings.Builder
	b.WriteString(deviationsHead)
	for _, d := range list {
		if d.Switch == 0 {
			fmt.Fprintf(&rest, "| %s | %s | %s |\n", d.IPVS, d.LVX, d.Why)
			continue
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", d.Name, map[bool]string{true: "on", false: "off"}[d.Default], d.IPVS, d.LVX)
	}
	b.WriteString("\n## Without a switch\n\n| IPVS | lvx | why |\n|---|---|---|\n")
	return b.String() + rest.String()
}

func TestEveryDeviationHasOneLineAndOneName(t *testing.T) {
	var all Deviations
	names := map[string]bool{}
	for _, d := range AllDeviations() {
		switch {
		case d.Switch == 0 && (d.Why == "" || d.Name != "" || d.Default):
			t.Errorf("%q: one without a switch has no name and says why", d.LVX)
		case d.Switch != 0 && (bits.OnesCount64(uint64(d.Switch)) != 1 || all&d.Switch != 0 || names[d.Name] || d.Name == ""):
			t.Errorf("%q has the switch or the name of another", d.Name)
		case d.IPVS == "" || d.LVX == "":
			t.Errorf("%q lacks a sentence", d.Name)
		}
		all |= d.Switch
		names[d.Name] = d.Name != ""
	}
	if all != allDeviations {
		t.Errorf("the switches %b have no line", allDeviations&^all)
	}
	if !slices.IsSortedFunc(AllDeviations(), func(a, b Deviation) int {
		return bits.TrailingZeros64(uint64(a.Switch)) - bits.TrailingZeros64(uint64(b.Switch))
	}) {
		t.Error("the list is not in the order of the switches, those without one last")
	}
}

func TestStrictMeansNoneButThoseThatAreAskedFor(t *testing.T) {
	for _, c := range []struct {
		strict  bool
		on, off Deviations
		want    Deviations
	}{
		{false, 0, 0, DefaultDeviations()},
		{true, 0, 0, 0},
		{true, EmptyUDPChecksum, 0, EmptyUDPChecksum},
		{false, 0, EmptyUDPChecksum, DefaultDeviations() &^ EmptyUDPChecksum},
		{true, EmptyUDPChecksum, WrongSCTPChecksum, EmptyUDPChecksum},
	} {
		if got, err := ChooseDeviations(c.strict, c.on, c.off); err != nil || got != c.want {
			t.Errorf("strict %v, on %v, off %v: %v, %v", c.strict, c.on, c.off, got, err)
		}
	}
	if _, err := ChooseDeviations(false, allDeviations, EmptyUDPChecksum); !errors.Is(err, ErrInvalid) {
		t.Errorf("on and off: %v", err)
	}
}

func TestNamesOfDeviationsAreReadAsTheyAreWritten(t *testing.T) {
	for s := Deviations(1); s <= allDeviations; s = s<<1 | s&1 {
		if got, err := ParseDeviations(s.String()); err != nil || got != s {
			t.Errorf("%v: %v, %v", s, got, err)
		}
	}
	if got, err := ParseDeviations(" parameter-problems , empty-udp-checksum"); err != nil || got != ParameterProblems|EmptyUDPChecksum {
		t.Errorf("%v, %v", got, err)
	}
	for _, text := range []string{"", "nosuch", "empty-udp-checksum,", "Empty-UDP-checksum"} {
		if _, err := ParseDeviations(text); !errors.Is(err, ErrNoDeviation) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestDeviationsTravelAsNames(t *testing.T) {
	for _, s := range []Deviations{0, EmptyUDPChecksum, allDeviations} {
		text, err := json.Marshal(s)
		var back Deviations
		if err == nil {
			err = json.Unmarshal(text, &back)
		}
		if err != nil || back != s {
			t.Errorf("%s: %v, %v", text, back, err)
		}
	}
}
