package oracle

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lvx-lb/lvx/internal/oracle/record"
	"github.com/lvx-lb/lvx/service"
)

// What administrators do while traffic goes on.

func (a *author) editServer(name string) {
	if v, ok := a.any(0); ok && len(v.servers) > 0 {
		a.order(name, "-e "+a.serverText(a.at(v), choose(a, v.servers...)))
	}
}

func (a *author) quiesce(name string) {
	if v, ok := a.any(0); ok && len(v.servers) > 0 {
		rip := choose(a, v.servers...)
		a.order(name, fmt.Sprintf("-e %s -r %v -m -w 0%s", v.name, rip, v.limits[rip]))
	}
}

// at returns where service v is in the author's list.
func (a *author) at(v virtual) *virtual {
	return &a.services[slices.IndexFunc(a.services, func(s virtual) bool { return s.name == v.name })]
}

func (a *author) addServer(name string) {
	if v, ok := a.any(0); ok {
		a.order(name, "-a "+a.serverText(a.at(v), a.server(&v)))
	}
}

func (a *author) deleteServer(name string) {
	if v, ok := a.any(0); ok && len(v.servers) > 0 {
		// The author remembers it, so that it is added again and that its
		// packets still come.
		a.order(name, fmt.Sprintf("-d %s -r %v", v.name, choose(a, v.servers...)))
	}
}

func (a *author) editService(name string) {
	if v, ok := a.any(0); ok {
		mine := a.at(v)
		a.arrange(mine)
		a.order(name, "-E "+mine.text())
	}
}

func (a *author) replaceService(name string) {
	v, ok := a.any(0)
	if !ok {
		return
	}
	if a.IntN(3) > 0 {
		a.order(name, "-D "+v.name)
		return
	}
	mine := a.at(v)
	a.arrange(mine)
	a.order(name, "-A "+mine.text())
	for _, rip := range v.servers {
		a.order(name, "-a "+a.serverText(mine, rip))
	}
}

func (a *author) setTimeouts(name string) {
	a.order(name, fmt.Sprintf("--set %d %d %d", choose(a, 0, 40, 900), choose(a, 0, 20), choose(a, 0, 30)))
}

func (a *author) refused(name string) {
	if v, ok := a.any(0); ok {
		a.order(name, choose(a, "-A "+v.name+" -s rr", "-d "+v.name+" -r 10.9.9.9:1", "-e "+v.name+" -r 10.9.9.9:1 -m",
			"-D -t 203.0.113.100:4444", "-E -u 203.0.113.100:4444 -s rr", "-A -t 203.0.113.100:4445 -s nosuch", "-a -t 203.0.113.100:4446 -r 10.1.0.11:1 -m"))
	}
}

// changeSysctl sets one of IPVS's sysctls. Defences go up and down once a
// second.
func (a *author) changeSysctl(name string) {
	setting := choose(a, "conn_reuse_mode=0", "conn_reuse_mode=1", "conn_reuse_mode=2", "expire_nodest_conn=1", "expire_nodest_conn=0",
		"expire_quiescent_template=1", "expire_quiescent_template=0", "sloppy_tcp=1", "sloppy_tcp=0", "sloppy_sctp=1", "sloppy_sctp=0",
		"nat_icmp_send=1", "nat_icmp_send=0", "schedule_icmp=1", "schedule_icmp=0", "secure_tcp=3", "secure_tcp=0",
		"drop_packet=3", "drop_packet=0", "snat_reroute=0", "snat_reroute=1", "pmtu_disc=0", "run_estimation=0")
	a.add(record.Step{Kind: name + ": " + setting, Command: []string{"sysctl", "-qw", service.SysctlPrefix + setting}})
	if strings.HasPrefix(setting, "secure") || strings.HasPrefix(setting, "drop") {
		a.sleep(3 * time.Second)
	}
}
