package sockopt

import (
	"encoding/binary"
	"net/netip"
	"reflect"
	"testing"
	"time"
	"unsafe"

	"github.com/lvx-lb/lvx/service"
)

// The numbers are those that a C compiler gives for <linux/ip_vs.h> on
// x86-64.
func TestStructuresAreThoseOfTheKernel(t *testing.T) {
	var (
		s serviceRule
		v serverRule
		r serviceRow
		w serverRow
		n counters
		h serversHead
		d daemonForm
	)
	for _, c := range []struct {
		what      string
		got, want int
	}{
		{"service_user", binary.Size(s), 44}, {"protocol", offset(s, "Address"), 0}, {"sched", offset(s, "Scheduler"), 16},
		{"flags", offset(s, "Flags"), 32}, {"timeout", offset(s, "Timeout"), 36}, {"netmask", offset(s, "Netmask"), 40},
		{"addr", offset(s.Address, "IP"), 4}, {"port", offset(s.Address, "Port"), 8}, {"fwmark", offset(s.Address, "Mark"), 12},
		{"dest_user", binary.Size(v), 24}, {"addr", offset(v, "IP"), 0}, {"port", offset(v, "Port"), 4}, {"conn_flags", offset(v, "Flags"), 8},
		{"weight", offset(v, "Weight"), 12}, {"u_threshold", offset(v, "Upper"), 16}, {"l_threshold", offset(v, "Lower"), 20},
		{"both", binary.Size(serverEdit{}), 68},
		{"service_entry", binary.Size(r), 104}, {"num_dests", offset(r, "Servers"), 44}, {"stats", offset(r, "Stats"), 48},
		{"dest_entry", binary.Size(w), 96}, {"activeconns", offset(w, "Active"), 24}, {"inactconns", offset(w, "Inactive"), 28},
		{"persistconns", offset(w, "Persistent"), 32}, {"stats", offset(w, "Stats"), 40},
		{"stats_user", binary.Size(n), 56}, {"outpkts", offset(n, "OutPkts"), 8}, {"inbytes", offset(n, "InBytes"), 16},
		{"outbytes", offset(n, "OutBytes"), 24}, {"cps", offset(n, "CPS"), 32}, {"outbps", offset(n, "OutBPS"), 48},
		{"get_services", binary.Size(servicesHead{}), 8},
		{"get_dests", binary.Size(h), 24}, {"num_dests", offset(h, "Servers"), 16},
		{"getinfo", binary.Size(infoForm{}), 12}, {"timeout_user", binary.Size(timeoutForm{}), 12},
		{"daemon_user", binary.Size(d), 24}, {"mcast_ifn", offset(d, "Interface"), 4}, {"syncid", offset(d, "SyncID"), 20},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, the kernel has %d", c.what, c.got, c.want)
		}
	}
}

// The bytes that are written have no padding that the compiler adds.
func offset(v any, field string) int {
	t := reflect.TypeOf(v)
	f, ok := t.FieldByName(field)
	if !ok || int(t.Size()) != binary.Size(v) {
		return -1
	}
	return int(f.Offset)
}

func TestNotificationsAreThoseOfTheKernel(t *testing.T) {
	if n := unsafe.Sizeof(notification{}); n != 80 {
		t.Errorf("seccomp_notif has 80 bytes, not %d", n)
	}
	if n := unsafe.Sizeof(response{}); n != 24 {
		t.Errorf("seccomp_notif_resp has 24 bytes, not %d", n)
	}
	if n := unsafe.Sizeof(addition{}); n != 24 {
		t.Errorf("seccomp_notif_addfd has 24 bytes, not %d", n)
	}
	if o := unsafe.Offsetof(notification{}.Arguments); o != 32 {
		t.Errorf("arguments begin at 32, not %d", o)
	}
}

func TestRulesSurviveTheirStructures(t *testing.T) {
	for _, want := range []service.Service{
		{Key: service.Key{Protocol: service.TCP, Address: netip.MustParseAddrPort("192.0.2.1:80")}, Scheduler: "wrr"},
		{Key: service.Key{Protocol: service.UDP, Address: netip.MustParseAddrPort("192.0.2.1:53")}, Scheduler: "sh", Flags: []string{"flag-1", "flag-3"}, OnePacket: true},
		{Key: service.Key{Protocol: service.SCTP, Address: netip.MustParseAddrPort("192.0.2.1:0")}, Scheduler: "rr", Persistent: time.Minute, Netmask: 24},
		{Key: service.Key{Mark: 8}, Scheduler: "rr", Persistent: time.Minute, Netmask: service.IPv4Mask(0xff00ff00)},
		{Key: service.Key{Mark: 9}, Scheduler: "rr", Persistent: time.Minute, Netmask: service.IPv4Mask(0)},
		{Key: service.Key{Mark: 7}, Scheduler: "lc", Persistent: 360 * time.Second},
	} {
		rule := ruleOf(&want)
		got, err := rule.service()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v became %+v, %v", want, got, err)
		}
	}
	for _, want := range []service.Server{
		{Address: netip.MustParseAddrPort("10.0.0.1:80"), Weight: 1},
		{Address: netip.MustParseAddrPort("10.0.0.1:0"), Method: service.Route, Weight: 1<<31 - 1, Upper: 1<<32 - 1, Lower: 3},
	} {
		rule := serverRuleOf(&want)
		if got := rule.server(); got != want {
			t.Errorf("%+v became %+v", want, got)
		}
	}
}

// The names that a director lists become the bits that ipvsadm prints.
func TestSchedulerFlagsHaveTheirBits(t *testing.T) {
	for name, want := range map[string]uint32{
		"sh-fallback": 0x8, "sh-port": 0x10, "mh-fallback": 0x8, "mh-port": 0x10, "flag-1": 0x8, "flag-2": 0x10, "flag-3": 0x20,
	} {
		if got := ruleOf(&service.Service{Flags: []string{name}}).Flags; got != want|flagHashed {
			t.Errorf("%s: %#x", name, got)
		}
	}
}
