#!/bin/sh
# Every packet is a new flow: source ports and addresses count up one after the
# other and begin again only after -F flows. Give the director a table for as
# many (lvx run --conns).
#
#   bench/pktgen/newflows.sh -i eth1 -m 02:00:00:00:00:01 -d 192.0.2.1 -F 16000000
set -eu
dir=$(dirname "$0")
. "$dir/parameters.sh"
. "$dir/functions.sh"
[ -z "$IP6" ] || fail "pktgen cannot count up IPv6 addresses"
begin
for t in $(seq 0 $((THREADS - 1))); do
	device "$t"
	sources "$t" 64499 # a prime number of ports makes all pairs different
done
run
