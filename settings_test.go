package lvx

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/lvx-lb/lvx/bpf"
	"github.com/lvx-lb/lvx/nic/xsk"
	"github.com/lvx-lb/lvx/route"
	"github.com/lvx-lb/lvx/rss"
)

const bothVLAN = xsk.ReceiveVLAN | xsk.TransmitVLAN

// fakeMachine has settings that a test looks at.
type fakeMachine struct {
	redirects map[string]bool
	offloads  map[string]xsk.Offload
	moderated map[string]uint32
	placing   map[string]*fakePlacing
	names     map[int]string
	fixed     xsk.Offload // what no driver changes
	refuse    string      // the NIC on which nothing can be changed
	state     string      // the file that must be there at every change
	unnoted   int
}

func (m *fakeMachine) SendRedirects(nic string) (bool, error)   { return m.redirects[nic], nil }
func (m *fakeMachine) Placing(nic string) rss.NIC               { return m.placing[nic] }
func (m *fakeMachine) Offloads(nic string) (xsk.Offload, error) { return m.offloads[nic], nil }

func (m *fakeMachine) Link(ifindex int) (route.Link, error) {
	if name, there := m.names[ifindex]; there {
		return route.Link{Name: name}, nil
	}
	return route.Link{}, route.ErrNoLink
}

func (m *fakeMachine) Moderation(nic string) (uint32, error) { return m.moderated[nic], nil }

func (m *fakeMachine) SetModeration(nic string, usecs uint32) error {
	m.look(usecs != 0)
	if nic == m.refuse {
		return xsk.ErrModeration
	}
	m.moderated[nic] = usecs
	return nil
}

func (m *fakeMachine) SetSendRedirects(nic string, on bool) error {
	m.look(on)
	if nic == m.refuse {
		return errors.New("refused")
	}
	m.redirects[nic] = on
	return nil
}

func (m *fakeMachine) SetOffloads(nic string, which xsk.Offload, on bool) error {
	m.look(on)
	if _, there := m.offloads[nic]; !there {
		return fmt.Errorf("set offloads of %s: %w", nic, syscall.ENODEV)
	}
	if which&m.fixed != 0 || nic == m.refuse {
		return xsk.ErrOffload
	}
	m.offloads[nic] &^= which
	if on {
		m.offloads[nic] |= which
	}
	return nil
}

func (m *fakeMachine) look(on bool) {
	if _, err := os.Stat(m.state); err != nil && !on {
		m.unnoted++
	}
}

// settingsLab is a machine with eth0, on which VLANs are links, and eth1,
// which is a link itself.
func settingsLab(t *testing.T) (*settings, *fakeMachine, *links, Config) {
	t.Helper()
	cfg := Config{Name: "lvx0", StateDir: t.TempDir()}
	m := &fakeMachine{
		redirects: map[string]bool{route.All: true, "eth0.10": true, "eth1": false},
		offloads:  map[string]xsk.Offload{"eth0": bothVLAN, "eth1": bothVLAN},
		moderated: map[string]uint32{"eth0": 3, "eth1": 3},
		state:     filepath.Join(cfg.StateDir, "nic.json"),
	}
	l := &links{
		nics: []nicFacts{{name: "eth0"}, {name: "eth1"}},
		list: []linkFacts{
			{name: "eth0.10", nic: 0, key: bpf.Link{Tags: [2]uint16{10}, NTags: 1}},
			{name: "eth0.20", nic: 0, key: bpf.Link{Tags: [2]uint16{20}, NTags: 1}},
			{name: "eth1", nic: 1},
		},
	}
	return reopen(t, cfg), m, l, cfg
}

