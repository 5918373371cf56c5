#!/usr/bin/env python3
"""Searches the highest rate without loss (NDR) and with at most 0.5 % loss
(PDR), with the profile udp.py and a TRex server that runs already.

    bench/trex/ndr.py --top 10e6 --tunables vip=192.0.2.1,flows=64512
"""

import argparse
import os
import sys

PDR = 0.005


def search(trial, top, loss, width=0.005, confirm=2):
    """Returns the highest rate of which a trial loses no more than loss. trial
    takes a rate and returns the share lost. A rate holds if it does so confirm
    times; the search ends when the interval is width of its upper end."""
    low, high = 0.0, float(top)
    holds = lambda rate: all(trial(rate) <= loss for _ in range(confirm))
    if holds(high):
        return high
    while high - low > width * high:
        middle = (low + high) / 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low


def trex_trial(client, profile, tunables, seconds):
    from trex_stl_lib.api import STLProfile

    def trial(rate):
        client.reset(ports=[0, 1])
        for direction in (0, 1):
            streams = STLProfile.load_py(profile, direction=direction, **tunables).get_streams()
            client.add_streams(streams, ports=[direction])
        client.clear_stats()
        client.start(ports=[0, 1], mult="%dpps" % (rate / 2), duration=seconds)
        client.wait_on_traffic(ports=[0, 1])
        stats = client.get_stats()
        sent, got = stats["total"]["opackets"], stats["total"]["ipackets"]
        print("%.3f Mpps offered: %.4f %% lost" % (rate / 1e6, 100.0 * max(sent - got, 0) / max(sent, 1)))
        return max(sent - got, 0) / float(max(sent, 1))

    return trial


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--server", default="127.0.0.1")
    p.add_argument("--top", type=float, default=10e6, help="frames a second, both directions together")
    p.add_argument("--seconds", type=float, default=10, help="of a trial; RFC 2544 has 60")
    p.add_argument("--tunables", default="", help="of udp.py: name=value,...")
    a = p.parse_args()
    from trex_stl_lib.api import STLClient
    tunables = dict(t.split("=", 1) for t in a.tunables.split(",") if t)
    profile = os.path.join(os.path.dirname(os.path.abspath(__file__)), "udp.py")
    client = STLClient(server=a.server)
    client.connect()
    try:
        client.acquire(ports=[0, 1], force=True)
        trial = trex_trial(client, profile, tunables, a.seconds)
        ndr = search(trial, a.top, 0.0)
        pdr = search(trial, a.top, PDR)
        print("NDR %.3f Mpps, PDR (%.1f %%) %.3f Mpps" % (ndr / 1e6, 100 * PDR, pdr / 1e6))
    finally:
        client.disconnect()
    return 0


if __name__ == "__main__":
    sys.exit(main())
