"""The packets of the stateless profile, by scapy alone: check.py looks at them
without a TRex."""

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

# The scales of the CSIT NAT44 suites: 63 ports of each of 1024 * 4^i hosts.
CSIT_PORTS = 63
CSIT_HOSTS = {1024 * 4**i * CSIT_PORTS: 1024 * 4**i for i in range(5)}

# Frames without FCS and how often each comes: the simple Internet mix.
IMIX = ((60, 7), (590, 4), (1514, 1))

FIRST_PORT = 1024


def request(vip, port, size, client="10.0.0.1", ether=None):
    """A frame of a client to the service, of size bytes without FCS. TRex fills
    in the MAC addresses, unless ether has some."""
    ip = IPv6(src=client, dst=vip) if ":" in vip else IP(src=client, dst=vip, flags="DF")
    frame = (ether or Ether()) / ip / UDP(sport=FIRST_PORT, dport=port)
    return pad(frame, size)


def answer(rip, port, size, client="10.0.0.1", ether=None):
    """A frame of a server to a client."""
    ip = IPv6(src=rip, dst=client) if ":" in rip else IP(src=rip, dst=client, flags="DF")
    frame = (ether or Ether()) / ip / UDP(sport=port, dport=FIRST_PORT)
    return pad(frame, size)


def pad(frame, size):
    room = size - len(frame)
    if room < 0:
        raise ValueError("a frame of %d bytes has no room for its headers" % size)
    return frame / Raw(b"x" * room)


def split(flows):
    """How many hosts and ports make that many flows."""
    if flows in CSIT_HOSTS:
        return CSIT_HOSTS[flows], CSIT_PORTS
    ports = min(flows, 64512)
    return -(-flows // ports), ports
