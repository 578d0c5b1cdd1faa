"""A thin binding of libbpf 1.x: the calls this datapath makes, nothing else.

Functions raise :class:`KernelError` with the errno kept. Nothing here knows what the programs mean.
The library is opened when first used, so that importing this module needs no libbpf.
"""

from __future__ import annotations

import ctypes
import os
from errno import EINVAL
from functools import cache
from typing import Any

from watchword.enforcer.datapath.base import DatapathError

#: enum bpf_attach_type (linux/bpf.h)
CGROUP_INET_INGRESS = 0
CGROUP_INET4_CONNECT = 10
CGROUP_INET6_CONNECT = 11
TRACE_ITER = 28
TCX_INGRESS = 46
TCX_EGRESS = 47

#: flags of bpf_map_update_elem
ANY = 0
NOEXIST = 1


class KernelError(DatapathError):
    """A libbpf call failed; ``errno`` says how, ``log`` what the verifier printed, if it did."""

    def __init__(self, what: str, errno: int, log: str = "") -> None:
        super().__init__(f"{what}: {os.strerror(errno)} (errno {errno})" + (f"\n{log}" if log else ""))
        self.what, self.errno, self.log = what, errno, log

    def __reduce__(self) -> tuple[type[KernelError], tuple[str, int, str]]:
        """Pickled by its parts, so that it survives a process boundary."""
        return KernelError, (self.what, self.errno, self.log)


class OpenOptions(ctypes.Structure):
    """struct bpf_object_open_opts up to kernel_log_level."""

    _fields_ = [
        ("sz", ctypes.c_size_t),
        ("object_name", ctypes.c_char_p),
        ("relaxed_maps", ctypes.c_bool),
        ("pin_root_path", ctypes.c_char_p),
        ("stub", ctypes.c_uint32),
        ("kconfig", ctypes.c_char_p),
        ("btf_custom_path", ctypes.c_char_p),
        ("kernel_log_buf", ctypes.c_char_p),
        ("kernel_log_size", ctypes.c_size_t),
        ("kernel_log_level", ctypes.c_uint32),
    ]


class LinkCreateOptions(ctypes.Structure):
    """struct bpf_link_create_opts; the union at its end is never used here."""

    _fields_ = [
        ("sz", ctypes.c_size_t),
        ("flags", ctypes.c_uint32),
        ("iter_info", ctypes.c_void_p),
        ("iter_info_len", ctypes.c_uint32),
        ("target_btf_id", ctypes.c_uint32),
        ("union", ctypes.c_uint64 * 5),
    ]


