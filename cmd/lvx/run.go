package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/lvx-lb/lvx"
	"github.com/lvx-lb/lvx/admin"
	"github.com/lvx-lb/lvx/service"
)

// names is a flag that may be repeated.
type names []string

func (n *names) String() string     { return strings.Join(*n, ",") }
func (n *names) Set(s string) error { *n = append(*n, s); return nil }

// sysctls is a flag NAME=VALUE that may be repeated.
type sysctls []service.Edit

func (s *sysctls) String() string { return "" }

func (s *sysctls) Set(text string) error {
	c, err := service.ParseSysctl(text)
	if err != nil {
		return err
	}
	*s = append(*s, service.Edit{Op: service.SetSysctl, Sysctl: c})
	settings := service.DefaultSettings()
	return settings.Set(c)
}

// ports is a flag with a list of ports of FTP.
type ports []uint16

func (p *ports) String() string {
	words := make([]string, len(*p))
	for i, port := range *p {
		words[i] = strconv.Itoa(int(port))
	}
	return strings.Join(words, ",")
}

func (p *ports) Set(text string) error {
	*p = ports{}
	for word := range strings.SplitSeq(text, ",") {
		if word == "" {
			continue
		}
		port, err := strconv.ParseUint(word, 10, 16)
		if err != nil {
			return fmt.Errorf("%q is no port", word)
		}
		if port < 2 {
			return fmt.Errorf("FTP takes the port before, too, and %d has none", port)
		}
		*p = append(*p, uint16(port))
	}
	return nil
}

// define adds the option for ports of FTP.
func (p *ports) define(o *options) {
	*p = ports{21}
	o.Var(p, "ftp", "`PORTS` of services whose FTP data connections are found, none with \"\"")
}

type runOptions struct {
	public, private, nics names
	rules, marks          string
	socket, mode          string
	name, profile         string
	conns, rings, workers int
	slowStart             time.Duration
	addVIPs, debug        bool
	collect               time.Duration
	sysctls               sysctls
	ftp                   ports
	deviating             deviating
}

func parseRun(args []string, std stdio) (o runOptions, code int, ok bool) {
	f := optionsOf("run", std)
	f.Var(&o.public, "public", "`NIC` on the clients' side; may be repeated")
	f.Var(&o.private, "private", "`NIC` on the servers' side; may be repeated")
	f.Var(&o.nics, "nic", "`NIC` for both sides, in a single network; may be repeated")
	f.StringVar(&o.rules, "rules", "", "rules to start with, a `FILE` as lvx save or ipvsadm -S writes it")
	f.StringVar(&o.marks, "marks", "", "mark rules to start with, a `FILE` as lvx mark list writes it")
	f.Var(&o.sysctls, "sysctl", "a sysctl of IPVS as `NAME=VALUE`; may be repeated")
	o.deviating.define(f)
	f.StringVar(&o.socket, "socket", socketPath(), "`PATH` of the director's socket")
	f.StringVar(&o.mode, "mode", "auto", "`MODE` of AF_XDP: auto takes the best that all NICs have; zerocopy, native or generic")
	f.StringVar(&o.name, "name", "lvx0", "`NAME` of the director: of its veth and its state file")
	f.IntVar(&o.conns, "conns", 1<<20, "capacity of the connection table")
	f.IntVar(&o.workers, "workers", 1, "threads that forward; each needs a queue of its own on every NIC")
	f.IntVar(&o.rings, "rings", 2048, "size of a queue's rings, a power of two")
	f.DurationVar(&o.slowStart, "slow-start", 0, "`TIME`, as 30s, that a server which is added, or had weight 0, takes to get its weight (wrr, wlc, sed, nq, twos)")
	o.ftp.define(f)
	f.BoolVar(&o.addVIPs, "add-vips", false, "add the addresses of services that no NIC has, keep them there, and remove them at exit")
	f.BoolVar(&o.debug, "debug", false, "log details, too")
	f.DurationVar(&o.collect, "collect", 0, "collect garbage so often, to measure what that does to packets; 0 = when there is need")
	f.StringVar(&o.profile, "cpuprofile", "", "write what the CPU does to a `FILE` for go tool pprof")
	code, ok = f.parse(args, 0)
	// The library takes 0 for its defaults; who types it means something else.
	for name, n := range map[string]int{"conns": o.conns, "workers": o.workers, "rings": o.rings} {
		if ok && n < 1 {
			return o, f.refuse(fmt.Sprintf("option %s is at least 1, not %d", name, n)), false
		}
	}
	if why := o.wrongNICs(); ok && why != "" {
		return o, f.refuse(why), false
	}
	return o, code, ok
}

// wrongNICs says what cannot be meant with the NICs that are named, "" nothing.
func (o *runOptions) wrongNICs() string {
	all := slices.Concat(o.public, o.private, o.nics)
	for i, name := range all {
		switch {
		case !slices.Contains(all[:i], name):
		case slices.Contains(o.public, name) && slices.Contains(o.private, name):
			return fmt.Sprintf("%s is public and private; a NIC for both sides is --nic %s", name, name)
		default:
			return name + " is named twice"
		}
	}
	switch {
	case len(o.nics) > 0:
		return ""
	case len(o.public)+len(o.private) == 0:
		return "which NICs? give --public and --private, or --nic"
	case len(o.private) == 0:
		return "which NIC is on the servers' side? give --private, or --nic for both sides"
	case len(o.public) == 0:
		return "which NIC is on the clients' side? give --public, or --nic for both sides"
	}
	return ""
}

