package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"

	"github.com/lvx-lb/lvx/internal/netlab"
)

// Contender is a director under test, on a site of its own.
type Contender struct {
	Name string
	*Site

	start   func(c *Contender) error
	conns   func(c *Contender) (int, error) // connections that it holds
	process *netlab.Process                 // nil where the kernel is the director
	lvx     string                          // path of the binary
	by      []string                        // what starts lvx: a command and its arguments
	more    []string                        // further options of lvx
	table   int                             // lvx: --conns
	reclaim func(c *Contender) error        // forgets all connections
}

// kind makes contenders of one sort.
type kind struct {
	start          func(c *Contender) error
	conns          func(c *Contender) (int, error)
	forget         func(c *Contender) error
	program, about string // program: what must be installed
}

var kinds = map[string]kind{
	"lvx":       {startLVX, lvxConns, (*Contender).restart, "", "`lvx run`, one worker"},
	"lvx-gc":    {startCollecting, lvxConns, (*Contender).restart, "", "the same, collecting garbage all the time"},
	"lvx-batch": {startBatch, lvxConns, nil, "chrt", "`chrt --batch 0 lvx run`: it lets others finish their turn and finds more packets"},
	"bare":      {startBare, nil, nil, "", "two AF_XDP sockets, only the MAC addresses swapped: the limit"},
	"nft":       {startNft, nftConns, forgetNft, "nft", "nftables `dnat to numgen`, the kernel's connection tracking"},
	"nft-mtu":   {startNftMTU, nftConns, forgetNft, "nft", "the same where the hosts send MTU-sized frames (tso, gso, gro off)"},
	"haproxy":   {startHAProxy, nil, nil, "haproxy", "HAProxy, mode tcp, one thread"},
	"nginx":     {startNginxStream, nil, nil, streamModule, "nginx stream, one worker process"},
	"direct":    {startRouter, nil, nil, "", "no director: the kernel forwards to one server"},
}

// installed reports whether what the kind runs is there.
func (k kind) installed() bool {
	if k.program == "" {
		return true
	}
	_, err := find(k.program)
	return err == nil
}

// find looks for a program, or a file of it, where Debian puts them.
func find(program string) (path string, err error) {
	if path, err = exec.LookPath(program); err == nil {
		return path, nil
	}
	for _, dir := range append([]string{"/usr/sbin", "/usr/lib/nginx/modules"}, filepath.SplitList(os.Getenv("PATH"))...) {
		path = filepath.Join(dir, program)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("find %s: %w", program, err)
}

// NewContender lays out a site and starts a director of that name in it. lvx
// is the path of this program, table the size of lvx's connection table.
func NewContender(name, lvx string, table int) (*Contender, error) {
	k, ok := kinds[name]
	if !ok {
		return nil, fmt.Errorf("no contender is called %q", name)
	}
	s, err := NewSite()
	if err != nil {
		return nil, err
	}
	c := &Contender{Name: name, Site: s, start: k.start, conns: k.conns, reclaim: k.forget, lvx: lvx, table: table}
	if err := c.start(c); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), s.Close())
	}
	return c, nil
}

// PID is the director's process, 0 where the kernel is the director.
func (c *Contender) PID() int {
	if c.process == nil {
		return 0
	}
	return c.process.PID()
}

func (c *Contender) restart() error {
	if err := c.process.Stop(); err != nil {
		return fmt.Errorf("stop %s: %w", c.Name, err)
	}
	return c.start(c)
}

// ready starts a program of ours in the director and waits until it says that
// it forwards.
func (c *Contender) ready(args ...string) error {
	log, err := os.OpenFile(c.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	line := slices.Concat(c.by, []string{c.lvx}, args)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if c.process, err = c.Director.StartReady(ctx, cmd); err != nil {
		text, _ := os.ReadFile(c.log())
		return fmt.Errorf("%w\n%s", err, text)
	}
	return nil
}

func (c *Contender) log() string    { return filepath.Join(c.Dir, "director.log") }
func (c *Contender) socket() string { return filepath.Join(c.Dir, "lvx.sock") }

func startCollecting(c *Contender) error {
	c.more = []string{"--collect", collectEvery.String()}
	return startLVX(c)
}

func startBatch(c *Contender) error {
	c.by = []string{"chrt", "--batch", "0"}
	return startLVX(c)
}

func startLVX(c *Contender) error {
	rules := filepath.Join(c.Dir, "rules")
	if err := os.WriteFile(rules, []byte(lvxRules()), 0o600); err != nil {
		return err
	}
	return c.ready(append([]string{"run", "--public", public, "--private", private, "--socket", c.socket(),
		"--rules", rules, "--conns", strconv.Itoa(c.table)}, c.more...)...)
}

// lvxRules are in the format of ipvsadm -S.
func lvxRules() string {
	var b strings.Builder
	add := func(protocol, vip string, from, to int, rips []string) {
		virtual := fmt.Sprintf("%s %s:%d", protocol, vip, from)
		fmt.Fprintf(&b, "-A %s -s rr\n", virtual)
		for _, rip := range rips {
			fmt.Fprintf(&b, "-a %s -r %s:%d -m\n", virtual, rip, to)
		}
	}
	for _, protocol := range []string{"-t", "-u"} {
		add(protocol, vip, virtualPort, realPort, rips)
		add(protocol, "["+vip6+"]", virtualPort, realPort, []string{"[" + rip6s[0] + "]", "[" + rip6s[1] + "]"})
	}
	add("-t", vip, throughput, throughput, rips[:1])
	return b.String()
}

// info asks a running lvx for its counters.
func (c *Contender) info() (map[string]int, error) {
	text, err := c.infoText()
	if err != nil {
		return nil, err
	}
	return readInfo(text)
}

func (c *Contender) infoText() (string, error) {
	out, err := exec.Command(c.lvx, "info", "--socket", c.socket()).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("ask lvx: %w: %s", err, out)
	}
	return string(out), nil
}

