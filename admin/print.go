package admin

import (
	"fmt"
	"io"
	"strings"

	"github.com/lvx-lb/lvx/service"
)

const (
	rulesTitle      = "Prot LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port           "
	wideTitle       = "Prot LocalAddress:Port           "
	serverTitle     = "\n  -> RemoteAddress:Port\n"
	weightTitle     = rulesTitle + "Forward Weight ActiveConn InActConn\n"
	tunnelTitle     = rulesTitle + "Forward TunnelInfo    Weight ActiveConn InActConn\n"
	persistentTitle = wideTitle + " Weight    PersistConn ActiveConn InActConn " + serverTitle
	thresholdTitle  = wideTitle + " Uthreshold Lthreshold ActiveConn InActConn " + serverTitle
	rateTitle       = wideTitle + "      CPS    InPPS   OutPPS    InBPS   OutBPS" + serverTitle
	statsTitle      = wideTitle + "    Conns   InPkts  OutPkts  InBytes OutBytes" + serverTitle

	connTitle = "IPVS connection entries\npro expire state       source             virtual            destination"
)

var titles = map[columns]string{
	weights: weightTitle, tunnelColumns: tunnelTitle, persistentColumns: persistentTitle,
	thresholdColumns: thresholdTitle, rateColumns: rateTitle, statsColumns: statsTitle,
}

// Widths that ipvsadm cuts IPv4 names to, and what its buffer holds.
const (
	serviceWidth = 33
	serverWidth  = 28
	nameWidth    = 59
)

// printer writes lists in the format of ipvsadm. Errors of out are found when
// it is flushed.
type printer struct {
	out   io.Writer
	names service.Names
	listing
}

func (p *printer) printf(format string, args ...any) { fmt.Fprintf(p.out, format, args...) }

func (p *printer) service(s *service.Status) {
	name := p.serviceName(s.Key)
	switch p.columns {
	case statsColumns:
		v := s.Stats
		p.printf("%-33s%s\n", name, p.numbers(v.Conns, v.InPkts, v.OutPkts, v.InBytes, v.OutBytes))
	case rateColumns:
		v := s.Stats
		p.printf("%-33s%s\n", name, p.numbers(v.CPS, v.InPPS, v.OutPPS, v.InBPS, v.OutBPS))
	default:
		p.printf("%s %s%s\n", name, s.Scheduler, flagsOf(&s.Service))
	}
	for i := range s.Servers {
		p.server(s.Key, &s.Servers[i])
	}
}

func (p *printer) serviceName(k service.Key) string {
	switch {
	case k.Mark != 0 && k.Is6():
		return fmt.Sprintf("FWM  %d IPv6", k.Mark)
	case k.Mark != 0:
		return fmt.Sprintf("FWM  %d", k.Mark)
	}
	name := fmt.Sprintf("%-4s %s", k.Protocol, cut(p.names.Format(k.Protocol, k.Address), nameWidth))
	if k.Is6() {
		return name
	}
	return cut(name, serviceWidth)
}

func flagsOf(s *service.Service) string {
	text := ""
	if len(s.Flags) > 0 {
		text += " (" + strings.Join(s.Flags, ",") + ")"
	}
	if s.Persistent > 0 {
		text += fmt.Sprintf(" persistent %d", int64(s.Persistent.Seconds()))
		if mask := s.Mask(); mask != "" {
			text += " mask " + mask
		}
	}
	if s.OnePacket {
		text += " ops"
	}
	return text
}

func (p *printer) server(k service.Key, s *service.ServerStatus) {
	name := cut(p.names.Format(k.Protocol, s.Address), nameWidth)
	if !k.Is6() {
		name = cut(name, serverWidth)
	}
	p.printf("  -> %-28s", name)
	v := s.Stats
	switch p.columns {
	case weights:
		p.printf(" %-7s %-6d %-10d %-10d\n", s.Method, s.Weight, s.Active, s.Inactive)
	case tunnelColumns:
		p.printf(" %-7s %-13s %-6d %-10d %-10d\n", s.Method, tunnelOf(s.Method), s.Weight, s.Active, s.Inactive)
	case persistentColumns:
		p.printf(" %-9d %-11d %-10d %-10d\n", s.Weight, s.Persistent, s.Active, s.Inactive)
	case thresholdColumns:
		p.printf(" %-10d %-10d %-10d %-10d\n", s.Upper, s.Lower, s.Active, s.Inactive)
	case rateColumns:
		p.printf(" %8d %8d %8d%s\n", v.CPS, v.InPPS, v.OutPPS, p.numbers(v.InBPS, v.OutBPS))
	case statsColumns:
		p.printf("%s\n", p.numbers(v.Conns, v.InPkts, v.OutPkts, v.InBytes, v.OutBytes))
	}
}

func tunnelOf(m service.Method) string {
	if m == service.Tunnel {
		return "ipip"
	}
	return "n/a"
}

// connTitles writes what stands above the connections.
func (p *printer) connTitles() {
	p.printf(connTitle)
	if p.engines {
		p.printf("        pe name          pe_data")
	}
	p.printf("\n")
}

func (p *printer) conn(c *service.Conn) {
	protocol := "IP" // the template of a firewall mark
	if c.Protocol != 0 {
		protocol = c.Protocol.String()
	}
	left := int64(c.Expires.Seconds())
	p.printf("%-3s %-6s %-11s %-18s %-18s %s\n", protocol, fmt.Sprintf("%02d:%02d", left/60, left%60), c.State,
		p.names.Format(c.Protocol, c.Client), p.names.Format(c.Protocol, c.Virtual), p.names.Format(c.Protocol, c.Real))
}

// numbers writes each number nine wide or wider, in thousands, millions and
// so on when it is large, unless exact numbers are asked for.
func (p *printer) numbers(list ...uint64) string {
	var text strings.Builder
	for _, n := range list {
		switch {
		case p.exact && n >= 1e8:
			fmt.Fprintf(&text, " %d", n)
		case p.exact, n < 1e8:
			fmt.Fprintf(&text, "%9d", n)
		case n < 1e9:
			fmt.Fprintf(&text, "%8dK", n/1e3)
		case n < 1e11:
			fmt.Fprintf(&text, "%8dM", n/1e6)
		case n < 1e14:
			fmt.Fprintf(&text, "%8dG", n/1e9)
		default:
			fmt.Fprintf(&text, "%8dT", n/1e12)
		}
	}
	return text.String()
}

func cut(text string, width int) string { return text[:min(len(text), width)] }
