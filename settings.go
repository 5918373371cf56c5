package lvx

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/lvx-lb/lvx/nic/xsk"
	"github.com/lvx-lb/lvx/route"
	"github.com/lvx-lb/lvx/rss"
)

// settings are changes to the machine that last only while the director runs.
// They are noted in a file first, so that the next start can put them back
// after a crash.
type settings struct {
	path string   // "" = not noted
	lock *os.File // beside it, of the one director that notes there
	log  *slog.Logger
	note settingsNote
	veth bool // there is one for the way back
}

// machine is where settings are changed.
type machine interface {
	Link(ifindex int) (route.Link, error)
	SendRedirects(nic string) (bool, error)
	SetSendRedirects(nic string, on bool) error
	Offloads(nic string) (xsk.Offload, error)
	SetOffloads(nic string, which xsk.Offload, on bool) error
	Moderation(nic string) (usecs uint32, err error)
	SetModeration(nic string, usecs uint32) error
	Placing(nic string) rss.NIC
}

// thisMachine is the one that the director runs on.
type thisMachine struct{ *route.Mirror }

func (thisMachine) Offloads(nic string) (xsk.Offload, error) { return xsk.Offloads(nic) }
func (thisMachine) SetOffloads(nic string, which xsk.Offload, on bool) error {
	return xsk.SetOffloads(nic, which, on)
}
func (thisMachine) Moderation(nic string) (uint32, error) { return xsk.Moderation(nic) }
func (thisMachine) SetModeration(nic string, usecs uint32) error {
	return xsk.SetModeration(nic, usecs)
}

// vlanOffloads hide tags from XDP, which then sees frames of no VLAN.
var vlanOffloads = []xsk.Offload{xsk.ReceiveVLAN, xsk.TransmitVLAN}

type settingsNote struct {
	// Redirects are the NICs, "all" among them, on which the kernel was told
	// not to send ICMP redirects: a server that follows one bypasses the
	// director.
	Redirects []string `json:"send_redirects"`
	// Offloads are those of each NIC with VLANs that were on.
	Offloads map[string]xsk.Offload `json:"offloads,omitempty"`
	// Moderation is for how many microseconds each NIC that sends by an
	// interrupt has put off interrupts about sending.
	Moderation map[string]uint32 `json:"moderation,omitempty"`
	// Placing is how each NIC chose queues before it was asked to place
	// packets by the client.
	Placing map[string]rss.Saved `json:"placing,omitempty"`
	// VIPs are the addresses that were added, with the name of their link.
	VIPs map[netip.Addr]string `json:"vips,omitempty"`
	// Veth tells that there is a veth for the way back.
	Veth bool `json:"veth,omitempty"`
	// Links are the numbers of the links that are named above: names change.
	Links map[string]int `json:"links,omitempty"`
}

// openSettings reads what a director that crashed has left.
func openSettings(cfg Config, log *slog.Logger) (*settings, error) {
	s := &settings{log: log}
	if cfg.StateDir == "" {
		return s, nil
	}
	s.path = filepath.Join(cfg.StateDir, "nic.json")
	if cfg.Name != "lvx0" {
		s.path = filepath.Join(cfg.StateDir, "nic-"+cfg.Name+".json")
	}
	if err := s.take(); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &s.note)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read settings to put back, remove %s to do without: %w", s.path, err), s.close())
	}
	return s, nil
}

