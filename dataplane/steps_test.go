package dataplane

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lvx-lb/lvx/packet"
	"github.com/lvx-lb/lvx/service"
)

// The steps of a script besides frames.

func pairsOf(words []string) (names []string, values []int) {
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		n, err := strconv.Atoi(value)
		if err != nil {
			panic(fmt.Sprintf("%q is not NAME=NUMBER", word))
		}
		names, values = append(names, name), append(values, n)
	}
	return names, values
}

// size NAME=N...: before anything else.
func (s *script) size(args []string) {
	names, values := pairsOf(args)
	for i, name := range names {
		at, ok := map[string]*int{
			"conns": &s.sizes.conns, "frames": &s.sizes.frames, "ring": &s.sizes.ring,
			"templates": &s.sizes.templates, "wait-per-hop": &s.sizes.limits.WaitPerHop, "waiting": &s.sizes.limits.Waiting, "fragments": &s.sizes.limits.Fragments,
		}[name]
		if !ok {
			s.failf("no size is called %q", name)
		}
		*at = values[i]
	}
}

// strict [but NAMES]: the workers differ from IPVS in nothing, or in these
// alone.
func (s *script) strictly(args []string) {
	s.choose(true, strings.TrimPrefix(strings.Join(args, " "), "but "))
}

// deviate NAMES: the workers differ from IPVS in these too.
func (s *script) deviate(args []string) { s.choose(false, args[0]) }

func (s *script) choose(strict bool, names string) {
	var on service.Deviations
	if names != "" {
		var err error
		if on, err = service.ParseDeviations(names); err != nil {
			s.failf("%v", err)
		}
	}
	all, _ := service.ChooseDeviations(strict, on, 0)
	s.sizes.deviations = &all
}

// $ ARGS: a command line of ipvsadm.
func (s *script) edit(args []string) {
	if err := s.command(args); err != nil {
		s.failf("%v", err)
	}
	s.run(s.t)
}

// sysctl NAME=VALUE...: behind $, as lvx adm has it.
func (x *world) sysctl(args []string) error {
	for _, text := range args {
		c, err := service.ParseSysctl(text)
		if err != nil {
			return err
		}
		if err := x.set.Apply(service.Edit{Op: service.SetSysctl, Sysctl: c}); err != nil {
			return err
		}
	}
	x.roster.SetSettings(x.set.Settings())
	x.adopt()
	return nil
}

// mark add|del RULE, mark flush: behind $, as lvx mark has it.
func (x *world) mark(verb string, rule []string) error {
	e := service.Edit{Op: map[string]service.Op{"add": service.AddMark, "del": service.DeleteMark, "flush": service.ClearMarks}[verb]}
	if len(rule) > 0 {
		var err error
		if e.Mark, err = service.ParseMarkRule(rule); err != nil {
			return err
		}
	}
	if err := x.set.Apply(e); err != nil {
		return err
	}
	return x.apply()
}

// advance DURATION: time goes by, a tick at a time.
func (s *script) advance(args []string) {
	d, err := time.ParseDuration(args[0])
	if err != nil {
		s.failf("%v", err)
	}
	for end := s.now + Time(d); s.now < end; {
		s.now = min(end, s.now+Second/10)
		s.roster.Warm(s.now)
		s.run(s.t)
	}
}

// sever VIRTUAL REAL: the server is given up, and every worker hears of it.
func (s *script) sever(args []string) {
	s.serverOf(args[0], args[1]).Sever()
	for _, w := range s.workers {
		w.Sever()
	}
	s.run(s.t)
}

// counters NAME=N...: totals since the start.
func (s *script) counters(args []string) {
	have := s.totals()
	names, values := pairsOf(args)
	for i, name := range names {
		got, ok := have[name]
		switch {
		case !ok:
			s.failf("no counter is called %q", name)
		case got != uint64(values[i]):
			s.failf("%s is %d; %s", name, got, s.dropped())
		}
	}
}

// totals adds up what the workers count, by name.
func (s *script) totals() map[string]uint64 {
	have := map[string]uint64{}
	for _, w := range s.workers {
		w.Counters.Each(w.Held(), func(name string, n uint64) { have[name] += n })
		have["conns"] += uint64(w.Table().Len())
	}
	return have
}

// conns N: how many connections there are.
func (s *script) conns(args []string) {
	if n := fmt.Sprint(s.totals()["conns"]); n != args[0] {
		s.failf("there are %s", n)
	}
}

// conn PROTO CLIENT VIRTUAL REAL STATE [SECONDS]: one connection, with the
// whole seconds that it has left.
func (s *script) conn(args []string) {
	all := s.found(args[:3])
	if len(all) != 1 {
		s.failf("there are %d", len(all))
	}
	r := all[0]
	real := netip.AddrPortFrom(s.worker.Table().Pairs[r.Server].Real.Netip(), r.RPort).String()
	left := strconv.Itoa(int(r.Expires(s.now.tick()) / 10))
	if got := []string{real, r.State.String(), left}; !slices.Equal(got[:len(args)-3], args[3:]) {
		s.failf("it is %v", got)
	}
}

// server VIRTUAL REAL NAME=N...: what a server counts.
func (s *script) server(args []string) {
	srv := s.serverOf(args[0], args[1])
	active, inactive := srv.Counts()
	var st Stat
	for _, w := range s.workers {
		x := w.Stats()[srv.Slot]
		st = Stat{st.Conns + x.Conns, st.InPkts + x.InPkts, st.InBytes + x.InBytes, st.OutPkts + x.OutPkts, st.OutBytes + x.OutBytes}
	}
	have := map[string]uint64{
		"active": uint64(active), "inactive": uint64(inactive), "conns": st.Conns,
		"templates": uint64(srv.Templates()),
		"in-pkts":   st.InPkts, "in-bytes": st.InBytes, "out-pkts": st.OutPkts, "out-bytes": st.OutBytes,
	}
	names, values := pairsOf(args[2:])
	for i, name := range names {
		got, ok := have[name]
		switch {
		case !ok:
			s.failf("a server does not count %q", name)
		case got != uint64(values[i]):
			s.failf("%s is %d", name, got)
		}
	}
}

