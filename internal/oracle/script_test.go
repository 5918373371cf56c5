package oracle

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lvx-lb/lvx/internal/oracle/record"
	"github.com/lvx-lb/lvx/packet"
)

// scripts reads testdata/scenarios/*.txt; its README describes them.
func scripts(t testing.TB) []*record.Scenario {
	t.Helper()
	files, err := filepath.Glob("testdata/scenarios/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	var all []*record.Scenario
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s, err := parseScript(strings.TrimSuffix(filepath.Base(file), ".txt"), string(text))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, s)
	}
	return all
}

func parseScript(name, text string) (*record.Scenario, error) {
	s := &record.Scenario{Head: record.Head{Scenario: name}}
	s.Steps = []record.Step{{Kind: "time goes by", Sleep: 10 * time.Second}} // limits of ICMP errors recover
	names := map[string]string{}
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
		step, err := parseStep(words)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		s.Steps = append(s.Steps, step)
	}
	return s, nil
}

func parseStep(words []string) (s record.Step, err error) {
	s.Kind = "script: " + words[0]
	switch words[0] {
	case "$":
		s.Command = words[1:]
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
