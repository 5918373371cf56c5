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

# flows THREAD DEVICE: the source ports 1024-65534 of as many addresses as it
# takes; each thread has addresses of its own.
flows() {
	thread=$1 device=$2
	ports=$((FLOWS < 64511 ? FLOWS : 64511))
	put "$device" udp_src_min 1024
	put "$device" udp_src_max $((1024 + ports)) # that one is not used
	[ "$FLOWS" -eq 1 ] || put "$device" flag UDPSRC_RND
	[ -z "$IP6" ] || return 0
	addresses=$(((FLOWS + 64510) / 64511))
	first=$(($(number "$SOURCE") + thread * addresses))
	put "$device" src_min "$(address $first)"
	put "$device" src_max "$(address $((first + addresses - 1)))"
	[ "$addresses" -eq 1 ] || put "$device" flag IPSRC_RND
}

# device THREAD DEVICE: everything that all scripts have in common.
device() {
	put "$2" count "$COUNT"
	put "$2" clone_skb "$CLONES"
	put "$2" pkt_size "$SIZE"
	put "$2" delay "$DELAY"
	[ "$DELAY" -gt 0 ] || put "$2" burst "$BURST"
	put "$2" flag NO_TIMESTAMP
	put "$2" dst_mac "$MAC"
	put "$2" "dst$IP6" "$VIP"
	put "$2" udp_dst_min "${PORT%-*}"
	put "$2" udp_dst_max $((${PORT#*-} + (${PORT%-*} == ${PORT#*-} ? 0 : 1)))
	put "$2" flag UDPCSUM
	flows "$1" "$2"
}

# run sends until all frames are sent or it is interrupted, and reports.
run() {
	trap 'put pgctrl stop' INT TERM
	put pgctrl start || true
	for t in $(seq 0 $((THREADS - 1))); do
		grep -A3 '^Result:' "$PKTGEN/$NIC@$((FIRST + t))" || true
	done
}
