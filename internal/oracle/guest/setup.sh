# The network of all three directors. Neighbours are permanent, with the MAC
# address that the twin derives from an address: 0a, its length, its last four
# bytes. Only 10.1.0.99 is nobody's.
set -e
modprobe -a crc32c_generic tun ip_vs_ftp nf_tables
mac() { printf '0a:04:%02x:%02x:%02x:%02x' $(echo $1 | tr . ' '); }
director() {
	n=$1
	$n sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 \
		net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
		net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.default.send_redirects=0 \
		net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.router_solicitations=0
	$n ip link set lo up
	for nic in pub0 prv0; do $n ip tuntap add dev $nic mode tap vnet_hdr; done
	$n ip link set pub0 address 02:00:00:00:00:d1 up
	$n ip link set prv0 address 02:00:00:00:00:d2 up
	for a in 203.0.113.2/24 203.0.113.100/32 203.0.113.101/32 2001:db8:1::2/64 2001:db8:1::100/128; do $n ip addr add $a dev pub0; done
	for a in 10.1.0.1/24 fd00:1::1/64; do $n ip addr add $a dev prv0; done
	for k in 31 32 33 50 51 52 53 54 254; do $n ip neigh add 203.0.113.$k lladdr $(mac 203.0.113.$k) dev pub0; done
	for k in 11 12 13 14 15 16 61 62 63; do $n ip neigh add 10.1.0.$k lladdr $(mac 10.1.0.$k) dev prv0; done
	for k in 50 51 52 53; do $n ip neigh add 2001:db8:1::$k lladdr 0a:10:00:00:00:$k dev pub0; done
	for k in 11 12 13 14 15 16; do $n ip neigh add fd00:1::$k lladdr 0a:10:00:00:00:$k dev prv0; done
	$n ip route add 198.51.100.0/24 via 203.0.113.254
	$n ip route add 203.0.113.53/32 dev pub0 mtu lock 1300
	$n ip route add 10.1.0.15/32 dev prv0 mtu lock 1200
	$n ip -6 route add 2001:db8:1::53/128 dev pub0 mtu lock 1300
	$n ip -6 route add fd00:1::15/128 dev prv0 mtu lock 1290
	for kind in 78:unreachable 79:prohibit 80:blackhole; do
		$n ip route add ${kind#*:} 192.168.${kind%:*}.0/24
		$n ip -6 route add ${kind#*:} 2001:db8:${kind%:*}::/64
	done
}
director
# Idle time is what takes longest: as little as possible is to happen in it.
sysctl -qw vm.stat_interval=3600 vm.dirty_writeback_centisecs=0 || true
# Here every packet to a service is an error: do not run out of answers.
sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0 net.ipv4.icmp_msgs_per_sec=100000 net.ipv4.icmp_msgs_burst=100000 net.ipv4.route.error_cost=0
for side in ipvs lvx; do
	ip netns add $side
	director "ip netns exec $side"
done
