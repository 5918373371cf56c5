"""Stateless UDP for a director under test: requests out of TRex port 0, to the
VIP, and answers out of port 1, of the same connections as seen by the servers.

    start -f bench/trex/udp.py -m 1mpps -t vip=192.0.2.1,flows=1032192,size=60
"""

import argparse
import os
import sys

from trex_stl_lib.api import (STLProfile, STLStream, STLTXCont, STLPktBuilder, STLScVmRaw,
                              STLVmTupleGen, STLVmWrFlowVar, STLVmFixChecksumHw, CTRexVmInsFixHwCs)

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import packets  # noqa: E402


class Requests(object):
    def get_streams(self, direction=0, tunables=(), **kwargs):
        p = argparse.ArgumentParser()
        p.add_argument("--vip", default="192.0.2.1")
        p.add_argument("--port", type=int, default=80)
        p.add_argument("--rip", default="10.1.0.11", help="server that the answers come from")
        p.add_argument("--rport", type=int, default=8080)
        p.add_argument("--client", default="10.0.0.1", help="first client address")
        p.add_argument("--flows", type=int, default=1000, help="also 64512, 258048, 1032192, 4128768, 16515072 as CSIT has them")
        p.add_argument("--size", default="60", help="bytes without FCS, or imix")
        a = p.parse_args(tunables)
        mix = packets.IMIX if a.size == "imix" else ((int(a.size), 1),)
        total = sum(share for _, share in mix)
        streams = []
        for size, share in mix:
            if direction == 0:
                frame, address, port = packets.request(a.vip, a.port, size, a.client), "IP.src", "UDP.sport"
            else:
                frame, address, port = packets.answer(a.rip, a.rport, size, a.client), "IP.dst", "UDP.dport"
            streams.append(STLStream(packet=STLPktBuilder(pkt=frame, vm=self.flows(a, address, port)),
                                     mode=STLTXCont(pps=float(share) / total)))
        return streams

    @staticmethod
    def flows(a, address, port):
        hosts, ports = packets.split(a.flows)
        first = a.client.split(".")
        number = sum(int(b) << (24 - 8 * i) for i, b in enumerate(first)) + hosts - 1
        last = ".".join(str(number >> s & 255) for s in (24, 16, 8, 0))
        return STLScVmRaw([
            STLVmTupleGen(name="flow", ip_min=a.client, ip_max=last, port_min=packets.FIRST_PORT,
                          port_max=packets.FIRST_PORT + ports - 1, limit_flows=a.flows),
            STLVmWrFlowVar(fv_name="flow.ip", pkt_offset=address),
            STLVmWrFlowVar(fv_name="flow.port", pkt_offset=port),
            STLVmFixChecksumHw(l3_offset="IP", l4_offset="UDP", l4_type=CTRexVmInsFixHwCs.L4_TYPE_UDP),
        ])


def register():
    return Requests()
