#!/bin/sh
# Floods a director with UDP packets of many flows by the kernel's pktgen, one
# thread a CPU: the queue of the NIC with the thread's number is used.
#
#   bench/pktgen/flood.sh -i eth1 -m 02:00:00:00:00:01 -d 192.0.2.1 -F 100000 -t 4
#
# The director needs `ipvsadm -A -u 192.0.2.1:80` with servers, and a route to
# the source addresses (-S). Count at the servers: lvx bench sink -i eth1.
set -eu
dir=$(dirname "$0")
. "$dir/parameters.sh"
. "$dir/functions.sh"
begin
for t in $(seq 0 $((THREADS - 1))); do
	device "$t"
	shuffled "$t"
done
run
