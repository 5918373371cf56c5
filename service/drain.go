package service

import (
	"net/netip"
	"time"
)

// Drain empties a server: it gets weight 0, and its connections may end.
type Drain struct {
	Service  Key            `json:"service"`
	Server   netip.AddrPort `json:"server"`
	Deadline time.Duration  `json:"deadline,omitempty"` // after which those left are ended; 0 = never
}

// Left is what a server that is drained still has.
type Left struct {
	Active     uint32 `json:"active"`
	Inactive   uint32 `json:"inactive"`
	Persistent uint32 `json:"persistent"` // clients that come back to it
	Ending     bool   `json:"ending"`     // the deadline is over
}

// Empty reports whether no connection is left.
func (l Left) Empty() bool { return l.Active == 0 && l.Inactive == 0 }
