package route

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// All names the setting that holds for every NIC, beside each NIC's own.
const All = "all"

// SendRedirects reports whether the kernel tells hosts of a shorter way (ICMP
// redirect, IPv4) on nic or, with All, in general. It does if either is on.
func (m *Mirror) SendRedirects(nic string) (bool, error) {
	v, err := m.sysctl("ipv4", nic, "send_redirects")
	return v != 0, err
}

// SetSendRedirects changes what SendRedirects reports.
func (m *Mirror) SetSendRedirects(nic string, on bool) error {
	path, err := conf("ipv4", nic, "send_redirects")
	if err != nil {
		return err
	}
	value := "0\n"
	if on {
		value = "1\n"
	}
	return m.ns.do(func() error {
		if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
			return fmt.Errorf("set send_redirects of %s: %w", nic, err)
		}
		return nil
	})
}

// ReversePathFilter returns rp_filter of nic or All: 0 off, 1 strict, 2 loose.
// The higher of the two holds.
func (m *Mirror) ReversePathFilter(nic string) (int, error) {
	return m.sysctl("ipv4", nic, "rp_filter")
}

// Forwarding reports whether the kernel routes IPv4 or IPv6 packets that come
// in by nic.
func (m *Mirror) Forwarding(nic string, v6 bool) (bool, error) {
	family := "ipv4"
	if v6 {
		family = "ipv6"
	}
	v, err := m.sysctl(family, nic, "forwarding")
	return v != 0, err
}

// conf names the file of a setting; a NIC's name may hold dots but no slash.
func conf(family, nic, setting string) (string, error) {
	if nic == "" || nic == "." || nic == ".." || strings.ContainsRune(nic, '/') {
		return "", fmt.Errorf("read %s of %q: %w", setting, nic, ErrNoLink)
	}
	return filepath.Join("/proc/sys/net", family, "conf", nic, setting), nil
}

// sysctl reads a number. /proc/sys/net shows the namespace of the thread that
// opens the file.
func (m *Mirror) sysctl(family, nic, setting string) (value int, err error) {
	path, err := conf(family, nic, setting)
	if err != nil {
		return 0, err
	}
	err = m.ns.do(func() error {
		b, err := os.ReadFile(path)
		if err == nil {
			value, err = strconv.Atoi(strings.TrimSpace(string(b)))
		}
		if err != nil {
			return fmt.Errorf("read %s of %s: %w", setting, nic, err)
		}
		return nil
	})
	return value, err
}
