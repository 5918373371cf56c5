package rig

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lvx-lb/lvx/internal/netlab"
)

// nginxConf answers every request with the server's name and the client that
// it sees, and serves files below /files/.
const nginxConf = `daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile 16384;
pid %[1]s/pid;
error_log %[1]s/error.log;
events { worker_connections 8192; }
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	server {
%[2]s
		location / { return 200 "%[3]s $remote_addr\n"; }
		location /files/ { alias %[4]s/; }
	}
}
`

// need finds a program that Debian has a package for.
func (r *Rig) need(program string) string {
	r.T.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + program)
	}
	if err != nil {
		r.T.Fatalf("%s is not installed: .ci/packages installs it", program)
	}
	return path
}

// Nginx starts nginx in all servers, on the given ports of all their
// addresses. The folder's files are served below /files/.
func (r *Rig) Nginx(folder string, ports ...string) {
	r.T.Helper()
	for i, host := range r.Servers {
		r.Must(host.Sysctl("net.core.somaxconn", "16384"))
		dir := filepath.Join(r.Dir, "nginx-"+host.Name)
		r.Must(os.MkdirAll(dir, 0o700))
		var addresses []string
		var listen strings.Builder
		for _, port := range ports {
			for _, rip := range []string{r.RIPs[i], r.RIP6s[i]} {
				address := net.JoinHostPort(rip, port)
				fmt.Fprintf(&listen, "\t\tlisten %s backlog=16384;\n", address)
				addresses = append(addresses, address)
			}
		}
		conf := filepath.Join(dir, "nginx.conf")
		r.Must(os.WriteFile(conf, fmt.Appendf(nil, nginxConf, dir, listen.String(), host.Name, folder), 0o600))
		r.start(host, exec.Command(r.need("nginx"), "-e", dir+"/error.log", "-c", conf))
		r.listens(host, addresses...)
	}
}

// Iperf starts iperf3 in the first server.
func (r *Rig) Iperf() {
	r.T.Helper()
	r.start(r.Servers[0], exec.Command(r.need("iperf3"), "-s", "-B", r.RIPs[0]))
	r.listens(r.Servers[0], r.RIPs[0]+":5201")
}

func (r *Rig) start(host *netlab.Host, cmd *exec.Cmd) {
	r.T.Helper()
	_, err := host.Start(cmd)
	r.Must(err)
}

// listens waits until programs of the host accept connections. It makes none:
// iperf3 would not listen for a moment after it.
func (r *Rig) listens(host *netlab.Host, addresses ...string) {
	r.T.Helper()
	r.Until(host.Name+" listens on "+strings.Join(addresses, ", "), func() bool {
		list := r.Run(host, "ss", "-Hltn")
		return !slices.ContainsFunc(addresses, func(a string) bool { return !strings.Contains(list, " "+a+" ") })
	})
}

// Run runs a program in a host and returns what it printed; an error fails
// the test.
func (r *Rig) Run(host *netlab.Host, program string, args ...string) string {
	r.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*Patience)
	defer cancel()
	out, err := host.Run(ctx, r.need(program), args...)
	if err != nil {
		r.T.Fatalf("%s: %s %s: %v: %s", host.Name, program, strings.Join(args, " "), err, out)
	}
	return out
}

// Curl asks for a page from a host and returns the server's answer.
func (r *Rig) Curl(host *netlab.Host, url string) string {
	r.T.Helper()
	return strings.TrimSpace(r.Run(host, "curl", "-gsS", "--max-time", "30", url))
}

// Echo answers datagrams in all servers with the server's name and what was
// sent.
func (r *Rig) Echo(port string) {
	r.T.Helper()
	for i, host := range r.Servers {
		for _, rip := range []string{r.RIPs[i], r.RIP6s[i]} {
			c, err := host.ListenPacket("udp", net.JoinHostPort(rip, port))
			r.Must(err)
			r.T.Cleanup(func() { c.Close() })
			go echo(c, host.Name)
		}
	}
}

func echo(c net.PacketConn, name string) {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		c.WriteTo(append([]byte(name+" "), buf[:n]...), from)
	}
}
