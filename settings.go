package lvx

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/lvx-lb/lvx/route"
)

// settings are changes to the machine that last only while the director runs.
// They are noted in a file first, so that the next start can put them back
// after a crash.
type settings struct {
	path string // "" = not noted
	log  *slog.Logger
	note settingsNote
}

type settingsNote struct {
	// Redirects are the NICs, "all" among them, on which the kernel was told
	// not to send ICMP redirects: a server that follows one bypasses the
	// director.
	Redirects []string `json:"send_redirects"`
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
	text, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &s.note)
	}
	if err != nil {
		return nil, fmt.Errorf("read settings to put back from %s: %w", s.path, err)
	}
	return s, nil
}

// change makes the changes. What a crashed director has changed is put back
// first, so that its notes are not taken for the machine's own settings.
func (s *settings) change(m *route.Mirror, l *links) error {
	if err := s.restore(m); err != nil {
		s.log.Warn("cannot put back all settings of a director that crashed", "error", err)
	}
	names := []string{route.All}
	for _, f := range l.list {
		names = append(names, f.name)
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
	return nil
}

// restore puts everything back.
func (s *settings) restore(m *route.Mirror) error {
	var errs []error
	for _, name := range s.note.Redirects {
		if err := m.SetSendRedirects(name, true); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	s.note = settingsNote{}
	if s.path != "" {
		if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
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
	if err := os.WriteFile(s.path, text, 0o600); err != nil {
		return fmt.Errorf("note settings to put back: %w", err)
	}
	return nil
}
