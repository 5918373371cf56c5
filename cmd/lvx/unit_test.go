package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	unitFolder = "../../examples/systemd"
	installed  = "/usr/local/sbin/lvx"
)

func readUnit(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(unitFolder, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// commandsOf returns the words behind lvx of the lines of a unit that run it.
func commandsOf(unit string) (all [][]string) {
	for line := range strings.Lines(unit) {
		if _, command, ok := strings.Cut(line, "="+installed+" "); ok {
			all = append(all, strings.Fields(command))
		}
	}
	return all
}

func TestTheUnitsCallCommandsThatThereAre(t *testing.T) {
	_, options, ok := strings.Cut(readUnit(t, "lvx.default"), `LVX_OPTIONS="`)
	options, _, closed := strings.Cut(options, `"`)
	if !ok || !closed {
		t.Fatal("lvx.default names no options")
	}
	unit := readUnit(t, "lvx.service")
	calls := slices.Concat(commandsOf(strings.ReplaceAll(unit, "$LVX_OPTIONS", options)), commandsOf(readUnit(t, "keepalived.conf")))
	var called []string
	for _, words := range calls {
		called = append(called, words[0])
		if words[0] != "run" {
			continue
		}
		o, _, ok := parseRun(words[1:], stdio{os.Stdin, os.Stdout, os.Stderr})
		if !ok || len(o.public) == 0 || len(o.private) == 0 || o.rules == "" {
			t.Errorf("%v: %+v", words, o)
		}
	}
	if want := []string{"run", "restore", "exec"}; !slices.Equal(called, want) {
		t.Errorf("the units call %v, want %v", called, want)
	}
}

func TestSystemdReadsTheUnits(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("needs systemd-analyze")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"lvx.service":                   readUnit(t, "lvx.service"),
		"keepalived.service":            "[Service]\nType=notify\nExecStart=/bin/true\n",
		"keepalived.service.d/lvx.conf": readUnit(t, "keepalived.conf"),
	} {
		path := filepath.Join(dir, name)
		text = strings.ReplaceAll(text, installed, self)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("systemd-analyze", "verify", "--man=no", filepath.Join(dir, "keepalived.service"), filepath.Join(dir, "lvx.service"))
	cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":")
	out, err := cmd.CombinedOutput()
	switch said := string(out); {
	case strings.Contains(said, dir), strings.Contains(said, "lvx"):
		t.Errorf("systemd-analyze verify: %v\n%s", err, said)
	case err != nil:
		t.Skipf("systemd-analyze does not work here: %v\n%s", err, said)
	}
}