// take locks the notes: another director's are not those of one that crashed.
// The lock's file stays, as that of the socket does.
func (s *settings) take() (err error) {
	if s.lock, err = os.OpenFile(s.path+".lock", os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600); err != nil {
		return fmt.Errorf("open lock: %w", err)
	}
	err = unix.Flock(int(s.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fmt.Errorf("%w and notes its settings in %s; a second one takes another --name", ErrRunning, s.path)
	}
	if err != nil {
		err = errors.Join(err, s.close())
	}
	return err
}

func (s *settings) close() error {
	if s.lock == nil {
		return nil
	}
	return s.lock.Close()
}

// change makes the changes. What a crashed director has changed is put back
// first, so that its notes are not taken for the machine's own settings.
func (s *settings) change(m machine, l *links) error {
	if err := s.restore(m); err != nil {
		s.log.Warn("cannot put back all settings of a director that crashed", "error", err)
	}
	if err := s.look(m, l); err != nil {
		return err
	}
	if err := s.write(); err != nil {
		return err
	}
	for _, name := range s.note.Redirects {
		if err := m.SetSendRedirects(name, false); err != nil {
			return err
		}
	}
	if len(s.note.Redirects) > 0 {
		s.log.Info("send_redirects is off while the director runs", "on", s.note.Redirects)
	}
	for name := range s.note.Offloads {
		if err := s.showTags(m, name); err != nil {
			return err
		}
		s.log.Info("VLAN offloads are off while the director runs", "on", name)
	}
	s.sendAtOnce(m)
	for _, name := range l.unshown() {
		s.log.Warn("the other end of a veth hides VLAN tags beside its frames; run there: ethtool -K NIC txvlan off", "veth", name)
	}
	return nil
}

// look notes what is going to be changed.
func (s *settings) look(m machine, l *links) error {
	names := []string{route.All}
	s.note.Veth = s.veth
	for _, n := range l.nics {
		s.note.Links[n.name] = n.ifindex
	}
	for _, f := range l.list {
		names = append(names, f.name)
		s.note.Links[f.name] = f.ifindex
		if f.key.NTags == 0 {
			continue
		}
		nic := l.nics[f.nic].name
		on, err := m.Offloads(nic)
		if err != nil {
			return err
		}
		if on &= xsk.ReceiveVLAN | xsk.TransmitVLAN; on != 0 {
			s.note.Offloads[nic] = on
		}
	}
	for _, nic := range l.nics {
		if !nic.interrupts {
			continue
		}
		usecs, err := m.Moderation(nic.name)
		if err != nil {
			return err
		}
		if usecs != 0 {
			s.note.Moderation[nic.name] = usecs
		}
	}
	for _, name := range names {
		on, err := m.SendRedirects(name)
		if err != nil {
			return err
		}
		if on {
			s.note.Redirects = append(s.note.Redirects, name)
		}
	}
	return nil
}

// showTags turns the VLAN offloads of a NIC off. One that goes on taking tags
// out of frames is of no use; one that goes on writing them does no harm.
func (s *settings) showTags(m machine, nic string) error {
	for _, which := range vlanOffloads {
		if s.note.Offloads[nic]&which == 0 {
			continue
		}
		err := m.SetOffloads(nic, which, false)
		if err != nil && which == xsk.ReceiveVLAN {
			return fmt.Errorf("%w: %s takes the VLAN tags out of frames: %w", ErrNIC, nic, err)
		}
		if err != nil {
			s.log.Warn("an offload stays on", "error", err)
		}
	}
	return nil
}

// sendAtOnce has NICs that send by an interrupt not put it off: moderated, it
// waits for the last one to be long past. One that goes on so is only late.
func (s *settings) sendAtOnce(m machine) {
	for name := range s.note.Moderation {
		if err := m.SetModeration(name, 0); err != nil {
			s.log.Warn("frames may leave late", "error", err)
			continue
		}
		s.log.Info("interrupts about sending are not put off while the director runs", "on", name)
	}
}

// restore puts everything back.
func (s *settings) restore(m machine) error {
	var errs []error
	put := func(err error) {
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENODEV) {
			errs = append(errs, err)
		}
	}
	for _, name := range s.note.Redirects {
		put(m.SetSendRedirects(s.called(m, name), true))
	}
	for name, was := range s.note.Offloads {
		put(m.SetOffloads(s.called(m, name), was, true))
	}
	for name, was := range s.note.Moderation {
		put(m.SetModeration(s.called(m, name), was))
	}
	put(s.putPlacingBack(m))
	// Addresses are given back by vips, which may go on with them.
	for vip, name := range s.note.VIPs {
		s.note.VIPs[vip] = s.called(m, name)
	}
	s.note = settingsNote{Offloads: map[string]xsk.Offload{}, Moderation: map[string]uint32{}, Links: map[string]int{}, VIPs: s.note.VIPs}
	switch {
	case len(s.note.VIPs) > 0:
		put(s.write())
	case s.path != "":
		put(os.Remove(s.path))
	}
	return errors.Join(errs...)
}

// called returns the name that a link has now.
func (s *settings) called(m machine, name string) string {
	if l, err := m.Link(s.note.Links[name]); err == nil {
		return l.Name
	}
	return name
}

func (s *settings) putPlacingBack(m machine) error {
	var errs []error
	for name, was := range s.note.Placing {
		if err := rss.Restore(m.Placing(s.called(m, name)), was); !errors.Is(err, syscall.ENODEV) {
			errs = append(errs, err)
		}
	}
	s.note.Placing = nil
	return errors.Join(errs...)
}

func (s *settings) write() error {
	if s.path == "" {
		return nil
	}
	text, err := json.Marshal(s.note)
	if err != nil {
		return err
	}
	// Renamed, so that a crash leaves the old note or the new one whole.
	err = os.WriteFile(s.path+".new", text, 0o600)
	if err == nil {
		err = os.Rename(s.path+".new", s.path)
	}
	if err != nil {
		os.Remove(s.path + ".new")
		return fmt.Errorf("note settings to put back: %w; make room there, or name another --socket", err)
	}
	return nil
}

// noteVIPs notes the addresses that are added, or about to be.
func (s *settings) noteVIPs(added map[netip.Addr]string) error {
	s.note.VIPs = maps.Clone(added)
	return s.write()
}
