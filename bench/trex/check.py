#!/usr/bin/env python3
"""Checks what can be checked without a TRex: the packets, by writing them as a
capture for another decoder, and the search."""

import sys

from scapy.utils import wrpcap

import ndr
import packets

ETHER = packets.Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")  # else scapy asks the network
frames = []
for vip, rip, client, least in (("192.0.2.1", "10.1.0.11", "10.0.0.1", 60), ("2001:db8::1", "fd00::11", "fd00:10::1", 62)):
    for size in (least, 590, 1514):
        for frame in (packets.request(vip, 80, size, client, ETHER), packets.answer(rip, 8080, size, client, ETHER)):
            assert len(frame) == size, (len(frame), size)
            frames.append(frame)
wrpcap(sys.argv[1], frames)

for flows in (1, 1000, 64512, 258048, 1032192, 4128768, 16515072):
    hosts, ports = packets.split(flows)
    assert hosts * ports == flows, flows
    assert packets.FIRST_PORT + ports <= 65536, flows

for limit in (1e5, 1.234e6, 9.9e6):
    lossless = lambda rate: 0 if rate <= limit else 1 - limit / rate
    found = ndr.search(lossless, 10e6, 0)
    assert limit * 0.99 < found <= limit, (limit, found)
    with_loss = ndr.search(lossless, 10e6, ndr.PDR)
    assert found <= with_loss <= limit * 1.006, (limit, with_loss)
assert ndr.search(lambda rate: 0, 10e6, 0) == 10e6
