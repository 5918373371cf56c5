package admin

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/lvx-lb/lvx/service"
)

// maxLine is longer than any rule.
const maxLine = 1 << 20

// lines reads command lines as ipvsadm -R does: words between white space, no
// quotes, and the word ipvsadm left out wherever it stands.
type lines struct {
	scanner  *bufio.Scanner
	comments bool // what begins with # is none of the words
	number   int
	words    []string // of the current line, never empty
	err      error
}

func newLines(r io.Reader) *lines {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	return &lines{scanner: s}
}

// next goes on to the next line that has words.
func (l *lines) next() bool {
	for l.scanner.Scan() {
		l.number++
		l.words = strings.FieldsFunc(l.scanner.Text(), func(c rune) bool { return c == ' ' || c == '\t' || c == '\r' })
		l.words = slices.DeleteFunc(l.words, func(word string) bool { return word == "ipvsadm" })
		if i := slices.IndexFunc(l.words, func(word string) bool { return word[0] == '#' }); l.comments && i >= 0 {
			l.words = l.words[:i]
		}
		if len(l.words) > 0 {
			return true
		}
	}
	l.err = l.scanner.Err()
	return false
}

// fileOf returns lines with comments, and what errors call the file.
func fileOf(r io.Reader, name string) (*lines, string) {
	if f, ok := r.(interface{ Name() string }); ok {
		name = f.Name()
	}
	l := newLines(r)
	l.comments = true
	return l, name
}

// ReadRules reads rules as -S and Save write them. Unlike -R it takes
// comments, from a word that begins with # to the end of the line, and it
// takes the whole file or nothing: its error names the line that is wrong, by
// itself or after the lines before it. A reader with a name, such as an open
// file, gives its name to the errors.
func ReadRules(r io.Reader) ([]service.Edit, error) {
	return readRules(r, Names{}.orSystem())
}

func readRules(r io.Reader, names Names) ([]service.Edit, error) {
	var edits []service.Edit
	set := service.NewSet(service.AllFeatures)
	lines, file := fileOf(r, "rules")
	for lines.next() {
		edit, err := readRule(lines.words, &names)
		if err == nil {
			err = set.Apply(edit)
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, lines.number, err)
		}
		edits = append(edits, edit)
	}
	if lines.err != nil {
		return nil, fmt.Errorf("read %s: %w", file, lines.err)
	}
	return edits, nil
}

func readRule(words []string, names *Names) (service.Edit, error) {
	switch {
	case words[0] == "sysctl" && len(words) == 2:
		c, err := service.ParseSysctl(words[1])
		return service.Edit{Op: service.SetSysctl, Sysctl: c}, err
	case words[0] == "mark":
		rule, err := service.ParseMarkRule(words[1:])
		return service.Edit{Op: service.AddMark, Mark: rule}, err
	}
	c, err := parse(words, names)
	switch {
	case err != nil && words[0][0] != '-':
		return service.Edit{}, usage("%.40q is no rule", words[0])
	case err != nil:
		return service.Edit{}, err
	case c.Unsupported != "":
		return service.Edit{}, fmt.Errorf("%s: %w", c.Unsupported, service.ErrNotSupported)
	case c.Edit.Op == 0:
		return service.Edit{}, usage("%s is no rule", words[0])
	}
	return c.Edit, nil
}
