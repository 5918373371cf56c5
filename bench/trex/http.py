"""Stateful HTTP for a director under test: TRex is the clients, on port 0, and
the servers, on port 1. It follows the translated addresses by itself.

    ./t-rex-64 -i --astf
    start -f bench/trex/http.py -m 1000 -t vip=192.0.2.1,bytes=1000
"""

import argparse

from trex.astf.api import (ASTFProfile, ASTFTemplate, ASTFTCPClientTemplate, ASTFTCPServerTemplate, ASTFProgram,
                           ASTFIPGen, ASTFIPGenDist, ASTFIPGenGlobal, ASTFAssociationRule, ASTFGlobalInfo)

REQUEST = b"GET / HTTP/1.1\r\nHost: vip\r\nConnection: close\r\n\r\n"


def response(n):
    body = b"x" * n
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % n + body


class Calls(object):
    def get_profile(self, tunables=(), **kwargs):
        p = argparse.ArgumentParser()
        p.add_argument("--vip", default="192.0.2.1")
        p.add_argument("--port", type=int, default=80)
        p.add_argument("--rport", type=int, default=8080, help="port of the servers")
        p.add_argument("--clients", default="10.0.0.1-10.0.15.254")
        p.add_argument("--bytes", type=int, default=100, help="of an answer")
        a = p.parse_args(tunables)
        answer = response(a.bytes)
        client = ASTFProgram()
        client.send(REQUEST)
        client.recv(len(answer))
        server = ASTFProgram()
        server.recv(len(REQUEST))
        server.send(answer)
        addresses = ASTFIPGen(glob=ASTFIPGenGlobal(ip_offset="0.0.0.0"),
                              dist_client=ASTFIPGenDist(ip_range=a.clients.split("-"), distribution="seq"),
                              dist_server=ASTFIPGenDist(ip_range=[a.vip, a.vip], distribution="seq"))
        info = ASTFGlobalInfo()
        info.tcp.mss = 1460
        return ASTFProfile(
            default_ip_gen=addresses, default_c_glob_info=info, default_s_glob_info=info,
            templates=[ASTFTemplate(
                client_template=ASTFTCPClientTemplate(program=client, ip_gen=addresses, port=a.port, cps=1),
                # The servers see the director's translation.
                server_template=ASTFTCPServerTemplate(program=server, assoc=ASTFAssociationRule(port=a.rport)))])


def register():
    return Calls()
