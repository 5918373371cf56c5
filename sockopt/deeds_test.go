package sockopt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// deeds are what the commands of these tests do.
var deeds map[string]func(args []string) error

func init() {
	deeds = map[string]func(args []string) error{
		"add": add, "storm": storm, "rewrite": rewrite, "rewrite-path": rewritePath, "guard": guard, "probe": probe, "sizes": sizes,
		"scarce": scarce,
	}
}

func rawSocket() int {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	return fd
}

func setOption(fd, option int, b []byte) error {
	var p unsafe.Pointer
	if len(b) > 0 {
		p = unsafe.Pointer(&b[0])
	}
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), 0, uintptr(option), uintptr(p), uintptr(len(b)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func getOption(fd, option int, b []byte, size *uint32) error {
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), 0, uintptr(option), uintptr(unsafe.Pointer(&b[0])), uintptr(unsafe.Pointer(size)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func serviceAt(number int) serviceRule {
	return ruleFor(6, fmt.Sprintf("192.0.2.1:%d", number), "rr")
}

// add adds one service.
func add(args []string) error {
	number, _ := strconv.Atoi(args[0])
	return setOption(rawSocket(), setAddService, encode(nil, serviceAt(number)))
}

// storm adds services while a timer interrupts it all the time.
func storm(args []string) error {
	count, _ := strconv.Atoi(args[0])
	alarms := make(chan os.Signal, 1)
	signal.Notify(alarms, unix.SIGALRM)
	var seen atomic.Int64
	go func() {
		for range alarms {
			seen.Add(1)
		}
	}()
	// The timer's signals go to the process; the others would take them.
	runtime.LockOSThread()
	every := unix.Itimerval{Interval: unix.Timeval{Usec: 100}, Value: unix.Timeval{Usec: 100}}
	if _, err := unix.Setitimer(unix.ITIMER_REAL, every); err != nil {
		return err
	}
	stop := make(chan struct{})
	me := unix.Gettid()
	go func() {
		for {
			select {
			case <-stop:
				return
			default:
				unix.Tgkill(unix.Getpid(), me, unix.SIGALRM)
				time.Sleep(50 * time.Microsecond)
			}
		}
	}()
	defer close(stop)
	fd := rawSocket()
	for i := range count {
		if err := setOption(fd, setAddService, encode(nil, serviceAt(i+1))); err != nil {
			return fmt.Errorf("service %d: %w", i+1, err)
		}
	}
	if seen.Load() < int64(count)/10 {
		return fmt.Errorf("only %d alarms came", seen.Load())
	}
	return nil
}

// rewrite changes the buffer from another thread while calls read it: between
// a good protocol and one that the kernel refuses, and a scheduler's name with
// and without its end.
func rewrite(args []string) error {
	count, _ := strconv.Atoi(args[0])
	b := encode(nil, serviceAt(1))
	protocol := (*uint32)(unsafe.Pointer(&b[0]))
	end := (*uint32)(unsafe.Pointer(&b[28]))
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for i := uint32(0); ; i++ {
			select {
			case <-stop:
				return
			default:
				atomic.StoreUint32(protocol, 6+i%2*93)
				atomic.StoreUint32(end, i%3*0x41414141)
			}
		}
	}()
	fd := rawSocket()
	outcomes := map[error]int{}
	for range count {
		outcomes[setOption(fd, setAddService, b)]++
		outcomes[setOption(fd, setDeleteService, b)]++
	}
	fmt.Println(outcomes)
	return nil
}

// rewritePath changes a path between a file of ours and another.
func rewritePath(args []string) error {
	count, _ := strconv.Atoi(args[0])
	b := []byte("/proc/net/ip_vs\x00")
	tail := (*uint32)(unsafe.Pointer(&b[12]))
	word := func(s string) uint32 { return binary.NativeEndian.Uint32([]byte(s)) }
	ours, theirs := word("_vs\x00"), word("_no\x00")
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				atomic.StoreUint32(tail, map[bool]uint32{true: ours, false: theirs}[i%2 == 0])
			}
		}
	}()
	for range count {
		fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, ^uintptr(99), uintptr(unsafe.Pointer(&b[0])), unix.O_RDONLY, 0, 0, 0)
		if errno == unix.ENOENT {
			continue
		}
		if errno != 0 {
			return errno
		}
		text := make([]byte, 17)
		unix.Read(int(fd), text)
		unix.Close(int(fd))
		if string(text) != "IP Virtual Server" {
			return fmt.Errorf("read %q", text)
		}
	}
	return nil
}

