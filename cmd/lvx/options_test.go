package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// say runs lvx in this process.
func say(t *testing.T, line string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = dispatch(t.Context(), append([]string{"lvx"}, strings.Fields(line)...), stdio{strings.NewReader(""), &stdout, &stderr})
	return code, stdout.String(), stderr.String()
}

func TestEveryCommandTellsItsOptions(t *testing.T) {
	for _, c := range append(commands, benchCommands...) {
		for _, line := range []string{c.name + " -h", c.name + " --help", "help " + c.name} {
			code, out, errs := say(t, line)
			if code != exitOK || errs != "" || !strings.Contains(out, strings.Fields(c.name)[0]) {
				t.Errorf("lvx %s: %d, %q\n%s", line, code, errs, out)
			}
			for said := range strings.Lines(out) {
				if c.use != "" && c.name != "mark" && c.name != "adm" && len(said) > 82 {
					t.Errorf("lvx %s: a long line: %s", line, said)
				}
			}
		}
	}
}

func TestThePagesTellOfEveryOptionOfRun(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text...)
	}
	_, out, _ := say(t, "run -h")
	for line := range strings.Lines(out) {
		option, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.HasPrefix(line, "  --") && !bytes.Contains(all, []byte(option)) {
			t.Errorf("no page tells of %s", option)
		}
	}
}

func TestAWrongCommandLineIsRefusedInOneLine(t *testing.T) {
	for line, want := range map[string]string{
		"nonsense":                   "lvx: no command \"nonsense\"; `lvx help` lists them\n",
		"bench":                      "lvx bench: which command? `lvx bench -h` tells the options\n",
		"info x":                     "lvx info: unexpected argument \"x\"; `lvx info -h` tells the options\n",
		"restore a b":                "lvx restore: unexpected argument \"b\"; `lvx restore -h` tells the options\n",
		"run":                        "lvx run: which NICs? give --public and --private, or --nic; `lvx run -h` tells the options\n",
		"run --public x":             "lvx run: which NIC is on the servers' side? give --private, or --nic for both sides; `lvx run -h` tells the options\n",
		"run --private x":            "lvx run: which NIC is on the clients' side? give --public, or --nic for both sides; `lvx run -h` tells the options\n",
		"run --nic x --nic x":        "lvx run: x is named twice; `lvx run -h` tells the options\n",
		"run --public x --private x": "lvx run: x is public and private; a NIC for both sides is --nic x; `lvx run -h` tells the options\n",
		"run --nic x --nothing":      "lvx run: no option nothing; `lvx run -h` tells the options\n",
		"run --rules":                "lvx run: no value for option rules; `lvx run -h` tells the options\n",
		"run --slow-start 30":        "lvx run: invalid value \"30\" for option slow-start: not a time, as 30s or 5m; `lvx run -h` tells the options\n",
		"run --conns many":           "lvx run: invalid value \"many\" for option conns: not a number; `lvx run -h` tells the options\n",
		"run --nic x --conns 0":      "lvx run: option conns is at least 1, not 0; `lvx run -h` tells the options\n",
		"run --ftp x":                "lvx run: invalid value \"x\" for option ftp: \"x\" is no port; `lvx run -h` tells the options\n",
		"replay --ftp 1":             "lvx replay: invalid value \"1\" for option ftp: FTP takes the port before, too, and 1 has none; `lvx replay -h` tells the options\n",
		"drain -t 192.0.2.1:80":      "lvx drain: which server? give -t VIP:PORT (or -u, --sctp-service, -f) and -r RIP:PORT; `lvx drain -h` tells the options\n",
		"-Ln":                        "lvx: no command \"-Ln\"; options of ipvsadm stand behind `lvx adm`\n",
		"bench gen":                  "lvx bench gen: which NIC? give -i NIC; `lvx bench gen -h` tells the options\n",
		"bench gen -i lo -d ::1":     "lvx bench gen: -m takes the MAC address of the director's NIC, not \"\"; `lvx bench gen -h` tells the options\n",
		"bench gen -i lo -m 02:00:00:00:00:01 -d ::1 -t 0": "lvx bench gen: threads are at least 1 and CPUs count from 0, not 0 from 0 on; `lvx bench gen -h` tells the options\n",
		"bench gen -i lo -m 02:00:00:00:00:01 -d ::1 -s 9": "lvx bench gen: impossible traffic: frame of 9 bytes, it takes 78 to 3000; `lvx bench gen -h` tells the options\n",
		"bench bare --public x":                            "lvx bench bare: which NICs? give --public and --private; `lvx bench bare -h` tells the options\n",
		"bench run --only pcp":                             "lvx bench run: no part is called \"pcp\"; there are udp, latency, disturbed, tcp, idle, memory, process; `lvx bench run -h` tells the options\n",
		"bench run --flows 0":                              "lvx bench run: \"0\" is no number of flows; `lvx bench run -h` tells the options\n",
		"exec":                                             "lvx exec: which command? `lvx exec -h` tells the options\n",
	} {
		if code, out, errs := say(t, line); code != exitUsage || out != "" || errs != want {
			t.Errorf("lvx %s: %d, %q, %q", line, code, out, errs)
		}
	}
}

