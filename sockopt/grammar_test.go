package sockopt

import (
	"bytes"
	"flag"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/lvx-lb/lvx/admin"
	"github.com/lvx-lb/lvx/service"
)

// What lines are made of: commands, and options with values right and wrong.
// Left out is what this director answers in words of its own: -h, -v, --pe,
// and IPv6, which the socket options cannot name.
const (
	grammarRules = `-A -t 192.0.2.10:80 -s wrr
-a -t 192.0.2.10:80 -r 10.0.0.12:8080 -m -w 1
-a -t 192.0.2.10:80 -r 10.0.0.11:8080 -m -w 3 -x 10 -y 5
-A -u 192.0.2.10:53 -s mh -b mh-port
-A -t 192.0.2.11:443 -s rr -p 60 -M 255.255.255.0
-A -f 7 -s rr
`
	grammarCommands = `-A -t 192.0.2.20:80|-A -u 192.0.2.20:53|-A --sctp-service 192.0.2.20:80|-A -f 9|-E -t 192.0.2.10:80|-E -f 7|-D -t 192.0.2.10:80
-D -f 7|-C|-a -t 192.0.2.10:80 -r 10.0.0.20:80|-a -t 192.0.2.10:80 -m -r 10.0.0.20|-a -f 7 -r 10.0.0.20 -m|-e -t 192.0.2.10:80 -r 10.0.0.11:8080
-e -m -t 192.0.2.10:80 -r 10.0.0.11:8080|-d -t 192.0.2.10:80 -r 10.0.0.11:8080|-L|-Ln|-L -n -t 192.0.2.10:80|-L -n -f 7|-S|-Sn|-Z
-Z -t 192.0.2.10:80|-Z -f 7|--set 1 2 3|--set 0 0 7|--set|-R|--start-daemon master|--start-daemon backup|--start-daemon x|--stop-daemon master|`
	grammarOptions = `-s rr|-s foo|-s|-p|-p 100|-p 0|-p abc|-p 2678401|-M 255.255.255.0|-M 255.0.255.0|-M 0.0.0.0|-M 24|-M|-o|-b sh-port|-b flag-1|-b
-r 10.0.0.21:81|-r foo|-r 10.0.0.21:http|-m|-g|-i|--masquerading|-w 0|-w 5|-w -1|-w 1x|-w|-x 5|-x 0|-x -1|-y 3|-y 0|--tun-type ipip|--tun-type gue
--tun-type gre|--tun-type foo|--tun-port 5|--tun-nocsum|--tun-csum|--tun-remcsum|-n|-c|--timeout|--daemon|--stats|--rate|-X|--exact|--thresholds
--persistent-conn|--sort|--nosort|--tun-info|-t 192.0.2.10:80|-f 7|-t 192.0.2.30:80|-u 192.0.2.30:http|--sctp-service 192.0.2.30:1|-f 8|-t foo
-t 192.0.2.30:70000|-t 192.0.2.30|-f 0|-f x|-f -1|--syncid 5|--syncid 256|--sync-maxlen 100|--mcast-interface eth0|--mcast-group 224.0.0.1
--mcast-port 5|--mcast-ttl 5|-A|-L|-R|--bogus|-q|junk|--|--weight=7|-w=7|--stats=1|-nL|--scheduler=rr|-srr|-p60|-x5|--num|--u-threshold 5|--l-threshold=2`
)

var lines = flag.Int("lines", 200, "how many lines ipvsadm and lvx adm are compared by")

func choices(text string) []string { return strings.Split(strings.ReplaceAll(text, "\n", "|"), "|") }

// TestAnyLineIsAnsweredAsByDebiansIpvsadm gives random lines to Debian's
// program under supervision and to package admin: what they print, their exit
// codes and the rules that are left must be the same.
func TestAnyLineIsAnsweredAsByDebiansIpvsadm(t *testing.T) {
	need(t, "ipvsadm")
	d := &double{}
	s := newStage(t, d)
	random := rand.New(rand.NewPCG(1, uint64(*lines)))
	commands, options := choices(grammarCommands), choices(grammarOptions)
	for range *lines {
		words := strings.Fields(commands[random.IntN(len(commands))])
		for range random.IntN(4) {
			words = append(words, strings.Fields(options[random.IntN(len(options))])...)
		}
		d.start(t)
		theirs := s.run(append([]string{"ipvsadm"}, words...)...)
		left := d.kept(t)
		d.start(t)
		var out, errs bytes.Buffer
		code := admin.Run(t.Context(), words, strings.NewReader(""), &out, &errs, s.socket, admin.Names{})
		mine := result{code, out.String(), errs.String()}
		if theirs.status != mine.status || theirs.out != mine.out || brief(theirs.err) != brief(mine.err) || left != d.kept(t) {
			t.Errorf("%q\nipvsadm: %+v\n%slvx adm: %+v\n%s", words, theirs, left, mine, d.kept(t))
		}
	}
}

// start gives d the rules that every line meets.
func (d *double) start(t *testing.T) {
	d.mu.Lock()
	d.set = *service.NewSet(service.AllFeatures)
	d.mu.Unlock()
	d.must(t, grammarRules)
}

// kept returns the rules that are left.
func (d *double) kept(t *testing.T) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var b strings.Builder
	saved := service.Saved{Services: d.set.Services(), Timeouts: d.set.Timeouts()}
	if err := saved.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// brief leaves out what lvx says besides: the log of the supervisor, and what
// follows "Operation not supported", for which the program has words of its own.
func brief(text string) string {
	const refusal = "Operation not supported"
	var b strings.Builder
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, refusal):
			b.WriteString(refusal)
		case !strings.Contains(line, "level=WARN"):
			b.WriteString(line)
		}
	}
	return b.String()
}
