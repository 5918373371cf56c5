package admin

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lvx-lb/lvx/service"
)

// Names translates between names and numbers. A nil function means that of
// the system: /etc/services, /etc/hosts and the resolver.
type Names struct {
	Host   func(netip.Addr) string                       // name of an address, "" = none
	Port   func(service.Protocol, uint16) string         // name of a port, "" = none
	Addr   func(host string) (netip.Addr, bool)          // first IPv4 address of a host
	Number func(service.Protocol, string) (uint16, bool) // number of a named port
}

// orSystem fills in the functions of the system.
func (n Names) orSystem() Names {
	if n.Host == nil {
		n.Host = systemHost
	}
	if n.Port == nil {
		n.Port = systemPort
	}
	if n.Addr == nil {
		n.Addr = systemAddr
	}
	if n.Number == nil {
		n.Number = systemNumber
	}
	return n
}

// print returns the names for a listing, which asks for each host once.
func (n Names) print(numeric bool) service.Names {
	if numeric {
		return service.Names{}
	}
	known := map[netip.Addr]string{}
	host := func(a netip.Addr) string {
		name, ok := known[a]
		if !ok {
			name = n.Host(a)
			known[a] = name
		}
		return name
	}
	return service.Names{Host: host, Port: n.Port}
}

// lookupTime bounds one question to the resolver.
const lookupTime = 5 * time.Second

func systemAddr(host string) (netip.Addr, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), lookupTime)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", host)
	if err != nil || len(addrs) == 0 {
		return netip.Addr{}, false
	}
	return addrs[0].Unmap(), true
}

func systemHost(addr netip.Addr) string {
	ctx, cancel := context.WithTimeout(context.Background(), lookupTime)
	defer cancel()
	names, err := net.DefaultResolver.LookupAddr(ctx, addr.String())
	if err != nil || len(names) == 0 {
		return ""
	}
	return strings.TrimSuffix(names[0], ".")
}

func systemNumber(proto service.Protocol, name string) (uint16, bool) {
	number, ok := systemPorts().numbers[portName{proto, name}]
	return number, ok
}

func systemPort(proto service.Protocol, number uint16) string {
	return systemPorts().names[portNumber{proto, number}]
}

type (
	portName struct {
		proto service.Protocol
		name  string
	}
	portNumber struct {
		proto  service.Protocol
		number uint16
	}
)

// ports is what /etc/services says.
type ports struct {
	numbers map[portName]uint16
	names   map[portNumber]string
}

var systemPorts = sync.OnceValue(func() ports {
	f, err := os.Open("/etc/services")
	if err != nil {
		return ports{}
	}
	defer f.Close()
	return readPorts(f)
})

var protocolNames = map[string]service.Protocol{"tcp": service.TCP, "udp": service.UDP, "sctp": service.SCTP}

// readPorts reads lines of "name port/protocol aliases...", # begins a
// comment. Of two lines for one thing the first holds.
func readPorts(r io.Reader) ports {
	p := ports{map[portName]uint16{}, map[portNumber]string{}}
	for lines := bufio.NewScanner(r); lines.Scan(); {
		text, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(text)
		if len(words) < 2 {
			continue
		}
		digits, name, _ := strings.Cut(words[1], "/")
		number, err := strconv.ParseUint(digits, 10, 16)
		proto := protocolNames[name]
		if err != nil || proto == 0 {
			continue
		}
		if at := (portNumber{proto, uint16(number)}); p.names[at] == "" {
			p.names[at] = words[0]
		}
		for i, name := range words {
			at := portName{proto, name}
			if _, known := p.numbers[at]; i != 1 && !known {
				p.numbers[at] = uint16(number)
			}
		}
	}
	return p
}
