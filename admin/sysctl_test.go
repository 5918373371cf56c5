package admin

import (
	"strings"
	"testing"
)

func TestSysctlShowsAndChangesSettings(t *testing.T) {
	path := serve(t, build(t), nil)
	run := func(line string) (code int, out, errs string) {
		var o, e strings.Builder
		code = RunSysctl(t.Context(), strings.Fields(line), &o, &e, path)
		return code, o.String(), e.String()
	}
	for _, c := range []struct {
		line      string
		code      int
		out, errs string
	}{
		{"conn_reuse_mode", 0, "net.ipv4.vs.conn_reuse_mode = 1\n", ""},
		{"-w net.ipv4.vs.drop_entry=2 sloppy_tcp=1", 0, "net.ipv4.vs.drop_entry = 2\nnet.ipv4.vs.sloppy_tcp = 1\n", ""},
		{"net.ipv4.vs.drop_entry sloppy_sctp", 0, "net.ipv4.vs.drop_entry = 2\nnet.ipv4.vs.sloppy_sctp = 0\n", ""},
		{"conntrack sloppy_tcp", 255, "net.ipv4.vs.sloppy_tcp = 1\n", "conntrack is not supported: netfilter does not see the connections\n"},
		{"sync_version=0", 255, "", "set sysctl sync_version: sync_version is not supported: there are no sync daemons\n"},
		{"nonsense", 255, "", "no such sysctl: nonsense\n"},
		{"sloppy_tcp=7", 255, "", "set sysctl sloppy_tcp: number out of range: sloppy_tcp takes 0 to 1\n"},
		{"nonsense=1 secure_tcp=3", 255, "", "set sysctl nonsense: no such sysctl: nonsense\n"},
		{"secure_tcp", 0, "net.ipv4.vs.secure_tcp = 0\n", ""}, // all or none
		{"sloppy_tcp=on", 2, "", "invalid operation: \"sloppy_tcp=on\" is not NAME=NUMBER\n"},
		{"-x", 2, "", "lvx adm sysctl: unknown option -x; `lvx adm sysctl -h` tells the options\n"},
		{"", 2, "", strings.TrimSpace(sysctlHelp) + "\n"},
		{"-h", 0, sysctlHelp, ""},
	} {
		if code, out, errs := run(c.line); code != c.code || out != c.out || errs != c.errs {
			t.Errorf("sysctl %s: %d\n%s%s", c.line, code, out, errs)
		}
	}
	if _, out, _ := run("-a"); strings.Count(out, "\n") != 14 || !strings.HasPrefix(out, "net.ipv4.vs.am_droprate = 10\n") {
		t.Errorf("sysctl -a:\n%s", out)
	}
}

func TestSysctlWithoutADirectorSaysSo(t *testing.T) {
	var out, errs strings.Builder
	if code := RunSysctl(t.Context(), []string{"-a"}, &out, &errs, t.TempDir()+"/none"); code != 2 || !strings.Contains(errs.String(), "no director reachable") {
		t.Errorf("%d: %s", code, errs.String())
	}
	path := serve(t, broken{}, nil)
	for _, line := range []string{"-a", "sloppy_tcp=1"} {
		errs.Reset()
		if code := RunSysctl(t.Context(), []string{line}, &out, &errs, path); code != 255 || errs.String() != errFire.Error()+"\n" {
			t.Errorf("%s: %d: %s", line, code, errs.String())
		}
	}
}
