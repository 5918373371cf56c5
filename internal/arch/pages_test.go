package arch

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestArchitectureNamesTheDirectorsFiles(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sources(t) {
		if s.dir == "." && !s.test && s.path != "doc.go" && !strings.Contains(string(page), "`"+s.path+"`") {
			t.Errorf("%s is not on the page", s.path)
		}
	}
	for _, name := range regexp.MustCompile("`([a-z]+\\.go)`").FindAllStringSubmatch(string(page), -1) {
		if _, err := os.Stat(filepath.Join(root, name[1])); err != nil {
			t.Errorf("there is no %s", name[1])
		}
	}
}

func TestDecisionsAreNumberedAlike(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root, "docs/decisions/*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatal("no decisions:", err)
	}
	for i, path := range pages {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name, title := fmt.Sprintf("%03d-", i+1), fmt.Sprintf("# %d. ", i+1)
		if !strings.HasPrefix(filepath.Base(path), name) || !strings.HasPrefix(string(text), title) {
			t.Errorf("%s: want a name from %q on and a title from %q on", path, name, title)
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)#:]+)(#[^):]*)?\)`)

func TestLinksBetweenPagesLeadSomewhere(t *testing.T) {
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".md" {
			return err
		}
		text, err := os.ReadFile(path)
		for _, found := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), found[1])); err != nil {
				t.Errorf("%s: nothing at %s", path, found[1])
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
