package admin

import (
	"errors"
	"strings"
	"testing"

	"github.com/lvx-lb/lvx/service"
)

func TestMarkShowsAndChangesRules(t *testing.T) {
	path := serve(t, build(t), nil)
	run := func(line, stdin string) (code int, out, errs string) {
		var o, e strings.Builder
		code = RunMark(t.Context(), strings.Fields(line), strings.NewReader(stdin), &o, &e, path)
		return code, o.String(), e.String()
	}
	const web, range6 = "5 to 192.0.2.0/24 tcp 80\n", "6 to 2001:db8::/64 any 5000-5999 on eth0\n"
	for _, c := range []struct {
		line, stdin string
		code        int
		out, errs   string
	}{
		{"list", "", 0, "", ""},
		{"add 5 to 192.0.2.9/24 tcp 80", "", 0, "", ""},
		{"add 6 to 2001:db8::/64 any 5000-5999 on eth0", "", 0, "", ""},
		{"add 7 to 192.0.2.0/24 tcp 80", "", 255, "", "add mark rule 7 to 192.0.2.0/24 tcp 80: mark rule already exists\n"},
		{"list", "", 0, web + range6, ""},
		{"del 5 to 192.0.2.0/24", "", 255, "", "delete mark rule 5 to 192.0.2.0/24: no such mark rule\n"},
		{"del 5 to 192.0.2.0/24 tcp 80", "", 0, "", ""},
		{"list", "", 0, range6, ""},
		{"flush", "", 0, "", ""},
		{"add -", "# saved\n" + web + "\n" + range6 + " # as it was", 0, "", ""},
		{"list", "", 0, web + range6, ""},
		{"add -", "8 to 192.0.2.1\n" + web, 255, "", "add mark rule 5 to 192.0.2.0/24 tcp 80: mark rule already exists\n"},
		{"add -", "8 to 192.0.2.1\n5 to x", 2, "", "marks:2: invalid operation: \"x\" is neither an address nor a prefix\n"},
		{"list", "", 0, web + range6, ""}, // all or none
		{"del -", web, 0, "", ""},
		{"add -", "", 0, "", ""},
		{"list", "", 0, range6, ""},
		{"add 5 to 192.0.2.1 icmp", "", 2, "", "invalid operation: protocol \"icmp\" is not tcp, udp, sctp or any\n"},
		{"add", "", 2, "", "invalid operation: a mark rule is MARK to PREFIX [PROTOCOL [PORTS]] [on NIC]\n"},
		{"list all", "", 2, "", "lvx mark list: unexpected argument \"all\"\n"},
		{"flush all", "", 2, "", "lvx mark flush: unexpected argument \"all\"\n"},
		{"show", "", 2, "", "lvx mark: no command \"show\"; `lvx mark -h` lists them\n"},
		{"", "", 2, "", "lvx mark: which command? `lvx mark -h` lists them\n"},
		{"-h", "", 0, markHelp, ""},
		{"add -h", "", 0, markHelp, ""},
	} {
		if code, out, errs := run(c.line, c.stdin); code != c.code || out != c.out || errs != c.errs {
			t.Errorf("mark %s: %d\n%s%s", c.line, code, out, errs)
		}
	}
}

func TestMarkWithoutADirectorSaysSo(t *testing.T) {
	var out, errs strings.Builder
	broken := serve(t, broken{}, nil)
	for _, line := range []string{"list", "flush", "add 5 to 192.0.2.1"} {
		errs.Reset()
		if code := RunMark(t.Context(), strings.Fields(line), nil, &out, &errs, t.TempDir()+"/none"); code != 2 || !strings.Contains(errs.String(), "no director reachable") {
			t.Errorf("%s: %d: %s", line, code, errs.String())
		}
		errs.Reset()
		if code := RunMark(t.Context(), strings.Fields(line), nil, &out, &errs, broken); code != 255 || errs.String() != errFire.Error()+"\n" {
			t.Errorf("%s: %d: %s", line, code, errs.String())
		}
	}
}

// The rules that the help shows are rules.
func TestTheHelpOfMarkIsTrue(t *testing.T) {
	n := 0
	for line := range strings.Lines(markHelp) {
		if rest, ok := strings.CutPrefix(line, "    "); ok {
			rule, err := service.ParseMarkRule(strings.Fields(rest))
			if n++; err != nil || rule.String()+"\n" != rest {
				t.Errorf("%q is %v, %v", rest, rule, err)
			}
		}
	}
	if n != 3 {
		t.Errorf("%d rules", n)
	}
}

func TestMarkErrorsCrossTheSocket(t *testing.T) {
	c := dial(t, serve(t, build(t), nil))
	rule, err := service.ParseMarkRule(strings.Fields("5 to 192.0.2.1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Apply(t.Context(), []service.Edit{{Op: service.DeleteMark, Mark: rule}}); !errors.Is(err, service.ErrNoMark) {
		t.Error(err)
	}
}