// guard sees that nothing is written past the length that was given, nor
// where memory may not be read or written.
func guard([]string) error {
	fd := rawSocket()
	page, err := unix.Mmap(-1, 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	if err := unix.Munmap(page[4096:]); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	_, _, errno := unix.Syscall(unix.SYS_MUNMAP, uintptr(unsafe.Pointer(&page[4096])), 4096, 0)
	if errno != 0 {
		return errno
	}
	size := uint32(12)
	tail := page[4096-8 : 4096]
	if err := getOption(fd, getInfo, tail, &size); err != unix.EFAULT {
		return fmt.Errorf("a buffer that ends too early: %v", err)
	}
	exact := page[4096-12 : 4096]
	if err := getOption(fd, getInfo, exact, &size); err != nil || size != 12 {
		return fmt.Errorf("a buffer at the end of memory: %w, %d", err, size)
	}
	rows := page[4000-servicesHeadSize-serviceRowSize : 4000]
	binary.NativeEndian.PutUint32(rows, 1)
	copy(page[4000:4096], bytes.Repeat([]byte{0x5a}, 96))
	size = uint32(len(rows))
	if err := getOption(fd, getServices, rows, &size); err != nil {
		return err
	}
	if !bytes.Equal(page[4000:4096], bytes.Repeat([]byte{0x5a}, 96)) {
		return errors.New("written past the end")
	}
	if err := setOption(fd, setAddService, tail); err != unix.EINVAL {
		return fmt.Errorf("a short rule: %v", err)
	}
	_, _, errno = unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), 0, setAddService, 8, uintptr(serviceRuleSize), 0)
	if errno != unix.EFAULT {
		return fmt.Errorf("a rule at address 8: %v", errno)
	}
	return nil
}

// probe asks for what the filter refuses, and for sockets that are none.
func probe([]string) error {
	if _, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_GENERIC); err != unix.EPROTONOSUPPORT {
		return fmt.Errorf("generic netlink: %v", err)
	}
	if fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE); err != nil || unix.Close(fd) != nil {
		return fmt.Errorf("route netlink: %w", err)
	}
	if err := unix.FinitModule(0, "", 0); err != unix.EPERM {
		return fmt.Errorf("finit_module: %v", err)
	}
	if err := unix.InitModule([]byte{0}, ""); err != unix.EPERM {
		return fmt.Errorf("init_module: %v", err)
	}
	size, b := uint32(12), make([]byte, 12)
	if err := getOption(99, getInfo, b, &size); err != unix.EBADF {
		return fmt.Errorf("no socket: %v", err)
	}
	null, err := os.Open("/dev/null")
	if err != nil {
		return err
	}
	if err := getOption(int(null.Fd()), getInfo, b, &size); err != unix.ENOTSOCK {
		return fmt.Errorf("a file: %v", err)
	}
	if v, err := unix.GetsockoptInt(rawSocket(), unix.IPPROTO_IP, unix.IP_TTL); err != nil || v == 0 {
		return fmt.Errorf("another option: %d, %w", v, err)
	}
	if os.Getppid() == 1 {
		return errors.New("the supervisor is gone")
	}
	return nil
}

// sizes gives lengths that no structure has.
func sizes([]string) error {
	fd, b := rawSocket(), make([]byte, 70000)
	for option := optionFirst; option <= optionLast; option++ {
		for _, n := range []int{1, 43, 45, 67, 69, 70000, -1} {
			_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), 0, uintptr(option), uintptr(unsafe.Pointer(&b[0])), uintptr(n), 0)
			if errno != unix.EINVAL {
				return fmt.Errorf("setsockopt %d with %d bytes: %v", option, n, errno)
			}
		}
		size := uint32(1<<32 - 1)
		want := unix.EINVAL
		if err := getOption(fd, option, b, &size); err != want {
			return fmt.Errorf("getsockopt %d with -1 bytes: %v", option, err)
		}
	}
	return nil
}

// scarce opens a file of ours when no number is left for it.
func scarce([]string) error {
	limit := unix.Rlimit{Cur: 20, Max: 20}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	for {
		fd, err := unix.Dup(0)
		if err == unix.EMFILE {
			break
		}
		if err != nil || fd > 30 {
			return fmt.Errorf("fill: %w", err)
		}
	}
	if _, err := unix.Open("/proc/net/ip_vs", unix.O_RDONLY, 0); err != unix.EMFILE {
		return fmt.Errorf("open: %v", err)
	}
	unix.Close(5)
	fd, err := syscall.Open("/proc/net/ip_vs", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if _, err := unix.Write(fd, []byte{0}); err != unix.EBADF {
		return fmt.Errorf("write: %v", err)
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		return fmt.Errorf("close on exec: %d, %w", flags, err)
	}
	return nil
}
