package admin

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lvx-lb/lvx/service"
)

// serve answers with d at a socket of the test's own until the test ends, then
// looks whether goroutines or file descriptors are left.
func serve(t *testing.T, d Director, prepare func(*Server)) (path string) {
	t.Helper()
	leaks(t)
	path = filepath.Join(t.TempDir(), "run", "lvx.sock")
	s, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if prepare != nil {
		prepare(s)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx, d) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error("serve:", err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Error("the socket is left:", err)
		}
	})
	return path
}

// leaks compares goroutines and descriptors after the test with those before.
func leaks(t *testing.T) {
	t.Helper()
	count := func() (int, int) {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return runtime.NumGoroutine(), len(fds)
	}
	conn, err := net.Listen("tcp", "127.0.0.1:0") // the poller's descriptors come with the first use
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	routines, fds := count()
	t.Cleanup(func() {
		eventually(t, "goroutines and descriptors are gone", func() bool {
			r, f := count()
			return r <= routines && f <= fds
		})
	})
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("not so: " + what)
		}
		time.Sleep(time.Millisecond)
	}
}

func dial(t *testing.T, path string) *Client {
	t.Helper()
	c, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// raw opens a connection that can say anything.
func raw(t *testing.T, path string) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

// answerTo sends bytes and returns the error that comes back.
func answerTo(t *testing.T, conn net.Conn, message []byte) error {
	t.Helper()
	if _, err := conn.Write(message); err != nil {
		t.Fatal(err)
	}
	body, err := readMessage(conn, maxReply)
	if err != nil {
		t.Fatal(err)
	}
	_, err = decodeReply(body)
	return err
}

func message(body string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

func TestEverythingADirectorSaysCrossesTheSocket(t *testing.T) {
	k := build(t, "-A -f 9 -s rr", "-A -t [2001:db8::1]:80 -s mh -b mh-port", "-a -t [2001:db8::1]:80 -r [fd00::1]:8080 -m")
	k.services[1].Stats = service.Stats{Conns: 1<<64 - 1, OutBPS: 5}
	for i := range 3*statusPart + 1 {
		k.services = append(k.services, service.Status{Service: service.Service{
			Key: service.Key{Protocol: service.UDP, Address: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), uint16(i+1))}}})
	}
	k.conns = [][]service.Conn{{{Protocol: service.TCP, State: "SYN_RECV", Expires: time.Minute}}, nil, {{State: "NONE"}, {State: "UDP"}}}
	k.conns = append(k.conns, make([]service.Conn, 2*connsPart+1))
	c, ctx := dial(t, serve(t, k, nil)), t.Context()

	if got, err := c.Status(ctx); err != nil || !reflect.DeepEqual(got, k.services) {
		t.Errorf("status: %v\n%+v", err, got)
	}
	if got, err := c.Timeouts(ctx); err != nil || got != k.timeouts {
		t.Error("timeouts:", got, err)
	}
	if err := c.Apply(ctx, []service.Edit{{Op: service.SetSysctl, Sysctl: service.Sysctl{Name: "drop_entry", Value: 3}}}); err != nil {
		t.Error("set sysctl:", err)
	}
	if got, err := c.Settings(ctx); err != nil || got != k.sysctls.Settings() || got.DropConn != 3 {
		t.Error("settings:", got, err)
	}
	want, _ := k.Info(ctx)
	if got, err := c.Info(ctx); err != nil || !reflect.DeepEqual(got, want) {
		t.Error("info:", got, err)
	}
	var states []string
	err := c.Conns(ctx, func(part []service.Conn) error {
		for _, conn := range part {
			states = append(states, conn.State)
		}
		return nil
	})
	if got := strings.Join(states[:3], " "); err != nil || got != "SYN_RECV NONE UDP" || len(states) != 3+2*connsPart+1 {
		t.Error("conns:", got, len(states), err)
	}
	edits := []service.Edit{{Op: service.Clear}, {Op: service.AddService, Service: service.Service{Key: service.Key{Mark: 3}, Scheduler: "rr"}}}
	if err := c.Apply(ctx, edits); err != nil || len(k.services) != 1 || k.services[0].Mark != 3 {
		t.Error("apply:", err, k.services)
	}
}

