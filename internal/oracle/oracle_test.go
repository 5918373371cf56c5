package oracle

import (
	"compress/gzip"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/lvx-lb/lvx/internal/oracle/record"
)

var update = flag.Bool("update", false, "keep what the kernel does as testdata/recordings")

// recorded reads the recordings that are checked in, or the one that
// IPVS_RECORDING names.
func recorded(t testing.TB) (all []*record.Scenario) {
	t.Helper()
	if name := os.Getenv("IPVS_RECORDING"); name != "" {
		return readRecording(t, name)
	}
	files, err := filepath.Glob("testdata/recordings/*.jsonl.gz")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	for _, file := range files {
		all = append(all, readRecording(t, file)...)
	}
	return all
}

func readRecording(t testing.TB, name string) []*record.Scenario {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	zip, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	all, err := record.Read(zip)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// chosen returns the scenarios that IPVS_SCENARIO names.
func chosen(t testing.TB, all []*record.Scenario) []*record.Scenario {
	t.Helper()
	only, err := regexp.Compile(os.Getenv("IPVS_SCENARIO"))
	if err != nil {
		t.Fatalf("IPVS_SCENARIO: %v", err)
	}
	return slices.DeleteFunc(all, func(s *record.Scenario) bool { return !only.MatchString(s.Scenario) })
}

// agree replays recordings and reports every scenario in which lvx differs.
func agree(t *testing.T, all []*record.Scenario) {
	t.Helper()
	counted := newTally()
	for _, s := range all {
		counted.scenarios++
		for _, d := range replay(t, s, nil, counted) {
			t.Errorf("%v", d)
		}
	}
	t.Log(counted)
}

func TestLvxDoesWhatTheKernelDid(t *testing.T) {
	all := chosen(t, recorded(t))
	agree(t, all)
	if *update {
		keep(t, all)
	}
}

// TestPlantedFaultsAreFound plants one fault after the other and looks for it
// with the same comparison.
func TestPlantedFaultsAreFound(t *testing.T) { findFaults(t, recorded(t)) }

func findFaults(t *testing.T, all []*record.Scenario) {
	t.Helper()
	// Where lvx differs anyway, nothing is found.
	all = slices.DeleteFunc(slices.Clone(all), func(s *record.Scenario) bool { return len(replay(t, s, nil, newTally())) > 0 })
	for n, f := range faults() {
		found := false
		for _, s := range all {
			if d := replay(t, s, faults()[n], newTally()); len(d) > 0 {
				found = true
				t.Logf("%s: found in scenario %s, step %d: %s", f.name, s.Scenario, d[0].step+1, d[0].what)
				break
			}
		}
		if !found {
			t.Errorf("%s: not found", f.name)
		}
	}
}
