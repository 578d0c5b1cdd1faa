"""The BPF programs that are in the running kernel, whoever brought them."""

from __future__ import annotations

import ctypes
import errno
import os

from watchword.enforcer.datapath.base import DatapathError
from watchword.enforcer.datapath.ebpf import libbpf
from watchword.enforcer.doctor.host import Program

#: More than any host has; so that a kernel which goes round in circles ends it.
_MOST = 65536


def loaded() -> tuple[Program, ...]:
    """All of them; none without the library or the right to ask."""
    try:
        library = libbpf.library()
    except DatapathError:
        return ()
    following = ctypes.CDLL("libbpf.so.1", use_errno=True).bpf_prog_get_next_id
    following.argtypes = [ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint32)]
    library.libbpf_bpf_prog_type_str.restype = ctypes.c_char_p
    found: list[Program] = []
    number = ctypes.c_uint32(0)
    while len(found) < _MOST and following(number, ctypes.byref(number)) == 0:
        program = _described(library, number.value)
        if program is not None:
            found.append(program)
    return tuple(found)


def _described(library: ctypes.CDLL, number: int) -> Program | None:
    """None for one that went away meanwhile, or that this process may not see."""
    try:
        descriptor = libbpf.program_of_id(number)
    except libbpf.KernelError as error:
        if error.errno in (errno.ENOENT, errno.EPERM):
            return None
        raise
    try:
        info = libbpf.program_info(descriptor)
    finally:
        os.close(descriptor)
    kind: bytes | None = library.libbpf_bpf_prog_type_str(info.type)
    return Program(kind.decode() if kind else f"type {info.type}", info.name.decode("utf-8", "replace"))
