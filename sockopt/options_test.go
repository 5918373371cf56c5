package sockopt

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lvx-lb/lvx/admin"
	"github.com/lvx-lb/lvx/service"
)

func ruleFor(proto uint16, endpoint, scheduler string) serviceRule {
	r := serviceRule{Address: address{Protocol: proto}}
	if endpoint != "" {
		r.Address.IP, r.Address.Port = parts(netip.MustParseAddrPort(endpoint))
	}
	copy(r.Scheduler[:], scheduler)
	return r
}

func serverFor(endpoint string, weight int32) serverRule {
	r := serverRule{Weight: weight}
	r.IP, r.Port = parts(netip.MustParseAddrPort(endpoint))
	return r
}

const webVIP, webRIP = "192.0.2.10:80", "10.0.0.11:8080"

// Each line is one call; the director carries on from the line before.
func TestOptionsAreAnsweredAsByTheKernel(t *testing.T) {
	web := ruleFor(6, webVIP, "rr")
	with := func(r serviceRule, change func(*serviceRule)) serviceRule { change(&r); return r }
	server := func(s serverRule) serverEdit { return serverEdit{web, s} }
	o := optionsOf(&double{})
	for _, c := range []struct {
		what   string
		option int
		value  any
		want   unix.Errno
	}{
		{"edit of no service", setEditService, web, unix.ESRCH},
		{"deletion of no service", setDeleteService, web, unix.ESRCH},
		{"server of no service", setAddServer, server(serverFor(webRIP, 1)), unix.ESRCH},
		{"unknown scheduler", setAddService, ruleFor(6, webVIP, "nosuch"), unix.ENOENT},
		{"scheduler without end", setAddService, ruleFor(6, webVIP, "0123456789abcdef"), unix.EINVAL},
		{"unknown protocol", setAddService, ruleFor(99, webVIP, "rr"), unix.EFAULT},
		{"mark without protocol", setAddService, with(ruleFor(0, "", "rr"), func(r *serviceRule) { r.Address.Mark = 5 }), unix.EOPNOTSUPP}, // the director's word
		{"address 0", setAddService, ruleFor(6, "", "rr"), unix.EINVAL},
		{"service", setAddService, web, 0},
		{"service again", setAddService, web, unix.EEXIST},
		{"edit", setEditService, ruleFor(6, webVIP, "wrr"), 0},
		{"persistence for no time", setEditService, with(web, func(r *serviceRule) { r.Flags = flagPersistent }), unix.EOPNOTSUPP},
		{"server", setAddServer, server(serverFor(webRIP, 1)), 0},
		{"server again", setAddServer, server(serverFor(webRIP, 1)), unix.EEXIST},
		{"negative weight", setEditServer, server(serverFor(webRIP, -1)), unix.ERANGE},
		{"thresholds crossed", setEditServer, server(serverRule{IP: [4]byte{10, 0, 0, 11}, Port: [2]byte{0x1f, 0x90}, Lower: 2, Upper: 1}), unix.ERANGE},
		{"another method", setEditServer, server(serverRule{IP: [4]byte{10, 0, 0, 11}, Port: [2]byte{0x1f, 0x90}, Flags: uint32(service.Route)}), unix.EOPNOTSUPP},
		{"edit of server", setEditServer, server(serverFor(webRIP, 0)), 0},
		{"edit of no server", setEditServer, server(serverFor("10.0.0.12:1", 0)), unix.ENOENT},
		{"deletion of no server", setDeleteServer, server(serverFor("10.0.0.12:1", 0)), unix.ENOENT},
		{"zero of one", setZero, web, 0},
		{"zero of none", setZero, ruleFor(17, webVIP, ""), unix.ESRCH},
		{"zero of all", setZero, serviceRule{}, 0},
		{"timeouts", setTimeouts, timeoutForm{60, 0, 10}, 0},
		{"negative timeout", setTimeouts, timeoutForm{60, -1, 10}, unix.EINVAL},
		{"start of a daemon", setStartDaemon, daemonForm{}, unix.EOPNOTSUPP},
		{"stop of a daemon", setStopDaemon, daemonForm{}, unix.EOPNOTSUPP},
		{"deletion of server", setDeleteServer, server(serverFor(webRIP, 0)), 0},
		{"deletion", setDeleteService, web, 0},
		{"clear", setClear, nil, 0},
		{"no option", optionFirst, nil, unix.EINVAL},
		{"list", optionFirst + 6, nil, unix.EINVAL},
		{"restore", optionFirst + 13, nil, unix.EINVAL},
	} {
		var value []byte
		if c.value != nil {
			value = encode(nil, c.value)
		}
		if got := o.set(t.Context(), c.option, value); got != c.want {
			t.Errorf("%s: %d (%v), want %d (%v)", c.what, got, got, c.want, c.want)
		}
		if got := o.set(t.Context(), c.option, append(value, 0)); got != unix.EINVAL {
			t.Errorf("%s, one byte too many: %v", c.what, got)
		}
	}
	if got, _ := o.director.Timeouts(t.Context()); got.TCP.Seconds() != 60 || got.TCPFin.Seconds() != 120 || got.UDP.Seconds() != 10 {
		t.Errorf("timeouts: %v", got)
	}
}