// reopen opens the settings as the next start does: a crash lets go of the
// lock.
func reopen(t *testing.T, cfg Config) *settings {
	t.Helper()
	s, err := openSettings(cfg, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err == nil {
		err = s.close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTwoDirectorsDoNotShareNotes(t *testing.T) {
	cfg := Config{Name: "lvx0", StateDir: t.TempDir()}
	first, err := openSettings(cfg, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openSettings(cfg, slog.Default()); !errors.Is(err, ErrRunning) || !strings.Contains(err.Error(), "--name") {
		t.Errorf("a second one of that name: %v", err)
	}
	other, err := openSettings(Config{Name: "lvx1", StateDir: cfg.StateDir}, slog.Default())
	if err := errors.Join(err, other.close(), first.close()); err != nil {
		t.Error(err)
	}
	third, err := openSettings(cfg, slog.Default())
	if err := errors.Join(err, third.close()); err != nil {
		t.Errorf("after it: %v", err)
	}
}

func (m *fakeMachine) want(t *testing.T, when string, eth0 xsk.Offload, redirects bool) {
	t.Helper()
	if got := map[string]xsk.Offload{"eth0": eth0, "eth1": bothVLAN}; !reflect.DeepEqual(m.offloads, got) {
		t.Errorf("%s: offloads %v, want %v", when, m.offloads, got)
	}
	if m.redirects[route.All] != redirects || m.redirects["eth0.10"] != redirects || m.redirects["eth1"] {
		t.Errorf("%s: redirects %v, want %v", when, m.redirects, redirects)
	}
}

func TestSettingsAreNotedChangedAndPutBack(t *testing.T) {
	s, m, l, _ := settingsLab(t)
	if err := s.change(m, l); err != nil {
		t.Fatal(err)
	}
	m.want(t, "while it runs", 0, false)
	if m.unnoted > 0 {
		t.Errorf("%d changes before they were noted", m.unnoted)
	}
	if err := s.restore(m); err != nil {
		t.Fatal(err)
	}
	m.want(t, "at the end", bothVLAN, true)
	if _, err := os.Stat(m.state); err == nil {
		t.Error("the notes are still there")
	}
}

func TestANextStartPutsBackWhatACrashLeft(t *testing.T) {
	s, m, l, cfg := settingsLab(t)
	if err := s.change(m, l); err != nil {
		t.Fatal(err)
	}
	// It is killed. The next one works with eth1 alone.
	next := reopen(t, cfg)
	if err := next.change(m, &links{nics: l.nics, list: l.list[2:]}); err != nil {
		t.Fatal(err)
	}
	if m.offloads["eth0"] != bothVLAN || !m.redirects["eth0.10"] || m.redirects[route.All] {
		t.Errorf("after the next start: %v, %v", m.offloads, m.redirects)
	}
	if err := next.restore(m); err != nil {
		t.Fatal(err)
	}
	m.want(t, "after its end", bothVLAN, true)
}

func TestTwoCrashesLoseNoSetting(t *testing.T) {
	s, m, l, cfg := settingsLab(t)
	for range 2 {
		if err := s.change(m, l); err != nil {
			t.Fatal(err)
		}
		s = reopen(t, cfg)
	}
	if err := s.restore(m); err != nil {
		t.Fatal(err)
	}
	m.want(t, "after two crashes", bothVLAN, true)
}

func TestALinkThatWasRenamedIsPutBackByItsNewName(t *testing.T) {
	s, m, l, cfg := settingsLab(t)
	l.nics[0].ifindex, l.list[0].ifindex = 2, 3
	if err := s.change(m, l); err != nil {
		t.Fatal(err)
	}
	vip := netip.MustParseAddr("192.0.2.1")
	if err := s.noteVIPs(map[netip.Addr]string{vip: "eth0.10"}); err != nil {
		t.Fatal(err)
	}
	m.names = map[int]string{2: "wan", 3: "clients"}
	m.offloads["wan"], m.redirects["clients"] = m.offloads["eth0"], m.redirects["eth0.10"]
	delete(m.offloads, "eth0")
	delete(m.redirects, "eth0.10")
	s = reopen(t, cfg)
	if err := s.restore(m); err != nil {
		t.Fatal(err)
	}
	if m.offloads["wan"] != bothVLAN || !m.redirects["clients"] || s.note.VIPs[vip] != "clients" {
		t.Errorf("offloads %v, redirects %v, VIPs %v", m.offloads, m.redirects, s.note.VIPs)
	}
	// Who added the address has not removed it yet.
	if _, noted := reopen(t, cfg).note.VIPs[vip]; !noted {
		t.Error("the address is not noted any more")
	}
}

func TestOffloadsThatWereOffStayOff(t *testing.T) {
	s, m, l, _ := settingsLab(t)
	m.offloads["eth0"] = xsk.TransmitVLAN
	if err := errors.Join(s.change(m, l), s.restore(m)); err != nil {
		t.Fatal(err)
	}
	m.want(t, "at the end", xsk.TransmitVLAN, true)
}

func TestANICThatHidesTagsForGoodIsRefused(t *testing.T) {
	s, m, l, _ := settingsLab(t)
	m.fixed = xsk.ReceiveVLAN
	if err := s.change(m, l); !errors.Is(err, ErrNIC) || !strings.Contains(err.Error(), "eth0") {
		t.Errorf("got %v, want %v", err, ErrNIC)
	}
	s, m, l, _ = settingsLab(t)
	m.fixed = xsk.TransmitVLAN
	if err := s.change(m, l); err != nil {
		t.Errorf("writing tags does no harm, but: %v", err)
	}
}

func TestANICThatIsGoneHoldsNothingUp(t *testing.T) {
	s, m, l, cfg := settingsLab(t)
	if err := s.change(m, l); err != nil {
		t.Fatal(err)
	}
	delete(m.offloads, "eth0")
	if err := reopen(t, cfg).restore(m); err != nil {
		t.Error(err)
	}
	if !m.redirects[route.All] {
		t.Error("redirects stay off")
	}
}

func TestWhatCannotBePutBackDoesNotKeepTheRest(t *testing.T) {
	s, m, l, _ := settingsLab(t)
	if err := s.change(m, l); err != nil {
		t.Fatal(err)
	}
	m.refuse = "eth0"
	if err := s.restore(m); err == nil {
		t.Error("no error")
	}
	if !m.redirects[route.All] || !m.redirects["eth0.10"] {
		t.Errorf("redirects: %v", m.redirects)
	}
}

func TestANICThatSendsByAnInterruptDoesNotPutItOff(t *testing.T) {
	s, m, l, cfg := settingsLab(t)
	l.nics[0].interrupts = true
	for _, when := range []string{"while it runs", "at the start after a crash"} {
		if err := s.change(m, l); err != nil {
			t.Fatal(err)
		}
		if want := (map[string]uint32{"eth0": 0, "eth1": 3}); !reflect.DeepEqual(m.moderated, want) {
			t.Errorf("%s: %v, want %v", when, m.moderated, want)
		}
		s = reopen(t, cfg)
	}
	if err := s.restore(m); err != nil {
		t.Fatal(err)
	}
	if want := (map[string]uint32{"eth0": 3, "eth1": 3}); !reflect.DeepEqual(m.moderated, want) || m.unnoted > 0 {
		t.Errorf("at the end: %v, want %v; %d changes before they were noted", m.moderated, want, m.unnoted)
	}
}

func TestANICThatKeepsPuttingInterruptsOffIsOnlyLate(t *testing.T) {
	s, m, l, _ := settingsLab(t)
	l.nics[1].interrupts, m.refuse = true, "eth1"
	if err := s.change(m, l); err != nil {
		t.Error(err)
	}
}