func TestHelpAndVersionAreFoundByTheirUsualNames(t *testing.T) {
	for line, begin := range map[string]string{
		"": "lvx: an LVS-NAT director", "help": "lvx: an LVS-NAT director", "--help": "lvx: an LVS-NAT director", "help help": "lvx: an LVS-NAT director",
		"version": "lvx ", "--version": "lvx ", "-v": "lvx ",
	} {
		if code, out, errs := say(t, line); code != exitOK || errs != "" || !strings.HasPrefix(out, begin) {
			t.Errorf("lvx %s: %d, %q, %q", line, code, out, errs)
		}
	}
}

// A disk may be full, and a file of rules is not saved by half in silence.
func TestOutputThatIsNotTakenIsRemembered(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	out := &output{File: full}
	if code := dispatch(t.Context(), []string{"lvx", "help"}, stdio{strings.NewReader(""), out, io.Discard}); code != exitOK || !errors.Is(out.err, syscall.ENOSPC) {
		t.Errorf("%d, %v", code, out.err)
	}
}

func TestEveryCommandSaysThatThereIsNoDirector(t *testing.T) {
	socket := t.TempDir() + "/none"
	for _, line := range []string{
		"info --socket S", "save --socket S", "restore --socket S", "capture --socket S", "drain --socket S -t 192.0.2.1:80 -r 10.0.0.1:80",
		"adm --socket S -ln", "adm --socket=S sysctl -a", "mark --socket S list",
	} {
		code, _, errs := say(t, strings.ReplaceAll(line, "S", socket))
		if want := "no director reachable at " + socket + " (is `lvx run` running?)\n"; code != exitUsage || strings.TrimPrefix(errs, "lvx: ") != want {
			t.Errorf("lvx %s: %d, %q", line, code, errs)
		}
	}
}

func TestCalledIpvsadmItIsIpvsadm(t *testing.T) {
	t.Setenv("LVX_SOCKET", t.TempDir()+"/none")
	for line, want := range map[string]struct {
		code      int
		out, errs string
	}{
		"-h":                         {exitOK, "ipvsadm v1.31 ", ""},
		"-A -t 192.0.2.1:80 -s rr":   {exitUsage, "", "no director reachable at " + os.Getenv("LVX_SOCKET")},
		"-A -t 192.0.2.1:80 -r junk": {2, "", "illegal real server address"},
		"run":                        {255, "", "Try `ipvsadm -h'"},
	} {
		var stdout, stderr bytes.Buffer
		code := dispatch(t.Context(), append([]string{"/usr/local/sbin/ipvsadm"}, strings.Fields(line)...), stdio{strings.NewReader(""), &stdout, &stderr})
		if code != want.code || !strings.HasPrefix(stdout.String(), want.out) || !strings.HasPrefix(stderr.String(), want.errs) {
			t.Errorf("ipvsadm %s: %d, %q, %q", line, code, stdout.String(), stderr.String())
		}
	}
}
