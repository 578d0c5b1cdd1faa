"""Types as the kernel keeps them: read like those of the compiled objects, and structures carried by name."""

from __future__ import annotations

import ctypes
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conventions.tracked import ROOT
from watchword.enforcer.datapath.ebpf import _layout as layout
from watchword.enforcer.datapath.ebpf import btf
from watchword.enforcer.datapath.ebpf.btf import Leaf, Misfit, Unreadable, carried, shape, shape_of

OBJECTS = ROOT / "src/watchword/enforcer/datapath/ebpf/objects"


def section() -> bytes:
    """The BTF of a compiled program: where its header is, and as long as that says."""
    elf = (OBJECTS / "sweep.bpf.o").read_bytes()
    at = elf.index(struct.pack("<HBBI", 0xEB9F, 1, 0, 24))
    type_at, type_length, string_at, string_length = struct.unpack_from("<IIII", elf, at + 8)
    return elf[at : at + 24 + max(type_at + type_length, string_at + string_length)]


def test_every_structure_has_the_shape_that_python_gives_it() -> None:
    types = btf.types(section())
    names = {this.name: index for index, this in enumerate(types) if this.kind == btf.STRUCT}
    compared = 0
    for name, structure in (("ww_flow", layout.Flow), ("ww_flow_key", layout.FlowKey), ("ww_state", layout.State)):
        assert shape(types, names[name]) == shape_of(structure)
        compared += 1
    assert compared == 3
    assert shape_of(layout.Flow)["judged.generation"].each == 4


def test_btf_that_breaks_off_is_an_error() -> None:
    whole = section()
    assert len(btf.types(whole)) > 100
    for length in range(0, len(whole), 997):
        try:
            btf.types(whole[:length])
        except Unreadable:
            continue
        pytest.fail(f"the first {length} bytes were taken for all")


@given(st.binary(max_size=200), st.integers(0, 3))
def test_whatever_bytes_there_are_it_is_btf_or_not(tail: bytes, cut: int) -> None:
    try:
        btf.types(section()[: 24 - cut] + tail)
    except Unreadable:
        pass


class Before(ctypes.Structure):
    _fields_ = [
        ("a", ctypes.c_uint32),
        ("gone", ctypes.c_uint32),
        ("list", ctypes.c_uint16 * 4),
        ("b", ctypes.c_uint64),
    ]


class After(ctypes.Structure):
    _fields_ = [("b", ctypes.c_uint32), ("new", ctypes.c_uint32), ("list", ctypes.c_uint32 * 2), ("a", ctypes.c_uint64)]


def carry(value: Before) -> After:
    data = carried(bytes(value), shape_of(Before), shape_of(After), ctypes.sizeof(After))
    return After.from_buffer_copy(data)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**16 - 1))
def test_numbers_keep_their_names_and_lose_their_places(a: int, b: int, first: int) -> None:
    after = carry(Before(a=a, gone=7, b=b, list=(first, 2, 0, 0)))
    assert (after.a, after.b, after.new, list(after.list)) == (a, b, 0, [first, 2])


@pytest.mark.parametrize("value", [Before(b=2**32), Before(list=(0, 0, 1, 0))])
def test_what_would_be_cut_is_refused(value: Before) -> None:
    with pytest.raises(Misfit, match=r"b: |list: "):
        carry(value)


def test_unlike_types_have_no_shape() -> None:
    pointer = [btf.Type(0, "void", 0, []), btf.Type(btf.PTR, "", 0, [])]
    with pytest.raises(Unreadable, match="kind 2"):
        shape(pointer, 1)
    assert shape_of(ctypes.c_uint64) == {"": Leaf(0, 8, 8)}
