package arch

import (
	"go/ast"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// refused words have a better one in ARCHITECTURE.md, or say nothing.
var refused = []string{"backend", "session", "entry", "handler", "manager", "util", "utils", "common", "helper", "helpers"}

// spoken are those of them that are refused in comments too; the others are
// also plain English.
var spoken = regexp.MustCompile(`(?i)\b(backend|session|manager|helper|util)s?\b`)

var (
	word    = regexp.MustCompile(`[A-Z]?[a-z]+|[A-Z]+`)
	machine = regexp.MustCompile(`/(home|root|work)/`)
)

func TestWordsAreThoseOfTheArchitecture(t *testing.T) {
	for _, s := range sources(t) {
		for _, part := range strings.Split(s.path, string(filepath.Separator)) {
			refuse(t, s, s.file.Pos(), strings.TrimSuffix(part, ".go"))
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			for _, name := range declared(n) {
				refuse(t, s, name.Pos(), name.Name)
			}
			return true
		})
		if s.dir == filepath.Join("internal", "arch") {
			continue // its comments and strings name the words
		}
		for _, group := range s.file.Comments {
			for _, found := range spoken.FindAllString(group.Text(), -1) {
				t.Errorf("%s: %q in a comment", s.fset.Position(group.Pos()), found)
			}
			if machine.MatchString(group.Text()) {
				t.Errorf("%s: a comment names a path of one machine", s.fset.Position(group.Pos()))
			}
		}
	}
}

// declared returns the names that n declares.
func declared(n ast.Node) []*ast.Ident {
	switch n := n.(type) {
	case *ast.FuncDecl:
		return []*ast.Ident{n.Name}
	case *ast.TypeSpec:
		return []*ast.Ident{n.Name}
	case *ast.ValueSpec:
		return n.Names
	case *ast.Field:
		return n.Names
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			return nil
		}
		var names []*ast.Ident
		for _, left := range n.Lhs {
			if name, ok := left.(*ast.Ident); ok {
				names = append(names, name)
			}
		}
		return names
	}
	return nil
}

func refuse(t *testing.T, s source, pos token.Pos, name string) {
	t.Helper()
	for _, part := range word.FindAllString(name, -1) {
		if slices.Contains(refused, strings.ToLower(part)) {
			t.Errorf("%s: %q is called %q", s.fset.Position(pos), name, part)
		}
	}
}

func TestUnsafeStaysWhereItIsNeeded(t *testing.T) {
	allowed := []string{"nic/xsk", "bpf", "sockopt"}
	for _, s := range sources(t) {
		for _, imported := range s.file.Imports {
			if imported.Path.Value != `"unsafe"` || s.test {
				continue
			}
			if !slices.Contains(allowed, filepath.ToSlash(s.dir)) && filepath.ToSlash(s.path) != "conntrack/memory.go" {
				t.Errorf("%s imports unsafe", s.path)
			}
		}
	}
}
