package dataplane

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEveryScriptIsNamedInTheReadme holds the list of sentences to the files.
func TestEveryScriptIsNamedInTheReadme(t *testing.T) {
	text, err := os.ReadFile("testdata/README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob("testdata/*/*.txt")
	names := map[string]bool{}
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(file, "testdata/"), ".txt")
		names[name] = true
		if !regexp.MustCompile(regexp.QuoteMeta(name) + `[ ,;]`).Match(text) {
			t.Errorf("%s is not in the list", name)
		}
	}
	for _, name := range regexp.MustCompile(`(twonic|onenet|vlan)/[a-z0-9-]+`).FindAllString(string(text), -1) {
		if !names[name] {
			t.Errorf("there is no script %s", name)
		}
	}
}

// TestTheReadmeNamesTestsThatThereAre holds it to the tests of all packages.
func TestTheReadmeNamesTestsThatThereAre(t *testing.T) {
	text, err := os.ReadFile("testdata/README.md")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((Test|Fuzz|Benchmark)\w+)\(`)
	err = filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		code, err := os.ReadFile(path)
		for _, found := range declared.FindAllSubmatch(code, -1) {
			there[string(found[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`\b(Test|Fuzz|Benchmark)[A-Z]\w+`).FindAllString(string(text), -1) {
		if !there[name] {
			t.Errorf("there is no %s", name)
		}
	}
}

// TestEveryCounterIsExplained holds docs/counters.md to the counters.
func TestEveryCounterIsExplained(t *testing.T) {
	text, err := os.ReadFile("../docs/counters.md")
	if err != nil {
		t.Fatal(err)
	}
	new(Counters).Each(0, func(name string, _ uint64) {
		word := strings.TrimPrefix(name, "drop.")
		if !regexp.MustCompile(`(?m)^\|[^|]*\b` + word + `\b[^|]*\|`).Match(text) {
			t.Errorf("%s is not in the page", name)
		}
	})
}