func TestErrorsCrossTheSocketWithTextAndReason(t *testing.T) {
	for _, r := range refusals {
		sent := fmt.Errorf("add server 10.0.0.1:80: %w", r.err)
		got := faultOf(sent).err()
		if !errors.Is(got, r.err) || got.Error() != sent.Error() {
			t.Errorf("%v arrives as %v", sent, got)
		}
	}
	k := build(t)
	path := serve(t, k, nil)
	err := dial(t, path).Apply(t.Context(), []service.Edit{{Op: service.DeleteService, Service: service.Service{Key: service.Key{Mark: 3}}}})
	if !errors.Is(err, service.ErrNoService) || err.Error() != "delete service FWM 3: no such service" {
		t.Error(err)
	}
	for line, want := range map[string]string{
		"-D -f 3":               "No such service\n[rc=255]\n",
		"-L -f 3":               "No such service\n[rc=1]\n",
		"-A -f 3 -s quantum":    "Scheduler or persistence engine not found\n[rc=255]\n",
		"-d -f 3 -r 1.2.3.4":    "Service not defined\n[rc=255]\n",
		"-A -f 3 -s rr":         "[rc=0]\n",
		"-a -f 3 -r 0.0.0.0 -m": "Invalid operation.  Possibly wrong module version, address not unicast, ...\n[rc=255]\n",
		"--set 1":               "--set option requires 3 timeout values\n[rc=2]\n",
	} {
		k.services = nil
		if strings.Contains(line, "0.0.0.0") {
			k.services = []service.Status{{Service: service.Service{Key: service.Key{Mark: 3}}}}
		}
		if got := atSocket(t, path, "", strings.Fields(line)...); got != want {
			t.Errorf("%s: %s", line, got)
		}
	}
}

// atSocket runs one line against the director at path.
func atSocket(t *testing.T, path, stdin string, args ...string) string {
	t.Helper()
	var screen bytes.Buffer
	code := Run(t.Context(), args, strings.NewReader(stdin), &screen, &screen, path, testNames())
	return fmt.Sprintf("%s[rc=%d]\n", screen.String(), code)
}

func TestWhatIsNotSupportedIsSaidInOneSentence(t *testing.T) {
	path := serve(t, &strict{}, nil)
	for line, want := range map[string]string{
		"-A -t 192.0.2.1:80 -s rr":               "[rc=0]\n",
		"-a -t 192.0.2.1:80 -r 10.0.0.1":         "Operation not supported: lvx forwards by masquerading only, give -m\n[rc=255]\n",
		"-a -t 192.0.2.1:80 -r 10.0.0.1 -m -x 5": "Operation not supported: add server 10.0.0.1:80 of TCP 192.0.2.1:80: connection thresholds are not supported\n[rc=255]\n",
		"-A -t 192.0.2.2:80 -p 5":                "Operation not supported: add service TCP 192.0.2.2:80: persistent services are not supported\n[rc=255]\n",
	} {
		path := path
		if strings.HasPrefix(line, "-a") {
			atSocket(t, path, "", "-A", "-t", "192.0.2.1:80", "-s", "rr")
		} else {
			atSocket(t, path, "", "-C")
		}
		if got := atSocket(t, path, "", strings.Fields(line)...); got != want {
			t.Errorf("%s\ngot  %swant %s", line, got, want)
		}
	}
}

// strict is a director that supports what package service supports.
type strict struct {
	kernel
	set service.Set
}

func (s *strict) Apply(_ context.Context, edits []service.Edit) error {
	set := s.set.Clone()
	for _, e := range edits {
		if err := set.Apply(e); err != nil {
			return err
		}
	}
	s.set = *set
	return nil
}

func (s *strict) ApplyEach(ctx context.Context, edits []service.Edit) (Outcome, error) {
	return each(ctx, s, edits), nil
}

func TestACommandWithoutDirectorSaysSo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lvx.sock")
	want := "no director reachable at " + path + " (is `lvx run` running?)\n[rc=2]\n"
	stale(t, path+".stale")
	for _, line := range []string{"", "-Ln", "-A -t 192.0.2.1:80", "-R", "-Sn", "-Z"} {
		if got := atSocket(t, path, "-C\n-C\n", strings.Fields(line)...); got != want {
			t.Errorf("%q: %s", line, got)
		}
	}
	if got := atSocket(t, path+".stale", "", "-Ln"); got != strings.Replace(want, "sock", "sock.stale", 1) {
		t.Error(got)
	}
	// Wrong arguments, the help and the version need no director.
	if got := atSocket(t, path, "", "-A"); !strings.HasPrefix(got, "You need to supply") {
		t.Error(got)
	}
	if got := atSocket(t, path, "", "-v"); got != versionText+"[rc=0]\n" {
		t.Error(got)
	}
}

// stale leaves a socket at path that nobody listens to.
func stale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