class LinkInfo(ctypes.Structure):
    """struct bpf_link_info as far as a link to a device goes; more of it is never asked for."""

    _fields_ = [
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("prog_id", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
        ("ifindex", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
    ]


class MapInfo(ctypes.Structure):
    """struct bpf_map_info up to btf_value_type_id."""

    _fields_ = [
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("key_size", ctypes.c_uint32),
        ("value_size", ctypes.c_uint32),
        ("max_entries", ctypes.c_uint32),
        ("map_flags", ctypes.c_uint32),
        ("name", ctypes.c_char * 16),
        ("ifindex", ctypes.c_uint32),
        ("btf_vmlinux_value_type_id", ctypes.c_uint32),
        ("netns_dev", ctypes.c_uint64),
        ("netns_ino", ctypes.c_uint64),
        ("btf_id", ctypes.c_uint32),
        ("btf_key_type_id", ctypes.c_uint32),
        ("btf_value_type_id", ctypes.c_uint32),
    ]


class BtfInfo(ctypes.Structure):
    """struct bpf_btf_info up to id."""

    _fields_ = [("btf", ctypes.c_uint64), ("btf_size", ctypes.c_uint32), ("id", ctypes.c_uint32)]


class ProgramInfo(ctypes.Structure):
    """struct bpf_prog_info up to name."""

    _fields_ = [
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("tag", ctypes.c_uint8 * 8),
        ("lengths", ctypes.c_uint32 * 2),
        ("instructions", ctypes.c_uint64 * 2),
        ("load_time", ctypes.c_uint64),
        ("created_by_uid", ctypes.c_uint32),
        ("nr_map_ids", ctypes.c_uint32),
        ("map_ids", ctypes.c_uint64),
        ("name", ctypes.c_char * 16),
    ]


class TcHook(ctypes.Structure):
    """struct bpf_tc_hook."""

    _fields_ = [
        ("sz", ctypes.c_size_t),
        ("ifindex", ctypes.c_int),
        ("attach_point", ctypes.c_int),
        ("parent", ctypes.c_uint32),
    ]


class TcOptions(ctypes.Structure):
    """struct bpf_tc_opts."""

    _fields_ = [
        ("sz", ctypes.c_size_t),
        ("prog_fd", ctypes.c_int),
        ("flags", ctypes.c_uint32),
        ("prog_id", ctypes.c_uint32),
        ("handle", ctypes.c_uint32),
        ("priority", ctypes.c_uint32),
    ]


class BatchOptions(ctypes.Structure):
    """struct bpf_map_batch_opts."""

    _fields_ = [("sz", ctypes.c_size_t), ("elem_flags", ctypes.c_uint64), ("flags", ctypes.c_uint64)]


class TestRunOptions(ctypes.Structure):
    """struct bpf_test_run_opts."""

    _fields_ = [
        ("sz", ctypes.c_size_t),
        ("data_in", ctypes.c_char_p),
        ("data_out", ctypes.c_void_p),
        ("data_size_in", ctypes.c_uint32),
        ("data_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_void_p),
        ("ctx_out", ctypes.c_void_p),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("retval", ctypes.c_uint32),
        ("repeat", ctypes.c_int),
        ("duration", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
        ("batch_size", ctypes.c_uint32),
    ]


#: int (*ring_buffer_sample_fn)(void *ctx, void *data, size_t size)
SampleHandler = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)

_POINTER, _INT, _STRING = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p

#: name -> (result, arguments)
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "libbpf_set_print": (_POINTER, [_POINTER]),
    "libbpf_num_possible_cpus": (_INT, []),
    "bpf_object__open_file": (_POINTER, [_STRING, _POINTER]),
    "bpf_object__load": (_INT, [_POINTER]),
    "bpf_object__close": (None, [_POINTER]),
    "bpf_object__next_map": (_POINTER, [_POINTER, _POINTER]),
    "bpf_object__next_program": (_POINTER, [_POINTER, _POINTER]),
    "bpf_program__name": (_STRING, [_POINTER]),
    "bpf_program__fd": (_INT, [_POINTER]),
    "bpf_prog_get_fd_by_id": (_INT, [ctypes.c_uint32]),
    "bpf_map__reuse_fd": (_INT, [_POINTER, _INT]),
    "bpf_map__name": (_STRING, [_POINTER]),
    "bpf_map__fd": (_INT, [_POINTER]),
    "bpf_map__set_pin_path": (_INT, [_POINTER, _STRING]),
    "bpf_map__set_max_entries": (_INT, [_POINTER, ctypes.c_uint32]),
    "bpf_map__key_size": (ctypes.c_uint32, [_POINTER]),
    "bpf_map__value_size": (ctypes.c_uint32, [_POINTER]),
    "bpf_map__type": (_INT, [_POINTER]),
    "bpf_map_lookup_elem": (_INT, [_INT, _POINTER, _POINTER]),
    "bpf_map_update_elem": (_INT, [_INT, _POINTER, _POINTER, ctypes.c_uint64]),
    "bpf_map_delete_elem": (_INT, [_INT, _POINTER]),
    "bpf_map_get_next_key": (_INT, [_INT, _POINTER, _POINTER]),
    "bpf_map_lookup_batch": (_INT, [_INT, _POINTER, _POINTER, _POINTER, _POINTER, _POINTER, _POINTER]),
    "bpf_map_update_batch": (_INT, [_INT, _POINTER, _POINTER, _POINTER, _POINTER]),
    "bpf_map_delete_batch": (_INT, [_INT, _POINTER, _POINTER, _POINTER]),
    "bpf_link_create": (_INT, [_INT, _INT, _INT, _POINTER]),
    "bpf_link_update": (_INT, [_INT, _INT, _POINTER]),
    "bpf_prog_query": (_INT, [_INT, _INT, ctypes.c_uint32, _POINTER, _POINTER, _POINTER]),
    "bpf_obj_get_info_by_fd": (_INT, [_INT, _POINTER, _POINTER]),
    "bpf_btf_get_fd_by_id": (_INT, [ctypes.c_uint32]),
    "bpf_tc_hook_create": (_INT, [_POINTER]),
    "bpf_tc_hook_destroy": (_INT, [_POINTER]),
    "bpf_tc_attach": (_INT, [_POINTER, _POINTER]),
    "bpf_tc_query": (_INT, [_POINTER, _POINTER]),
    "bpf_tc_detach": (_INT, [_POINTER, _POINTER]),
    "bpf_obj_pin": (_INT, [_INT, _STRING]),
    "bpf_obj_get": (_INT, [_STRING]),
    "bpf_iter_create": (_INT, [_INT]),
    "bpf_prog_test_run_opts": (_INT, [_INT, _POINTER]),
    "bpf_prog_load": (_INT, [_INT, ctypes.c_char_p, ctypes.c_char_p, _POINTER, ctypes.c_size_t, _POINTER]),
    "libbpf_probe_bpf_helper": (_INT, [_INT, _INT, _POINTER]),
    "ring_buffer__new": (_POINTER, [_INT, SampleHandler, _POINTER, _POINTER]),
    "ring_buffer__free": (None, [_POINTER]),
    "ring_buffer__consume": (_INT, [_POINTER]),
    "ring_buffer__epoll_fd": (_INT, [_POINTER]),
    "ring_buffer__poll": (_INT, [_POINTER, _INT]),
}


@cache
def library() -> ctypes.CDLL:
    """The shared library with its signatures set; its own printing is turned off."""
    try:
        lib = ctypes.CDLL("libbpf.so.1", use_errno=True)
    except OSError as error:
        raise DatapathError("libbpf.so.1 cannot be opened: install the package libbpf1") from error
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    lib.libbpf_set_print(None)
    return lib


def checked(what: str, result: int) -> int:
    """``result``, unless it is negative: then the errno it stands for is raised."""
    if result >= 0:
        return result
    raise KernelError(what, ctypes.get_errno() or -result)


def may_load(what: str, kind: int, program: ctypes.Array[Any]) -> int:
    """Load these instructions and let go of them: 0, or EINVAL where the kernel does not take them."""
    fd = library().bpf_prog_load(kind, None, b"GPL", program, len(program), None)
    if fd >= 0:
        os.close(fd)
        return 0
    if ctypes.get_errno() != EINVAL:
        raise KernelError(what, ctypes.get_errno())
    return EINVAL


def has_helper(what: str, kind: int, helper: int) -> bool:
    """Whether programs of this type may call a helper, by its number."""
    return checked(what, library().libbpf_probe_bpf_helper(kind, helper, None)) == 1


def pin(fd: int, path: str) -> None:
    """Pin a map or link in a bpffs."""
    checked(f"pin {path}", library().bpf_obj_pin(fd, path.encode()))


def pinned(path: str) -> int | None:
    """A new descriptor of the object pinned at ``path``, or None when nothing is pinned there."""
    if not os.path.exists(path):
        return None
    return checked(f"open {path}", library().bpf_obj_get(path.encode()))


def link_create(what: str, program: int, target: int, attach_type: int, map_fd: int | None = None) -> int:
    """Attach a program to a cgroup descriptor or interface index; for iterators, to a map."""
    options = LinkCreateOptions(sz=ctypes.sizeof(LinkCreateOptions))
    info = ctypes.c_uint32(map_fd or 0)
    if map_fd is not None:
        options.iter_info = ctypes.cast(ctypes.pointer(info), ctypes.c_void_p)
        options.iter_info_len = ctypes.sizeof(info)
    return checked(what, library().bpf_link_create(program, target, attach_type, ctypes.byref(options)))


def link_update(what: str, link: int, program: int) -> None:
    """Replace the program behind a link, atomically for the packets that pass."""
    checked(what, library().bpf_link_update(link, program, None))


def link_device(what: str, link: int) -> int:
    """The index of the device that a TCX link is attached to; 0 when it has been detached."""
    info = LinkInfo()
    _ask(what, link, info)
    return int(info.ifindex)


def link_program(what: str, link: int) -> int:
    """The ID of the program behind a link."""
    info, size = LinkInfo(), ctypes.c_uint32(ctypes.sizeof(LinkInfo))
    checked(what, library().bpf_obj_get_info_by_fd(link, ctypes.byref(info), ctypes.byref(size)))
    return int(info.prog_id)


def program_of_id(number: int) -> int:
    """A new descriptor of a loaded program."""
    return checked("open a program by its ID", library().bpf_prog_get_fd_by_id(number))


def program_info(fd: int) -> ProgramInfo:
    """ID and name of a loaded program."""
    info, size = ProgramInfo(), ctypes.c_uint32(ctypes.sizeof(ProgramInfo))
    checked("ask about a program", library().bpf_obj_get_info_by_fd(fd, ctypes.byref(info), ctypes.byref(size)))
    return info


def is_map(fd: int) -> bool:
    """Whether a descriptor that was pinned is that of a map, and not of a link or program."""
    return os.readlink(f"/proc/self/fd/{fd}") == "anon_inode:bpf-map"


def map_info(fd: int) -> MapInfo:
    """What the kernel says of a map."""
    info = MapInfo()
    _ask("ask about a map", fd, info)
    return info


def map_room(fd: int) -> int:
    """How many entries a map can hold."""
    return int(map_info(fd).max_entries)


def btf_of(number: int) -> bytes:
    """The BTF that the kernel holds under an ID."""
    fd = checked("open the BTF of a map", library().bpf_btf_get_fd_by_id(number))
    try:
        info = BtfInfo()
        _ask("ask for the size of the BTF of a map", fd, info)
        data = ctypes.create_string_buffer(info.btf_size)
        info = BtfInfo(ctypes.addressof(data), info.btf_size)
        _ask("read the BTF of a map", fd, info)
        return data.raw
    finally:
        os.close(fd)


def _ask(what: str, fd: int, info: ctypes.Structure) -> None:
    size = ctypes.c_uint32(ctypes.sizeof(info))
    checked(what, library().bpf_obj_get_info_by_fd(fd, ctypes.byref(info), ctypes.byref(size)))


def query_device(what: str, index: int, attach_type: int) -> int:
    """How many programs hang at that hook of a device; an error when the kernel has no such hook."""
    number = ctypes.c_uint32(0)
    checked(what, library().bpf_prog_query(index, attach_type, 0, None, None, ctypes.byref(number)))
    return number.value


def iterate(link: int) -> bytes:
    """Run an iterator program once and return all that it wrote."""
    fd = checked("run an iterator", library().bpf_iter_create(link))
    try:
        pieces = []
        while piece := os.read(fd, 1 << 16):
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        os.close(fd)


def run_once(program: int, data: bytes) -> int:
    """Run a tc program once on a frame of these bytes; what it returns."""
    options = TestRunOptions(sz=ctypes.sizeof(TestRunOptions), data_in=data, data_size_in=len(data), repeat=1)
    checked("run a program", library().bpf_prog_test_run_opts(program, ctypes.byref(options)))
    return int(options.retval)
