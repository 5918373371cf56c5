package sockopt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lvx-lb/lvx/admin"
	"github.com/lvx-lb/lvx/service"
)

// The options by number.
const (
	optionFirst = 1152
	optionLast  = optionFirst + 15

	setAddService    = optionFirst + 2
	setEditService   = optionFirst + 3
	setDeleteService = optionFirst + 4
	setClear         = optionFirst + 5
	setAddServer     = optionFirst + 7
	setDeleteServer  = optionFirst + 8
	setEditServer    = optionFirst + 9
	setTimeouts      = optionFirst + 10
	setStartDaemon   = optionFirst + 11
	setStopDaemon    = optionFirst + 12
	setZero          = optionFirst + 15

	getVersion  = optionFirst
	getInfo     = optionFirst + 1
	getServices = optionFirst + 2
	getService  = optionFirst + 3
	getServers  = optionFirst + 4
	getTimeouts = optionFirst + 6
	getDaemons  = optionFirst + 7
	getLast     = getDaemons
)

var (
	serviceRuleSize  = binary.Size(serviceRule{})
	serverEditSize   = binary.Size(serverEdit{})
	timeoutFormSize  = binary.Size(timeoutForm{})
	daemonFormSize   = binary.Size(daemonForm{})
	serviceRowSize   = binary.Size(serviceRow{})
	serverRowSize    = binary.Size(serverRow{})
	servicesHeadSize = binary.Size(servicesHead{})
	serversHeadSize  = binary.Size(serversHead{})
)

// setSizes are the only lengths that the kernel takes; 0 for those not named.
var setSizes = map[int]int{
	setAddService: serviceRuleSize, setEditService: serviceRuleSize, setDeleteService: serviceRuleSize, setZero: serviceRuleSize,
	setAddServer: serverEditSize, setDeleteServer: serverEditSize, setEditServer: serverEditSize,
	setTimeouts: timeoutFormSize, setStartDaemon: daemonFormSize, setStopDaemon: daemonFormSize,
}

// getSizes are the least lengths that the kernel takes, and how much of the
// caller's memory it reads.
var getSizes = map[int]int{
	getVersion: 64, getInfo: binary.Size(infoForm{}), getServices: servicesHeadSize, getService: serviceRowSize,
	getServers: serversHeadSize, getTimeouts: timeoutFormSize, getDaemons: 2 * daemonFormSize,
}

// options answers the socket options for a director, one at a time, as the
// kernel does.
type options struct {
	director admin.Director
	log      *slog.Logger

	mu      sync.Mutex
	listing listing
	said    sync.Once
}

