package oracle

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lvx-lb/lvx/internal/oracle/record"
	"github.com/lvx-lb/lvx/packet"
)

// golden begins the names of the scenarios in testdata/golden.
const golden = "golden-"

// scripts reads testdata/scenarios/*.txt and testdata/golden/*.txt; the README
// of the first describes them.
func scripts(t testing.TB) []*record.Scenario {
	t.Helper()
	files, err := filepath.Glob("testdata/scenarios/*.txt")
	watched, err2 := filepath.Glob("testdata/golden/*.txt")
	files = append(files, watched...)
	if err = errors.Join(err, err2); err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	var all []*record.Scenario
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		if slices.Contains(watched, file) {
			name = golden + name
		}
		s, err := parseScript(name, string(text))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, s)
	}
	return all
}

func parseScript(name, text string) (*record.Scenario, error) {
	s := &record.Scenario{Head: record.Head{Scenario: name}}
	s.Add(record.Step{Kind: "time goes by", Sleep: 10 * time.Second}) // limits of ICMP errors recover
	names, dialogs := map[string]string{}, map[string]*dialog{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line, _, comment := strings.Cut(strings.TrimSpace(line), "#")
		if comment && s.About == "" {
			_, about, _ := strings.Cut(text, "#")
			s.About, _, _ = strings.Cut(strings.TrimSpace(about), "\n")
		}
		for name, value := range names {
			line = strings.ReplaceAll(line, "{"+name+"}", value)
		}
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if words[0] == "let" {
			names[words[1]] = strings.Join(words[2:], " ")
			continue
		}
		for _, words := range each(words) {
			steps, err := dialogSteps(dialogs, words)
			if steps == nil && err == nil {
				steps = make([]record.Step, 1)
				steps[0], err = parseStep(words)
			}
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
			for _, step := range steps {
				s.Add(step)
			}
		}
	}
	return s, nil
}

// each returns the words of a step; of each NAME FIRST LAST STEP several, with
// a number in place of {NAME}.
func each(words []string) (all [][]string) {
	if words[0] != "each" {
		return [][]string{words}
	}
	first, err := strconv.Atoi(words[2])
	last, err2 := strconv.Atoi(words[3])
	if err != nil || err2 != nil {
		return nil
	}
	for n := first; n <= last; n++ {
		all = append(all, strings.Fields(strings.ReplaceAll(strings.Join(words[4:], " "), "{"+words[1]+"}", strconv.Itoa(n))))
	}
	return all
}

func parseStep(words []string) (s record.Step, err error) {
	s.Kind = "script: " + words[0]
	switch words[0] {
	case "$":
		s.Command = words[1:]
		if at := slices.Index(words, "<"); at > 0 {
			s.Command, s.Input = words[1:at], strings.ReplaceAll(strings.Join(words[at+1:], " "), " ; ", "\n")+"\n"
		}
	case "list":
		s.List = true
	case "sleep":
		s.Sleep, err = time.ParseDuration(words[1])
	case "packet":
		var p probe
		if p, err = parseProbe(words[1:]); err == nil {
			if next, ok := routes.Next(packet.AddrFrom(p.src.Addr()), packet.Addr{}, 0, 0); ok {
				s.NIC = record.NIC(next.Link)
			}
			s.Frames = p.frames(s.NIC)
		}
	default:
		err = fmt.Errorf("%q is no step", words[0])
	}
	return s, err
}