func TestForeignUsersAreRefused(t *testing.T) {
	k := build(t)
	path := serve(t, k, func(s *Server) {
		s.uid = func(*net.UnixConn) (uint32, error) { return uint32(os.Geteuid()) + 4711, nil }
	})
	if _, err := dial(t, path).Status(t.Context()); !errors.Is(err, ErrForbidden) {
		t.Error(err)
	}
	for _, line := range []string{"-C", "-Ln", "-S", "-lc"} {
		got := atSocket(t, path, "", line)
		if want := "no director reachable at " + path + " (is `lvx run` running?): permission denied, you must be root\n[rc=2]\n"; !strings.HasSuffix(got, want) {
			t.Errorf("%s: %s", line, got)
		}
	}
}

func TestOneClientTooManyIsToldSo(t *testing.T) {
	k := build(t)
	path := serve(t, k, nil)
	for range maxClients {
		raw(t, path)
	}
	var err error
	eventually(t, "the server is busy", func() bool {
		_, err = dial(t, path).Info(t.Context())
		return errors.Is(err, ErrBusy)
	})
}

// Captures and drains may take days.
func TestWhoWaitsForLongLeavesPlacesToOthers(t *testing.T) {
	path := serve(t, build(t), nil)
	for range maxLasting {
		conn := raw(t, path)
		if _, err := conn.Write(message(`{"versions":[1],"ask":"capture"}`)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	c := dial(t, path)
	if err := c.Drain(t.Context(), service.Drain{}, func(service.Left) error { return nil }); !errors.Is(err, ErrBusy) {
		t.Errorf("one more: %v, want %v", err, ErrBusy)
	}
	if _, err := c.Info(t.Context()); err != nil {
		t.Errorf("something short: %v", err)
	}
}

func TestPlacesOfClientsThatLeftAreGivenAgain(t *testing.T) {
	k := build(t)
	c := dial(t, serve(t, k, func(s *Server) { s.clients = make(chan struct{}, 2) }))
	for range 50 {
		eventually(t, "the server answers", func() bool {
			_, err := c.Info(t.Context())
			if err != nil && !errors.Is(err, ErrBusy) {
				t.Fatal(err)
			}
			return err == nil
		})
	}
}

func TestSlowSendersAreDropped(t *testing.T) {
	path := serve(t, build(t), func(s *Server) { s.patience = 50 * time.Millisecond })
	for _, part := range [][]byte{nil, {0, 0}, {0, 0, 0, 9, '{'}} {
		conn := raw(t, path)
		if _, err := conn.Write(part); errors.Is(err, syscall.EPIPE) {
			continue // slower still
		} else if err != nil {
			t.Fatal(err)
		}
		// A reset tells that the part came too late to be read.
		if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("after %q: %d, %v", part, n, err)
		}
	}
}

func TestSlowReadersAreDropped(t *testing.T) {
	broke := make(chan error, 1)
	path := serve(t, &flood{broke: broke}, func(s *Server) { s.patience = 50 * time.Millisecond })
	// Whom others keep from asking in time is asked to go away, and asks again.
	eventually(t, "a capture begins", func() bool {
		conn := raw(t, path)
		_, asked := conn.Write(message(`{"versions":[1],"ask":"capture"}`))
		_, heard := conn.Read(make([]byte, 1))
		return asked == nil && heard == nil
	})
	if err := <-broke; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

// flood captures without end.
type flood struct {
	kernel
	broke chan error
}

func (f *flood) Capture(ctx context.Context, w io.Writer) error {
	for {
		if _, err := w.Write(make([]byte, 1<<16)); err != nil {
			select {
			case f.broke <- err:
			default:
			}
			return err
		}
	}
}

func TestRequestsThatAreTooLargeAreRefused(t *testing.T) {
	path := serve(t, build(t), nil)
	err := answerTo(t, raw(t, path), binary.BigEndian.AppendUint32(nil, maxRequest+1))
	if !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	edits := []service.Edit{{Op: service.AddService, Service: service.Service{Scheduler: strings.Repeat("x", maxRequest)}}}
	if err := dial(t, path).Apply(t.Context(), edits); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
}

func TestRequestsThatAreNotUnderstoodAreRefused(t *testing.T) {
	path := serve(t, build(t), nil)
	for body, want := range map[string]error{
		`{`:                                      ErrMalformed,
		``:                                       ErrMalformed,
		`[]`:                                     ErrMalformed,
		`{}`:                                     ErrVersion,
		`{"versions":[2,3],"ask":"info"}`:        ErrVersion,
		`{"versions":[1],"ask":"flush"}`:         ErrMalformed,
		`{"versions":[1],"ask":"apply","dry":1}`: ErrMalformed,
		`{"versions":[1],"ask":"apply","edits":[{"server":{"address":"nowhere"}}]}`: ErrMalformed,
		`{"versions":[7,1,9],"ask":"info"}`:                                         nil,
	} {
		if err := answerTo(t, raw(t, path), message(body)); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestAClientThatHangsUpEndsItsCapture(t *testing.T) {
	ended := make(chan error, 1)
	path := serve(t, &patient{ended: ended}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	got := new(hungUp)
	got.enough = func() { cancel() }
	if err := dial(t, path).Capture(ctx, got); !errors.Is(err, context.Canceled) || got.got.String() != "pcap" {
		t.Errorf("%q, %v", got.got.String(), err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// hungUp calls enough when the first four bytes are there.
type hungUp struct {
	got    bytes.Buffer
	enough func()
}

func (h *hungUp) Write(p []byte) (int, error) {
	n, err := h.got.Write(p)
	if h.got.Len() >= 4 {
		h.enough()
	}
	return n, err
}

// patient tells how its capture ended.
type patient struct {
	kernel
	ended chan error
}

func (p *patient) Capture(ctx context.Context, w io.Writer) error {
	err := p.kernel.Capture(ctx, w)
	p.ended <- err
	return err
}

func TestACaptureThatCannotBeginSaysWhy(t *testing.T) {
	path := serve(t, &cannotCapture{}, nil)
	if err := dial(t, path).Capture(t.Context(), io.Discard); err == nil || err.Error() != errFire.Error() {
		t.Error(err)
	}
}

type cannotCapture struct{ kernel }

func (cannotCapture) Capture(context.Context, io.Writer) error { return errFire }

func TestADrainTellsWhatIsLeft(t *testing.T) {
	c := dial(t, serve(t, &kernel{}, nil))
	for _, x := range []struct {
		drain service.Drain
		want  error
	}{
		{service.Drain{Service: service.Key{Protocol: service.TCP}, Deadline: time.Minute}, nil},
		{service.Drain{}, service.ErrServiceNotDefined},
	} {
		var told []service.Left
		err := c.Drain(t.Context(), x.drain, func(left service.Left) error {
			told = append(told, left)
			return nil
		})
		ending := x.drain.Deadline > 0
		want := []service.Left{{Active: 2, Ending: ending}, {Active: 1, Ending: ending}, {Ending: ending}}
		if !errors.Is(err, x.want) || !slices.Equal(told, want) {
			t.Errorf("%v, told %v, want %v and %v", err, told, x.want, want)
		}
	}
	err := c.Drain(t.Context(), service.Drain{Service: service.Key{Protocol: service.TCP}}, func(service.Left) error { return errFire })
	if !errors.Is(err, errFire) && !strings.Contains(fmt.Sprint(err), errFire.Error()) {
		t.Errorf("%v, want %v", err, errFire)
	}
}

func TestTheEndOfTheServerEndsItsClients(t *testing.T) {
	leaks(t)
	path := filepath.Join(t.TempDir(), "lvx.sock")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	s, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	go func() { ended <- s.Serve(ctx, &kernel{}) }()
	got := &hungUp{enough: stop}
	if err := dial(t, path).Capture(t.Context(), got); err != nil || got.got.String() != "pcap" {
		t.Errorf("%q, %v", got.got.String(), err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := Dial(t.Context(), path); !errors.Is(err, ErrUnreachable) {
		t.Error(err)
	}
}

func TestASocketBelongsToOneDirector(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "lvx", "lvx.sock")
	first, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := Listen(path); !errors.Is(err, ErrRunning) {
		t.Fatal(second, err)
	}
	for at, want := range map[string]fs.FileMode{
		path: fs.ModeSocket | 0o700, path + ".lock": 0o600, filepath.Dir(path): fs.ModeDir | 0o700,
	} {
		if is, err := os.Lstat(at); err != nil || is.Mode() != want {
			t.Errorf("%s is %v, want %v", at, is.Mode(), want)
		}
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	second, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
}

func TestAStaleSocketIsReplacedAndAFileIsNot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lvx.sock")
	stale(t, path)
	s, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Listen(path); !errors.Is(err, fs.ErrExist) {
		t.Error(s, err)
	}
	if text, err := os.ReadFile(path); string(text) != "precious" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestRestoreThroughTheSocket(t *testing.T) {
	k := build(t)
	path := serve(t, k, nil)
	if got := atSocket(t, path, savedRules, "-R"); got != "[rc=0]\n" {
		t.Error(got)
	}
	if got := atSocket(t, path, "", "-Sn"); got != savedRules+"[rc=0]\n" {
		t.Error(got)
	}
}
