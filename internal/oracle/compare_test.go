package oracle

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/lvx-lb/lvx/internal/oracle/record"
)

// difference is where lvx and the kernel did not do the same.
type difference struct {
	scenario string
	seed     uint64
	step     int
	what     string
	text     string
}

func (d difference) String() string {
	return fmt.Sprintf("scenario %s (seed %d), step %d: %s\n%s", d.scenario, d.seed, d.step+1, d.what, d.text)
}

// comparison is a scenario on its way through the twin.
type comparison struct {
	*twin
	t        testing.TB
	scenario *record.Scenario
	ran      *record.Scenario // what lvx as a program did, to be compared in place of the twin, which goes along
	at       int
	tally    *tally
	found    []difference
}

// replay plays a recording to lvx and returns the differences, at most a few:
// what follows the first is mostly its consequence.
func replay(t testing.TB, s *record.Scenario, f *fault, counted *tally) []difference {
	t.Helper()
	return (&comparison{twin: newTwin(t, f), t: t, scenario: s, tally: counted}).compare()
}

// compare goes through all steps, and ends the twin.
func (c *comparison) compare() []difference {
	defer c.close()
	s := c.scenario
	for _, played := range []*record.Scenario{s, cmp.Or(c.ran, s)} {
		if played.Late() > record.MostLate {
			c.differ("the recording is void", fmt.Sprintf("a step began %v late, and %d tries were no better", played.Late(), played.Tries))
			return c.found
		}
	}
	c.tally.tries += cmp.Or(c.ran, s).Tries
	for i := range s.Steps {
		c.at = i
		if err := c.step(&s.Steps[i]); err != nil {
			c.differ("the step failed", err.Error())
		}
		if w := c.worker; !w.Counters.Balanced(w.Held()) {
			c.differ("the frame balance is off", fmt.Sprintf("%+v", w.Counters))
		}
		if len(c.found) >= 3 {
			break
		}
	}
	return c.found
}

// doubtful is said of a step of which nobody knows what the kernel does.
const doubtful = "the step comes while timers run out"

func (c *comparison) differ(what, text string) {
	c.found = append(c.found, difference{c.scenario.Scenario, c.scenario.Seed, c.at, what, text})
}

func (c *comparison) step(s *record.Step) error {
	r := s.Result
	c.advance(epoch + r.At)
	c.up = c.up[:0]
	c.tally.note(c.twin, s)
	if s.Sleep == 0 && c.timers.doubt(c.now, margin/2) != 0 {
		c.differ(doubtful, c.timers.String())
	}
	switch {
	case len(s.Frames) > 0:
		if err := c.arrive(s.NIC, s.Frames); err != nil {
			return err
		}
	case len(s.Command) > 0:
		c.order(s, r)
		c.run()
	case s.List:
		if err := c.lists(r); err != nil {
			return err
		}
	}
	c.advance(epoch + s.Due + s.Takes())
	c.frames(s, r)
	return nil
}

// order carries out a command. Those of scripts are given to lvx's own
// ipvsadm, whose status and words are compared.
func (c *comparison) order(s *record.Step, r *record.Result) {
	if c.ran != nil {
		_ = c.command(s.Command, s.Input)
		c.replies(s, r, c.ran.Steps[c.at].Result)
		return
	}
	if c.scenario.Seed == 0 && s.Command[0] == "ipvsadm" {
		if output, code := (desk{c.twin}).ask(c.t, s.Command[1:], s.Input); !sameOutput(output, r.Output) || code != r.Code {
			c.differ(fmt.Sprintf("command %q", s.Command), fmt.Sprintf("kernel: status %d\n%slvx: status %d\n%s", r.Code, r.Output, code, output))
		}
		return
	}
	if err := c.command(s.Command, s.Input); (err == nil) != (r.Code == 0) {
		c.differ(fmt.Sprintf("command %q", s.Command), fmt.Sprintf("kernel: status %d %s\nlvx: %v", r.Code, r.Output, err))
	}
}

// left is what has left lvx. What the twin passed up is answered or forwarded
// by the kernel as one that has no services would.
func (c *comparison) left(r *record.Result) []record.Left {
	got := c.sent()
	switch {
	case c.ran != nil:
		return c.ran.Steps[c.at].Result.Out
	case len(c.up) > 0:
		return append(got, r.Plain...)
	}
	return got
}

// frames compares what has left.
func (c *comparison) frames(s *record.Step, r *record.Result) {
	got, passed := c.left(r), len(c.up) > 0
	for _, n := range []record.NIC{record.Public, record.Private} {
		here := func(all []record.Left) []record.Left {
			return slices.DeleteFunc(slices.Clone(all), func(l record.Left) bool { return l.NIC != n })
		}
		k, l := here(r.Out), here(got)
		if len(s.Frames) > 1 && len(k) > 0 && len(l) > 0 && slices.EqualFunc(l, here(r.Plain), sameLeft) {
			c.tally.allowed[foreignFragments]++
			continue
		}
		for i := range max(len(k), len(l)) {
			var kernel, lvx record.Frame
			if i < len(k) {
				kernel = k[i].Frame
			}
			if i < len(l) {
				lvx = l[i].Frame
			}
			if c.tally.alike(kernel, lvx) || c.limits(kernel, lvx) {
				continue
			}
			passedUp := ""
			if passed {
				passedUp = " (lvx passes up)"
			}
			c.differ(fmt.Sprintf("%s: frame %d of %d and %d on the %v NIC%s", s.Kind, i+1, len(k), len(l), n, passedUp),
				fmt.Sprintf("in:\n%skernel:\n%slvx:\n%s", dissect(first(s.Frames)), dissect(kernel), dissect(lvx)))
			return
		}
	}
}

