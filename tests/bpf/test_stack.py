"""Compiling refuses programs that need more stack than the oldest kernel gives, and names the chain of calls."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conventions.tracked import ROOT

BPF = ROOT / "bpf"

#: What a function does with so many bytes of its stack; nothing of it can be optimised away.
FRAME = """
#define FRAME(bytes) char room[bytes]; asm volatile("" : : "r"(room) : "memory"); *(volatile char *)room = 1
static __attribute__((noinline)) int %(name)s(%(arguments)s)
{
	FRAME(%(bytes)d);
	return *(volatile char *)room;
}
"""


def compiled(folder: Path, source: str) -> Path:
    """An object as ``make bpf`` compiles them."""
    text, made = folder / "case.bpf.c", folder / "case.bpf.o"
    text.write_text('#include "lib/types.h"\n' + source + 'char LICENSE[] SEC("license") = "GPL";\n')
    options = ["-O2", "-g", "-target", "bpfel", "-mcpu=v3", "-I", str(BPF), "-I", str(BPF / "include")]
    options += ["-idirafter", f"/usr/include/{multiarch()}"]
    subprocess.run(["clang", *options, "-c", str(text), "-o", str(made)], check=True)
    subprocess.run(["llvm-strip", "-g", str(made)], check=True)
    return made


def multiarch() -> str:
    return subprocess.run(["gcc", "-print-multiarch"], check=True, capture_output=True, text=True).stdout.strip()


def judged(made: Path, *options: str) -> tuple[int, str]:
    """Exit status of the check, and what it says."""
    done = subprocess.run([sys.executable, str(BPF / "stack.py"), str(made), *options], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def called(caller: int, callee: int) -> str:
    """A program of which one function calls another; ``caller`` and ``callee`` are bytes."""
    inner = FRAME % {"name": "inner", "bytes": callee, "arguments": "void"}
    return inner + f'SEC("tc") int outer(struct __sk_buff *skb)\n{{\n\tFRAME({caller});\n\treturn inner();\n}}\n'


@pytest.mark.parametrize(("caller", "callee", "total"), [(256, 256, 512), (232, 40, 320), (8, 480, 512)])
def test_what_fits_is_counted_in_steps_of_32(tmp_path: Path, caller: int, callee: int, total: int) -> None:
    told = judged(compiled(tmp_path, called(caller, callee)), "--show")
    assert told == (0, f"{total} bytes of stack: outer {caller} > inner {callee}\n")


def test_one_word_more_is_refused(tmp_path: Path) -> None:
    made = compiled(tmp_path, called(256, 264))
    status, told = judged(made)
    assert (status, told) == (1, f"{made}: more than 512 bytes; 544 bytes of stack: outer 256 > inner 264\n")


def test_a_function_without_a_frame_counts_too(tmp_path: Path) -> None:
    inner = FRAME % {"name": "inner", "bytes": 480, "arguments": "void"}
    middle = "static __attribute__((noinline)) int middle(void) { return inner() + 1; }\n"
    outer = 'SEC("tc") int outer(struct __sk_buff *skb) { return middle() + 1; }\n'
    status, told = judged(compiled(tmp_path, inner + middle + outer))
    assert status == 1
    assert told.endswith("544 bytes of stack: outer 0 > middle 0 > inner 480\n")


def test_a_callback_counts_as_called(tmp_path: Path) -> None:
    inner = FRAME % {"name": "inner", "bytes": 264, "arguments": "__u32 number, void *context"}
    outer = 'SEC("tc") int outer(struct __sk_buff *skb)\n{\n\tFRAME(256);\n\treturn bpf_loop(2, inner, room, 0);\n}\n'
    status, told = judged(compiled(tmp_path, inner + outer))
    assert status == 1
    assert told.endswith("544 bytes of stack: outer 256 > inner 264\n")


def test_what_is_too_deep_does_not_come_out_of_make(tmp_path: Path) -> None:
    shutil.copytree(BPF, tmp_path / "bpf")
    source = tmp_path / "bpf/refuse.bpf.c"
    source.write_text(source.read_text() + called(256, 264))
    made = tmp_path / "refuse.bpf.o"
    make = ["make", "-C", str(tmp_path / "bpf"), f"OUT={tmp_path}", f"PYTHON={sys.executable}", str(made)]
    done = subprocess.run(make, capture_output=True, text=True)
    assert done.returncode != 0
    assert "more than 512 bytes; 544 bytes of stack: outer 256 > inner 264" in done.stderr
    assert not made.exists()