// readMode reads the mode of the sockets from what `lvx info` prints.
func readMode(text string) string {
	_, rest, _ := strings.Cut(text, "AF_XDP mode ")
	mode, _, _ := strings.Cut(rest, ",")
	return mode
}

// readInfo reads what `lvx info` prints.
func readInfo(text string) (map[string]int, error) {
	counters := map[string]int{}
	for line := range strings.Lines(text) {
		if _, rest, ok := strings.Cut(line, "mode "); ok {
			var conns, size int
			_, tail, _ := strings.Cut(rest, ", ")
			if _, err := fmt.Sscanf(tail, "%d of %d connections", &conns, &size); err != nil {
				return nil, fmt.Errorf("read lvx info %q: %w", line, err)
			}
			counters["connections"] = conns
			continue
		}
		if _, rest, ok := strings.Cut(line, "frames: received "); ok {
			number, _, _ := strings.Cut(rest, " ")
			counters["received"], _ = strconv.Atoi(number)
			continue
		}
		f := strings.Fields(line)
		if len(f) == 2 && line[0] == ' ' {
			if n, err := strconv.Atoi(f[1]); err == nil {
				counters[f[0]] = n
			}
		}
	}
	return counters, nil
}

func lvxConns(c *Contender) (int, error) {
	counters, err := c.info()
	return counters["connections"], err
}

func startBare(c *Contender) error {
	return c.ready("bench", "bare", "--public", public, "--private", private)
}

// startRouter has the director's kernel forward. GRO makes it take the frames
// of the generator.
func startRouter(c *Contender) error {
	_, err := command(c.Director, "ethtool", "-K", public, "gro", "on")
	return errors.Join(err, c.Director.Sysctl("net.ipv4.ip_forward", "1"), c.Director.Sysctl("net.ipv6.conf.all.forwarding", "1"))
}

func startNft(c *Contender) error {
	if err := startRouter(c); err != nil {
		return err
	}
	rules := filepath.Join(c.Dir, "rules")
	if err := os.WriteFile(rules, []byte(nftRules()), 0o600); err != nil {
		return err
	}
	if _, err := command(c.Director, "nft", "-f", rules); err != nil {
		return err
	}
	return errors.Join(
		c.Director.Sysctl("net.netfilter.nf_conntrack_udp_timeout", "300"),
		c.Director.Sysctl("net.netfilter.nf_conntrack_udp_timeout_stream", "300"))
}

func nftRules() string {
	to := fmt.Sprintf("dnat to numgen inc mod 2 map { 0 : %s, 1 : %s } : %d", rips[0], rips[1], realPort)
	return fmt.Sprintf(`table ip bench {
	chain in {
		type nat hook prerouting priority -100;
		ip daddr %[1]s udp dport %[2]d %[3]s
		ip daddr %[1]s tcp dport %[2]d %[3]s
		ip daddr %[1]s tcp dport %[4]d dnat to %[5]s
	}
}
`, vip, virtualPort, to, throughput, rips[0])
}

func nftConns(c *Contender) (n int, err error) {
	err = c.Director.Do(func() error {
		text, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_count")
		if err != nil {
			return err
		}
		n, err = strconv.Atoi(strings.TrimSpace(string(text)))
		return err
	})
	return n, err
}

func forgetNft(c *Contender) error {
	return c.Director.Do(func() error {
		return netlink.ConntrackTableFlush(netlink.ConntrackTable)
	})
}

// startNftMTU keeps the hosts from sending what no wire carries, as a NIC
// between them would.
func startNftMTU(c *Contender) error {
	err := startNft(c)
	for _, nic := range []struct {
		host *netlab.Host
		name string
	}{{c.Client, clientNIC}, {c.Server, innerNIC}, {c.Director, public}, {c.Director, private}} {
		_, failed := command(nic.host, "ethtool", "-K", nic.name, "tso", "off", "gso", "off", "gro", "off", "tx", "off")
		err = errors.Join(err, failed)
	}
	return err
}
