package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lvx-lb/lvx/service"
)

// recorded is one command with what ipvsadm answered.
type recorded struct {
	line, answer string
}

// readRecorded reads "$ ipvsadm ARGS", output, "[rc=N]".
func readRecorded(t *testing.T, file string) (list []recorded) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range strings.Split("\n"+string(text), "\n$ ipvsadm")[1:] {
		line, answer, _ := strings.Cut(block, "\n")
		list = append(list, recorded{strings.TrimSpace(line), strings.TrimSuffix(answer, "\n") + "\n"})
	}
	return list
}

// testNames knows what the recording machine knew.
func testNames() Names {
	numbers := map[string]uint16{"tcp http": 80, "tcp http-alt": 8080, "tcp tproxy": 8081, "udp domain": 53, "tcp domain": 53, "udp tftp": 69, "udp mdns": 5353}
	proto := map[service.Protocol]string{service.TCP: "tcp ", service.UDP: "udp "}
	return Names{
		Host: func(netip.Addr) string { return "" },
		Addr: func(host string) (netip.Addr, bool) {
			return netip.AddrFrom4([4]byte{127, 0, 0, 1}), host == "localhost"
		},
		Number: func(p service.Protocol, name string) (uint16, bool) {
			number, ok := numbers[proto[p]+name]
			return number, ok
		},
		Port: func(p service.Protocol, port uint16) string {
			for name, number := range numbers {
				if number == port && strings.HasPrefix(name, proto[p]) && proto[p] != "" {
					return name[4:]
				}
			}
			return ""
		},
	}
}

// kernel is a Director that carries out what IPVS carries out, by the shortest
// code: the slow twin of a director, for what lvx does not support too.
type kernel struct {
	services []service.Status
	timeouts service.Timeouts
	sysctls  service.Set // for its settings
	marks    service.Set // for its mark rules
	conns    [][]service.Conn
	agrees   bool // to everything, and forgets it
}

func (k *kernel) Apply(_ context.Context, edits []service.Edit) error {
	marks := k.marks
	for _, e := range edits {
		if k.agrees {
			continue
		}
		if err := k.apply(e); err != nil {
			k.marks = marks
			return fmt.Errorf("%v: %w", e, err)
		}
	}
	return nil
}

func (k *kernel) ApplyEach(ctx context.Context, edits []service.Edit) (Outcome, error) {
	return each(ctx, k, edits), nil
}

// each is ApplyEach by means of Apply.
func each(ctx context.Context, d interface {
	Apply(context.Context, []service.Edit) error
}, edits []service.Edit) (done Outcome) {
	for i := range edits {
		done.Refused = append(done.Refused, d.Apply(ctx, edits[i:i+1]))
	}
	return done
}

func (k *kernel) apply(e service.Edit) error {
	at := slices.IndexFunc(k.services, func(s service.Status) bool { return s.Key == e.Service.Key })
	known := slices.Contains([]string{"rr", "wrr", "wlc", "sh", "mh"}, e.Service.Scheduler)
	switch e.Op {
	case service.AddService, service.EditService:
		switch {
		case e.Op == service.AddService && at >= 0:
			return service.ErrServiceExists
		case e.Op == service.EditService && at < 0:
			return service.ErrNoService
		case !known:
			return service.ErrScheduler
		case e.Op == service.AddService:
			k.services = append(k.services, service.Status{Service: e.Service})
		default:
			k.services[at].Service = e.Service
		}
	case service.Clear:
		k.services = nil
	case service.SetSysctl:
		return errors.Unwrap(k.sysctls.Apply(e)) // Apply names the edit itself
	case service.AddMark, service.DeleteMark, service.ClearMarks:
		if len(k.marks.Marks()) == 0 {
			k.marks = *service.NewSet(service.Marks)
		}
		return errors.Unwrap(k.marks.Apply(e))
	case service.SetTimeouts:
		for set, value := range map[*time.Duration]time.Duration{&k.timeouts.TCP: e.Timeouts.TCP, &k.timeouts.TCPFin: e.Timeouts.TCPFin, &k.timeouts.UDP: e.Timeouts.UDP} {
			if value != 0 {
				*set = value
			}
		}
	case service.DeleteService, service.Zero:
		if at < 0 && e.Service.Key != (service.Key{}) {
			return service.ErrNoService
		}
		if e.Op == service.DeleteService {
			k.services = slices.Delete(k.services, at, at+1)
		}
	default:
		if at < 0 {
			return service.ErrServiceNotDefined
		}
		return k.applyServer(&k.services[at], e)
	}
	return nil
}

func (k *kernel) applyServer(s *service.Status, e service.Edit) error {
	at := slices.IndexFunc(s.Servers, func(v service.ServerStatus) bool { return v.Address == e.Server.Address })
	ip := e.Server.Address.Addr()
	switch {
	case e.Op != service.DeleteServer && e.Server.Lower > e.Server.Upper:
		return service.ErrRange
	case ip.IsMulticast() || ip.IsUnspecified():
		return service.ErrInvalid
	case e.Op == service.AddServer && at >= 0:
		return service.ErrServerExists
	case e.Op == service.AddServer:
		s.Servers = append([]service.ServerStatus{{Server: e.Server}}, s.Servers...)
	case at < 0:
		return service.ErrNoServer
	case e.Op == service.EditServer:
		s.Servers[at].Server = e.Server
	default:
		s.Servers = slices.Delete(s.Servers, at, at+1)
	}
	return nil
}

func (k *kernel) Status(context.Context) ([]service.Status, error) {
	var list []service.Status
	for _, s := range k.services {
		s.Servers = slices.Clone(s.Servers)
		list = append(list, s)
	}
	return list, nil
}

