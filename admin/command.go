package admin

import (
	"github.com/lvx-lb/lvx/service"
)

// Verb says what a Command does.
type Verb uint8

// The verbs. Change carries an Edit; the daemon verbs are recognised and
// refused.
const (
	Change Verb = iota + 1
	List
	Save
	Restore
	Help
	Version
	StartDaemon
	StopDaemon
)

// Table says what a List shows.
type Table uint8

// The tables of List. Rules is the list of services and servers.
const (
	Rules Table = iota
	Connections
	TimeoutValues
	Daemons
)

// Columns says what a listing tells of each server.
type Columns uint8

// The columns, in the order in which they win when several are asked for.
const (
	Weights Columns = iota
	TunnelInfo
	PersistentConns
	Thresholds
	Rates
	Counters
)

// Listing is what the options of -L and -S ask for.
type Listing struct {
	Table   Table
	Only    *service.Key // one service, nil = all
	Columns Columns
	Numeric bool
	Exact   bool
	NoSort  bool
}

// Command is one command line of ipvsadm, understood and checked.
type Command struct {
	Verb        Verb
	Edit        service.Edit // of Change
	Listing     Listing      // of List and Save
	Unsupported string       // what lvx does not carry out, "" = nothing
}

// UsageError is a command line that ipvsadm would refuse before asking the
// kernel.
type UsageError struct {
	Code int    // exit code of the process
	Text string // without the newline

	// lenient errors end their own command only, so a restore goes on.
	lenient bool
}

func (e *UsageError) Error() string { return e.Text }
