package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/lvx-lb/lvx/service"
)

const markHelp = `lvx mark add RULE        give a firewall mark to packets, behind the other rules
lvx mark del RULE        delete a rule
lvx mark list            show the rules, in the order in which they count
lvx mark flush           delete all rules

RULE is: MARK to PREFIX [tcp|udp|sctp|any [PORT|FIRST-LAST]] [on NIC]

    5 to 192.0.2.0/24 tcp 80
    5 to 192.0.2.0/24 tcp 443
    6 to 2001:db8::/64 any 5000-5999 on eth0

A packet has the mark of the first rule that fits, and goes to the service of
that mark, ipvsadm -A -f MARK (-6 for IPv6), if there is one. Connections outlive
their rule. lvx save keeps the rules with the services. lvx mark list > FILE keeps
them alone; lvx run --marks FILE starts with such, and lvx mark add - reads them
from standard input, all or none.
`

// RunMark shows and changes the mark rules of the director at socket and
// returns the exit code of the process.
func RunMark(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, socket string) int {
	t := tool{ctx: ctx, in: stdin, out: stdout, errs: stderr, socket: socket}
	if len(args) == 0 {
		return t.fail(exitUsage, "lvx mark: which command? `lvx mark -h` lists them")
	}
	verb, words := args[0], args[1:]
	op := map[string]service.Op{"add": service.AddMark, "del": service.DeleteMark, "flush": service.ClearMarks}[verb]
	switch {
	case verb == "help" || slices.ContainsFunc(args, func(word string) bool { return word == "-h" || word == "--help" }):
		fmt.Fprint(stdout, markHelp)
		return 0
	case op == 0 && verb != "list":
		return t.fail(exitUsage, fmt.Sprintf("lvx mark: no command %q; `lvx mark -h` lists them", verb))
	case (verb == "list" || verb == "flush") && len(words) > 0:
		return t.fail(exitUsage, fmt.Sprintf("lvx mark %s: unexpected argument %q", verb, words[0]))
	case verb == "list":
		return t.listMarks()
	}
	edits := []service.Edit{{Op: op}}
	if verb != "flush" {
		var err error
		if edits, err = t.readMarks(op, words); err != nil {
			return t.fail(exitUsage, err.Error())
		}
	}
	return t.changeMarks(edits)
}

// readMarks takes the rule from the command line, or rules from stdin.
func (t *tool) readMarks(op service.Op, words []string) ([]service.Edit, error) {
	if len(words) == 1 && words[0] == "-" {
		edits, err := ReadMarks(t.in)
		for i := range edits {
			edits[i].Op = op
		}
		return edits, err
	}
	rule, err := service.ParseMarkRule(words)
	return []service.Edit{{Op: op, Mark: rule}}, err
}

// ReadMarks reads mark rules as lvx mark list writes them, a line each, and
// comments as ReadRules. It takes all or nothing.
func ReadMarks(r io.Reader) (edits []service.Edit, err error) {
	lines, file := fileOf(r, "marks")
	for lines.next() {
		rule, err := service.ParseMarkRule(lines.words)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, lines.number, err)
		}
		edits = append(edits, service.Edit{Op: service.AddMark, Mark: rule})
	}
	if lines.err != nil {
		return nil, fmt.Errorf("read %s: %w", file, lines.err)
	}
	return edits, nil
}

func (t *tool) listMarks() int {
	err := t.reach()
	if err != nil {
		return t.fail(exitUsage, err.Error())
	}
	rules, err := t.director.Marks(t.ctx)
	if err != nil {
		return t.marksRefused(err)
	}
	for _, r := range rules {
		fmt.Fprintln(t.out, r)
	}
	return 0
}

// changeMarks makes all edits or none.
func (t *tool) changeMarks(edits []service.Edit) int {
	if len(edits) == 0 {
		return 0
	}
	if err := t.reach(); err != nil {
		return t.fail(exitUsage, err.Error())
	}
	if len(edits) > 1 {
		if err := t.director.Apply(t.ctx, edits); err != nil {
			return t.marksRefused(err)
		}
		return 0
	}
	done, err := t.director.ApplyEach(t.ctx, edits)
	if err = errors.Join(err, errors.Join(done.Refused...)); err != nil {
		return t.marksRefused(err)
	}
	for _, w := range done.Warnings {
		fmt.Fprintln(t.errs, "warning:", w)
	}
	return 0
}

func (t *tool) marksRefused(err error) int {
	if errors.Is(err, ErrUnreachable) || errors.Is(err, ErrForbidden) {
		return t.fail(exitUsage, unreachable(t.socket, err).Error())
	}
	return t.fail(exitRefused, err.Error())
}