func (k *kernel) Conns(_ context.Context, yield func([]service.Conn) error) error {
	for _, part := range k.conns {
		if err := yield(part); err != nil {
			return err
		}
	}
	return nil
}

func (k *kernel) Settings(context.Context) (service.Settings, error) {
	return k.sysctls.Settings(), nil
}

func (k *kernel) Marks(context.Context) ([]service.MarkRule, error) {
	return k.marks.Marks(), nil
}

func (k *kernel) Timeouts(context.Context) (service.Timeouts, error) { return k.timeouts, nil }

func (k *kernel) Info(context.Context) (Info, error) {
	return Info{TableSize: 4096, Mode: "native", Counters: map[string]uint64{"rx": 7}}, nil
}

func (k *kernel) Drain(_ context.Context, d service.Drain, tell func(service.Left) error) error {
	for n := range 3 {
		if err := tell(service.Left{Active: uint32(2 - n), Ending: d.Deadline > 0}); err != nil {
			return err
		}
	}
	if d.Service == (service.Key{}) {
		return service.ErrServiceNotDefined
	}
	return nil
}

func (k *kernel) Capture(ctx context.Context, w io.Writer) error {
	if _, err := w.Write([]byte("pcap")); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// command runs one line against d and returns what a terminal shows, with the
// exit code.
func command(t *testing.T, d Director, stdin string, args ...string) string {
	t.Helper()
	var screen bytes.Buffer
	tool := tool{ctx: t.Context(), in: strings.NewReader(stdin), out: &screen, errs: &screen, director: d, names: testNames()}
	code, _ := tool.line(args)
	return fmt.Sprintf("%s[rc=%d]\n", screen.String(), code)
}

func TestCommandsAnswerAsRecordedFromIPVS(t *testing.T) {
	k := &kernel{}
	for _, r := range readRecorded(t, "testdata/commands.txt") {
		if got := command(t, k, "", strings.Fields(r.line)...); got != r.answer {
			t.Errorf("%s\ngot:\n%swant:\n%s", r.line, got, r.answer)
		}
	}
}

func TestArgumentsAreCheckedAsRecordedFromIpvsadm(t *testing.T) {
	k := &kernel{agrees: true}
	for _, r := range readRecorded(t, "testdata/usage.txt") {
		if got := command(t, k, "", strings.Fields(r.line)...); got != r.answer {
			t.Errorf("%s\ngot:\n%swant:\n%s", r.line, got, r.answer)
		}
	}
}

// Words that a recording cannot hold, and what lvx answers in its own way.
func TestArgumentsThatAreHardToWrite(t *testing.T) {
	const tryHelp = "Try `ipvsadm -h' or 'ipvsadm --help' for more information.\n[rc=255]\n"
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{""}, tryHelp},
		{[]string{"-A", "-t", "1.2.3.4:80", ""}, "unexpected argument \n[rc=2]\n"},
		{[]string{"-A", "-t", ""}, "illegal virtual server address[:port] specified\n[rc=2]\n"},
		{[]string{"-A", "-t", "1.2.3.4 x:80"}, "[rc=0]\n"},
		{[]string{"-A", "-t", "1.2.3.4 :80"}, "[rc=0]\n"},
		{[]string{"-A", "-t", "1.2.3.4: 80"}, "[rc=0]\n"},
		{[]string{"-A", "-t", "1.2.3.4:80", "-s", ""}, "[rc=0]\n"},
		{[]string{"-A", "-t", "1.2.3.4:80", "-b", ""}, "[rc=0]\n"},
		{[]string{"-A", "-t", "1.2.3.4:80", "-p", ""}, "invalid timeout value `' specified\n[rc=2]\n"},
		{[]string{"-A", "-f", " 7"}, "[rc=0]\n"},
		{[]string{"-a", "-t", "1.2.3.4:80", "-r", "5.6.7.8", "-m", "-w", " +5"}, "[rc=0]\n"},
		{[]string{"-a", "-t", "1.2.3.4:80", "-r", "5.6.7.8", "-m", "-w", "5 "}, "illegal weight specified\n[rc=2]\n"},
		{[]string{"-A", "-t", "[::1]:80"}, "[rc=0]\n"},
		{[]string{"-A", "-f", "5", "-6"}, "[rc=0]\n"},
		{[]string{"-A", "-t", "[::ffff:1.2.3.4]:80"}, "illegal virtual server address[:port] specified\n[rc=2]\n"},
		{[]string{"-A", "-t", "1.2.3.4:80", "--pe", "sip"}, "Operation not supported: the persistence engine sip\n[rc=255]\n"},
		{[]string{"-A", "-t", "1.2.3.4:80", "-M", "255.0.255.0"}, "[rc=0]\n"},
		{[]string{"-a", "-t", "1.2.3.4:80", "-r", "5.6.7.8", "-i", "--tun-type", "gre"}, "Operation not supported: the tunnel type gre\n[rc=255]\n"},
		{[]string{"--start-daemon", "master"}, "Operation not supported: connection sync daemons\n[rc=255]\n"},
		{[]string{"--stop-daemon", "backup", "--syncid", "5"}, "Operation not supported: connection sync daemons\n[rc=255]\n"},
		{[]string{"-l", "--daemon"}, "[rc=0]\n"},
		{[]string{"-v"}, versionText + "[rc=0]\n"},
		{[]string{"-h", "--nosuch"}, helpText + "[rc=0]\n"},
	} {
		if got := command(t, &kernel{agrees: true}, "", c.args...); got != c.want {
			t.Errorf("%q\ngot:\n%swant:\n%s", c.args, got, c.want)
		}
	}
}
