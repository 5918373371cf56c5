package oracle

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// workshop builds this test with other sources in the place of some of lvx,
// and runs it. The working tree stays as it is.
type workshop struct {
	dir      string
	built    time.Duration // what building took
	replayed time.Duration // and running
	most     int64         // kilobytes that one of them had resident
}

// workshopPatience is for one build, or one run.
const workshopPatience = 5 * time.Minute

func newWorkshop(t *testing.T) *workshop { return &workshop{dir: t.TempDir()} }

func (w *workshop) String() string {
	return fmt.Sprintf("%v to build, %v to replay, %d MB at most", w.built.Round(time.Second), w.replayed.Round(time.Second), w.most>>10)
}

// agree puts the sources in the place of themselves. Where no mistake is
// planted there must be no difference, or to find one would mean nothing.
func (w *workshop) agree(t *testing.T, planted []mistake) {
	t.Helper()
	sources, scenarios := map[string][]byte{}, []string(nil)
	for i := range planted {
		source, err := os.ReadFile(planted[i].path())
		if err != nil {
			t.Fatal(err)
		}
		sources[planted[i].path()] = source
		scenarios = append(scenarios, planted[i].scenario)
	}
	if err := w.build(t, sources); err != nil {
		t.Fatalf("no mistake is planted: %v", err)
	}
	if out, err := w.replay(t, scenarios...); err != nil {
		t.Fatalf("no mistake is planted: %v\n%s", err, out)
	}
}

// told is how a run tells of a difference, with what only one side lists.
var told = regexp.MustCompile(`(?m)^    \w+\.go:\d+: (scenario .*(?:\n +only .*){0,4})`)

// find plants a mistake, and looks for a difference that it makes.
func (w *workshop) find(t *testing.T, m *mistake) {
	t.Helper()
	source, err := m.plant()
	if err == nil {
		err = w.build(t, map[string][]byte{m.path(): source})
	}
	if err != nil {
		t.Errorf("%s: %v", m.name, err)
		return
	}
	out, err := w.replay(t, m.scenario)
	differences := told.FindAllSubmatch(out, -1)
	first := slices.IndexFunc(differences, func(d [][]byte) bool { return !bytes.Contains(d[1], []byte(doubtful)) })
	var exit *exec.ExitError
	switch {
	case err == nil:
		t.Errorf("%s: not found in scenario %s", m.name, m.scenario)
	case first < 0 || !errors.As(err, &exit) || exit.ExitCode() != 1:
		t.Errorf("%s: found no difference, but %v\n%s", m.name, err, out)
	default:
		t.Logf("%s: found in %s", m.name, differences[first][1])
	}
}

// build builds this test with sources in the place of those at their paths.
func (w *workshop) build(t *testing.T, sources map[string][]byte) error {
	t.Helper()
	began := time.Now()
	defer func() { w.built += time.Since(began) }()
	overlay, err := w.lay(sources)
	if err != nil {
		return fmt.Errorf("lay out sources: %w", err)
	}
	if out, err := w.run(t, nil, "go", "test", "-c", "-ldflags=-s -w", "-overlay="+overlay, "-o="+w.binary(), "."); err != nil {
		return fmt.Errorf("build lvx: %w\n%s", err, out)
	}
	return nil
}

// lay writes what the go command is to read in the place of other files, and
// returns the list of it.
func (w *workshop) lay(sources map[string][]byte) (list string, err error) {
	var overlay struct{ Replace map[string]string }
	overlay.Replace = map[string]string{}
	for path, source := range sources {
		by := filepath.Join(w.dir, fmt.Sprintf("%d.go", len(overlay.Replace)))
		if path, err = filepath.Abs(path); err == nil {
			err = os.WriteFile(by, source, 0o644)
		}
		if err != nil {
			return "", err
		}
		overlay.Replace[path] = by
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	list = filepath.Join(w.dir, "overlay.json")
	return list, os.WriteFile(list, text, 0o644)
}

func (w *workshop) binary() string { return filepath.Join(w.dir, "oracle.test") }

// replay has what was built replay the recordings of some scenarios.
func (w *workshop) replay(t *testing.T, scenarios ...string) ([]byte, error) {
	t.Helper()
	began := time.Now()
	defer func() { w.replayed += time.Since(began) }()
	names := make([]string, len(scenarios))
	for i, name := range scenarios {
		names[i] = regexp.QuoteMeta(name)
	}
	return w.run(t, []string{"IPVS_SCENARIO=^(" + strings.Join(names, "|") + ")$"}, w.binary(), "-test.run=^TestLvxDoesWhatTheKernelDid$")
}

// run runs a command on one processor.
func (w *workshop) run(t *testing.T, variables []string, command string, args ...string) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), workshopPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, command, args...)
	cmd.Env = slices.Concat(os.Environ(), []string{"GOMAXPROCS=1", "LVX_IPVS=", "IPVS_RECORDING="}, variables)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState != nil {
		w.most = max(w.most, cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)
	}
	return out, err
}
