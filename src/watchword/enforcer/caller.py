"""The process that a ping is made of: one connection attempt from inside a unit's cgroup and network namespace.

Run as a file, with the standard library alone, so that it starts quickly and weighs little where it goes. It says
what it does and sees, a line of JSON each, and ends when its standard input does::

    {"begun": {"cookie": …, "local": …, "port": …, "mtu": …}}   connect() has been called
    {"seen": {"out": …, "flags": …, "time": …, …}}   a segment of this attempt; time in ns since 1970
    {"opened": {"rtt": …}}                            the handshake is complete (never of a quiet attempt), or an answer
                                                      to another protocol's packet has come; µs
    {"ended": errno}                                  connect() has failed
    {"failed": …}                                     it could not even be tried, and why

A *quiet* attempt stops when the answer has been judged: a filter of the socket takes the SYN-ACK away after the
datapath's programs have seen it, so that no third segment leaves and the listening application sees nothing. Of other
protocols one packet is sent: an echo request, or an empty UDP datagram.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import select
import signal
import socket
import struct
import sys
import time

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_SO_ATTACH_FILTER, _SO_TIMESTAMPNS, _SO_COOKIE = 26, 35, 57  # asm-generic/socket.h
_SOL_PACKET, _PACKET_OUTGOING = 263, 4  # linux/if_packet.h
_ETH_P_ALL, _ETH_P_IP, _ETH_P_IPV6 = 3, 0x0800, 0x86DD
_IP_MTU, _IPV6_MTU = 14, 24  # linux/in.h, linux/in6.h
_TCPI_RTT = 68  # offset in struct tcp_info, microseconds
_SNAP = 256  # bytes of a segment that are looked at

_SYN, _RST, _ACK = 0x02, 0x04, 0x10
_KIND, _EXID = 253, 0x5757  # of the identity option
_MSS = 2

#: Classic BPF (linux/bpf_common.h): load a word, half-word or byte, load at X, the length of an IPv4 header into X.
_LD, _LDH, _LDB, _LDXH, _LDXB4 = 0x20, 0x28, 0x30, 0x48, 0xB1
_JEQ, _JSET, _RET = 0x15, 0x45, 0x06
_PROTOCOL = 0xFFFFF000  # SKF_AD_OFF + SKF_AD_PROTOCOL

Instruction = tuple[int, int, int, int]


def main(cgroup: str, namespace: int, protocol: int, to: tuple[str, int], quiet: bool) -> None:
    """Call an address and port from that cgroup (a directory) and network namespace (a descriptor; -1: ours)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if namespace >= 0:
        _enter(namespace)
    family = socket.AF_INET6 if ":" in to[0] else socket.AF_INET
    if protocol != socket.IPPROTO_TCP:
        _move(cgroup)
        kind = socket.SOCK_DGRAM if protocol == socket.IPPROTO_UDP else socket.SOCK_RAW
        with socket.socket(family, kind, protocol) as call:
            _attempt_datagram(call, to, protocol)
        return
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL)) as tap:
        _filter(tap, [(_RET, 0, 0, 0)])  # until the port is known
        _move(cgroup)
        with socket.socket(family, socket.SOCK_STREAM) as call:
            _attempt(tap, call, to, quiet)


def _move(cgroup: str) -> None:
    with open(os.path.join(cgroup, "cgroup.procs"), "w") as processes:
        processes.write("0")


def _enter(namespace: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWNET) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "the unit's network namespace")


def _attempt(tap: socket.socket, call: socket.socket, to: tuple[str, int], quiet: bool) -> None:
    call.setblocking(False)
    call.bind(("", 0))
    tap.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    while True:  # what came before there was a filter is none of ours
        try:
            tap.recv(1, socket.MSG_DONTWAIT)
        except BlockingIOError:
            break
    _filter(tap, _segments_of(call.getsockname()[1]))
    if quiet:
        _filter(call, [(_LDB, 0, 0, 13), (_JSET, 0, 1, _RST), (_RET, 0, 0, 0xFFFFFFFF), (_RET, 0, 0, 0)])
    else:
        call.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # its close sends RST
    number = call.connect_ex(to)
    cookie = int.from_bytes(call.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8), sys.byteorder)
    local, port = call.getsockname()[:2]
    _say("begun", {"cookie": cookie, "local": local, "port": port, "mtu": _mtu(call)})
    if number not in (0, errno.EINPROGRESS):
        _say("ended", number)
    _watch(tap, call, number in (0, errno.EINPROGRESS))


def _mtu(call: socket.socket) -> int:
    """What the kernel believes fits through the path; 0 where there is none."""
    six = call.family == socket.AF_INET6
    try:
        return call.getsockopt(*((socket.IPPROTO_IPV6, _IPV6_MTU) if six else (socket.IPPROTO_IP, _IP_MTU)))
    except OSError:
        return 0


def _watch(tap: socket.socket, call: socket.socket, under_way: bool) -> None:
    """Tell of what happens until nobody listens any more."""
    waiting = select.poll()
    waiting.register(sys.stdin, select.POLLIN)
    waiting.register(tap, select.POLLIN)
    if under_way:
        waiting.register(call, select.POLLOUT)
    while True:
        ready = dict(waiting.poll())
        _tell_segments(tap)  # first: what comes to the socket has passed the device before
        if call.fileno() in ready:
            waiting.unregister(call)
            number = call.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                _say("ended", number)
            else:
                info = call.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
                _say("opened", {"rtt": struct.unpack_from("=I", info, _TCPI_RTT)[0]})
        if sys.stdin.fileno() in ready:
            return


