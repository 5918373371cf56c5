package admin

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lvx-lb/lvx/service"
)

const savedRules = `-A -t 203.0.113.100:80 -s wrr
-a -t 203.0.113.100:80 -r 203.0.113.2:80 -m -w 1
-a -t 203.0.113.100:80 -r 10.1.0.11:80 -g -w 1
-a -t 203.0.113.100:80 -r 10.1.0.14:80 -i -w 7 --tun-type ipip
-a -t 203.0.113.100:80 -r 10.1.0.23:80 -m -w 2147483647
-A -t 203.0.113.100:82 -s rr -p 360
-A -t 203.0.113.100:84 -s rr -p 60 -M 255.255.255.0
-A -t 203.0.113.100:89 -s mh -b mh-fallback,mh-port
-A -u 203.0.113.100:86 -s rr -o
-A --sctp-service 203.0.113.100:132 -s rr
-A -t [2001:db8:1::100]:80 -s rr
-a -t [2001:db8:1::100]:80 -r [fd00:1::11]:8080 -m -w 1
-A -f 5 -s rr
-a -f 5 -r 10.1.0.11:0 -m -w 1
-A -f 5 -6 -s rr
`

func TestWhatIsSavedCanBeRestoredAndSavedAgain(t *testing.T) {
	k := &kernel{}
	if got := command(t, k, savedRules, "-R"); got != "[rc=0]\n" {
		t.Fatal(got)
	}
	check(t, k, "-Sn", savedRules+"[rc=0]\n")
	check(t, k, "--save", strings.NewReplacer("100:80", "100:http", "2:80 ", "2:http ", "11:80 ", "11:http ", "14:80 ", "14:http ",
		"23:80 ", "23:http ", "]:80 ", "]:http ", "]:8080", "]:http-alt").Replace(savedRules)+"[rc=0]\n")
}

func TestRestoreReadsLinesAsRecordedFromIpvsadm(t *testing.T) {
	const tryHelp = "Try `ipvsadm -h' or 'ipvsadm --help' for more information.\n[rc=255]\n"
	const last = "-A -t 203.0.113.100:99 -s rr\n"
	for _, c := range []struct{ line, answer, saved string }{
		{"# comment", tryHelp, ""},
		{"", "[rc=0]\n", last},
		{"  \t", "[rc=0]\n", last},
		{"ipvsadm", "[rc=0]\n", last},
		{"bogus", tryHelp, ""},
		{"-A -t 203.0.113.100:80 -s rr", "[rc=0]\n", "-A -t 203.0.113.100:80 -s rr\n" + last},
		{"  -A\t-t  203.0.113.100:81  -s  rr \r", "[rc=0]\n", "-A -t 203.0.113.100:81 -s rr\n" + last},
		{"add-service -t 203.0.113.100:83 -s rr", tryHelp, ""},
		{"ipvsadm -A -t 203.0.113.100:84 ipvsadm -s rr", "[rc=0]\n", "-A -t 203.0.113.100:84 -s rr\n" + last},
		{"-A -t 203.0.113.100:85 -s rr # c", "unexpected argument #\n[rc=2]\n", ""},
		{"-A -t 203.0.113.100:85 --foo", "--foo: unknown option\n[rc=0]\n", last}, // libpopt's faults do not end it
		{"-A -t 203.0.113.100:85 -s", "-s: missing argument\n[rc=0]\n", last},
		{"-A -t \"203.0.113.100:85\"", "illegal virtual server address[:port] specified\n[rc=2]\n", ""},
		{"-D -t 203.0.113.100:85", "No such service\n[rc=0]\n", last},
		{"-A -t 203.0.113.100:85 --pe sip", "Operation not supported: the persistence engine sip\n[rc=0]\n", last},
		{"-R", tryHelp, ""},
		{"-v", versionText + "[rc=0]\n", ""},
		{"-Sn", "[rc=0]\n", last},
		{"-L -t 203.0.113.100:85", "No such service\n[rc=1]\n", ""},
	} {
		k := &kernel{}
		if got := command(t, k, c.line+"\n"+last, "-R"); got != c.answer {
			t.Errorf("%q\ngot:\n%swant:\n%s", c.line, got, c.answer)
		}
		if got := command(t, k, "", "-Sn"); got != c.saved+"[rc=0]\n" {
			t.Errorf("%q left\n%swant\n%s", c.line, got, c.saved)
		}
	}
}

func TestRestoreGivesTheCodeOfTheLastLine(t *testing.T) {
	k := build(t)
	const first, second = "-A -t 203.0.113.100:80 -s rr", "-a -t 203.0.113.100:99 -r 10.1.0.11:8080 -m -w 1"
	if got := command(t, k, first+"\n"+second, "-R"); got != "Service not defined\n[rc=255]\n" {
		t.Error(got)
	}
	if got := command(t, k, second+"\n"+first+"\n\n", "-R"); got != "Service not defined\nService already exists\n[rc=255]\n" {
		t.Error(got)
	}
}

