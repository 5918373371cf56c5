package arch

import (
	"go/ast"
	"testing"
)

const (
	functionAim = 50
	functionMax = 100
	fileMax     = 400
)

func TestFunctionsAreShort(t *testing.T) {
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			from, to := s.fset.Position(f.Pos()).Line, s.fset.Position(f.End()).Line
			switch n := to - from + 1; {
			case n > functionMax && !s.test:
				t.Errorf("%s:%d: %s has %d lines, at most %d are allowed", s.path, from, f.Name, n, functionMax)
			case n > functionAim:
				t.Logf("%s:%d: %s has %d lines, the aim is %d", s.path, from, f.Name, n, functionAim)
			}
		}
	}
}

func TestFilesAreShort(t *testing.T) {
	for _, s := range sources(t) {
		switch {
		case s.lines > fileMax && !s.test:
			t.Errorf("%s has %d lines, at most %d are allowed", s.path, s.lines, fileMax)
		case s.lines > fileMax:
			t.Logf("%s has %d lines, the aim is %d", s.path, s.lines, fileMax)
		}
	}
}
