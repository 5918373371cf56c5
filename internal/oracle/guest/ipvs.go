package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lvx-lb/lvx/internal/oracle/record"
	"github.com/lvx-lb/lvx/service"
	"golang.org/x/sys/unix"
)

// ipvs is the kernel's, in the namespace of the calling thread. It forwards
// before a frame's arrival is over.
type ipvs struct {
	rules  *service.Set // by which it marks packets
	marked bool         // it may, by some
}

func (k *ipvs) command(words []string, input string) (output string, code int, err error) {
	if words[0] == "mark" {
		code, err = k.mark(words)
		return "", code, err
	}
	return carryOut(exec.Command(words[0], words[1:]...), input)
}

func (*ipvs) settles() time.Duration { return 0 }

func (*ipvs) end() error { return nil }

func (*ipvs) list(r *record.Result) (err error) {
	if r.Services, err = lines("/proc/thread-self/net/ip_vs", 3); err == nil {
		r.Conns, err = lines("/proc/thread-self/net/ip_vs_conn", 1)
	}
	return err
}

// arriving puts a header before a frame. Of an ICMPv6 error it says that the
// checksum is still to be completed: IPVS verifies one of them without the
// pseudo header where the NIC has not, and would drop every right one. So does
// ip_vs_ftp to what connection tracking has verified in the NIC's place.
func (*ipvs) arriving(f record.Frame) []byte {
	b := append(make([]byte, headerLen), f...)
	offset, ok := unverified(f)
	if !ok {
		return b
	}
	const needsChecksum, start = 1, 54
	b[0], b[6], b[8] = needsChecksum, start, byte(offset)
	sum := uint32(len(f)-start) + uint32(f[20])
	for at := 22; at < start; at += 2 {
		sum += uint32(f[at])<<8 | uint32(f[at+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	b[headerLen+start+offset], b[headerLen+start+offset+1] = byte(sum>>8), byte(sum)
	return b
}

// unverified returns where behind the IPv6 header the checksum of an ICMPv6
// error is, or of a control connection of FTP.
func unverified(f record.Frame) (offset int, ok bool) {
	const icmp6, tcp, start = 58, 6, 54
	if len(f) < 62 || f[12] != 0x86 {
		return 0, false
	}
	switch f[20] {
	case icmp6:
		return 2, f[start] < 128
	case tcp:
		return 16, len(f) >= start+20 && (f[start] == 0 && f[start+1] == 21 || f[start+2] == 0 && f[start+3] == 21)
	}
	return 0, false
}

// lines reads a list of the kernel without its heading.
func lines(name string, heading int) ([]string, error) {
	text, err := os.ReadFile(name)
	return beheaded(string(text), heading), err
}

// beheaded returns the lines of a list without its heading.
func beheaded(text string, heading int) []string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := range all {
		all[i] = strings.Join(strings.Fields(all[i]), " ")
	}
	return all[min(heading, len(all)):]
}

// modules are those that remember something, in the order in which they need
// each other.
var modules = []string{"nf_conntrack", "nf_nat", "ipvs/ip_vs", "ipvs/ip_vs_rr", "ipvs/ip_vs_wrr", "ipvs/ip_vs_lc", "ipvs/ip_vs_wlc",
	"ipvs/ip_vs_fo", "ipvs/ip_vs_ovf", "ipvs/ip_vs_lblc", "ipvs/ip_vs_lblcr", "ipvs/ip_vs_dh", "ipvs/ip_vs_sh", "ipvs/ip_vs_mh",
	"ipvs/ip_vs_sed", "ipvs/ip_vs_nq", "ipvs/ip_vs_ftp"}

// renew makes the kernel forget marks, services, connections, timeouts and
// settings.
func (k *ipvs) renew() error {
	if k.rules = service.NewSet(service.Marks); k.marked {
		if err := k.lay(); err != nil {
			return err
		}
	}
	// Connections end with their servers then, and with them what holds modules.
	_ = os.WriteFile("/proc/sys/net/ipv4/vs/expire_nodest_conn", []byte("1"), 0)
	if out, err := exec.Command("ipvsadm", "-C").CombinedOutput(); err != nil {
		return fmt.Errorf("clear services: %w: %s", err, out)
	}
	for _, name := range slices.Backward(modules) {
		if err := remove(filepath.Base(name)); err != nil {
			return fmt.Errorf("remove %s: %w", name, err)
		}
	}
	for _, name := range modules {
		if err := load(name); err != nil {
			return fmt.Errorf("load %s: %w", name, err)
		}
	}
	// Of connections of FTP it would drop what is beyond the window.
	return os.WriteFile("/proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal", []byte("1"), 0)
}

// remove waits until the module is out of use: the kernel lets go of deleted
// services and their connections a little later.
func remove(name string) error {
	for pause := 10 * time.Millisecond; ; pause *= 2 {
		err := unix.DeleteModule(name, 0)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EBUSY) || pause > time.Hour {
			return err
		}
		time.Sleep(pause)
	}
}

func load(name string) error {
	found, err := filepath.Glob("/lib/modules/*/kernel/net/netfilter/" + name + ".ko")
	if err != nil || len(found) != 1 {
		return fmt.Errorf("found %q: %w", found, os.ErrNotExist)
	}
	file, err := os.Open(found[0])
	if err != nil {
		return err
	}
	defer file.Close()
	return unix.FinitModule(int(file.Fd()), "", 0)
}
