package twonic

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/lvx-lb/lvx/internal/integration/rig"
	"github.com/lvx-lb/lvx/internal/netlab"
)

func TestWhatIsSavedIsRestoredWhileConnectionsGoOn(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Nginx(t.TempDir(), "8080")
	r.Direct("--strict", "--deviate", "short-fragment-wait")
	if info := r.Info(); !strings.Contains(info, "deviations from IPVS: short-fragment-wait\n") {
		t.Errorf("lvx info:\n%s", info)
	}
	r.Rules("--set 800 0 0", "-A -t "+r.VIP+":80 -s wrr -p 60",
		fmt.Sprintf("-a -t %s:80 -r %s:8080 -m -w 2 -x 10 -y 5", r.VIP, r.RIPs[1]),
		fmt.Sprintf("-a -t %s:80 -r %s:8080 -m", r.VIP, r.RIPs[0]))
	r.Adm("sysctl sloppy_tcp=1")
	must := func(out string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return out
	}
	saved := must(r.Try("", "save"))
	held := r.Hold(r.Client, 1, r.VIP+":80")[0]
	defer held.Close()

	r.Rules("-A -u " + r.VIP + ":53 -s rr")
	r.Adm("--set 7 7 7")
	if out, err := r.Try(saved+"-a -t 192.0.2.1:1 -r 192.0.2.2 -m\n", "restore"); err == nil || !strings.Contains(out+err.Error(), ":6: ") {
		t.Errorf("a wrong line: %v: %s", err, out)
	}
	if list := r.Adm("-Ln"); !strings.Contains(list, "UDP") {
		t.Errorf("a wrong file has changed something:\n%s", list)
	}
	must(r.Try(saved, "restore"))
	if again := must(r.Try("", "save")); again != saved {
		t.Errorf("saved\n%sand again\n%s", saved, again)
	}
	if _, err := held.Write([]byte("GET / HTTP/1.0\r\n\r\n")); err != nil {
		t.Error(err)
	}
	if n, err := held.Read(make([]byte, 10)); n == 0 || err != nil {
		t.Errorf("the connection has not outlived it: %v", err)
	}
	readByIpvsadm(r, must(r.Try("", "save", "--ipvsadm")))
}

// readByIpvsadm has Debian's program read what was saved for it.
func readByIpvsadm(r *rig.Rig, saved string) {
	r.T.Helper()
	needProgram(r.T, "ipvsadm")
	r.Adm("-C")
	r.Adm("--set 7 7 7")
	cmd := exec.Command(rig.Executable(r.T), "exec", "--socket", r.Socket, "--", "ipvsadm", "-R")
	cmd.Stdin = strings.NewReader(saved)
	if out, err := r.Director.Output(cmd); err != nil || out != "" {
		r.T.Errorf("ipvsadm -R: %v: %s", err, out)
	}
	if again, err := r.Try("", "save", "--ipvsadm"); err != nil || again != saved {
		r.T.Errorf("saved\n%sand after ipvsadm -R: %v\n%s", saved, err, again)
	}
}
