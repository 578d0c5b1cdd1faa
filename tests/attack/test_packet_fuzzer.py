"""The packet fuzzer: a slice of it, what it has found before, and that it finds holes in programs that have some."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.conventions.tracked import ROOT
from tests.fuzz.field import fields

CASES = [json.loads(line) for line in (ROOT / "tests/fuzz/cases.jsonl").read_text().splitlines()]
SECONDS = float(os.environ.get("WATCHWORD_FUZZ_SECONDS", "12"))
SEED = os.environ.get("WATCHWORD_FUZZ_SEED", "1")
_OBJECTS = Path("enforcer/datapath/ebpf/objects")

UNPROVED = "a connection without proof was"
#: Builds with holes: (program, file, what stands there, what stands there instead), and what is told of each.
HOLES = {
    "nobody's proof is looked at": {
        (
            "enforce",
            "lib/server.h",
            "|| !ack_proves(seg, at, &option, pair))",
            "|| !seg->ack)",
        ): UNPROVED,
        ("enforce", "lib/client.h", "!= load_be48(option.proof)", "== 0"): "a socket was connected without",
        (
            "stamp",
            "stamp.bpf.c",
            "\tif (!begun) {\n\t\tcount_drop(WW_REASON_MALFORMED);\n\t\treturn TC_ACT_SHOT;",
            "\tif (!begun) {\n\t\treturn TC_ACT_UNSPEC;",
        ): "stamp let out what nobody",
    },
    "what has no proof needs none": {
        (
            "enforce",
            "lib/server.h",
            "what = WW_PLAIN_ANNOUNCED;",
            "what = WW_PLAIN_ADMITTED;",
        ): UNPROVED,
        ("enforce", "lib/packet.h", "&& !head->segments_left", ""): "enforce let in what nobody",
    },
    "an error may quote anything": {
        (
            "enforce",
            "enforce.bpf.c",
            "\treturn flow_known(&quoted, own);",
            "\treturn true;",
        ): "enforce let in what nobody",
    },
    "datagrams prove nothing": {
        (
            "verify",
            "lib/udp_called.h",
            "load_be64(t->proof) == trailer_proof(key, WW_MESSAGE_CHALLENGE, bpf_ntohl(t->badge), unit, t);",
            "true;",
        ): "an unproved datagram reached a",
        (
            "verify",
            "lib/udp_called.h",
            "call_is_new(session, load_be64(t->nonce)))",
            "load_be64(t->nonce))",
        ): "a call has counted twice",
        (
            "verify",
            "lib/udp_called.h",
            "COUNTED_WITHIN(word, limit);",
            "COUNTED_WITHIN(word, limit * 64);",
        ): "more bounces than are allowed",
        (
            "verify",
            "lib/udp_bounced.h",
            "load_be64(w->trailer.proof) != trailer_proof(key, WW_MESSAGE_BOUNCE,",
            "0 * trailer_proof(key, WW_MESSAGE_BOUNCE,",
        ): "data left before anybody had",
        (
            "verify",
            "lib/udp_bounced.h",
            "|| load_be64(t->proof) != trailer_proof(key, WW_MESSAGE_ANSWER, flow->unit, flow->peer, t)",
            "",
        ): "what nobody proved has reached",
    },
}


@pytest.mark.timeout(120)
def test_nobody_unproved_reaches_a_socket() -> None:
    """A slice; longer ones by ``make fuzz-packets``."""
    with fields("fuzzslice") as field:
        told = field.rounds(SEED, 0, 10_000_000, SECONDS)
        assert told["findings"] == []
        assert told["packets"] > 500 * SECONDS
        assert told["honest"] > SECONDS
        assert field.records() == 0


def test_what_was_found_once_is_found_no_more() -> None:
    with fields("fuzzcases") as field:
        assert dict(zip((case["about"] for case in CASES), field.again(CASES), strict=True)) == {
            case["about"]: "" for case in CASES
        }


def broken(folder: Path, holes: Iterable[tuple[str, str, str, str]]) -> Path:
    """A build of which some programs have holes; where it is unpacked."""
    shutil.copytree(ROOT / "bpf", folder / "bpf")
    shutil.copytree(ROOT / "src/watchword", folder / "code/watchword")
    out = folder / "code/watchword" / _OBJECTS
    programs = set()
    for program, name, before, after in holes:
        path = folder / "bpf" / name
        text = path.read_text()
        assert text.count(before) == 1, f"{name} has not exactly one {before!r}"
        path.write_text(text.replace(before, after))
        programs.add(f"{out}/{program}.bpf.o")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "-C", str(folder / "bpf"), f"OUT={out}", f"PYTHON={sys.executable}", *programs]
    subprocess.run(command, check=True, capture_output=True, env=environment, timeout=110)
    return folder / "code"


@pytest.mark.timeout(180)
@pytest.mark.parametrize("build", HOLES)
def test_holes_are_found(tmp_path: Path, build: str) -> None:
    """Within the slice; and the least that shows one shows it again."""
    expected = set(HOLES[build].values())
    with fields("fuzzhole", broken(tmp_path, HOLES[build])) as field:
        found = field.rounds(SEED, 0, 10_000_000, 30, expected)["findings"]
        assert {each["what"] for each in found} >= expected
        cases = [case for case in found if case["what"] in expected]
        for case, why in zip(cases, field.again(cases), strict=True):
            assert why.startswith(case["what"])
