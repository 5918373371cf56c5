package vm

import "testing"

func TestADriverResetUnderLoadIsSurvived(t *testing.T) {
	for _, kernel := range []string{"newest", "6.1"} {
		t.Run("igb on "+kernel, func(t *testing.T) {
			if short() {
				t.Skip("not in the short form")
			}
			l := twoNICs(t, kernel, "igb", "igb", 1)
			l.direct("")
			l.sh(`touch /tmp/load
				while [ -e /tmp/load ]; do
					ip netns exec cl curl -s -m 150 -o /tmp/got http://%s/file; echo "$? $(cmp /tmp/file /tmp/got)" >>/tmp/loaded
				done >/dev/null 2>&1 &`, vip)
			l.await("load", "[ -e /tmp/loaded ]")
			for range 2 {
				// Both reset the NIC: they start autonegotiation, or make new rings.
				l.sh("ethtool -r d0; ethtool -r d1; sleep 1")
				l.await("carrier", "cat /sys/class/net/d[01]/carrier | grep -c 1 | grep -q 2")
				l.sh("ethtool -G d0 rx 512 tx 512 || ethtool -G d0 rx 256 tx 256; sleep 1")
				l.sh("ethtool -G d0 rx 256 tx 256")
			}
			l.sh("rm /tmp/load")
			l.await("the end of the load", "! pgrep -f /tmp/got")
			l.sh(`sleep 1; ! grep -v '^0 $' /tmp/loaded`)
			t.Logf("%s downloads, all whole", l.sh("grep -c . /tmp/loaded"))
			l.forwards()
			l.halt()
		})
	}
}
