package admin

import (
	"bytes"
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/lvx-lb/lvx/service"
)

// build makes a kernel by commands.
func build(t *testing.T, rules ...string) *kernel {
	t.Helper()
	k := &kernel{timeouts: service.DefaultTimeouts()}
	for _, rule := range rules {
		if got := command(t, k, "", strings.Fields(rule)...); got != "[rc=0]\n" {
			t.Fatalf("%s: %s", rule, got)
		}
	}
	return k
}

func check(t *testing.T, d Director, line, want string) {
	t.Helper()
	if got := command(t, d, "", strings.Fields(line)...); got != want {
		t.Errorf("%s\ngot:\n%swant:\n%s", line, got, want)
	}
}

func TestCountersAreListedAsRecordedFromIPVS(t *testing.T) {
	k := build(t,
		"-A -t 203.0.113.100:80 -s rr", "-a -t 203.0.113.100:80 -r 10.1.0.61:8080 -m",
		"-A -u 203.0.113.100:53 -s rr", "-a -u 203.0.113.100:53 -r 10.1.0.61:5353 -m")
	s := service.Stats{Conns: 20, InPkts: 252248, InBytes: 157221968, CPS: 1, InPPS: 23588, InBPS: 19287353}
	k.services[1].Stats, k.services[1].Servers[0].Stats = s, s
	check(t, k, "-ln --stats", `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes
  -> RemoteAddress:Port
TCP  203.0.113.100:80                    0        0        0        0        0
  -> 10.1.0.61:8080                      0        0        0        0        0
UDP  203.0.113.100:53                   20   252248        0  157221K        0
  -> 10.1.0.61:5353                     20   252248        0  157221K        0
[rc=0]
`)
	check(t, k, "-ln --stats --exact -u 203.0.113.100:53", `Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes
  -> RemoteAddress:Port
UDP  203.0.113.100:53                   20   252248        0 157221968        0
  -> 10.1.0.61:5353                     20   252248        0 157221968        0
[rc=0]
`)
	check(t, k, "-ln --rate", `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port                 CPS    InPPS   OutPPS    InBPS   OutBPS
  -> RemoteAddress:Port
TCP  203.0.113.100:80                    0        0        0        0        0
  -> 10.1.0.61:8080                      0        0        0        0        0
UDP  203.0.113.100:53                    1    23588        0 19287353        0
  -> 10.1.0.61:5353                      1    23588        0 19287353        0
[rc=0]
`)
}

