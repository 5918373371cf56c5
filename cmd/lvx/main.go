// Command lvx is the LVS-NAT director: it runs it, administers it and shows
// it. Called ipvsadm, it is ipvsadm.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/lvx-lb/lvx/admin"
)

// stdio is the outside world of a command, so that tests can stand in for it.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

type command struct {
	name, use, does string
	run             func(ctx context.Context, args []string, std stdio) int
}

// Exit codes. ipvsadm's own are those of package admin.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2 // wrong arguments, or no director
)

var commands []command

func init() {
	commands = []command{
		{"run", "--public NIC --private NIC | --nic NIC [--rules FILE] [--marks FILE]", "forward until interrupted", runRun},
		{"adm", "ARGS...", "administer the running director; ARGS are those of ipvsadm, or sysctl NAME[=VALUE]", runAdm},
		{"mark", "add|del|list|flush [RULE]", "say which packets are for services by firewall mark (adm -A -f MARK)", runMark},
		{"drain", "-t VIP:PORT -r RIP:PORT [--deadline 5m]", "give a server weight 0, show what is left, and return when it has no connections", runDrain},
		{"save", "[--ipvsadm]", "write services, thresholds, timeouts, mark rules and sysctls to standard output", runSave},
		{"restore", "[FILE]", "make the director's services those of a saved file, all of it or nothing", runRestore},
		{"exec", "[--] COMMAND [ARGS...]", "run ipvsadm, keepalived and the like unmodified; they command the running director", runExec},
		{"info", "", "show mode, frame balance and counters of the running director", runInfo},
		{"capture", "[-w FILE|-]", "write the frames of both sides as pcap; tcpdump does not see them", runCapture},
		{"replay", "--rules FILE [--marks FILE] IN.pcap OUT.pcap", "send a capture through the fast path, without privilege", runReplay},
		{"demo", "[--keep] [--one-net]", "show a director with clients and servers on this machine", runDemo},
		{"bench", "run|gen|sink|bare|profile", "measure a director, and the tools for it", runBench},
		{"version", "", "print the version", runVersion},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), endings()...)
	out := &output{File: os.Stdout}
	code := dispatch(ctx, os.Args, stdio{os.Stdin, out, os.Stderr})
	if out.err != nil && code == exitOK {
		code = fail(stdio{err: os.Stderr}, out.err)
	}
	stop()
	os.Exit(code)
}

// endings are the signals that end a command in order. Under nohup a hangup is
// ignored, which who asks for it forgets.
func endings() []os.Signal {
	all := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		all = append(all, syscall.SIGHUP)
	}
	return all
}

// output is a file that remembers whether it took everything.
type output struct {
	*os.File
	err error
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	n, err := o.File.Write(p)
	if err != nil && o.err == nil {
		o.err = fmt.Errorf("write output: %w", err)
	}
	return n, err
}

func dispatch(ctx context.Context, args []string, std stdio) int {
	if filepath.Base(args[0]) == "ipvsadm" {
		return runIpvsadm(ctx, args[1:], std)
	}
	switch {
	case len(args) < 2 || asksHelp(args[1]) && (len(args) < 3 || asksHelp(args[2])):
		usage(std.out)
		return exitOK
	case asksHelp(args[1]): // lvx help COMMAND
		args = append(append(args[:1:1], args[2:]...), "-h")
	case args[1] == "-v" || args[1] == "--version":
		return runVersion(ctx, args[2:], std)
	}
	for _, c := range commands {
		if c.name == args[1] {
			return c.run(ctx, args[2:], std)
		}
	}
	hint := "`lvx help` lists them"
	if strings.HasPrefix(args[1], "-") {
		hint = "options of ipvsadm stand behind `lvx adm`"
	}
	fmt.Fprintf(std.err, "lvx: no command %q; %s\n", args[1], hint)
	return exitUsage
}

func asksHelp(word string) bool { return word == "-h" || word == "--help" || word == "help" }

func usage(out io.Writer) {
	fmt.Fprintln(out, "lvx: an LVS-NAT director on AF_XDP")
	fmt.Fprintln(out)
	tellCommands(out, commands)
	fmt.Fprintf(out, `
"lvx COMMAND -h" tells the options. The director's socket is %s;
LVX_SOCKET names another, as does --socket PATH right behind the command.
Exit codes: 0 done, 1 failed, 2 wrong arguments or no director; adm and mark
answer 255 where the director said no, as ipvsadm does.
`, admin.DefaultSocket)
}

func tellCommands(out io.Writer, commands []command) {
	for _, c := range commands {
		fmt.Fprintf(out, "  %s\n%s\n", strings.TrimSpace("lvx "+c.name+" "+c.use), folded(c.does, "        "))
	}
}

// socketPath is where the director listens unless --socket says so.
func socketPath() string {
	if path := os.Getenv("LVX_SOCKET"); path != "" {
		return path
	}
	return admin.DefaultSocket
}

// fail prints an error as one line, however many it is made of.
func fail(std stdio, err error) int {
	fmt.Fprintln(std.err, "lvx:", strings.ReplaceAll(err.Error(), "\n", "; "))
	if errors.Is(err, admin.ErrUnreachable) {
		return exitUsage
	}
	return exitError
}