func TestRestoreToldOfALineWithoutEnd(t *testing.T) {
	if got := command(t, build(t), strings.Repeat("x", maxLine+1), "-R"); got != "read rules: bufio.Scanner: token too long\n[rc=1]\n" {
		t.Error(got)
	}
}

func TestRulesAreReadWithCommentsAndBlankLines(t *testing.T) {
	edits, err := ReadRules(strings.NewReader(`# two servers

  # indented
-A -t 192.0.2.1:80 -s rr   # a service
-a -t 192.0.2.1:80 -r 10.0.0.11:8080 -m
ipvsadm -a -t 192.0.2.1:80 -r 10.0.0.12:8080 -m -w 2
--set 60 0 0`))
	if err != nil || len(edits) != 4 {
		t.Fatal(edits, err)
	}
	if e := edits[2]; e.Op != service.AddServer || e.Server.Weight != 2 || e.Server.Address.String() != "10.0.0.12:8080" {
		t.Error(e)
	}
}

func TestWrongRulesAreNamedByFileAndLine(t *testing.T) {
	const service80 = "-A -t 192.0.2.1:80 -s rr\n\n"
	file := filepath.Join(t.TempDir(), "lvx.rules")
	for rule, want := range map[string]string{
		"-a -t 192.0.2.1:80 -r 10.0.0.1 -m -w x": "illegal weight specified",
		"-A -t 192.0.2.1:80":                     "add service TCP 192.0.2.1:80: service already exists",
		"-a -t 192.0.2.1:81 -r 10.0.0.1 -m":      "add server 10.0.0.1:81 of TCP 192.0.2.1:81: service not defined",
		"-a -t 192.0.2.1:80 -r 10.0.0.1":         "add server 10.0.0.1:80 of TCP 192.0.2.1:80: a forwarding method other than masquerading (-m) is not supported",
		"-A -t 192.0.2.2:80 --pe sip":            "the persistence engine sip: not supported",
		"-Ln":                                    "-Ln is no rule",
		"-R":                                     "-R is no rule",
		"--help":                                 "--help is no rule",
		"-A -t 192.0.2.1:80 --foo":               "--foo: unknown option",
		"bogus":                                  `"bogus" is no rule`,
	} {
		if err := os.WriteFile(file, []byte(service80+rule+"\n"+service80), 0o600); err != nil {
			t.Fatal(err)
		}
		open, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		edits, err := ReadRules(open)
		open.Close()
		if err == nil || err.Error() != file+":3: "+want || edits != nil {
			t.Errorf("%s\ngot  %v %v\nwant %s", rule, err, edits, want)
		}
	}
	if _, err := ReadRules(strings.NewReader("-a")); err == nil || !strings.HasPrefix(err.Error(), "rules:1: ") {
		t.Error(err)
	}
}

// FuzzReadRules holds that rules that are read can be applied in order, and
// that what they save is read as the same rules.
func FuzzReadRules(f *testing.F) {
	f.Add("-A -t 192.0.2.1:80 -s rr\n-a -t 192.0.2.1:80 -r 10.0.0.1 -m\n# x\n\n--set 1 2 3")
	f.Add("-A -u [::1]:53 -s mh -b mh-port\n-C\n-Z")
	f.Add(savedRules)
	f.Fuzz(func(t *testing.T, text string) {
		edits, err := readRules(strings.NewReader(text), testNames())
		if err != nil {
			return
		}
		var first, second service.Set
		apply(t, &first, edits)
		var saved, again strings.Builder
		if err := service.WriteRules(&saved, first.Sorted(), service.Names{}); err != nil {
			t.Fatal(err)
		}
		edits, err = readRules(strings.NewReader(saved.String()), testNames())
		if err != nil {
			t.Fatalf("%q was saved as %q: %v", text, saved.String(), err)
		}
		apply(t, &second, edits)
		if err := service.WriteRules(&again, second.Sorted(), service.Names{}); err != nil || again.String() != saved.String() {
			t.Errorf("%v: saved %q, then %q", err, saved.String(), again.String())
		}
	})
}

func apply(t *testing.T, set *service.Set, edits []service.Edit) {
	t.Helper()
	for _, e := range edits {
		if err := set.Apply(e); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRefusalsOfReadRulesKeepTheirReason(t *testing.T) {
	_, err := ReadRules(strings.NewReader("-D -t 192.0.2.1:80"))
	if !errors.Is(err, service.ErrNoService) {
		t.Error(err)
	}
}

func TestRulesOfAllFeaturesAreRead(t *testing.T) {
	const rules = "-A -f 5 -s rr -p 60\n-a -f 5 -r 10.1.0.11:0 -m -x 9\n-A --sctp-service 203.0.113.1:9 -s rr\n-A -u 203.0.113.1:9 -s rr -o\n"
	if edits, err := ReadRules(strings.NewReader(rules)); err != nil || len(edits) != 4 {
		t.Errorf("%d edits, %v", len(edits), err)
	}
}
