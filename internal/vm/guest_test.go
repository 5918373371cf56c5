package vm

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is long, as other people may use the same cores.
const patience = 2 * time.Minute

// TestMain removes what the tests have built.
func TestMain(m *testing.M) {
	code := m.Run()
	if os.Getenv("LVX_VM") != "" {
		if files, err := built(); err == nil {
			os.RemoveAll(filepath.Dir(files["init"]))
		}
	}
	os.Exit(code)
}

// built are the programs that every machine gets, built once. LVX_BINARY names
// an lvx to test in place of this one.
var built = sync.OnceValues(func() (map[string]string, error) {
	dir, err := os.MkdirTemp("", "lvx-vm-built-")
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for _, script := range []string{"flood.sh", "newflows.sh", "parameters.sh", "functions.sh"} {
		files["pktgen/"+script] = "../../bench/pktgen/" + script
	}
	for name, source := range map[string]string{"init": "internal/vm/guest", "usr/bin/lvx": "cmd/lvx"} {
		if path := os.Getenv("LVX_BINARY"); path != "" && source == "cmd/lvx" {
			files[name] = path
			continue
		}
		files[name] = filepath.Join(dir, filepath.Base(name))
		cmd := exec.Command("go", "build", "-trimpath", "-o", files[name], "github.com/lvx-lb/lvx/"+source)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH=amd64", "GOOS=linux")
		if out, err := cmd.CombinedOutput(); err != nil {
			os.RemoveAll(dir)
			return nil, fmt.Errorf("build %s: %w: %s", source, err, out)
		}
	}
	return files, nil
})

// short tells whether only the short form was asked for.
func short() bool { return os.Getenv("VM_SHORT") != "" }

// unavailable is why no machine can be had: one test finds out for all.
var unavailable error

// guest is a machine in a test.
type guest struct {
	*Machine
	t *testing.T
}

// boot starts a machine that the end of the test stops.
func boot(t *testing.T, cfg Config) *guest {
	t.Helper()
	if os.Getenv("LVX_VM") == "" {
		t.Skip("takes minutes and packages from Debian's archive; run: make test-vm")
	}
	files, err := built()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Files = files
	m, err := (*Machine)(nil), unavailable
	if err == nil {
		m, err = Boot(cfg)
	}
	if errors.Is(err, ErrPackages) {
		unavailable = err
		if short() {
			t.Skip(err)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	g := &guest{m, t}
	t.Cleanup(g.end)
	t.Logf("kernel %s", m.Version)
	return g
}

func (g *guest) end() {
	if g.t.Failed() {
		out, _, _ := g.Run("tail -n 40 /tmp/lvx.log; lvx info; ip -d link; dmesg | tail -n 20", patience)
		g.t.Logf("what the guest says:\n%s\n%s", out, g.Console())
	} else if out, code, _ := g.Run("dmesg | grep -E 'BUG|WARNING|Call Trace|Oops'", patience); code == 0 {
		g.t.Errorf("the guest's kernel complains: %s", out)
	}
	g.Stop()
}

// try runs a shell command and returns what it printed, and whether it was
// content.
func (g *guest) try(format string, args ...any) (string, bool) {
	g.t.Helper()
	out, code, err := g.Run(fmt.Sprintf(format, args...), 3*patience)
	if err != nil {
		g.t.Fatal(err)
	}
	return strings.TrimSpace(out), code == 0
}

// sh runs a shell command that must succeed.
func (g *guest) sh(format string, args ...any) string {
	g.t.Helper()
	out, ok := g.try(format, args...)
	if !ok {
		g.t.Fatalf("%s: %s", fmt.Sprintf(format, args...), out)
	}
	return out
}

// await repeats a command until it succeeds.
func (g *guest) await(what, format string, args ...any) string {
	g.t.Helper()
	out, ok := g.try("for i in $(seq 450); do { %s; } && exit; sleep 0.2; done; exit 1", fmt.Sprintf(format, args...))
	if !ok {
		g.t.Fatalf("waited in vain for %s: %s", what, out)
	}
	return out
}
