package admin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/lvx-lb/lvx/service"
)

// Exit codes of ipvsadm.
const (
	exitList    = 1   // a list could not be made
	exitUsage   = 2   // wrong arguments, and no director
	exitRefused = 255 // the director said no, or a wrong option
)

// Run carries out one ipvsadm command line, args without the program's name,
// against the director at socket, and returns the exit code of the process.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, socket string, names Names) int {
	out := bufio.NewWriter(stdout)
	t := tool{ctx: ctx, in: stdin, out: out, errs: stderr, socket: socket, names: names.orSystem()}
	code, _ := t.line(args)
	if err := out.Flush(); err != nil && code == 0 {
		return t.fail(exitList, fmt.Sprintf("write output: %v", err))
	}
	return code
}

// tool is the ipvsadm command with its surroundings.
type tool struct {
	ctx       context.Context // of the one command line that this is
	in        io.Reader
	out       io.Writer
	errs      io.Writer
	socket    string
	names     Names
	director  Director // nil until it is needed
	restoring bool
	waiting   []service.Edit // lines of a restore, not yet sent
}

// line carries out one command line. It tells whether a restore ends there.
func (t *tool) line(args []string) (code int, ends bool) {
	c, err := parse(args, &t.names)
	if err != nil || c.Edit.Op == 0 || c.Unsupported != "" {
		// What came before has its effect, and its words, first.
		if code, ends = t.carryOut(); ends {
			return code, true
		}
	}
	if err != nil {
		var wrong *UsageError
		errors.As(err, &wrong)
		return t.fail(wrong.Code, wrong.Text), !wrong.lenient
	}
	switch {
	case c.Unsupported != "":
		return t.fail(exitRefused, notSupported(c.Unsupported)), false
	case c.verb == help:
		fmt.Fprint(t.out, helpText)
		return 0, true
	case c.verb == version:
		fmt.Fprint(t.out, versionText)
		return 0, true
	case c.verb == restore && t.restoring:
		wrong := tryHelp().(*UsageError)
		return t.fail(wrong.Code, wrong.Text), true
	}
	if err := t.reach(); err != nil {
		return t.fail(exitUsage, err.Error()), true
	}
	switch c.verb {
	case restore:
		return t.restore(), true
	case list, save:
		code := t.list(&c)
		return code, code != 0
	}
	t.waiting = append(t.waiting, c.Edit)
	if t.restoring && len(t.waiting) < editsAtOnce {
		return 0, false
	}
	return t.carryOut()
}

// editsAtOnce is how many lines of a restore travel together.
const editsAtOnce = 4096

// carryOut sends the edits that wait. The last one gives the exit code.
func (t *tool) carryOut() (code int, ends bool) {
	edits := t.waiting
	if t.waiting = nil; len(edits) == 0 {
		return 0, false
	}
	done, err := t.director.ApplyEach(t.ctx, edits)
	if err != nil {
		return t.refused(err, &edits[0])
	}
	for i, err := range done.Refused {
		if code = 0; err != nil {
			code, ends = t.refused(err, &edits[i])
		}
	}
	for _, w := range done.Warnings {
		fmt.Fprintln(t.errs, "warning:", w)
	}
	return code, ends
}

// reach connects to the director unless that is done.
func (t *tool) reach() error {
	if t.director != nil {
		return nil
	}
	d, err := Dial(t.ctx, t.socket)
	if err != nil {
		return err
	}
	t.director = d
	return nil
}

// refused tells why the director did not carry out edit.
func (t *tool) refused(err error, edit *service.Edit) (code int, ends bool) {
	if errors.Is(err, ErrUnreachable) || errors.Is(err, ErrForbidden) {
		return t.fail(exitUsage, unreachable(t.socket, err).Error()), true
	}
	return t.fail(exitRefused, sentence(err, edit)), false
}

func (t *tool) fail(code int, text string) int {
	fmt.Fprintln(t.errs, text)
	return code
}

// restore carries out the lines of stdin. Each stands for itself: what the
// director refuses is said and passed over, the last line gives the exit
// code. Wrong arguments end it.
func (t *tool) restore() (code int) {
	t.restoring = true
	lines := newLines(t.in)
	for lines.next() {
		var ends bool
		if code, ends = t.line(lines.words); ends {
			return code
		}
	}
	if lines.err != nil {
		return t.fail(exitList, fmt.Sprintf("read rules: %v", lines.err))
	}
	if len(t.waiting) > 0 {
		code, _ = t.carryOut()
	}
	return code
}

// list prints what -L and -S ask for.
func (t *tool) list(c *Command) int {
	p := printer{out: t.out, names: t.names.print(c.listing.numeric), listing: c.listing}
	var err error
	switch {
	case c.verb == save:
		err = t.save(p.names)
	case c.listing.table == connections:
		err = t.listConns(&p)
	case c.listing.table == timeoutValues:
		err = t.listTimeouts(&p)
	case c.listing.table == rules:
		err = t.listRules(&p)
	}
	if err != nil {
		if code, _ := t.refused(err, &c.Edit); code != exitRefused {
			return code
		}
		return exitList
	}
	return 0
}

// listConns prints the titles when it is known that a list follows.
func (t *tool) listConns(p *printer) error {
	titles := sync.OnceFunc(p.connTitles)
	err := t.director.Conns(t.ctx, func(part []service.Conn) error {
		titles()
		for i := range part {
			p.conn(&part[i])
		}
		return nil
	})
	if err == nil {
		titles()
	}
	return err
}

func (t *tool) listTimeouts(p *printer) error {
	v, err := t.director.Timeouts(t.ctx)
	if err == nil {
		p.printf("Timeout (tcp tcpfin udp): %d %d %d\n",
			int64(v.TCP.Seconds()), int64(v.TCPFin.Seconds()), int64(v.UDP.Seconds()))
	}
	return err
}

func (t *tool) listRules(p *printer) error {
	if p.only == nil {
		info, err := t.director.Info(t.ctx)
		if err != nil {
			return err
		}
		p.printf("IP Virtual Server version %s (size=%d)\n", ipvsVersion, info.TableSize)
	}
	services, err := t.status(p.only)
	if err != nil {
		return err
	}
	if !p.noSort {
		service.SortStatus(services)
	}
	p.printf("%s", titles[p.columns])
	for i := range services {
		p.service(&services[i])
	}
	return nil
}

// status returns the services, or the one that is named.
func (t *tool) status(only *service.Key) ([]service.Status, error) {
	services, err := t.director.Status(t.ctx)
	if err != nil || only == nil {
		return services, err
	}
	for i := range services {
		if services[i].Key == *only {
			return services[i : i+1], nil
		}
	}
	return nil, service.ErrNoService
}

func (t *tool) save(names service.Names) error {
	services, err := t.status(nil)
	if err != nil {
		return err
	}
	service.SortStatus(services)
	return service.WriteRules(t.out, service.WithoutStatus(services), names)
}