func ask(t *testing.T, o *options, option int, head any, rows int) ([]byte, unix.Errno) {
	argument := make([]byte, getSizes[option])
	if head != nil {
		copy(argument, encode(nil, head))
	}
	size := len(argument)
	switch option {
	case getServices:
		size += rows * serviceRowSize
	case getServers:
		size += rows * serverRowSize
	}
	answer, length, errno := o.get(t.Context(), option, argument, size)
	if errno == 0 && option != getVersion && length != size {
		t.Errorf("option %d: length %d became %d", option, size, length)
	}
	if len(answer) > size {
		t.Errorf("option %d: %d bytes for a buffer of %d", option, len(answer), size)
	}
	return answer, errno
}

func TestListingsHaveTheKernelsForm(t *testing.T) {
	d := made(t)
	o := optionsOf(d)
	if got, _ := ask(t, o, getVersion, nil, 0); string(got) != "IP Virtual Server version 1.2.1 (size=4096)\x00" {
		t.Errorf("version: %q", got)
	}
	got, _ := ask(t, o, getInfo, nil, 0)
	if want := encode(nil, infoForm{0x010201, 4096, 2}); !bytes.Equal(got, want) {
		t.Errorf("info without IPv6: %x", got)
	}
	got, _ = ask(t, o, getServices, servicesHead{Services: 5}, 5)
	if len(got) != servicesHeadSize+2*serviceRowSize || binary.NativeEndian.Uint32(got) != 2 {
		t.Fatalf("services: %d bytes", len(got))
	}
	var row serviceRow
	decode(got[servicesHeadSize:], &row)
	want := serviceRow{Service: ruleFor(6, "192.0.2.10:80", "wrr"), Servers: 2, Stats: counters{Conns: 3, InPkts: 4, InBytes: 1 << 40}}
	want.Service.Flags, want.Service.Netmask = flagHashed, [4]byte{255, 255, 255, 255}
	if row != want {
		t.Errorf("row %+v", row)
	}
	one, errno := ask(t, o, getService, row.Service.Address, 0)
	if errno != 0 || !bytes.Equal(one, encode(nil, want)) {
		t.Errorf("service: %v, %x", errno, one)
	}
	got, _ = ask(t, o, getServers, serversHead{Service: row.Service.Address, Servers: 1}, 1)
	if len(got) != serversHeadSize+serverRowSize {
		t.Fatalf("servers: %d bytes", len(got))
	}
	var server serverRow
	decode(got[serversHeadSize:], &server)
	if s := server.Server.server(); s.Address.String() != "10.0.0.11:8080" || s.Weight != 3 || server.Active != 5 || server.Inactive != 250000 {
		t.Errorf("the newest server comes first: %+v", server)
	}
	for _, option := range []int{getService, getServers} {
		if _, errno := ask(t, o, option, address{Protocol: 6}, 0); errno != unix.ESRCH {
			t.Errorf("unknown service: %v", errno)
		}
	}
	if got, _ := ask(t, o, getTimeouts, nil, 0); !bytes.Equal(got, encode(nil, timeoutForm{900, 120, 300})) {
		t.Errorf("timeouts: %x", got)
	}
	if got, _ := ask(t, o, getDaemons, nil, 0); !bytes.Equal(got, make([]byte, 48)) {
		t.Errorf("daemons: %x", got)
	}
}

func TestQuestionsOfTheWrongSizeAreInvalid(t *testing.T) {
	o := optionsOf(made(t))
	for option := optionFirst; option <= optionLast; option++ {
		least := getSizes[option]
		want := unix.EINVAL
		if option > getLast {
			want = unix.ENOPROTOOPT
		}
		for _, size := range []int{0, least - 1} {
			if _, _, errno := o.get(t.Context(), option, make([]byte, max(size, 0)), size); errno != want {
				t.Errorf("option %d with %d bytes: %v", option, size, errno)
			}
		}
	}
	for _, rows := range []uint32{0, 2, 1 << 31, 1<<32 - 1} {
		if _, _, errno := o.get(t.Context(), getServices, encode(nil, servicesHead{Services: rows}), servicesHeadSize+serviceRowSize); errno != unix.EINVAL {
			t.Errorf("%d rows in the room of one: %v", rows, errno)
		}
	}
}

