package rig

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
)

// vsftpdConf lets anybody read the files of a folder.
const vsftpdConf = `%[1]s=YES
%[2]s=%[3]s
background=NO
anonymous_enable=YES
no_anon_password=YES
anon_root=%[4]s
ftp_username=daemon
nopriv_user=nobody
secure_chroot_dir=%[5]s
local_enable=NO
connect_from_port_20=YES
port_enable=YES
pasv_min_port=50000
pasv_max_port=50099
isolate=NO
isolate_network=NO
seccomp_sandbox=NO
`

// FTP starts vsftpd in all servers, on all their addresses. Each serves the
// file "who" with its name, and what is in files by name.
func (r *Rig) FTP(files map[string][]byte) {
	r.T.Helper()
	for i, host := range r.Servers {
		dir, err := os.MkdirTemp("", "lvx-ftp-") // one that nobody can reach
		r.Must(err)
		r.T.Cleanup(func() { os.RemoveAll(dir) })
		root, empty := filepath.Join(dir, "root"), filepath.Join(dir, "empty")
		r.Must(os.Chmod(dir, 0o755), os.Mkdir(root, 0o755), os.Mkdir(empty, 0o755))
		r.Must(os.WriteFile(filepath.Join(root, "who"), []byte(host.Name+"\n"), 0o644))
		for name, text := range files {
			r.Must(os.WriteFile(filepath.Join(root, name), text, 0o644))
		}
		for _, own := range []struct{ listen, address, rip string }{
			{"listen", "listen_address", r.RIPs[i]}, {"listen_ipv6", "listen_address6", r.RIP6s[i]},
		} {
			conf := filepath.Join(dir, own.listen+".conf")
			r.Must(os.WriteFile(conf, fmt.Appendf(nil, vsftpdConf, own.listen, own.address, own.rip, root, empty), 0o600))
			r.start(host, exec.Command(r.need("vsftpd"), conf))
			r.listens(host, net.JoinHostPort(own.rip, "21"))
		}
	}
}
