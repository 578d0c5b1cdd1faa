"""Whether the running kernel offers a BPF helper to a type of program, asked by loading a program of two instructions.

libbpf has such a probe, but that of 1.1 (Debian 12) reads the verifier's words of its own time: newer kernels say
"program of this type cannot use helper", which it takes for a yes.
"""

from __future__ import annotations

import ctypes
import os
import struct

_LOG_SIZE = 1 << 16
_REFUSALS = (b"unknown func", b"invalid func", b"cannot use helper")

#: expected_attach_type that a program type needs before the verifier looks at it.
_ATTACH = {18: 10}  # cgroup_sock_addr: BPF_CGROUP_INET4_CONNECT


class _LoadOptions(ctypes.Structure):
    """struct bpf_prog_load_opts of libbpf."""

    _fields_ = [
        ("sz", ctypes.c_size_t),
        ("attempts", ctypes.c_int),
        ("expected_attach_type", ctypes.c_int),
        ("prog_btf_fd", ctypes.c_uint32),
        ("prog_flags", ctypes.c_uint32),
        ("prog_ifindex", ctypes.c_uint32),
        ("kern_version", ctypes.c_uint32),
        ("attach_btf_id", ctypes.c_uint32),
        ("attach_prog_fd", ctypes.c_uint32),
        ("attach_btf_obj_fd", ctypes.c_uint32),
        ("fd_array", ctypes.c_void_p),
        ("func_info", ctypes.c_void_p),
        ("func_info_cnt", ctypes.c_uint32),
        ("func_info_rec_size", ctypes.c_uint32),
        ("line_info", ctypes.c_void_p),
        ("line_info_cnt", ctypes.c_uint32),
        ("line_info_rec_size", ctypes.c_uint32),
        ("log_level", ctypes.c_uint32),
        ("log_size", ctypes.c_uint32),
        ("log_buf", ctypes.c_void_p),
    ]


def offers(library: ctypes.CDLL, program_type: int, helper: int) -> int:
    """1 if the kernel offers the helper there, 0 if not, a negative errno if it does not say."""
    call = struct.pack("<BBhi", 0x85, 0, 0, helper)
    leave = struct.pack("<BBhi", 0x95, 0, 0, 0)
    log = ctypes.create_string_buffer(_LOG_SIZE)
    options = _LoadOptions(
        sz=ctypes.sizeof(_LoadOptions),
        expected_attach_type=_ATTACH.get(program_type, 0),
        log_level=1,
        log_size=_LOG_SIZE,
        log_buf=ctypes.addressof(log),
    )
    loaded: int = library.bpf_prog_load(program_type, b"probe", b"GPL", call + leave, 2, ctypes.byref(options))
    if loaded >= 0:
        os.close(loaded)
        return 1
    if any(words in log.value for words in _REFUSALS):
        return 0
    # Called without arguments, a helper that is there is refused for its arguments, in words that name a register.
    return 1 if b"R1" in log.value or b"R0" in log.value else loaded
