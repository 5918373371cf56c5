package twonic

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lvx-lb/lvx/internal/integration/rig"
	"github.com/lvx-lb/lvx/internal/netlab"
)

// instance is one end of VRRP.
const instance = `
vrrp_instance outside {
	interface %s
	use_vmac
	state BACKUP
	version 3
	virtual_router_id 7
	priority %d
	advert_int 0.1
	virtual_ipaddress { 172.25.8.111/32 }
%s
}
`

const failOver = `
global_defs {
	script_user root
	enable_script_security
}
virtual_server 172.25.8.111 80 {
	lb_algo rr
	lb_kind NAT
	protocol TCP
	real_server RIP1 8080 {
	}
}
`

// The VIP moves to a better director, here the client, and back. A script that
// is told of it asks ipvsadm, and reaches lvx.
func TestVRRPMovesAVIPWithItsMACAddress(t *testing.T) {
	needProgram(t, "keepalived")
	needProgram(t, "ipvsadm")
	r := rig.New(t, netlab.TwoNIC)
	greet(r, r.Servers[0], r.RIPs[0]+":8080", "one")
	r.Direct()
	told := filepath.Join(r.Dir, "told")
	notify := "\tnotify_master \"/bin/sh -c 'echo master >> TOLD; ipvsadm -S -n >> TOLD'\"\n\tnotify_backup \"/bin/sh -c 'echo backup >> TOLD'\"\n"
	k := newKeepalived(r, failOver+fmt.Sprintf(instance, "pub0", 100, strings.ReplaceAll(notify, "TOLD", told)), "-n", "-l")
	const rules = "-A -t 172.25.8.111:80 -s rr\n-a -t 172.25.8.111:80 -r 172.25.254.2:8080 -m -w 1\n"
	hears := func(words string) {
		t.Helper()
		r.Until("scripts are told: "+words, func() bool {
			text, _ := os.ReadFile(told)
			return string(text) == words
		})
	}
	hears("backup\nmaster\n" + rules)
	r.Until("the VIP reaches the server", func() bool { return greeted(r, floating+":80") == "one" })
	if hop := r.Run(r.Client, "ip", "neigh", "show", floating); !strings.Contains(hop, "00:00:5e:00:01:07") {
		t.Errorf("the client sends to %s", hop)
	}

	conf := filepath.Join(r.Dir, "better.conf")
	r.Must(os.WriteFile(conf, fmt.Appendf(nil, instance, "eth0", 200, ""), 0o600))
	better, err := r.Client.Start(exec.Command("keepalived", "-n", "-P", "-f", conf, "-p", conf+".pid", "-r", conf+".vrrp"))
	r.Must(err)
	hears("backup\nmaster\n" + rules + "backup\n")
	r.Must(better.Signal(unix.SIGTERM), better.Wait())
	hears("backup\nmaster\n" + rules + "backup\nmaster\n" + rules)
	r.Until("the VIP is back and reaches the server", func() bool { return greeted(r, floating+":80") == "one" })
	k.stop()
	r.Stop()
}
