package admin

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/lvx-lb/lvx/service"
)

func parseWords(words ...string) (Command, error) {
	names := testNames()
	return parse(words, &names)
}

func TestCommandsBecomeEdits(t *testing.T) {
	at := netip.MustParseAddrPort
	tcp := func(a string) service.Key { return service.Key{Protocol: service.TCP, Address: at(a)} }
	masq := func(a string, weight int) service.Server { return service.Server{Address: at(a), Weight: weight} }
	for line, want := range map[string]service.Edit{
		"-A -t 192.0.2.1:80": {Op: service.AddService, Service: service.Service{Key: tcp("192.0.2.1:80"), Scheduler: "wlc"}},
		"-A -t [2001:db8::1]:80 -s rr": {Op: service.AddService,
			Service: service.Service{Key: tcp("[2001:db8::1]:80"), Scheduler: "rr"}},
		"-E -u 192.0.2.1:53 -s mh -b flag-2,mh-fallback -p -M 255.255.255.0 -o": {Op: service.EditService, Service: service.Service{
			Key: service.Key{Protocol: service.UDP, Address: at("192.0.2.1:53")}, Scheduler: "mh", Flags: []string{"mh-fallback", "mh-port"},
			Persistent: 360 * time.Second, Netmask: 24, OnePacket: true}},
		"-A -t [2001:db8::1]:80 -p 5 -M 64": {Op: service.AddService,
			Service: service.Service{Key: tcp("[2001:db8::1]:80"), Scheduler: "wlc", Persistent: 5 * time.Second, Netmask: 64}},
		"-A -t 192.0.2.1:80 -p 5 -M 255.0.255.0": {Op: service.AddService, Service: service.Service{
			Key: tcp("192.0.2.1:80"), Scheduler: "wlc", Persistent: 5 * time.Second, Netmask: service.IPv4Mask(0xff00ff00)}},
		"-A -f 7 -p 5 -M 0.0.0.0": {Op: service.AddService, Service: service.Service{
			Key: service.Key{Mark: 7}, Scheduler: "wlc", Persistent: 5 * time.Second, Netmask: service.IPv4Mask(0)}},
		"-A -t 192.0.2.1:80 -p 5 -M 24": {Op: service.AddService, Service: service.Service{ // 0.0.0.24
			Key: tcp("192.0.2.1:80"), Scheduler: "wlc", Persistent: 5 * time.Second, Netmask: service.IPv4Mask(24)}},
		"-A -t 192.0.2.1:80 -p 5 -M 255.255.255.255": {Op: service.AddService, Service: service.Service{
			Key: tcp("192.0.2.1:80"), Scheduler: "wlc", Persistent: 5 * time.Second}},
		"-A -M 255.255.0.0 -p 5 -t [2001:db8::1]:80": {Op: service.AddService, Service: service.Service{ // forgotten
			Key: tcp("[2001:db8::1]:80"), Scheduler: "wlc", Persistent: 5 * time.Second}},
		"-A -f 7 -6": {Op: service.AddService, Service: service.Service{
			Key: service.Key{Mark: 7, Address: at("[::]:0")}, Scheduler: "wlc"}},
		"-A --sctp-service 192.0.2.1:9": {Op: service.AddService, Service: service.Service{
			Key: service.Key{Protocol: service.SCTP, Address: at("192.0.2.1:9")}, Scheduler: "wlc"}},
		"-D -f 7":              {Op: service.DeleteService, Service: service.Service{Key: service.Key{Mark: 7}}},
		"-D -t 192.0.2.1:http": {Op: service.DeleteService, Service: service.Service{Key: tcp("192.0.2.1:80")}},
		"-C":                   {Op: service.Clear},
		"-Z":                   {Op: service.Zero},
		"-Z -t 192.0.2.1:80":   {Op: service.Zero, Service: service.Service{Key: tcp("192.0.2.1:80")}},
		"--set 900 0 2678400":  {Op: service.SetTimeouts, Timeouts: service.Timeouts{TCP: 15 * time.Minute, UDP: 31 * 24 * time.Hour}},
		"-d -t 192.0.2.1:80 -r 10.0.0.1": {Op: service.DeleteServer,
			Service: service.Service{Key: tcp("192.0.2.1:80")}, Server: service.Server{Address: at("10.0.0.1:80")}},
		"-a -t 192.0.2.1:80 -r 10.0.0.1:8080 -m -w 3": {Op: service.AddServer,
			Service: service.Service{Key: tcp("192.0.2.1:80")}, Server: masq("10.0.0.1:8080", 3)},
		"-a -t 192.0.2.1:80 -r 10.0.0.1 -m": {Op: service.AddServer,
			Service: service.Service{Key: tcp("192.0.2.1:80")}, Server: masq("10.0.0.1:80", 1)},
		"-a -r 10.0.0.1 -t 192.0.2.1:80 -m": {Op: service.AddServer, // the port is copied before it is known
			Service: service.Service{Key: tcp("192.0.2.1:80")}, Server: masq("10.0.0.1:0", 1)},
		"-a -f 7 -r 10.0.0.1 -m": {Op: service.AddServer,
			Service: service.Service{Key: service.Key{Mark: 7}}, Server: masq("10.0.0.1:0", 1)},
		"-e -t 192.0.2.1:80 -r 10.0.0.1:8080 -x 9 -y 5": {Op: service.EditServer, // routing keeps the port
			Service: service.Service{Key: tcp("192.0.2.1:80")},
			Server:  service.Server{Address: at("10.0.0.1:80"), Method: service.Route, Weight: 1, Upper: 9, Lower: 5}},
		"-a -t [2001:db8::1]:80 -r 10.0.0.1 -i": {Op: service.AddServer,
			Service: service.Service{Key: tcp("[2001:db8::1]:80")},
			Server:  service.Server{Address: at("10.0.0.1:80"), Method: service.Tunnel, Weight: 1}},
	} {
		c, err := parseWords(strings.Fields(line)...)
		if err != nil || !reflect.DeepEqual(c.Edit, want) || c.Unsupported != "" {
			t.Errorf("%s: %v %q\ngot  %+v\nwant %+v", line, err, c.Unsupported, c.Edit, want)
		}
	}
}