func TestLargeNumbersAreShortened(t *testing.T) {
	for n, want := range map[uint64][2]string{
		0:                    {"        0", "        0"},
		99999999:             {" 99999999", " 99999999"},
		100000000:            {"  100000K", " 100000000"},
		999999999:            {"  999999K", " 999999999"},
		1000000000:           {"    1000M", " 1000000000"},
		99999999999:          {"   99999M", " 99999999999"},
		100000000000:         {"     100G", " 100000000000"},
		99999999999999:       {"   99999G", " 99999999999999"},
		100000000000000:      {"     100T", " 100000000000000"},
		18446744073709551615: {"18446744T", " 18446744073709551615"},
	} {
		p, exact := printer{}, printer{listing: listing{exact: true}}
		if got := [2]string{p.numbers(n), exact.numbers(n)}; got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func TestRatesOfServersAreNotShortened(t *testing.T) {
	k := build(t, "-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.0.1:80 -m")
	k.services[0].Servers[0].Stats = service.Stats{CPS: 123456789, InPPS: 1, OutPPS: 2, InBPS: 123456789, OutBPS: 3}
	check(t, k, "-l -n --rate -t 192.0.2.1:80", `Prot LocalAddress:Port                 CPS    InPPS   OutPPS    InBPS   OutBPS
  -> RemoteAddress:Port
TCP  192.0.2.1:80                        0        0        0        0        0
  -> 10.0.0.1:80                  123456789        1        2  123456K        3
[rc=0]
`)
}

func TestConnectionsAreListedAsRecordedFromIPVS(t *testing.T) {
	at := netip.MustParseAddrPort
	k := &kernel{conns: [][]service.Conn{
		{
			{Protocol: service.TCP, State: "ESTABLISHED", Client: at("203.0.113.5:49153"), Virtual: at("192.0.2.10:80"), Real: at("10.0.0.11:8080"), Expires: 14*time.Minute + 59*time.Second + 900*time.Millisecond},
			{Protocol: service.UDP, State: "UDP", Client: at("203.0.113.50:1034"), Virtual: at("203.0.113.100:53"), Real: at("10.1.0.61:5353"), Expires: 295 * time.Second},
		},
		{
			{State: "ASSURED", Client: at("203.0.113.9:0"), Virtual: at("0.0.0.7:0"), Real: at("10.0.0.11:0"), Expires: 100 * time.Hour},
			{Protocol: service.TCP, State: "SYN_RECV", Client: at("[2001:db8::5]:80"), Virtual: at("[2001:db8::1]:80"), Real: at("[fd00::1]:80"), Expires: time.Minute},
		},
	}}
	check(t, k, "-lnc", `IPVS connection entries
pro expire state       source             virtual            destination
TCP 14:59  ESTABLISHED 203.0.113.5:49153  192.0.2.10:80      10.0.0.11:8080
UDP 04:55  UDP         203.0.113.50:1034  203.0.113.100:53   10.1.0.61:5353
IP  6000:00 ASSURED     203.0.113.9:0      0.0.0.7:0          10.0.0.11:0
TCP 01:00  SYN_RECV    [2001:db8::5]:80   [2001:db8::1]:80   [fd00::1]:80
[rc=0]
`)
	k.conns = [][]service.Conn{k.conns[0][1:]}
	check(t, k, "-l -c --persistent-conn", `IPVS connection entries
pro expire state       source             virtual            destination        pe name          pe_data
UDP 04:55  UDP         203.0.113.50:1034  203.0.113.100:domain 10.1.0.61:mdns
[rc=0]
`)
}

func TestOtherColumns(t *testing.T) {
	k := build(t, "-A -t 192.0.2.10:80 -s wrr",
		"-a -t 192.0.2.10:80 -r 10.0.0.11:8080 -m -x 1000 -y 800", "-a -t 192.0.2.10:80 -r 10.0.0.12 -i")
	k.services[0].Servers[1].Active, k.services[0].Servers[1].Inactive, k.services[0].Servers[1].Persistent = 5, 250000, 3
	check(t, k, "-ln --thresholds -t 192.0.2.10:80", `Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn 
  -> RemoteAddress:Port
TCP  192.0.2.10:80 wrr
  -> 10.0.0.11:8080               1000       800        5          250000    
  -> 10.0.0.12:80                 0          0          0          0         
[rc=0]
`)
	check(t, k, "-ln --persistent-conn -t 192.0.2.10:80", `Prot LocalAddress:Port            Weight    PersistConn ActiveConn InActConn 
  -> RemoteAddress:Port
TCP  192.0.2.10:80 wrr
  -> 10.0.0.11:8080               1         3           5          250000    
  -> 10.0.0.12:80                 1         0           0          0         
[rc=0]
`)
	check(t, k, "-ln --tun-info -t 192.0.2.10:80", `Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward TunnelInfo    Weight ActiveConn InActConn
TCP  192.0.2.10:80 wrr
  -> 10.0.0.11:8080               Masq    n/a           1      5          250000    
  -> 10.0.0.12:80                 Tunnel  ipip          1      0          0         
[rc=0]
`)
	check(t, k, "-l --timeout", "Timeout (tcp tcpfin udp): 900 120 300\n[rc=0]\n")
}

func TestListsAreSortedUnlessTheDirectorsOrderIsAskedFor(t *testing.T) {
	k := build(t, "-A -f 3 -6 -s rr", "-A -f 3 -s rr", "-A -u 203.0.113.100:53 -s rr", "-A -t [2001:db8::1]:80 -s rr",
		"-A -t 203.0.113.100:443 -s rr", "-A -t 10.0.0.1:80 -s rr", "-A -t 203.0.113.100:80 -s rr")
	for _, ip := range []string{"10.1.0.13", "10.1.0.11", "203.0.113.2", "10.1.0.12"} {
		if got := command(t, k, "", "-a", "-t", "203.0.113.100:80", "-r", ip, "-m"); got != "[rc=0]\n" {
			t.Fatal(got)
		}
	}
	order := func(line string) string {
		var names []string
		for text := range strings.Lines(command(t, k, "", strings.Fields(line)...)) {
			f := strings.Fields(text)
			if i := strings.Index(text, " rr"); i >= 0 {
				names = append(names, strings.TrimSpace(text[:i]))
			} else if f[0] == "->" && f[2] == "Masq" {
				names = append(names, f[1])
			}
		}
		return strings.Join(names, ", ")
	}
	if got, want := order("-ln"), "TCP  203.0.113.100:80, 203.0.113.2:80, 10.1.0.11:80, 10.1.0.12:80, 10.1.0.13:80, TCP  203.0.113.100:443, "+
		"TCP  10.0.0.1:80, UDP  203.0.113.100:53, TCP  [2001:db8::1]:80, FWM  3, FWM  3 IPv6"; got != want {
		t.Errorf("sorted\n%s, want\n%s", got, want)
	}
	if got, want := order("-ln --nosort"), "FWM  3 IPv6, FWM  3, UDP  203.0.113.100:53, TCP  [2001:db8::1]:80, TCP  203.0.113.100:443, "+
		"TCP  10.0.0.1:80, TCP  203.0.113.100:80, 10.1.0.12:80, 203.0.113.2:80, 10.1.0.11:80, 10.1.0.13:80"; got != want {
		t.Errorf("not sorted\n%s, want\n%s", got, want)
	}
}

func TestLongNamesAreCut(t *testing.T) {
	k := build(t, "-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.0.1 -m",
		"-A -t [2001:db8::1]:80 -s rr", "-a -t [2001:db8::1]:80 -r fd00::1 -m")
	var screen bytes.Buffer
	names := testNames()
	asked := 0
	names.Host = func(a netip.Addr) string {
		asked++
		if a.Is6() {
			return strings.Repeat("six.", 20)
		}
		return strings.Repeat("four.", 20)
	}
	tool := tool{ctx: t.Context(), out: &screen, errs: &screen, director: k, names: names}
	if code, _ := tool.line([]string{"-L"}); code != 0 {
		t.Fatal(screen.String())
	}
	want := "TCP  four.four.four.four.four.fou rr\n" +
		"  -> four.four.four.four.four.fou Masq    1      0          0         \n" +
		"TCP  [" + strings.Repeat("six.", 14) + "si rr\n" +
		"  -> [" + strings.Repeat("six.", 14) + "si Masq    1      0          0         \n"
	if got := screen.String(); !strings.HasSuffix(got, want) {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
	if asked != 4 {
		t.Errorf("the resolver was asked %d times for 4 hosts", asked)
	}
}

func TestTheLackOfAListIsTold(t *testing.T) {
	k := build(t)
	check(t, k, "-L -t 192.0.2.1:80", "No such service\n[rc=1]\n")
	check(t, broken{k}, "-Ln", "the table is on fire\n[rc=1]\n")
	check(t, broken{k}, "-S", "the table is on fire\n[rc=1]\n")
	check(t, broken{k}, "-C", "the table is on fire\n[rc=255]\n")
	check(t, broken{k}, "-lc", "the table is on fire\n[rc=1]\n")
	check(t, broken{k}, "-l --timeout", "the table is on fire\n[rc=1]\n")
}

// broken is a director that carries out nothing.
type broken struct{ *kernel }

var errFire = &remoteError{text: "the table is on fire"}

func (broken) Info(context.Context) (Info, error)               { return Info{}, errFire }
func (broken) Status(context.Context) ([]service.Status, error) { return nil, errFire }
func (broken) ApplyEach(context.Context, []service.Edit) (Outcome, error) {
	return Outcome{}, errFire
}
func (broken) Apply(context.Context, []service.Edit) error             { return errFire }
func (broken) Settings(context.Context) (service.Settings, error)      { return service.Settings{}, errFire }
func (broken) Marks(context.Context) ([]service.MarkRule, error)       { return nil, errFire }
func (broken) Timeouts(context.Context) (service.Timeouts, error)      { return service.Timeouts{}, errFire }
func (broken) Conns(context.Context, func([]service.Conn) error) error { return errFire }
