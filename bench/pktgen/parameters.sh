# Options as those of the kernel's samples/pktgen, and --flows.
# Sourced by the scripts beside it.

usage() {
	cat <<-END
	Usage: $0 -i NIC -d VIP -m MAC [options]
	  -i NIC         to send from
	  -d ADDRESS     destination: the VIP, IPv4, or IPv6 with -6
	  -m MAC         destination: the director's public NIC
	  -p PORT        destination port, or FIRST-LAST (80)
	  -s BYTES       frame without FCS (60; IPv6 at least 78)
	  -t THREADS     each on a CPU (1)
	  -f CPU         the first CPU (0)
	  -c CLONES      copies of one frame, where flows do not matter (0)
	  -n COUNT       frames a thread, 0 = until interrupted (0)
	  -b BURST       how often each frame is sent, at once (1); -n may be exceeded by one burst
	  -w NS          time between two frames (0)
	  -F FLOWS       flows a thread, by source address and port (1000)
	  -S ADDRESS     first source address (10.0.0.1)
	  -6             IPv6, with the one source address -S; ports alone make the
	                 flows, at most 64511, and all threads send the same ones
	  -v             print what is written to pktgen
	END
}

fail() { echo "$0: $*" >&2; exit 1; }

NIC= VIP= MAC= PORT=80 SIZE=60 THREADS=1 FIRST=0 CLONES=0 COUNT=0 BURST=1 DELAY=0 FLOWS=1000 SOURCE= IP6= VERBOSE=
while getopts "i:d:m:p:s:t:f:c:n:b:w:F:S:6vh" option; do
	case $option in
	i) NIC=$OPTARG ;;
	d) VIP=$OPTARG ;;
	m) MAC=$OPTARG ;;
	p) PORT=$OPTARG ;;
	s) SIZE=$OPTARG ;;
	t) THREADS=$OPTARG ;;
	f) FIRST=$OPTARG ;;
	c) CLONES=$OPTARG ;;
	n) COUNT=$OPTARG ;;
	b) BURST=$OPTARG ;;
	w) DELAY=$OPTARG ;;
	F) FLOWS=$OPTARG ;;
	S) SOURCE=$OPTARG ;;
	6) IP6=6 ;;
	v) VERBOSE=yes ;;
	h) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
done
[ -n "$NIC" ] && [ -n "$VIP" ] && [ -n "$MAC" ] || { usage >&2; exit 2; }
# pktgen takes what is no number for 0, and a short IPv6 frame for a longer one.
case $SIZE$THREADS$FIRST$CLONES$COUNT$BURST$DELAY$FLOWS$PORT in
*[!0-9-]*) fail "numbers are needed, PORT or FIRST-LAST after -p" ;;
esac
if [ -n "$IP6" ]; then
	[ -n "$SOURCE" ] || fail "-6 needs -S: pktgen's own choice is link-local, which no router forwards"
	[ "$SIZE" -ge 78 ] || SIZE=78
fi
SOURCE=${SOURCE:-10.0.0.1}
