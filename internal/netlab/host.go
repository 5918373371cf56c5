package netlab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Host is one network namespace of a lab.
type Host struct {
	Name      string            // within its lab
	Namespace string            // as `ip netns` shows it
	Files     map[string]string // path → contents that its processes find there, as /etc/hosts

	lab     *Lab
	ns      netns.NsHandle
	links   *netlink.Handle
	running processes
}

// Host adds a host whose loopback NIC is up.
func (l *Lab) Host(name string) (*Host, error) {
	h := &Host{Name: name, Namespace: prefix + l.ID + "-" + name, Files: map[string]string{}, lab: l}
	err := onThread(func() (err error) {
		h.ns, err = netns.NewNamed(h.Namespace)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("add host %s: %w", name, err)
	}
	l.hosts = append(l.hosts, h)
	if h.links, err = netlink.NewHandleAt(h.ns); err != nil {
		return nil, fmt.Errorf("add host %s: %w", name, err)
	}
	// Link-local addresses work at once, not after duplicate address detection.
	err = h.Sysctl("net.ipv6.conf.default.accept_dad", "0")
	if errors.Is(err, os.ErrNotExist) { // a kernel without IPv6
		err = nil
	}
	return h, errors.Join(err, h.Up("lo"))
}

// Hosts adds several hosts.
func (l *Lab) Hosts(names ...string) ([]*Host, error) {
	hosts := make([]*Host, 0, len(names))
	for _, name := range names {
		h, err := l.Host(name)
		if err != nil {
			return nil, err
		}
		hosts = append(hosts, h)
	}
	return hosts, nil
}

func (h *Host) close() error {
	h.running.end()
	if h.links != nil {
		h.links.Close()
	}
	err := netns.DeleteNamed(h.Namespace)
	return errors.Join(err, h.ns.Close())
}

// onNIC looks nic up and passes it to do.
func (h *Host) onNIC(verb, nic string, do func(netlink.Link) error) error {
	link, err := h.links.LinkByName(nic)
	if err == nil {
		err = do(link)
	}
	if err != nil {
		return fmt.Errorf("%s %s of %s: %w", verb, nic, h.Name, err)
	}
	return nil
}

// Up sets nic up.
func (h *Host) Up(nic string) error { return h.onNIC("set up", nic, h.links.LinkSetUp) }

// Down sets nic down.
func (h *Host) Down(nic string) error { return h.onNIC("set down", nic, h.links.LinkSetDown) }

// awaitLink waits until the kernel has noticed the carrier of nic: before, it
// loses without a word what is sent there.
func (h *Host) awaitLink(nic string) error {
	for end := time.Now().Add(ends); ; time.Sleep(time.Millisecond) {
		attrs, err := h.NIC(nic)
		if err != nil || attrs.OperState == netlink.OperUp {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("wait for %s of %s: the link is %v", nic, h.Name, attrs.OperState)
		}
	}
}

// SetMAC changes the hardware address of nic.
func (h *Host) SetMAC(nic string, mac net.HardwareAddr) error {
	return h.onNIC("set MAC address of", nic, func(l netlink.Link) error { return h.links.LinkSetHardwareAddr(l, mac) })
}

// SetMTU changes the largest IP packet that nic sends.
func (h *Host) SetMTU(nic string, mtu int) error {
	return h.onNIC("set MTU of", nic, func(l netlink.Link) error { return h.links.LinkSetMTU(l, mtu) })
}

// NIC returns what the kernel knows of nic: index, hardware address, MTU.
func (h *Host) NIC(nic string) (*netlink.LinkAttrs, error) {
	var attrs *netlink.LinkAttrs
	err := h.onNIC("look up", nic, func(l netlink.Link) error { attrs = l.Attrs(); return nil })
	return attrs, err
}

// Bridge adds a bridge. NICs that the host gets afterwards have no IPv6.
func (h *Host) Bridge(name string) error {
	if err := h.Sysctl("net.ipv6.conf.default.disable_ipv6", "1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	if err := h.links.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		return fmt.Errorf("add bridge %s to %s: %w", name, h.Name, err)
	}
	return h.Up(name)
}

// Bridged plugs nic into a bridge of the same host.
func (h *Host) Bridged(bridge, nic string) error {
	master, err := h.NIC(bridge)
	if err != nil {
		return err
	}
	return h.onNIC("bridge", nic, func(l netlink.Link) error { return h.links.LinkSetMasterByIndex(l, master.Index) })
}

// Address gives nic an address with its prefix length, without duplicate
// address detection.
func (h *Host) Address(nic, cidr string) error {
	return h.onNIC("add "+cidr+" to", nic, func(l netlink.Link) error { return h.links.AddrAdd(l, address(cidr)) })
}

// RemoveAddress takes an address away from nic.
func (h *Host) RemoveAddress(nic, cidr string) error {
	return h.onNIC("remove "+cidr+" from", nic, func(l netlink.Link) error { return h.links.AddrDel(l, address(cidr)) })
}

func address(cidr string) *netlink.Addr {
	p, err := netip.ParsePrefix(cidr)
	if err != nil {
		return &netlink.Addr{} // the kernel refuses it
	}
	a := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	return a
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// Route adds or replaces a route. The destination is a prefix, "default" or
// "default6"; via may be empty for an on-link route.
func (h *Host) Route(dst, via, nic string) error {
	return h.onNIC("route "+dst+" through", nic, func(l netlink.Link) error {
		r, err := route(dst, via, l.Attrs().Index)
		if err != nil {
			return err
		}
		return h.links.RouteReplace(r)
	})
}

// RemoveRoute removes a route that Route, or an address, has added.
func (h *Host) RemoveRoute(dst, via, nic string) error {
	return h.onNIC("remove route "+dst+" through", nic, func(l netlink.Link) error {
		r, err := route(dst, via, l.Attrs().Index)
		if err != nil {
			return err
		}
		return h.links.RouteDel(r)
	})
}

var defaults = map[string]string{"default": "0.0.0.0/0", "default6": "::/0"}

func route(dst, via string, nic int) (*netlink.Route, error) {
	if all, ok := defaults[dst]; ok {
		dst = all
	}
	p, err := netip.ParsePrefix(dst)
	if err != nil {
		return nil, err
	}
	r := &netlink.Route{LinkIndex: nic, Dst: ipNet(p), Scope: netlink.SCOPE_LINK}
	if via != "" {
		gateway, err := netip.ParseAddr(via)
		if err != nil {
			return nil, err
		}
		r.Gw, r.Scope = gateway.AsSlice(), netlink.SCOPE_UNIVERSE
	}
	return r, nil
}

// Sysctl sets a kernel parameter of the host, as net.ipv4.ip_forward.
func (h *Host) Sysctl(name, value string) error {
	path := filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/"))
	return h.Do(func() error {
		if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
			return fmt.Errorf("set %s of %s: %w", name, h.Name, err)
		}
		return nil
	})
}
