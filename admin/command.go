package admin

import "github.com/lvx-lb/lvx/service"

// Command is one command line of ipvsadm, understood and checked.
type Command struct {
	Edit        service.Edit // what it changes; Op is 0 when it changes nothing
	Unsupported string       // what lvx does not carry out, "" = nothing

	verb    verb
	listing listing
}

// UsageError is a command line that ipvsadm refuses before it asks the
// kernel.
type UsageError struct {
	Code int    // exit code of the process
	Text string // without the newline

	lenient bool // ends its own command only: a restore goes on
}

func (e *UsageError) Error() string { return e.Text }

// table says what a list shows.
type table uint8

const (
	rules table = iota
	connections
	timeoutValues
	daemons
)

// columns says what a list of rules tells of each server. Of several that
// are asked for the last one here is shown.
type columns uint8

const (
	weights columns = iota
	tunnelColumns
	persistentColumns
	thresholdColumns
	rateColumns
	statsColumns
)

// listing is what the options of -L and -S ask for.
type listing struct {
	table   table
	columns columns
	only    *service.Key // one service, nil = all
	numeric bool
	exact   bool
	noSort  bool
	engines bool // -c --persistent-conn: with columns for persistence engines
}