func TestTheLastFormatOfAListWins(t *testing.T) {
	for line, want := range map[string]columns{
		"-l": weights, "-l --tun-info": tunnelColumns, "-l --persistent-conn --tun-info": persistentColumns,
		"-l --thresholds --persistent-conn": thresholdColumns, "-l --rate --thresholds": rateColumns,
		"-l --rate --stats --thresholds": statsColumns,
	} {
		if c, err := parseWords(strings.Fields(line)...); err != nil || c.listing.columns != want || c.Edit.Op != 0 {
			t.Errorf("%s: columns %d, %v", line, c.listing.columns, err)
		}
	}
}

func TestParseKnowsTheNamesOfTheSystem(t *testing.T) {
	c, err := Parse([]string{"-D", "-t", "192.0.2.1:80"})
	if err != nil || c.Edit.Service.Address.String() != "192.0.2.1:80" {
		t.Error(c, err)
	}
}

// FuzzParse holds that a line is refused with a code and a text, or becomes a
// command that its own rule makes again.
func FuzzParse(f *testing.F) {
	for _, line := range []string{
		"-A -t 192.0.2.1:80 -s rr", "-a -t [::1]:80 -r [::2] -m -w 5", "-Lnc", "--set 1 2 3", "-At=1.2:3 -ps", "-l --=-- -",
		"-A -f 7 -6 -p -M 64 -b flag-1", "-e -t 1.2.3.4:5 -r 6.7.8.9 -i --tun-type gue --tun-port 5 --tun-csum",
		"--start-daemon master --mcast-group ff02::1", "-A -u 1.2.3.4:domain -o",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		c, err := parseWords(strings.Split(line, " ")...)
		var wrong *UsageError
		switch {
		case errors.As(err, &wrong):
			if wrong.Text == "" || wrong.Code != 2 && wrong.Code != 255 {
				t.Errorf("%q: %+v", line, wrong)
			}
		case err != nil:
			t.Errorf("%q: %v is no usage error", line, err)
		case c.Unsupported == "" && c.Edit.Op == service.AddServer && c.Edit.Server.Method == service.Masq:
			again(t, line, c)
		}
	})
}

// again writes the rule of c's server and reads it back.
func again(t *testing.T, line string, c Command) {
	var rule strings.Builder
	list := []service.Configured{{Service: c.Edit.Service, Servers: []service.Server{c.Edit.Server}}}
	if err := service.WriteRules(&rule, list, service.Names{}); err != nil {
		t.Fatal(err)
	}
	_, second, _ := strings.Cut(rule.String(), "\n")
	back, err := parseWords(strings.Fields(second)...)
	back.Edit.Server.Upper, back.Edit.Server.Lower = c.Edit.Server.Upper, c.Edit.Server.Lower // -S loses them
	if err != nil || !reflect.DeepEqual(back.Edit, c.Edit) {
		t.Errorf("%q: %q: %v\ngot  %+v\nwant %+v", line, second, err, back.Edit, c.Edit)
	}
}
