package arch

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../.."

// source is one Go file of the repository that people wrote.
type source struct {
	path  string // from the repository's root
	dir   string
	test  bool
	lines int
	fset  *token.FileSet
	file  *ast.File
}

// sources parses every Go file of the module but generated ones and those of
// modules inside it.
func sources(t *testing.T) []source {
	var list []source
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skip(path, d.Name())
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil || bytes.Contains(text, []byte("// Code generated ")) {
			return err
		}
		s := source{fset: token.NewFileSet(), test: strings.HasSuffix(path, "_test.go"), lines: bytes.Count(text, []byte("\n"))}
		s.path, _ = filepath.Rel(root, path)
		s.dir = filepath.Dir(s.path)
		s.file, err = parser.ParseFile(s.fset, s.path, text, parser.ParseComments)
		list = append(list, s)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func skip(path, name string) error {
	_, err := os.Stat(filepath.Join(path, "go.mod"))
	inner := err == nil && path != root
	if inner || name == "testdata" || name == "vendor" || len(name) > 1 && name[0] == '.' && name != ".." {
		return filepath.SkipDir
	}
	return nil
}
