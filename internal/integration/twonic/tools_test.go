package twonic

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/lvx-lb/lvx/internal/integration/rig"
	"github.com/lvx-lb/lvx/internal/netlab"
)

// unmodified runs a program of Debian's under `lvx exec` and returns its
// output.
func unmodified(r *rig.Rig, program string, args ...string) string {
	r.T.Helper()
	cmd := exec.Command(rig.Executable(r.T), append([]string{"exec", "--socket", r.Socket, "--", program}, args...)...)
	out, err := r.Director.Output(cmd)
	if err != nil {
		r.T.Fatalf("%s %s: %v: %s", program, strings.Join(args, " "), err, out)
	}
	return out
}

// alike waits until ipvsadm and lvx adm print the same list, which it returns:
// the last packets of connections may be counted between the two.
func alike(r *rig.Rig, list string) (got string) {
	r.T.Helper()
	var want string
	defer func() {
		if got != want {
			r.T.Logf("ipvsadm %s:\n%slvx adm:\n%s", list, got, want)
		}
	}()
	r.Until("ipvsadm and lvx adm agree on "+list, func() bool {
		got, want = unmodified(r, "ipvsadm", strings.Fields(list)...), r.Adm(list)
		return got == want
	})
	return got
}

func needProgram(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skip(program + " is not installed")
	}
}

func TestDebiansIpvsadmCommandsTheDirector(t *testing.T) {
	needProgram(t, "ipvsadm")
	r := rig.New(t, netlab.TwoNIC)
	r.Nginx(t.TempDir(), "8080")
	r.Direct()
	unmodified(r, "ipvsadm", "-A", "-t", r.VIP+":80", "-s", "rr")
	for _, rip := range r.RIPs {
		unmodified(r, "ipvsadm", "-a", "-t", r.VIP+":80", "-r", rip+":8080", "-m")
	}
	if got := answers(r, url(r.VIP, "80"), 4); strings.Join(got, " ") != "server2 server1 server2 server1" {
		t.Errorf("answers: %v", got)
	}
	// Rows come in any order, and deadlines pass.
	r.Until("ipvsadm lists four connections that are over", func() bool {
		return strings.Count(unmodified(r, "ipvsadm", "-Lnc"), "TIME_WAIT   "+r.CIP) == 4
	})
	for _, list := range []string{"-Ln", "-Ln --stats --exact", "-S -n", "-L --timeout"} {
		alike(r, list)
	}
	// A script that asks lvx means the same director.
	if got, want := unmodified(r, "sh", "-c", "cd /; "+rig.Executable(t)+" adm -S -n"), r.Adm("-S -n"); got != want {
		t.Errorf("lvx adm under lvx exec:\n%swithout:\n%s", got, want)
	}
	unmodified(r, "ipvsadm", "-e", "-t", r.VIP+":80", "-r", r.RIPs[0]+":8080", "-m", "-w", "0")
	if got := answers(r, url(r.VIP, "80"), 2); strings.Join(got, " ") != "server2 server2" {
		t.Errorf("answers without server1: %v", got)
	}
	unmodified(r, "ipvsadm", "-d", "-t", r.VIP+":80", "-r", r.RIPs[0]+":8080")
	unmodified(r, "ipvsadm", "-Z")
	unmodified(r, "ipvsadm", "--set", "60", "0", "0")
	unmodified(r, "ipvsadm", "-D", "-t", r.VIP+":80")
	if got := unmodified(r, "ipvsadm", "-S", "-n"); got != "" {
		t.Errorf("left:\n%s", got)
	}
}
