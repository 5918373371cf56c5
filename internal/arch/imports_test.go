package arch

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/lvx-lb/lvx"

var (
	columns = regexp.MustCompile(`\s{2,}`)
	remark  = regexp.MustCompile(`\([^)]*\)`)
)

// arrows reads lines like "admin ► service     a, b ► nothing of ours".
func arrows(text string) map[string][]string {
	allowed := map[string][]string{}
	for line := range strings.Lines(text) {
		for _, column := range columns.Split(remark.ReplaceAllString(strings.TrimSpace(line), ""), -1) {
			from, to, found := strings.Cut(column, "►")
			if !found {
				continue
			}
			for _, f := range names(from) {
				allowed[f] = append(allowed[f], names(to)...)
			}
		}
	}
	return allowed
}

func names(list string) []string {
	var out []string
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.Trim(name, " `|"); name != "" && name != "nothing of ours" {
			out = append(out, name)
		}
	}
	return out
}

const (
	code  = "{{range .Imports}} {{.}}{{end}}"
	tests = "{{range .TestImports}} {{.}}{{end}}{{range .XTestImports}} {{.}}{{end}}"
)

// imports asks the go command what each package imports of ours, in its code
// or in its tests. The root package is called lvx.
func imports(t *testing.T, where string) map[string][]string {
	list := exec.Command("go", "list", "-e", "-f", "{{.ImportPath}}"+where, "./...")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	found := map[string][]string{}
	lines := bufio.NewScanner(strings.NewReader(string(out)))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		var ours []string
		for _, path := range f[1:] {
			if path == module || strings.HasPrefix(path, module+"/") {
				ours = append(ours, short(path))
			}
		}
		found[short(f[0])] = ours
	}
	return found
}

func short(path string) string {
	if path == module {
		return "lvx"
	}
	return strings.TrimPrefix(path, module+"/")
}

func TestImportsFollowTheArrows(t *testing.T) {
	drawn, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	allowed, found, tested := arrows(string(drawn)), imports(t, code), imports(t, tests)
	for from, to := range found {
		if strings.HasPrefix(from, "internal/") {
			continue
		}
		if _, drawn := allowed[from]; !drawn {
			t.Errorf("%s is not among the arrows", from)
		}
		for _, imported := range to {
			if !slices.Contains(allowed[from], imported) {
				t.Errorf("%s imports %s, and no arrow says so", from, imported)
			}
		}
	}
	for from, to := range allowed {
		for _, imported := range to {
			_, both := found[imported]
			is, here := found[from]
			is = append(is, tested[from]...) // a benchmark is nothing but tests
			if here && both && !slices.Contains(is, imported) {
				t.Errorf("ARCHITECTURE.md draws %s ► %s, which is no import", from, imported)
			}
		}
	}
}

func TestNothingImportsTheIntegrationTests(t *testing.T) {
	for from, to := range imports(t, code) {
		for _, imported := range to {
			if strings.HasPrefix(imported, "internal/integration") && !strings.HasPrefix(from, "internal/integration") {
				t.Errorf("%s imports %s", from, imported)
			}
		}
	}
}

func TestArrowsAreRead(t *testing.T) {
	got := arrows("a/b ► c, d (only sometimes)     e, f ► nothing of ours\nno arrow here")
	if !slices.Equal(got["a/b"], []string{"c", "d"}) || got["e"] != nil || len(got) != 3 {
		t.Errorf("arrows: %v", got)
	}
}