def _say(kind: str, what: object) -> None:
    sys.stdout.write(json.dumps({kind: what}) + "\n")
    sys.stdout.flush()


# --- datagrams ---------------------------------------------------------------------------------------


def _attempt_datagram(call: socket.socket, to: tuple[str, int], protocol: int) -> None:
    identifier = os.getpid() & 0xFFFF
    udp = protocol == socket.IPPROTO_UDP
    call.connect(to if udp else (to[0], 0))
    local, port = call.getsockname()[:2]
    _say("begun", {"cookie": 0, "local": local, "port": port if udp else identifier, "mtu": _mtu(call)})
    sent = time.monotonic_ns()
    try:
        call.send(b"" if udp else echo_request(protocol, identifier))
        waiting = select.poll()
        waiting.register(sys.stdin, select.POLLIN)
        waiting.register(call, select.POLLIN)
        while sys.stdin.fileno() not in (ready := dict(waiting.poll())):
            if call.fileno() in ready and _answer(call, protocol, identifier):
                _say("opened", {"rtt": max(1, (time.monotonic_ns() - sent) // 1000)})
                waiting.unregister(call)
    except OSError as error:
        _say("ended", error.errno)
        sys.stdin.read()


def _answer(call: socket.socket, protocol: int, identifier: int) -> bool:
    """Whether what has come answers; raises what an ICMP error says."""
    packet = call.recv(2048)
    if protocol == socket.IPPROTO_UDP:
        return True
    at = (packet[0] & 15) * 4 if protocol == socket.IPPROTO_ICMP else 0  # a raw IPv4 socket gets the header too
    reply = 0 if protocol == socket.IPPROTO_ICMP else 129
    return len(packet) >= at + 8 and packet[at] == reply and packet[at + 4 : at + 6] == identifier.to_bytes(2, "big")


def echo_request(protocol: int, identifier: int) -> bytes:
    """An ICMP or ICMPv6 echo request without payload; the kernel makes the latter's checksum (RFC 3542)."""
    kind = 8 if protocol == socket.IPPROTO_ICMP else 128
    total = (kind << 8) + identifier + 1
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return struct.pack("!BBHHH", kind, 0, checksum, identifier, 1)


# --- segments ---------------------------------------------------------------------------------------


def _filter(on: socket.socket, program: list[Instruction]) -> None:
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in program))
    on.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(program), ctypes.addressof(code)))


def _segments_of(port: int) -> list[Instruction]:
    """TCP segments from or to this port, with plain IPv4 and IPv6 headers."""
    return [
        (_LD, 0, 0, _PROTOCOL),
        (_JEQ, 0, 8, _ETH_P_IP),
        (_LDB, 0, 0, 9),
        (_JEQ, 0, 13, socket.IPPROTO_TCP),
        (_LDXB4, 0, 0, 0),
        (_LDXH, 0, 0, 0),
        (_JEQ, 11, 0, port),
        (_LDXH, 0, 0, 2),
        (_JEQ, 9, 0, port),
        (_RET, 0, 0, 0),
        (_JEQ, 0, 6, _ETH_P_IPV6),
        (_LDB, 0, 0, 6),
        (_JEQ, 0, 4, socket.IPPROTO_TCP),
        (_LDH, 0, 0, 40),
        (_JEQ, 3, 0, port),
        (_LDH, 0, 0, 42),
        (_JEQ, 1, 0, port),
        (_RET, 0, 0, 0),
        (_RET, 0, 0, _SNAP),
    ]


def _tell_segments(tap: socket.socket) -> None:
    while True:
        try:
            packet, stamps, _, where = tap.recvmsg(_SNAP, 64, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        seconds, nanoseconds = struct.unpack("=qq", stamps[0][2][:16])
        seen = segment(packet)
        if seen:
            out = where[2] == _PACKET_OUTGOING
            _say("seen", {"out": out, "device": where[0], "time": seconds * 10**9 + nanoseconds, **seen})


def segment(packet: bytes) -> dict[str, object]:
    """What matters of a TCP segment, from its IP header on; empty for anything else."""
    if len(packet) < 40:
        return {}
    six = packet[0] >> 4 == 6
    at = 40 if six else (packet[0] & 15) * 4
    if len(packet) < at + 20:
        return {}
    number, answered, offset, flags = struct.unpack_from("!IIBB", packet, at + 4)
    options = packet[at + 20 : at + (offset >> 4) * 4]
    maximum, identity = _options(options)
    return {
        "flags": flags,
        "sequence": number,
        "acknowledged": answered,
        "ttl": packet[7] if six else packet[8],
        "mss": maximum,
        "identity": identity.hex(),
    }


def _options(options: bytes) -> tuple[int, bytes]:
    """The maximum segment size, and what the identity option holds; 0 and nothing where there is none."""
    maximum, identity, at = 0, b"", 0
    while at < len(options) and options[at]:
        if options[at] == 1:
            at += 1
            continue
        length = options[at + 1] if at + 1 < len(options) else 0
        if length < 2 or at + length > len(options):
            break
        if options[at] == _MSS and length == 4:
            maximum = int.from_bytes(options[at + 2 : at + 4], "big")
        elif options[at] == _KIND and length > 4 and int.from_bytes(options[at + 2 : at + 4], "big") == _EXID:
            identity = options[at + 2 : at + length]
        at += length
    return maximum, identity


if __name__ == "__main__":
    try:
        main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), (sys.argv[4], int(sys.argv[5])), sys.argv[6] == "quiet")
    except OSError as error:
        _say("failed", str(error))
