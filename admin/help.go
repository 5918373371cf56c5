package admin

// ipvsVersion is the version of IPVS whose lists are printed here.
const ipvsVersion = "1.2.1"

const versionText = "ipvsadm v1.31 2019/12/24 (as lvx understands it, with IPVS v" + ipvsVersion + ")\n"

const helpText = versionText + `
Commands an lvx director in the words of ipvsadm. The first option is the
command; short options may be joined, long ones may be written --name=VALUE.

  -A --add-service SERVICE [-s NAME] [-b FLAGS]    new virtual service
  -E --edit-service SERVICE [-s NAME] [-b FLAGS]   change one; what is not given becomes the default
  -D --delete-service SERVICE                      delete one and its servers
  -C --clear                                       delete all
  -a --add-server SERVICE -r SERVER -m [-w N]      new real server
  -e --edit-server SERVICE -r SERVER -m [-w N]     change one; what is not given becomes the default
  -d --delete-server SERVICE -r SERVER             delete one
  -L -l --list [SERVICE] [options]                 list services and servers; also without any command
  -Z --zero [SERVICE]                              set counters to zero
  -S --save [-n]                                   write the rules to standard output
  -R --restore                                     carry out rules from standard input, line by line
     --set TCP TCPFIN UDP                          timeouts in seconds, 0 leaves one alone
  -h --help, -v --version                          this text, the version

SERVICE
  -t --tcp-service HOST:PORT                       HOST is a name, an IPv4 address, or [IPv6]
  -u --udp-service HOST:PORT                       PORT is a number or a name
     --sctp-service HOST:PORT
  -f --fwmark-service MARK [-6]                    packets that lvx mark marks; -6 those over IPv6

Options of services and servers
  -s --scheduler NAME                              rr wrr lc wlc lblc lblcr dh sh sed nq fo ovf mh
                                                   twos; wlc unless given
  -b --sched-flags FLAGS                           mh-fallback,mh-port for mh; sh-fallback,sh-port for sh
  -p --persistent [SECONDS]                        a client keeps its server, 360 s unless given; a
                                                   service of port 0 needs it
  -M --netmask MASK                                what -p takes for one client: the bits of its IPv4
                                                   address, how many of IPv6; all unless given
  -o --ops                                         UDP: each datagram to the next server
  -r --real-server HOST[:PORT]                     the service's port unless given
  -m --masquerading                                forward by NAT; must be given
  -w --weight N                                    1 unless given; 0 takes no new connections
  -x --u-threshold N, -y --l-threshold N           connections that overload the server, and below
                                                   how many it has recovered

Options of lists
  -n --numeric                                     numbers instead of names
  -c --connection                                  connections
     --timeout                                     the three timeouts
     --daemon                                      sync daemons: there are none
     --stats, --rate                               counters; rates, in bytes a second
  -X --exact                                       numbers in full
     --thresholds, --persistent-conn, --tun-info   other columns
     --nosort                                      in the director's own order
     --sort                                        the default

Understood but not carried out yet (exit code 255)
  -g, -i and --tun-...      forwarding by routing or tunnels; -g is what ipvsadm does without -m
  --pe                      persistence engines
  --start-daemon, --stop-daemon with --syncid, --sync-maxlen, --mcast-...

lvx mark -h tells which packets have a mark, lvx adm sysctl -h of IPVS's sysctls.

Exit codes: 0 done, 1 nothing to list, 2 wrong arguments or no director,
255 the director said no.
`