// template PROTO CLIENT VIRTUAL REAL STATE [SECONDS]: one client that a
// persistent service remembers, as a row of the connection list.
func (s *script) template(args []string) {
	for _, row := range s.rows() {
		if slices.Equal(row[:len(args)], args) {
			return
		}
	}
	s.failf("there are %v", s.rows())
}

// templates N: how many there are.
func (s *script) templates(args []string) {
	if n := strconv.Itoa(len(s.rows())); n != args[0] {
		s.failf("there are %v", s.rows())
	}
}

// expected CLIENT VIRTUAL REAL [SECONDS]: a data connection of FTP that nobody
// has opened yet.
func (s *script) expected(args []string) {
	for _, row := range s.data() {
		if slices.Equal(row[:len(args)], args) {
			return
		}
	}
	s.failf("there are %v", s.data())
}

// expectations N: how many there are.
func (s *script) expectations(args []string) {
	if n := strconv.Itoa(len(s.data())); n != args[0] {
		s.failf("there are %v", s.data())
	}
}

func (s *script) data() (rows [][]string) {
	s.roster.Expected(s.now.tick(), func(x Expected) {
		real := netip.AddrPortFrom(x.Server.real.Addr.Netip(), x.RPort)
		rows = append(rows, []string{x.Client.Netip().String(), x.Virtual.Netip().String(), real.String(), strconv.Itoa(int(x.Expires / 10))})
	})
	return rows
}

// awaits PORT=N...: how many data connections steering is told of, and none by
// other ports.
func (s *script) awaits(args []string) {
	names, values := pairsOf(args)
	for port := range s.world.awaited {
		want := uint64(0)
		if i := slices.Index(names, strconv.Itoa(port)); i >= 0 {
			want = uint64(values[i])
		}
		if got := s.world.awaited[port].Load(); got != want {
			s.failf("port %d is awaited %d times", port, got)
		}
	}
}

func (s *script) rows() (rows [][]string) {
	end := func(a packet.Addr, port uint16) string { return packet.Endpoint{Addr: a, Port: port}.Netip().String() }
	for at := 0; at >= 0; {
		at = s.roster.Templates().Walk(s.now.tick(), at, 3, func(x Template) {
			proto := map[uint8]string{protoTCP: "tcp", protoUDP: "udp", protoSCTP: "sctp", 0: "ip"}[x.Proto]
			state := map[bool]string{true: "ASSURED", false: "NONE"}[x.Assured]
			virtual, real := x.Virtual, x.Server.real.Addr
			rows = append(rows, []string{proto, end(x.Client, 0), end(virtual, x.VPort), end(real, x.RPort), state, strconv.Itoa(int(x.Expires / 10))})
		})
	}
	return rows
}

// silent ADDR: a neighbour that does not answer.
func (s *script) silence(args []string) { s.world.silent[addrOf(args[0])] = true }

// arp LINK ADDR [MAC-OF]: the neighbour answers, or has another's MAC now.
func (s *script) arp(args []string) {
	a := netip.MustParseAddr(args[1])
	mac := macOf(a)
	if len(args) > 2 {
		mac = macOf(netip.MustParseAddr(args[2]))
	}
	delete(s.world.silent, addrOf(args[1]))
	s.hops.Set(s.link(args[0]), addrOf(args[1]), HopUsable, mac)
	s.run(s.t)
}

// fail LINK ADDR: the neighbour is known not to answer.
func (s *script) fail(args []string) {
	s.hops.Set(s.link(args[0]), addrOf(args[1]), HopFailed, MAC{})
	s.run(s.t)
}

// route PREFIX LINK [via ADDR] [mtu N] | PREFIX unreachable: and every worker
// hears of it.
func (s *script) reroute(args []string) {
	s.routes.add(s.links, args)
	s.roster.RoutesChanged()
	if err := s.apply(); err != nil {
		s.failf("%v", err)
	}
}

// mtu PREFIX N: of a route that is there.
func (s *script) mtu(args []string) {
	i := slices.IndexFunc(s.routes, func(r route) bool { return r.prefix.String() == args[0] })
	if i < 0 {
		s.failf("no such route")
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		s.failf("%v", err)
	}
	s.routes[i].next.MTU = n
	s.roster.RoutesChanged()
	if err := s.apply(); err != nil {
		s.failf("%v", err)
	}
}

// partial LINK: its peers leave checksums partial.
func (s *script) partial(args []string) {
	s.links[s.link(args[0])].Partial = true
	s.roster.SetLinks(s.links)
	s.adopt()
}

// down NIC: nothing leaves it.
func (s *script) down(args []string) {
	n, _ := strconv.Atoi(args[0])
	for _, m := range s.queues[n] {
		m.SetDown(true)
	}
}

// up NIC: what was queued leaves with the next kick.
func (s *script) upAgain(args []string) {
	n, _ := strconv.Atoi(args[0])
	for _, m := range s.queues[n] {
		m.SetDown(false)
		m.Kick()
	}
	s.run(s.t)
}

// upward full|ready: room on the way back.
func (s *script) upwards(args []string) { s.up.full = args[0] == "full" }
