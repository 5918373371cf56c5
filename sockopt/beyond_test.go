package sockopt

import (
	"strings"
	"testing"
)

func TestIPv6IsFoundInArguments(t *testing.T) {
	for line, want := range map[string]string{
		"-A -t [2001:db8::1]:80 -s rr":                   "2001:db8::1",
		"--add-service --tcp-service=[2001:db8::1]:http": "2001:db8::1",
		"-At[2001:db8::1]:80":                            "2001:db8::1",
		"-D -u 2001:db8::1":                              "2001:db8::1",
		"-A -f 5 -6":                                     "-6",
		"-A -f 5 --ipv6 -s rr":                           "--ipv6",
		"-a -t 192.0.2.1:80 -r [::ffff:10.0.0.1]:80 -m":  "::ffff:10.0.0.1",
		"-a -t 192.0.2.1:80 -r 10.0.0.1:80 -m -w 6":      "",
		"-A -t www.example.test:http -b flag-1,flag-2":   "",
		"-A -t [192.0.2.1]:80 -t [] -w [1":               "",
		"":                                               "",
	} {
		if got := beyondArguments(strings.Fields(line)); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

func TestIPv6IsFoundInKeepalivedsVirtualServers(t *testing.T) {
	for text, want := range map[string]string{
		"virtual_server 2001:db8::1 80 {\n\tlb_algo rr\n}\n":                                  "2001:db8::1",
		"virtual_server\t2001:db8::1\t80{}":                                                   "2001:db8::1",
		"virtual_server_group web {\n192.0.2.1 80\n2001:db8::10-1f 80\n}\n":                   "2001:db8::10-1f",
		"virtual_server_group web {\n2001:db8::/120 80\n}\n":                                  "2001:db8::/120",
		"virtual_server_group web {\nfwmark 7 inet6\n}\n":                                     "inet6",
		"virtual_server fwmark 7 {\nip_family inet6\n}\n":                                     "inet6",
		"$VIP=2001:db8::1\nvirtual_server $VIP 80 {\n}\n":                                     "2001:db8::1",
		"$V=2001:db8::1 \nvirtual_server_group g {\n192.0.2.1 80\n${V} 80\n}\n":               "2001:db8::1",
		"$V= \\\n2001:db8::1\nvirtual_server $V ${ $ $W":                                      "",
		"virtual_server 192.0.2.1 80 {\n\treal_server 10.0.0.1 80 {\n}\n}\n":                  "",
		"# virtual_server 2001:db8::1 80\n! virtual_server 2001:db8::1 80\n":                  "",
		"vrrp_instance a {\nvirtual_ipaddress {\n2001:db8::1/64\n}\nunicast_peer { fd00::1 }": "",
		"virtual_server_group web { 192.0.2.1 80 }\nvirtual_ipaddress { 2001:db8::1 inet6 }":  "",
		"virtual_server": "",
	} {
		if got := beyondConfiguration(text); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// Whatever the text, what is found is a word of it.
func FuzzBeyond(f *testing.F) {
	f.Add("virtual_server_group web {\nfwmark 7 inet6\n}\nvirtual_server 2001:db8::1 80 {}\n")
	f.Add("-A -t [2001:db8::1]:80 -6")
	f.Fuzz(func(t *testing.T, text string) {
		for _, got := range []string{beyondConfiguration(text), beyondArguments(strings.Fields(text))} {
			if !strings.Contains(text, got) {
				t.Errorf("%q is not in %q", got, text)
			}
		}
	})
}
