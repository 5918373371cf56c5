package twonic

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lvx-lb/lvx/internal/integration/rig"
	"github.com/lvx-lb/lvx/internal/netlab"
)

// addresses returns what `ip` shows of the director's public NIC.
func addresses(r *rig.Rig) string {
	return r.Run(r.Director, "ip", "-o", "address", "show", "dev", r.Public)
}

func TestTheNextDirectorRemovesTheAddressesOfAKilledOne(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Direct("--add-vips")
	r.Rules("-A -t 172.25.8.111:80 -s rr", "-A -t [fd00:8::111]:80 -s rr", "-A -t 172.25.8.112:80 -s rr")
	r.Kill()
	if got := addresses(r); !strings.Contains(got, "172.25.8.111/32") || !strings.Contains(got, "fd00:8::111/128") {
		t.Fatalf("a killed director left\n%s", got)
	}
	r.Direct()
	r.Rules("-A -t 172.25.8.111:80 -s rr")
	if got := addresses(r); strings.Contains(got, "172.25.8.112/32") || strings.Contains(got, "fd00:8::111") {
		t.Errorf("addresses of no service stay:\n%s", got)
	}
	r.Stop()
	if got := addresses(r); strings.Contains(got, "111") {
		t.Errorf("addresses that nobody else added stay:\n%s", got)
	}
}

func TestTheNextDirectorRemovesTheVethOfAKilledOne(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Direct("--mode", "generic")
	r.Kill()
	r.Direct()
	r.Stop()
	if links := r.Run(r.Director, "ip", "-o", "link"); strings.Contains(links, "lvx0") {
		t.Errorf("it stays:\n%s", links)
	}
}

func TestTroubleWithANICIsToldAndItsEnd(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Direct()
	said := func(words string) func() bool {
		return func() bool { return strings.Contains(r.Log(), words) }
	}
	r.Must(r.Director.Down(r.Private))
	r.Until("the log tells of a NIC that is down", said("ip link set "+r.Private+" up"))
	r.Must(r.Director.Up(r.Private))
	r.Until("the log tells that it works", said("works again"))
	r.Must(r.Director.SetMTU(r.Private, 9000))
	r.Until("the log tells of an MTU", said("its MTU is 9000"))
	r.Stop()
}

// The kernel takes IPv6 addresses from a NIC that goes down.
func TestAnAddedAddressComesBackWithItsNIC(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Direct("--add-vips")
	r.Rules("-A -t [fd00:8::111]:80 -s rr", "-A -t 172.25.8.111:80 -s rr")
	r.Must(r.Director.Down(r.Public))
	r.Until("the kernel took the address", func() bool { return !strings.Contains(addresses(r), "fd00:8::111") })
	r.Must(r.Director.Up(r.Public))
	r.Until("the address is back", func() bool { return strings.Contains(addresses(r), "fd00:8::111/128") })
	r.Stop()
	if got := addresses(r); strings.Contains(got, "111") {
		t.Errorf("addresses stay:\n%s", got)
	}
}

func TestADeletedNICIsNamedAndTheRestGoesOn(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Direct()
	r.Rules("-A -t 172.25.8.110:80 -s rr")
	r.Run(r.Director, "ip", "link", "delete", r.Private)
	r.Until("the log names the NIC", func() bool { return strings.Contains(r.Log(), "a NIC is gone") })
	if got := r.Adm("-S -n"); !strings.Contains(got, "172.25.8.110:80") {
		t.Errorf("rules: %q", got)
	}
	r.Stop()
}

// left returns what of a director can be found on its machine.
func left(r *rig.Rig, nic string) string {
	return r.Run(r.Director, "sh", "-c", "ip -o link | grep -o xdp; ip -o address show dev "+nic+" | grep 111; sysctl -n net.ipv4.conf.all.send_redirects net.ipv4.conf."+nic+".send_redirects; true")
}

func TestTheEndOfItsTerminalEndsADirectorInOrder(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	before := left(r, r.Public)
	r.Direct("--add-vips")
	r.Rules("-A -t 172.25.8.111:80 -s rr")
	r.Balanced()
	if err := r.Hangup(); err != nil {
		t.Error(err)
	}
	if after := left(r, r.Public); after != before {
		t.Errorf("before:\n%safter:\n%s", before, after)
	}
}

func TestARenamedNICGoesOnAndGetsItsSettingsBack(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	before := left(r, r.Public)
	r.Direct("--add-vips")
	r.Rules(append(r.V4().Services("-t", "80", "rr", "8080"), "-A -t 172.25.8.111:80 -s rr")...)
	// Before Linux 6.2 only a NIC that is down can be renamed.
	r.Run(r.Director, "sh", "-c", "ip link set pub0 name wan0 || { ip link set pub0 down && ip link set pub0 name wan0 && ip link set wan0 up; }")
	r.Until("the log tells the new name", func() bool { return strings.Contains(r.Log(), "wan0") })
	r.Nginx(t.TempDir(), "8080")
	answers(r, url(r.VIP, "80"), 2)
	r.Stop()
	if after := left(r, "wan0"); after != before {
		t.Errorf("before:\n%safter:\n%s", before, after)
	}
}

func TestANoteThatCannotBeReadIsNamed(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	path := filepath.Join(r.Dir, "nic.json")
	r.Must(os.WriteFile(path, []byte("{"), 0o600))
	out, err := r.TryRun("--public", r.Public, "--private", r.Private)
	if err == nil || !strings.Contains(out, path) || strings.Count(out, "\n") != 1 {
		t.Errorf("%v, %q", err, out)
	}
}

// Every refusal is one line, however many modes were tried, and comes before
// memory is taken.
func TestImpossibleValuesAreRefusedInOneLine(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	for _, args := range []string{"--rings 100", "--rings 100000000", "--conns -5", "--workers 99", "--name a-name-too-long", "--mode foo"} {
		out, err := r.TryRun(append([]string{"--nic", r.Public}, strings.Fields(args)...)...)
		if err == nil || strings.Count(out, "\n") != 1 || !strings.HasPrefix(out, "lvx") {
			t.Errorf("%s: %v, %q", args, err, out)
		}
	}
}