// limits reports whether one of two frames is an ICMP error, and the other is
// missing because its destination was told too much already. Random scenarios
// do not let it come to that.
func (c *comparison) limits(kernel, lvx record.Frame) bool {
	one := kernel
	if kernel == nil {
		one = lvx
	}
	if kernel != nil && lvx != nil || !isError(one) || c.scenario.Seed != 0 {
		return false
	}
	told := 0
	for _, s := range c.scenario.Steps[:c.at+1] {
		for _, l := range s.Result.Out {
			if isError(l.Frame) && bytes.Equal(addressee(l.Frame), addressee(one)) {
				told++
			}
		}
	}
	if told < burst {
		return false
	}
	c.tally.allowed[limited]++
	return true
}

func addressee(f record.Frame) []byte {
	if f[12] == 0x86 {
		return f[38:54]
	}
	return f[30:34]
}

func sender(f record.Frame) []byte {
	if f[12] == 0x86 {
		return f[22:38]
	}
	return f[26:30]
}

func first(frames []record.Frame) record.Frame {
	if len(frames) == 0 {
		return nil
	}
	return frames[0]
}

// lists compares connections and counts.
func (c *comparison) lists(r *record.Result) error {
	kernel, err := parseConns(r.Conns)
	if err != nil {
		return err
	}
	lvx, mine, err := c.listed()
	if err != nil {
		return err
	}
	order := func(a, b conn) int {
		return cmp.Or(cmp.Compare(a.proto, b.proto), a.client.Compare(b.client), a.virtual.Compare(b.virtual), a.real.Compare(b.real))
	}
	slices.SortFunc(kernel, order)
	slices.SortFunc(lvx, order)
	if !slices.EqualFunc(kernel, lvx, c.sameConn) {
		c.differ("connections", twoLists(kernel, lvx, c.sameConn))
	}
	servers, err := parseServers(r.Services)
	if err != nil {
		return err
	}
	byService := func(a, b server) int {
		return cmp.Or(strings.Compare(a.service, b.service), cmp.Compare(a.order, b.order))
	}
	slices.SortFunc(servers, byService)
	slices.SortFunc(mine, byService)
	if !slices.Equal(servers, mine) {
		c.differ("servers", twoLists(servers, mine, func(a, b server) bool { return a == b }))
	}
	c.tally.lists++
	c.tally.conns += len(kernel)
	return nil
}

// listed returns connections and servers as lvx lists them.
func (c *comparison) listed() ([]conn, []server, error) {
	if c.ran == nil {
		return c.conns(), c.servers(), nil
	}
	r := c.ran.Steps[c.at].Result
	all, err := parsePrintedConns(r.Conns)
	if err != nil {
		return nil, nil, err
	}
	servers, err := parsePrintedServers(r.Services)
	return all, servers, err
}

// sameConn allows a second more or less, as both cut off fractions, and of a
// template what the kernel was late when it prolonged it.
func (c *comparison) sameConn(kernel, lvx conn) bool {
	late := time.Duration(kernel.expires-lvx.expires) * time.Second
	return kernel.state == lvx.state && kernel.name() == lvx.name() && late >= -time.Second && late <= time.Second+c.timers.slack(lvx)
}

func twoLists[T any](kernel, lvx []T, same func(a, b T) bool) string {
	var text strings.Builder
	for _, k := range kernel {
		if !slices.ContainsFunc(lvx, func(l T) bool { return same(k, l) }) {
			fmt.Fprintf(&text, "  only the kernel: %v\n", k)
		}
	}
	for _, l := range lvx {
		if !slices.ContainsFunc(kernel, func(k T) bool { return same(k, l) }) {
			fmt.Fprintf(&text, "  only lvx: %v\n", l)
		}
	}
	return text.String()
}

func dissect(f record.Frame) string {
	if f == nil {
		return "  no frame\n"
	}
	var text strings.Builder
	for _, l := range gopacket.NewPacket(f, layers.LayerTypeEthernet, gopacket.Default).Layers() {
		fmt.Fprintf(&text, "  %.240s\n", gopacket.LayerString(l))
	}
	return text.String() + "  " + hex.EncodeToString(f[:min(len(f), 120)]) + "\n"
}

func same(a, b record.Frame) bool { return a != nil && b != nil && bytes.Equal(a, b) }

func sameLeft(a, b record.Left) bool { return same(a.Frame, b.Frame) }
