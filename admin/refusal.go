package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/lvx-lb/lvx/service"
)

// Errors of the socket.
var (
	ErrUnreachable = errors.New("no director reachable")
	ErrForbidden   = errors.New("only root may command this director")
	ErrBusy        = errors.New("too many clients at once")
	ErrTooLarge    = errors.New("message too large")
	ErrMalformed   = errors.New("malformed message")
	ErrVersion     = errors.New("no version of the protocol in common")
	ErrRunning     = errors.New("another director holds the socket")
)

// unreachable is ErrUnreachable for the socket at path, in one sentence
// whatever the cause: nobody listens, or only root may call.
func unreachable(path string, cause error) error {
	if errors.Is(cause, ErrUnreachable) {
		return cause
	}
	hint := ""
	if errors.Is(cause, fs.ErrPermission) || errors.Is(cause, ErrForbidden) {
		hint = ": permission denied, you must be root"
	}
	return fmt.Errorf("%w at %s (is `lvx run` running?)%s", ErrUnreachable, path, hint)
}

// refusals are the errors that cross the socket by code, with what ipvsadm
// prints for them.
var refusals = []struct {
	code     string
	err      error
	sentence string
}{
	{"service-exists", service.ErrServiceExists, "Service already exists"},
	{"no-service", service.ErrNoService, "No such service"},
	{"service-not-defined", service.ErrServiceNotDefined, "Service not defined"},
	{"server-exists", service.ErrServerExists, "Destination already exists"},
	{"no-server", service.ErrNoServer, "No such destination"},
	{"scheduler", service.ErrScheduler, "Scheduler or persistence engine not found"},
	{"invalid", service.ErrInvalid, "Invalid operation.  Possibly wrong module version, address not unicast, ..."},
	{"not-supported", service.ErrNotSupported, "Operation not supported"},
	{"weight", service.ErrWeight, ""},
	{"range", service.ErrRange, "Numerical result out of range"},
	{"no-sysctl", service.ErrNoSysctl, ""},
	{"mark-exists", service.ErrMarkExists, ""},
	{"no-mark", service.ErrNoMark, ""},
	{"marks-full", service.ErrMarksFull, ""},
	{"forbidden", ErrForbidden, "Permission denied (you must be root)"},
	{"busy", ErrBusy, ""},
	{"too-large", ErrTooLarge, ""},
	{"malformed", ErrMalformed, ""},
	{"version", ErrVersion, ""},
	{"canceled", context.Canceled, ""},
}

// fault is an error on the wire.
type fault struct {
	Code string `json:"code,omitempty"` // of refusals, "" = none of them
	Text string `json:"text"`
}

func faultOf(err error) *fault {
	if err == nil {
		return nil
	}
	f := fault{Text: err.Error()}
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			f.Code = r.code
			break
		}
	}
	return &f
}

// err returns the error as the other end had it: the same text, and the same
// sentinel for errors.Is.
func (f *fault) err() error {
	if f == nil {
		return nil
	}
	for _, r := range refusals {
		if f.Code == r.code {
			return &remoteError{f.Text, r.err}
		}
	}
	return &remoteError{f.Text, nil}
}

type remoteError struct {
	text string
	kind error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.kind }

// sentence returns what ipvsadm prints for an error about edit.
func sentence(err error, edit *service.Edit) string {
	if errors.Is(err, service.ErrNotSupported) {
		if serverOp := edit.Op == service.AddServer || edit.Op == service.EditServer; serverOp && edit.Server.Method != service.Masq {
			return notSupported("lvx forwards by masquerading only, give -m")
		}
		return notSupported(err.Error())
	}
	for _, r := range refusals {
		if r.sentence != "" && errors.Is(err, r.err) {
			return r.sentence
		}
	}
	return err.Error()
}

func notSupported(what string) string { return fmt.Sprintf("Operation not supported: %s", what) }