// A tool that lists n services asks n+2 times; the director is asked for
// everything only twice.
func TestOneListingAnswersForAllServices(t *testing.T) {
	d := &double{}
	var lines strings.Builder
	for i := range 200 {
		fmt.Fprintf(&lines, "-A -t 192.0.2.1:%d -s rr\n-a -t 192.0.2.1:%d -r 10.0.0.1:80 -m\n", i+1, i+1)
	}
	d.must(t, lines.String())
	o := optionsOf(d)
	ask(t, o, getInfo, nil, 0)
	got, _ := ask(t, o, getServices, servicesHead{Services: 200}, 200)
	for at := servicesHeadSize; at < len(got); at += serviceRowSize {
		var row serviceRow
		decode(got[at:], &row)
		if servers, errno := ask(t, o, getServers, serversHead{Service: row.Service.Address, Servers: 1}, 1); errno != 0 || len(servers) != serversHeadSize+serverRowSize {
			t.Fatalf("servers: %v, %d bytes", errno, len(servers))
		}
	}
	if d.asked > 10 { // a slow machine may let the listing grow old
		t.Errorf("the director was asked %d times", d.asked)
	}
	key := ruleFor(6, "192.0.2.1:1", "")
	o.set(t.Context(), setDeleteService, encode(nil, key))
	if _, errno := ask(t, o, getServers, serversHead{Service: key.Address, Servers: 1}, 1); errno != unix.ESRCH {
		t.Errorf("servers of a service that was just deleted: %v", errno)
	}
}

// absent is a director that cannot be reached.
type absent struct{ double }

func (*absent) ApplyEach(context.Context, []service.Edit) (admin.Outcome, error) {
	return admin.Outcome{}, admin.ErrUnreachable
}

func (*absent) Info(context.Context) (admin.Info, error) {
	return admin.Info{}, fmt.Errorf("ask: %w", admin.ErrUnreachable)
}

func TestWithoutADirectorThereIsNoIPVS(t *testing.T) {
	o := optionsOf(&absent{})
	if errno := o.set(t.Context(), setClear, nil); errno != unix.ENOPROTOOPT {
		t.Error(errno)
	}
	if _, errno := ask(t, o, getInfo, nil, 0); errno != unix.ENOPROTOOPT {
		t.Error(errno)
	}
}

// Whatever the bytes, a call changes the director as its own decoding says or
// not at all.
func FuzzSet(f *testing.F) {
	f.Add(uint8(2), encode(nil, ruleFor(6, webVIP, "rr")))
	f.Add(uint8(7), encode(nil, serverEdit{ruleFor(6, "192.0.2.10:80", "rr"), serverFor(webRIP, 1)}))
	f.Add(uint8(10), encode(nil, timeoutForm{1, 2, 3}))
	f.Add(uint8(5), []byte{})
	f.Fuzz(func(t *testing.T, number uint8, value []byte) {
		option := optionFirst + int(number%16)
		d := made(t)
		before, known := d.set.Clone(), len(d.applied)
		errno := optionsOf(d).set(t.Context(), option, value)
		size, named := setSizes[option]
		switch {
		case len(value) != size && errno != unix.EINVAL, !named && option != setClear && errno == 0:
			t.Errorf("option %d with %d bytes: %v", option, len(value), errno)
		case errno != 0 && (len(d.applied) != known || !reflect.DeepEqual(before, &d.set)):
			t.Errorf("option %d failed with %v and changed something", option, errno)
		case errno == 0 && len(d.applied) != known+1:
			t.Errorf("option %d made %d edits", option, len(d.applied)-known)
		}
	})
}

// Whatever the bytes, an answer fits into the buffer and changes nothing.
func FuzzGet(f *testing.F) {
	f.Add(uint8(1), make([]byte, 12), 12)
	f.Add(uint8(2), encode(nil, servicesHead{Services: 3}), servicesHeadSize+3*serviceRowSize)
	f.Add(uint8(4), encode(nil, serversHead{Service: ruleFor(6, webVIP, "").Address, Servers: 2}), serversHeadSize+2*serverRowSize)
	d := made(f)
	f.Fuzz(func(t *testing.T, number uint8, argument []byte, size int) {
		option := optionFirst + int(number%16)
		argument = argument[:min(len(argument), getSizes[option])]
		answer, length, errno := optionsOf(d).get(t.Context(), option, argument, size)
		if errno == 0 && (len(answer) > size || length > size) {
			t.Errorf("option %d: %d bytes, length %d, for a buffer of %d", option, len(answer), length, size)
		}
	})
}
