// Package service holds virtual services and real servers as the
// administrator names them: the types, their validation, edits to a set of
// them, and the format in which they are saved.
//
// It knows nothing of packets. A director turns a Set into what its workers
// read; admin turns commands into Edits.
package service

import (
	"net/netip"
	"time"
)

// Protocol is the IP protocol number of a virtual service.
type Protocol uint8

// The protocols that a virtual service can have.
const (
	TCP  Protocol = 6
	UDP  Protocol = 17
	SCTP Protocol = 132
)

// Method is how packets reach a real server; the values are those of IPVS
// (include/uapi/linux/ip_vs.h, IP_VS_CONN_F_FWD_MASK).
type Method uint8

// Forwarding methods. Only Masq (NAT) is carried out today.
const (
	Masq   Method = 0
	Local  Method = 1
	Tunnel Method = 2
	Route  Method = 3
)

// Key names a virtual service: protocol, address and port, or a firewall mark.
type Key struct {
	Protocol Protocol       `json:"protocol,omitempty"`
	Address  netip.AddrPort `json:"address"`
	Mark     uint32         `json:"mark,omitempty"` // firewall mark, 0 = none
}

// Service is a virtual service without its servers.
type Service struct {
	Key
	Scheduler  string        `json:"scheduler"`
	Flags      []string      `json:"flags,omitempty"`      // scheduler flags, as -b takes them
	Persistent time.Duration `json:"persistent,omitempty"` // 0 = not persistent
	Netmask    Netmask       `json:"netmask,omitempty"`    // of -M
	OnePacket  bool          `json:"one_packet,omitempty"`
}

// Server is a real server of a service.
type Server struct {
	Address netip.AddrPort `json:"address"`
	Method  Method         `json:"method"`
	Weight  int            `json:"weight"`          // 0 = no new connections
	Upper   uint32         `json:"upper,omitempty"` // threshold of -x, 0 = none
	Lower   uint32         `json:"lower,omitempty"` // threshold of -y, 0 = 3/4 of Upper
}

// Op says what an Edit does.
type Op uint8

// The edits, named after the ipvsadm commands.
const (
	AddService    Op = iota + 1 // -A
	EditService                 // -E
	DeleteService               // -D
	Clear                       // -C
	AddServer                   // -a
	EditServer                  // -e
	DeleteServer                // -d
	Zero                        // -Z; of all services when Service.Key is the zero Key
	SetTimeouts                 // --set; a zero duration leaves that value alone
	SetSysctl                   // one of Settings
	AddMark                     // at the end of the mark rules
	DeleteMark                  // one of them
	ClearMarks                  // all mark rules; -C leaves them
)

// Edit is one change to a director's services.
type Edit struct {
	Op       Op       `json:"op"`
	Service  Service  `json:"service"`         // DeleteService and the server edits use only its Key
	Server   Server   `json:"server"`          // of the three server edits; DeleteServer uses only Address
	Timeouts Timeouts `json:"timeouts"`        // of SetTimeouts
	Sysctl   Sysctl   `json:"sysctl,omitzero"` // of SetSysctl
	Mark     MarkRule `json:"mark,omitzero"`   // of AddMark and DeleteMark
}

// Timeouts are the three that --set changes: established TCP, TCP after a
// FIN, and UDP.
type Timeouts struct {
	TCP    time.Duration `json:"tcp"`
	TCPFin time.Duration `json:"tcp_fin"`
	UDP    time.Duration `json:"udp"`
}

// Stats are counters since the start or the last Zero, and their rates as
// IPVS estimates them. Bytes are those of IP packets.
type Stats struct {
	Conns    uint64 `json:"conns"`
	InPkts   uint64 `json:"in_pkts"`
	OutPkts  uint64 `json:"out_pkts"`
	InBytes  uint64 `json:"in_bytes"`
	OutBytes uint64 `json:"out_bytes"`

	CPS    uint64 `json:"cps"`
	InPPS  uint64 `json:"in_pps"`
	OutPPS uint64 `json:"out_pps"`
	InBPS  uint64 `json:"in_bps"`
	OutBPS uint64 `json:"out_bps"`
}

// ServerStatus is a server with what it is doing.
type ServerStatus struct {
	Server
	Active     uint32 `json:"active"`
	Inactive   uint32 `json:"inactive"`
	Persistent uint32 `json:"persistent"`
	Stats      Stats  `json:"stats"`
}

// Status is a service with its servers, newest first as IPVS keeps them.
type Status struct {
	Service
	Stats   Stats          `json:"stats"`
	Servers []ServerStatus `json:"servers"`
}

// Conn is one row of the connection list.
type Conn struct {
	Protocol Protocol       `json:"protocol"`
	State    string         `json:"state"`
	Client   netip.AddrPort `json:"client"`
	Virtual  netip.AddrPort `json:"virtual"`
	Real     netip.AddrPort `json:"real"`
	Expires  time.Duration  `json:"expires"`
}
