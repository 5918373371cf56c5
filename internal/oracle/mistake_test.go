package oracle

import (
	"bytes"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// mistake is something wrong that is planted in lvx's own source.
type mistake struct {
	name     string
	scenario string // of the recording that tells
	file     string // of the module
	old, new string // what stands there, in one place, and what is planted
}

// mistakes are what the comparison must find, by package.
var mistakes = slices.Concat(schedulerMistakes, conntrackMistakes, dataplaneMistakes, packetMistakes, serviceMistakes)

// oneIn is how few of them the short form plants.
const oneIn = 18

func (m *mistake) path() string { return filepath.Join("..", "..", filepath.FromSlash(m.file)) }

// plant returns the file with the mistake in it.
func (m *mistake) plant() ([]byte, error) {
	source, err := os.ReadFile(m.path())
	if err != nil {
		return nil, fmt.Errorf("read source: %w", err)
	}
	if n := bytes.Count(source, []byte(m.old)); n != 1 || m.old == m.new {
		return nil, fmt.Errorf("renew the table of mistakes: %s has %d times\n%s", m.file, n, m.old)
	}
	return bytes.Replace(source, []byte(m.old), []byte(m.new), 1), nil
}

// TestMistakesHaveTheirPlaces keeps the table in step with the source and with
// the recordings.
func TestMistakesHaveTheirPlaces(t *testing.T) {
	names, all := map[string]bool{}, recorded(t)
	for i := range mistakes {
		m := &mistakes[i]
		text, err := m.plant()
		if err == nil {
			_, err = parser.ParseFile(token.NewFileSet(), m.file, text, parser.SkipObjectResolution)
		}
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
		if called(all, m.scenario) == nil {
			t.Errorf("%s: there is no recording of %q", m.name, m.scenario)
		}
		if names[m.name] {
			t.Errorf("two mistakes are called %q", m.name)
		}
		names[m.name] = true
	}
}

// TestPlantedMistakesAreFound builds this test with one mistake after the other
// in lvx, and has it replay the recording that tells, in which it must find a
// difference. It goes on beside the virtual machine, which has one processor,
// and takes one too.
func TestPlantedMistakesAreFound(t *testing.T) {
	switch {
	case os.Getenv("LVX_IPVS") == "":
		t.Skip("builds lvx many times; run: make test-ipvs")
	case os.Getenv("IPVS_SEED")+os.Getenv("IPVS_SCENARIO") != "":
		t.Skip("other scenarios are named")
	case *update:
		t.Skip("recordings are being made")
	}
	t.Parallel()
	planted := mistakes
	if os.Getenv("IPVS_SHORT") != "" {
		planted = nil
		for some := range slices.Chunk(mistakes, oneIn) {
			planted = append(planted, some[0])
		}
	}
	began, w := time.Now(), newWorkshop(t)
	w.agree(t, planted)
	for i := range planted {
		w.find(t, &planted[i])
	}
	t.Logf("%d mistakes in %v: %v", len(planted), time.Since(began).Round(time.Second), w)
}
