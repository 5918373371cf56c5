package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/lvx-lb/lvx/internal/netlab"
)

// demonstration is one run of `lvx demo`: a network of namespaces on this
// machine with a director, clients that call and servers that answer.
type demonstration struct {
	*netlab.Net
	self     string // this binary
	socket   string // of the director
	log      string // what the director says
	out      io.Writer
	steps    int
	director *netlab.Process
}

// runDemo is the command `lvx demo`.
func runDemo(ctx context.Context, args []string, std stdio) int {
	o := optionsOf("demo", std)
	keep := o.Bool("keep", false, "leave it running until interrupted, and print commands to try")
	oneNet := o.Bool("one-net", false, "put client, director and servers on one network")
	if code, ok := o.parse(args, 0); !ok {
		return code
	}
	d := &demonstration{out: std.out}
	err := d.run(ctx, *oneNet, *keep)
	err = errors.Join(err, d.end(err == nil))
	if err != nil {
		return fail(std, err)
	}
	return exitOK
}

func (d *demonstration) run(ctx context.Context, oneNet, keep bool) error {
	steps := []func(context.Context) error{d.serve, d.startDirector, d.configure, d.call, d.show}
	if err := d.layOut(oneNet); err != nil {
		return err
	}
	for _, step := range steps {
		// Only what is left running may outlast a demonstration.
		limited, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := step(limited)
		cancel()
		if err != nil {
			return err
		}
	}
	if keep {
		d.suggest()
		<-ctx.Done()
	}
	return nil
}

// say prints the next line of progress.
func (d *demonstration) say(format string, args ...any) {
	d.steps++
	fmt.Fprintf(d.out, "[%d] %s\n", d.steps, fmt.Sprintf(format, args...))
}

func (d *demonstration) layOut(oneNet bool) (err error) {
	if d.self, err = os.Executable(); err != nil {
		return err
	}
	lay, shape := netlab.TwoNIC, "two networks"
	if oneNet {
		lay, shape = netlab.OneNet, "one network"
	}
	if d.Net, err = lay(); err != nil {
		return err
	}
	d.socket = filepath.Join(d.Dir, "lvx.sock")
	d.log = filepath.Join(d.Dir, "director.log")
	d.say("%s in network namespaces: client %s, director (VIP %s, DIP %s), servers %s",
		shape, d.CIP, d.VIP, d.DIP, strings.Join(d.RIPs, " "))
	return nil
}

func (d *demonstration) startDirector(ctx context.Context) error {
	args := []string{"run", "--socket", d.socket, "--add-vips"}
	if d.Private == "" {
		args = append(args, "--nic", d.Public)
	} else {
		args = append(args, "--public", d.Public, "--private", d.Private)
	}
	d.say("director: lvx %s", strings.Join(args, " "))
	log, err := os.Create(d.log)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(d.self, args...)
	cmd.Stderr = log
	// An interrupt from the terminal is for the demonstration, which then
	// stops the director itself.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	d.director, err = d.Director.StartReady(ctx, cmd)
	return err
}

// configure adds a TCP and a UDP service as an administrator would.
func (d *demonstration) configure(ctx context.Context) error {
	d.say("services: port %s of the VIP is port %s of the servers", webVirtual, webReal)
	for _, service := range []struct{ protocol, virtual, real string }{
		{"-t", webVirtual, webReal},
		{"-u", nameVirtual, nameReal},
	} {
		vip := d.VIP + ":" + service.virtual
		if err := d.adm(ctx, "-A", service.protocol, vip, "-s", "rr"); err != nil {
			return err
		}
		for _, rip := range d.RIPs {
			if err := d.adm(ctx, "-a", service.protocol, vip, "-r", rip+":"+service.real, "-m"); err != nil {
				return err
			}
		}
	}
	return nil
}

// show prints what the director says of itself.
func (d *demonstration) show(ctx context.Context) error {
	d.say("the director's own view")
	for _, args := range [][]string{{"-ln"}, {"-ln", "--stats"}, {"-lnc"}} {
		if err := d.adm(ctx, args...); err != nil {
			return err
		}
	}
	return d.lvx(ctx, "info", "--socket", d.socket)
}

// adm runs `lvx adm` and prints it as it would be typed where lvx is called
// ipvsadm.
func (d *demonstration) adm(ctx context.Context, args ...string) error {
	fmt.Fprintln(d.out, "    # ipvsadm", strings.Join(args, " "))
	return d.lvx(ctx, append([]string{"adm"}, args...)...)
}

func (d *demonstration) lvx(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, d.self, args...)
	cmd.Env = append(os.Environ(), "LVX_SOCKET="+d.socket)
	out, err := cmd.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		fmt.Fprint(d.out, "    ", line)
	}
	if err != nil {
		return fmt.Errorf("lvx %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// suggest prints commands to try by hand.
func (d *demonstration) suggest() {
	enter := "ip netns exec " + d.Client.Namespace
	fmt.Fprintf(d.out, `
It is running. In another terminal, as root:
    %s curl http://%s/
    export LVX_SOCKET=%s
    %s adm -ln
    %s adm -lnc
    %s adm -e -t %s:%s -r %s:%s -m -w 3
    %s info
    ip netns exec %s ip -s link
The director's log is %s. Ctrl-C ends it all.
`, enter, d.VIP, d.socket, d.self, d.self, d.self, d.VIP, webVirtual, d.RIPs[0], webReal, d.self, d.Director.Namespace, d.log)
}

// end stops the director and removes the network; after a failure it shows
// the director's log.
func (d *demonstration) end(well bool) error {
	if d.Net == nil {
		return nil
	}
	var errs []error
	if d.director != nil {
		if err := d.director.Stop(); err != nil {
			errs = append(errs, fmt.Errorf("stop director: %w", err))
		}
	}
	if text, _ := os.ReadFile(d.log); !well || errs != nil {
		fmt.Fprintf(d.out, "the director's log:\n%s", text)
	}
	d.say("cleaning up")
	return errors.Join(append(errs, d.Close())...)
}
