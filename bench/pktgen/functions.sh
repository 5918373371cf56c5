# What the scripts beside it write to pktgen. PKTGEN names another folder than
# the kernel's, for a test.

PKTGEN=${PKTGEN:-/proc/net/pktgen}

# put FILE COMMAND: pktgen answers in the file whether it took the command.
put() {
	file=$PKTGEN/$1
	shift
	[ -z "$VERBOSE" ] || echo "$file < $*" >&2
	echo "$*" >"$file" || fail "pktgen refuses '$*' ($file)"
	if grep -q '^Result: .*ERROR' "$file" 2>/dev/null; then
		fail "pktgen: $(grep '^Result:' "$file"): $*"
	fi
}

begin() {
	[ -d "$PKTGEN" ] || modprobe pktgen || fail "this kernel has no pktgen (CONFIG_NET_PKTGEN)"
	put pgctrl reset
}

# number ADDRESS and address NUMBER turn IPv4 addresses into numbers and back.
number() {
	echo "$1" | { IFS=. read -r a b c d; echo $((a << 24 | b << 16 | c << 8 | d)); }
}

address() {
	echo "$(($1 >> 24 & 255)).$(($1 >> 16 & 255)).$(($1 >> 8 & 255)).$(($1 & 255))"
}

# sources THREAD PORTS: the source ports from 1024 on, PORTS of them at most, of
# as many addresses as the flows take; each thread has addresses of its own. Both
# count up with every packet. Sets ports, addresses and first.
sources() {
	ports=$((FLOWS < $2 ? FLOWS : $2))
	addresses=$(((FLOWS + $2 - 1) / $2))
	put "$device" udp_src_min 1024
	put "$device" udp_src_max $((1024 + ports)) # that one is not used
	if [ -n "$IP6" ]; then
		put "$device" src6 "$SOURCE"
		return
	fi
	first=$(($(number "$SOURCE") + $1 * addresses))
	put "$device" src_min "$(address $first)"
	put "$device" src_max "$(address $((first + addresses - 1)))"
}

# shuffled THREAD: sources in random order.
shuffled() {
	sources "$1" 64511
	[ "$ports" -eq 1 ] || put "$device" flag UDPSRC_RND
	[ -z "$IP6" ] && [ "$addresses" -gt 1 ] || return 0
	put "$device" src_max "$(address $((first + addresses)))" # at random that one is not used
	put "$device" flag IPSRC_RND
}

# device THREAD: gives it the NIC, with everything that all scripts have in
# common. Sets device, pktgen's name for that.
device() {
	device=$NIC@$((FIRST + $1))
	put "kpktgend_$((FIRST + $1))" rem_device_all
	put "kpktgend_$((FIRST + $1))" add_device "$device"
	put "$device" count "$COUNT"
	put "$device" clone_skb "$CLONES"
	put "$device" pkt_size "$SIZE"
	put "$device" delay "$DELAY"
	[ "$DELAY" -gt 0 ] || put "$device" burst "$BURST"
	put "$device" flag NO_TIMESTAMP
	put "$device" dst_mac "$MAC"
	put "$device" "dst$IP6" "$VIP"
	put "$device" udp_dst_min "${PORT%-*}"
	put "$device" udp_dst_max $((${PORT#*-} + (${PORT%-*} == ${PORT#*-} ? 0 : 1)))
	put "$device" flag UDPCSUM
	put "$device" flag QUEUE_MAP_CPU
}

# run sends until all frames are sent or it is interrupted, and reports.
run() {
	trap 'put pgctrl stop' INT TERM
	put pgctrl start
	for t in $(seq 0 $((THREADS - 1))); do
		grep -A3 '^Result:' "$PKTGEN/$NIC@$((FIRST + t))" || true
	done
}
