"""The loaded programs, run on packets by BPF_PROG_RUN.

The kernel runs them with a socket that it makes for the occasion: one of no kind, in the cgroup and network namespace
of whoever calls. So ``enforce`` is reached as by a raw socket of the caller's unit, and ``stamp`` as by what it sends;
the handshakes of TCP take real sockets.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from pathlib import Path

from watchword.enforcer.datapath.ebpf import libbpf

_ETHER = bytes(12)
_TYPES = {4: b"\x08\x00", 6: b"\x86\xdd"}
_IFINDEX_AT, _CONTEXT = 40, 44
_ROOM = 66000
PASS_IN, LET_OUT, SHOT, REDIRECT = 1, 0xFFFFFFFF, 2, 7


class Program:
    """One loaded program behind a pinned link, and a device for the packets to be on."""

    def __init__(self, link: Path, device: str) -> None:
        pinned = libbpf.pinned(str(link))
        if pinned is None:
            raise FileNotFoundError(f"nothing is pinned at {link}")
        self._fd = libbpf.program_of_id(libbpf.link_program(f"ask for the program of {link.name}", pinned))
        os.close(pinned)
        self._context = ctypes.create_string_buffer(_CONTEXT)
        struct.pack_into("=I", self._context, _IFINDEX_AT, socket.if_nametoindex(device))
        self._data = ctypes.create_string_buffer(_ROOM)
        self._options = libbpf.TestRunOptions(sz=ctypes.sizeof(libbpf.TestRunOptions), repeat=1, ctx_size_in=_CONTEXT)
        self._options.data_in = ctypes.cast(self._data, ctypes.c_char_p)
        self._out = ctypes.create_string_buffer(_ROOM)
        self._options.data_out = ctypes.addressof(self._out)
        self._options.ctx_in = ctypes.addressof(self._context)
        self._at = memoryview(self._data).cast("B")
        self._run = libbpf.library().bpf_prog_test_run_opts
        self._run.restype, self._run.argtypes = ctypes.c_int, [ctypes.c_int, ctypes.c_void_p]
        self._reference = ctypes.addressof(self._options)

    def run(self, packet: bytes) -> int | None:
        """What the program returns for an IP packet in an Ethernet frame; None where the kernel takes no such frame."""
        frame = _ETHER + _TYPES.get(packet[0] >> 4 if packet else 0, b"\x08\x00") + packet
        self._at[: len(frame)] = frame
        self._options.data_size_in = len(frame)
        self._options.data_size_out = _ROOM  # the call before has left its own size here
        if self._run(self._fd, self._reference) == 0:
            return int(self._options.retval)
        if len(packet) < 40:  # some kernels want a whole IP header behind that of Ethernet
            return None
        number = ctypes.get_errno()
        raise OSError(number, f"BPF_PROG_RUN of {len(packet)} bytes: {os.strerror(number)}")

    def left(self) -> bytes:
        """The IP packet that the last run has made of its own."""
        return self._out.raw[len(_ETHER) + 2 : self._options.data_size_out]

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)