func runRun(ctx context.Context, args []string, std stdio) int {
	o, code, ok := parseRun(args, std)
	if !ok {
		return code
	}
	// Who reads its words may go; the director stays, and ends well.
	signal.Ignore(syscall.SIGPIPE)
	if o, ok := std.out.(*output); ok {
		std.out = o.File
	}
	// The fast path does not allocate; the little that the rest does need not
	// be collected often.
	debug.SetGCPercent(400)
	stop, err := profile(o.profile)
	if err == nil {
		err = errors.Join(forward(ctx, o, std), stop())
	}
	if err != nil {
		return fail(std, err)
	}
	return exitOK
}

// profile begins a CPU profile, if there is a path for it.
func profile(path string) (stop func() error, err error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(path)
	if err == nil {
		err = pprof.StartCPUProfile(f)
	}
	if err != nil {
		return nil, fmt.Errorf("write profile: %w", err)
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}

// collect collects garbage over and over.
func collect(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			runtime.GC()
		}
	}
}

// leaveRoom has Go's scheduler run something beside the workers: one that naps
// keeps its processor.
func leaveRoom(workers int) {
	if n := max(workers, 1) + 1; runtime.GOMAXPROCS(0) < n && os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(n)
	}
}

// config is what the options ask for.
func (o *runOptions) config(log *slog.Logger, ready func()) lvx.Config {
	return lvx.Config{
		NICs: slices.Concat(o.public, o.private, o.nics), Public: slices.Concat(o.public, o.nics), AddVIPs: o.addVIPs,
		Conns: o.conns, Rings: o.rings, Workers: o.workers, SlowStart: o.slowStart, FTP: o.ftp,
		Mode: o.mode, Name: o.name, StateDir: filepath.Dir(o.socket), Log: log, Ready: ready,
		Strict: o.deviating.strict, Deviate: service.Deviations(o.deviating.on), NoDeviate: service.Deviations(o.deviating.off),
	}
}

// forward starts a director and its socket and forwards until ctx ends. The
// socket comes first: its lock keeps a second director from starting.
func forward(ctx context.Context, o runOptions, std stdio) error {
	level := slog.LevelInfo
	if o.debug {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(std.err, &slog.HandlerOptions{Level: level}))
	rules, err := readRules(o.rules)
	if err != nil {
		return err
	}
	marks, err := readMarks(o.marks)
	if err != nil {
		return err
	}
	server, err := listen(o.socket)
	if err != nil {
		return err
	}
	defer server.Close()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	leaveRoom(o.workers)
	d, err := lvx.New(o.config(log, func() {
		fmt.Fprintln(std.out, "ready")
		if err := notify("READY=1"); err != nil {
			log.Warn("nobody hears that lvx is ready", "error", err)
		}
	}))
	if err != nil {
		return err
	}
	defer d.Close()
	for _, edits := range [][]service.Edit{marks, rules} {
		if err := d.Apply(ctx, edits); err != nil {
			return fmt.Errorf("apply rules: %w", err)
		}
	}
	if err := d.Apply(ctx, o.sysctls); err != nil {
		return err
	}
	info, err := d.Info(ctx)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return nil // told to end while it began
	}
	log.Info("director starts", "version", version(), "mode", info.Mode, "connections", info.Capacity, "socket", o.socket)
	if o.collect > 0 {
		go collect(ctx, o.collect)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, administered{d}) }()
	err = d.Run(ctx)
	stop()
	if served := <-served; served != nil && !errors.Is(served, context.Canceled) {
		err = errors.Join(err, served)
	}
	return err
}

// listen takes the socket, or says what to do.
func listen(socket string) (*admin.Server, error) {
	server, err := admin.Listen(socket)
	switch {
	case errors.Is(err, admin.ErrRunning):
		err = fmt.Errorf("%w; a second one needs NICs, a --socket and a --name of its own", err)
	case errors.Is(err, fs.ErrPermission):
		err = fmt.Errorf("%w; be root, or --socket names another place", err)
	case err != nil:
		err = fmt.Errorf("%w; --socket names another place", err)
	}
	return server, err
}

func readRules(path string) ([]service.Edit, error) { return readFile(path, "rules", admin.ReadRules) }
func readMarks(path string) ([]service.Edit, error) {
	return readFile(path, "mark rules", admin.ReadMarks)
}

// readFile returns the edits in a file, none if there is no path.
func readFile(path, what string, read func(io.Reader) ([]service.Edit, error)) ([]service.Edit, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	defer f.Close()
	return read(f)
}

// administered is a Director as package admin wants it.
type administered struct{ *lvx.Director }

// ApplyEach implements admin.Director.
func (a administered) ApplyEach(ctx context.Context, edits []service.Edit) (admin.Outcome, error) {
	refused, warnings, err := a.Director.ApplyEach(ctx, edits)
	return admin.Outcome{Refused: refused, Warnings: warnings}, err
}

// Info implements admin.Director.
func (a administered) Info(ctx context.Context) (admin.Info, error) {
	i, err := a.Director.Info(ctx)
	return admin.Info{
		Version: version(), Mode: i.Mode, TableSize: i.Capacity, Conns: i.Conns, Services: i.Services, Services6: i.Services6,
		Workers: i.Workers, Placing: i.Placing, Deviations: i.Deviations, Counters: i.Counters,
	}, err
}
