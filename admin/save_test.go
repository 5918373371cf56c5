package admin

import (
	"errors"
	"strings"
	"testing"

	"github.com/lvx-lb/lvx/service"
)

// kept is a director's whole state as Save writes it.
const kept = `--set 900 60 300
-A -t 203.0.113.100:82 -s rr -p 360
-A -t 203.0.113.100:80 -s wrr
-a -t 203.0.113.100:80 -r 10.1.0.12:8080 -m -w 3 -x 100 -y 80
-a -t 203.0.113.100:80 -r 10.1.0.11:80 -m -w 0 -x 7
-A -t 203.0.113.100:0 -s rr -p 60 -M 255.255.255.0
-a -t 203.0.113.100:0 -r 10.1.0.11:0 -m -w 1
-A -u 203.0.113.100:86 -s rr -o
-A --sctp-service 203.0.113.100:132 -s rr
-A -t [2001:db8:1::100]:80 -s mh -b mh-fallback,mh-port
-a -t [2001:db8:1::100]:80 -r [fd00:1::11]:8080 -m -w 1
`

const keptSysctls = `mark 5 to 192.0.2.0/24 tcp 80-90 on eth0
mark 6 to 2001:db8::1
sysctl drop_entry=3
sysctl sloppy_tcp=1
`

func saved(t *testing.T, d Director, plain bool) string {
	t.Helper()
	var text strings.Builder
	if err := Save(t.Context(), d, &text, plain); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func TestWhatSaveWritesRestoreMakesWithNothingLost(t *testing.T) {
	k := build(t)
	if err := Restore(t.Context(), k, strings.NewReader("# before\n\n"+kept+keptSysctls)); err != nil {
		t.Fatal(err)
	}
	if got := saved(t, k, false); got != kept+keptSysctls {
		t.Errorf("got\n%s", got)
	}
	if got := saved(t, k, true); got != kept {
		t.Errorf("for ipvsadm\n%s", got)
	}
	// What the file does not say stays, but for the services.
	if err := Restore(t.Context(), k, strings.NewReader("-A -t 203.0.113.100:99 -s rr\n")); err != nil {
		t.Fatal(err)
	}
	if got, want := saved(t, k, false), "--set 900 60 300\n-A -t 203.0.113.100:99 -s rr\n"+keptSysctls; got != want {
		t.Errorf("got\n%s", got)
	}
}

func TestWhatSaveWritesIsReadByTheRestoreOfIpvsadm(t *testing.T) {
	k := &kernel{}
	if got := command(t, k, kept, "-R"); got != "[rc=0]\n" {
		t.Fatal(got)
	}
	if got := saved(t, k, true); got != kept {
		t.Errorf("got\n%s", got)
	}
}

func TestAWrongLineRestoresNothing(t *testing.T) {
	k := build(t)
	was := saved(t, k, false)
	for _, c := range []struct{ line, want string }{
		{"-a -t 203.0.113.100:99 -r 10.1.0.11 -m", "rules:16: add server 10.1.0.11:99 of TCP 203.0.113.100:99: service not defined"},
		{"sysctl sloppy_tcp=7", "rules:16: set sysctl sloppy_tcp: number out of range: sloppy_tcp takes 0 to 1"},
		{"sysctl sloppy_tcp", "rules:16: invalid operation: \"sloppy_tcp\" is not NAME=NUMBER"},
		{"sysctl", `rules:16: "sysctl" is no rule`},
		{"-Ln", "rules:16: -Ln is no rule"},
	} {
		err := Restore(t.Context(), k, strings.NewReader(kept+keptSysctls+c.line+"\n"))
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: %v", c.line, err)
		}
	}
	if got := saved(t, k, false); got != was {
		t.Errorf("it was\n%sand is\n%s", was, got)
	}
}

func TestSaveAndRestoreTellWhatTheDirectorSays(t *testing.T) {
	var text strings.Builder
	if err := Save(t.Context(), broken{}, &text, false); !errors.Is(err, errFire) || text.Len() > 0 {
		t.Error(err, text.String())
	}
	if err := Restore(t.Context(), broken{}, strings.NewReader(kept)); !errors.Is(err, errFire) {
		t.Error(err)
	}
	d := dial(t, serve(t, build(t), nil))
	if err := Restore(t.Context(), d, strings.NewReader("-A -t 203.0.113.100:99 -s nq\n")); !errors.Is(err, service.ErrScheduler) {
		t.Error(err)
	}
}