// set carries out setsockopt with a value of the right size.
func (o *options) set(ctx context.Context, option int, value []byte) unix.Errno {
	if len(value) != setSizes[option] {
		return unix.EINVAL
	}
	edit, errno, err := editOf(option, value)
	if errno != 0 {
		return errno
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err == nil {
		err = o.apply(ctx, edit)
	}
	return o.errno(err)
}

// apply makes one edit, and says what an operator should know all the same.
func (o *options) apply(ctx context.Context, edit service.Edit) error {
	o.listing = listing{}
	done, err := o.director.ApplyEach(ctx, []service.Edit{edit})
	if err != nil {
		return err
	}
	for _, w := range done.Warnings {
		o.log.Warn(w)
	}
	return errors.Join(done.Refused...)
}

// editOf returns the edit that a setsockopt asks for, the error that the
// kernel itself would have found in it, or the director's kind of refusal.
func editOf(option int, value []byte) (service.Edit, unix.Errno, error) {
	switch option {
	case setClear:
		return service.Edit{Op: service.Clear}, 0, nil
	case setTimeouts:
		return timeoutEdit(value)
	case setStartDaemon, setStopDaemon:
		return service.Edit{}, 0, fmt.Errorf("synchronization with another director is %w", service.ErrNotSupported)
	}
	var rule serviceRule
	if len(value) < serviceRuleSize || decode(value, &rule) != nil {
		return service.Edit{}, unix.EINVAL, nil
	}
	where := rule.Address
	if option == setZero && where.Mark == 0 && where.IP == [4]byte{} && where.Port == [2]byte{} {
		return service.Edit{Op: service.Zero}, 0, nil
	}
	e := service.Edit{Op: operations[option], Service: service.Service{Key: where.key()}}
	withRule := option == setAddService || option == setEditService
	var refusal error
	if withRule {
		if rule.Scheduler[len(rule.Scheduler)-1] != 0 {
			return e, unix.EINVAL, nil
		}
		e.Service, refusal = rule.service()
	}
	// The kernel wants one of a firewall mark too, but keepalived gives none:
	// it speaks netlink there.
	if p := where.Protocol; where.Mark == 0 && p != unix.IPPROTO_TCP && p != unix.IPPROTO_UDP && p != unix.IPPROTO_SCTP {
		return e, unix.EFAULT, nil // not EINVAL: a wart of the kernel
	}
	if len(value) == serverEditSize {
		var server serverRule
		if decode(value[serviceRuleSize:], &server) != nil {
			return e, unix.EINVAL, nil
		}
		e.Server = server.server()
	}
	return e, 0, refusal
}

var operations = map[int]service.Op{
	setAddService: service.AddService, setEditService: service.EditService, setDeleteService: service.DeleteService,
	setAddServer: service.AddServer, setEditServer: service.EditServer, setDeleteServer: service.DeleteServer,
	setZero: service.Zero,
}

func timeoutEdit(value []byte) (service.Edit, unix.Errno, error) {
	var t timeoutForm
	if decode(value, &t) != nil || min(t.TCP, t.TCPFin, t.UDP) < 0 {
		return service.Edit{}, unix.EINVAL, nil
	}
	seconds := func(n int32) time.Duration { return time.Duration(n) * time.Second }
	return service.Edit{Op: service.SetTimeouts, Timeouts: service.Timeouts{
		TCP: seconds(t.TCP), TCPFin: seconds(t.TCPFin), UDP: seconds(t.UDP),
	}}, 0, nil
}

// get carries out getsockopt. The argument is what the caller's buffer holds,
// as far as getSizes says; size is how long the caller says that it is. The
// answer goes to the beginning of the buffer, length to the caller's length.
func (o *options) get(ctx context.Context, option int, argument []byte, size int) (answer []byte, length int, errno unix.Errno) {
	least, known := getSizes[option]
	switch {
	case option > getLast:
		return nil, 0, unix.ENOPROTOOPT
	case !known || size < least || len(argument) < least:
		return nil, 0, unix.EINVAL
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	answer, errno = o.answer(ctx, option, argument, size)
	if option == getVersion {
		size = len(answer)
	}
	return answer, size, errno
}

func (o *options) answer(ctx context.Context, option int, argument []byte, size int) ([]byte, unix.Errno) {
	switch option {
	case getVersion:
		info, err := o.director.Info(ctx)
		return append([]byte(versionLine(info)), 0), o.errno(err)
	case getInfo:
		return o.info(ctx)
	case getServices:
		return o.services(ctx, argument, size)
	case getService:
		return o.service(ctx, argument)
	case getServers:
		return o.servers(ctx, argument, size)
	case getTimeouts:
		t, err := o.director.Timeouts(ctx)
		seconds := func(d time.Duration) int32 { return int32(d / time.Second) }
		return encode(nil, timeoutForm{seconds(t.TCP), seconds(t.TCPFin), seconds(t.UDP)}), o.errno(err)
	case getDaemons:
		return encode(nil, [2]daemonForm{}), 0
	}
	return nil, unix.EINVAL
}

func versionLine(info admin.Info) string {
	return fmt.Sprintf("IP Virtual Server version %s (size=%d)", versionText, info.TableSize)
}

func (o *options) info(ctx context.Context) ([]byte, unix.Errno) {
	info, err := o.director.Info(ctx)
	return encode(nil, infoForm{versionNumber, uint32(info.TableSize), uint32(info.Services)}), o.errno(err)
}

func (o *options) services(ctx context.Context, argument []byte, size int) ([]byte, unix.Errno) {
	var head servicesHead
	if decode(argument, &head) != nil || int64(size) != int64(servicesHeadSize)+int64(head.Services)*int64(serviceRowSize) {
		return nil, unix.EINVAL
	}
	if err := o.list(ctx); err != nil {
		return nil, o.errno(err)
	}
	o.sayLeft()
	list := o.listing.services[:min(int64(len(o.listing.services)), int64(head.Services))]
	head.Services = uint32(len(list))
	answer := encode(nil, head)
	for i := range list {
		answer = encode(answer, serviceRowOf(&list[i]))
	}
	return answer, 0
}

func (o *options) service(ctx context.Context, argument []byte) ([]byte, unix.Errno) {
	var where address
	if decode(argument, &where) != nil {
		return nil, unix.EINVAL
	}
	if err := o.list(ctx); err != nil {
		return nil, o.errno(err)
	}
	s := o.listing.find(where.key())
	if s == nil {
		return nil, unix.ESRCH
	}
	return encode(nil, serviceRowOf(s)), 0
}

func (o *options) servers(ctx context.Context, argument []byte, size int) ([]byte, unix.Errno) {
	var head serversHead
	if decode(argument, &head) != nil || int64(size) != int64(serversHeadSize)+int64(head.Servers)*int64(serverRowSize) {
		return nil, unix.EINVAL
	}
	if !o.listing.fresh() {
		if err := o.list(ctx); err != nil {
			return nil, o.errno(err)
		}
	}
	s := o.listing.find(head.Service.key())
	if s == nil {
		return nil, unix.ESRCH
	}
	list := s.Servers[:min(int64(len(s.Servers)), int64(head.Servers))]
	head.Servers = uint32(len(list))
	answer := encode(nil, head)
	for i := range list {
		answer = encode(answer, serverRowOf(&list[i]))
	}
	return answer, 0
}
