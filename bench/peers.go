package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/lvx-lb/lvx/internal/netlab"
)

// Configurations of the programs that stand beside lvx in the TCP rows. Each
// has one thread.
const (
	haproxyConf = `global
	nbthread 1
	maxconn 9000
defaults
	mode tcp
	timeout connect 5s
	timeout client 30s
	timeout server 30s
frontend web
	bind %[1]s:%[2]d
	default_backend servers
backend servers
	balance roundrobin
	server a %[3]s:%[4]d
	server b %[5]s:%[4]d
frontend bulk
	bind %[1]s:%[6]d
	default_backend bulk
backend bulk
	server a %[3]s:%[6]d
`
	streamConf = `load_module %[8]s;
daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile 16384;
pid %[7]s/stream.pid;
error_log %[7]s/stream.log;
events { worker_connections 8192; }
stream {
	upstream web { server %[3]s:%[4]d; server %[5]s:%[4]d; }
	server { listen %[1]s:%[2]d backlog=16384; proxy_pass web; }
	server { listen %[1]s:%[6]d; proxy_pass %[3]s:%[6]d; }
}
`
	webConf = `daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile 16384;
pid %[1]s/web.pid;
error_log %[1]s/web.log;
events { worker_connections 8192; }
http {
	access_log off;
	keepalive_requests 1000000;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	server {
		listen %[2]s:%[4]d backlog=16384;
		listen %[3]s:%[4]d backlog=16384;
		location / { return 200 "ok"; }
	}
}
`
)

// run starts a program with a configuration file in a host.
func (s *Site) run(h *netlab.Host, name, program, conf string, args ...string) (*netlab.Process, error) {
	path, err := find(program)
	if err != nil {
		return nil, err
	}
	if conf != "" {
		file := filepath.Join(s.Dir, name+".conf")
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			return nil, err
		}
		args = append(args, file)
	}
	log, err := os.Create(filepath.Join(s.Dir, name+".out"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = log, log
	return h.Start(cmd)
}

// streamModule is what nginx needs beside itself.
const streamModule = "ngx_stream_module.so"

func proxyConf(format, dir, module string) string {
	return fmt.Sprintf(format+"# %[7]s %[8]s\n", vip, virtualPort, rips[0], realPort, rips[1], throughput, dir, module)
}

func startHAProxy(c *Contender) (err error) {
	// Without -db it would leave the process that can be stopped.
	c.process, err = c.run(c.Director, "haproxy", "haproxy", proxyConf(haproxyConf, "", ""), "-db", "-f")
	return err
}

func startNginxStream(c *Contender) error {
	module, err := find(streamModule)
	if err != nil {
		return err
	}
	c.process, err = c.run(c.Director, "stream", "nginx", proxyConf(streamConf, c.Dir, module), "-e", c.Dir+"/stream.log", "-c")
	return err
}

// serve starts the web server and iperf3 on both servers' addresses.
func (s *Site) serve() error {
	conf := fmt.Sprintf(webConf, s.Dir, rips[0], rips[1], realPort)
	if _, err := s.run(s.Server, "web", "nginx", conf, "-e", s.Dir+"/web.log", "-c"); err != nil {
		return err
	}
	_, err := s.run(s.Server, "iperf3", "iperf3", "", "-s")
	return err
}
