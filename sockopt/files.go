package sockopt

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net/netip"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/lvx-lb/lvx/admin"
	"github.com/lvx-lb/lvx/service"
)

// files are those of /proc/net that are answered, in the kernel's words.
var files = map[string]func(ctx context.Context, d admin.Director, w io.Writer) error{
	"ip_vs":       writeRules,
	"ip_vs_conn":  writeConns,
	"ip_vs_stats": writeStats,
}

var procNet = regexp.MustCompile(`^/proc/(?:(?:self|[0-9]+)/(?:task/[0-9]+/)?|thread-self/)?net$`)

// fileOf returns the name of the file in files that an absolute path means.
func fileOf(name string) (string, bool) {
	dir, file := path.Split(path.Clean(name))
	return file, files[file] != nil && procNet.MatchString(path.Clean(dir))
}

// mayBeOurs tells it quickly of most paths, as one that is not absolute costs
// more to resolve.
func mayBeOurs(name string) bool { return files[path.Base(name)] != nil }

// kernelHZ is the tick of Debian's kernel, in which ip_vs prints persistence
// timeouts.
const kernelHZ = 250

func writeRules(ctx context.Context, d admin.Director, w io.Writer) error {
	info, err := d.Info(ctx)
	if err != nil {
		return err
	}
	list, err := d.Status(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s\nProt LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n", versionLine(info))
	for i := range list {
		writeService(w, &list[i])
	}
	return nil
}

func writeService(w io.Writer, s *service.Status) {
	ops := ""
	if s.OnePacket {
		ops = "ops "
	}
	switch {
	case s.Mark != 0:
		fmt.Fprintf(w, "FWM  %08X %s %s", s.Mark, s.Scheduler, ops)
	case s.Is6(): // the kernel leaves ops out here
		fmt.Fprintf(w, "%s  %s:%04X %s ", protocolName(s.Protocol), bracketed(s.Address.Addr()), s.Address.Port(), s.Scheduler)
	default:
		fmt.Fprintf(w, "%s  %s:%04X %s %s ", protocolName(s.Protocol), hex(s.Address.Addr()), s.Address.Port(), s.Scheduler, ops)
	}
	if s.Persistent != 0 {
		fmt.Fprintf(w, "persistent %d %08X", int64(s.Persistent/time.Second)*kernelHZ, maskWord(&s.Service))
	}
	fmt.Fprintln(w)
	for i := range s.Servers {
		v := &s.Servers[i]
		fmt.Fprintf(w, "  -> %s:%04X      %-7s %-6d %-10d %-10d\n",
			bracketed(v.Address.Addr()), v.Address.Port(), methodName(v.Method), v.Weight, v.Active, v.Inactive)
	}
}

// maskWord is a netmask as the kernel shows it: that of IPv6, the length of a
// prefix, with the bytes of an IPv4 mask.
func maskWord(s *service.Service) uint32 {
	if !s.Is6() {
		return s.Netmask.IPv4()
	}
	prefix := cmp.Or(uint32(s.Netmask), 128)
	return binary.BigEndian.Uint32(binary.NativeEndian.AppendUint32(nil, prefix))
}

func writeConns(ctx context.Context, d admin.Director, w io.Writer) error {
	fmt.Fprintln(w, "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData")
	return d.Conns(ctx, func(part []service.Conn) error {
		for i := range part {
			c := &part[i]
			_, err := fmt.Fprintf(w, "%-3s %s %04X %s %04X %s %04X %-11s %7d\n", protocolName(c.Protocol),
				hex(c.Client.Addr()), c.Client.Port(), hex(c.Virtual.Addr()), c.Virtual.Port(), hex(c.Real.Addr()), c.Real.Port(),
				c.State, min(int64(c.Expires/time.Second), math.MaxUint32))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// writeStats writes the sum of all services there are.
func writeStats(ctx context.Context, d admin.Director, w io.Writer) error {
	list, err := d.Status(ctx)
	if err != nil {
		return err
	}
	var n service.Stats
	for i := range list {
		s := &list[i].Stats
		n.Conns, n.InPkts, n.OutPkts = n.Conns+s.Conns, n.InPkts+s.InPkts, n.OutPkts+s.OutPkts
		n.InBytes, n.OutBytes = n.InBytes+s.InBytes, n.OutBytes+s.OutBytes
		n.CPS, n.InPPS, n.OutPPS = n.CPS+s.CPS, n.InPPS+s.InPPS, n.OutPPS+s.OutPPS
		n.InBPS, n.OutBPS = n.InBPS+s.InBPS, n.OutBPS+s.OutBPS
	}
	_, err = fmt.Fprintf(w, "   Total Incoming Outgoing         Incoming         Outgoing\n"+
		"   Conns  Packets  Packets            Bytes            Bytes\n%8X %8X %8X %16X %16X\n\n"+
		" Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n%8X %8X %8X %16X %16X\n",
		n.Conns, n.InPkts, n.OutPkts, n.InBytes, n.OutBytes, n.CPS, n.InPPS, n.OutPPS, n.InBPS, n.OutBPS)
	return err
}

func protocolName(p service.Protocol) string {
	switch p {
	case service.TCP:
		return "TCP"
	case service.UDP:
		return "UDP"
	case service.SCTP:
		return "SCTP"
	case 0:
		return "IP"
	}
	return fmt.Sprintf("IP_%d", p)
}

func methodName(m service.Method) string {
	switch m {
	case service.Local:
		return "Local"
	case service.Tunnel:
		return "Tunnel"
	case service.Route:
		return "Route"
	}
	return "Masq"
}

// hex returns the kernel's form of an address: eight digits, or all eight
// groups of an IPv6 address.
func hex(a netip.Addr) string {
	if a.Is4() {
		return fmt.Sprintf("%08X", a.As4())
	}
	b := a.As16()
	groups := make([]string, 0, 8)
	for i := 0; i < len(b); i += 2 {
		groups = append(groups, fmt.Sprintf("%02x%02x", b[i], b[i+1]))
	}
	return strings.Join(groups, ":")
}

func bracketed(a netip.Addr) string {
	if a.Is4() {
		return hex(a)
	}
	return "[" + hex(a) + "]"
}
