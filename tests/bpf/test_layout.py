"""What Python believes of the kernel programs: layouts and numbers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from watchword.enforcer.datapath.ebpf import _layout as layout
from watchword.identity import transcript
from watchword.policy import tables
from watchword.wire.policy import ANY_PROTOCOL

ROOT = Path(__file__).parents[2]
BPF = ROOT / "bpf"

#: A row of the page's table: | `name` | meaning |
ROW = re.compile(r"^\| `([a-z0-9-]+)` \|", re.MULTILINE)


def test_the_layouts_are_those_of_the_header(tmp_path: Path) -> None:
    written = tmp_path / "_layout.py"
    make = ["make", "-C", str(BPF), f"OUT={tmp_path}", f"LAYOUT={written}", f"PYTHON={sys.executable}", str(written)]
    subprocess.run(make, check=True, capture_output=True)
    assert written.read_text() == Path(layout.__file__).read_text(), "run make bpf and commit _layout.py"


def test_numbers_mean_the_same_to_the_policy_engine() -> None:
    assert tables.NO_CLASS == layout.Class.NONE
    assert tables.SOMEWHERE == layout.Class.SOMEWHERE
    assert tables.EXCLUDED == layout.Class.EXCLUDED
    assert tables.FIRST_CLASS == layout.Class.FIRST
    defined = re.search(r"#define WW_ANY_PROTOCOL (\d+)", (BPF / "lib/policy.h").read_text())
    assert defined is not None
    assert int(defined[1]) == ANY_PROTOCOL
    assert layout.Segments().number[:].__len__() == tables.SEGMENT_LIMIT


def test_options_are_those_of_the_reference() -> None:
    assert layout.Option.OPTION_KIND == transcript.OPTION_KIND
    assert layout.Option.OPTION_EXID == transcript.EXID
    assert layout.Option.OPTION_VERSION == transcript.VERSION
    assert layout.Option.SYN_OPTION == transcript.SynOption.LENGTH
    assert layout.Option.SYNACK_OPTION == transcript.SynAckOption.LENGTH
    assert layout.Option.ACK_OPTION == transcript.AckOption.LENGTH


def test_every_reason_and_counter_is_explained_and_nothing_else() -> None:
    page = (ROOT / "docs/reasons.md").read_text()
    reasons, counters = page.split("## Counters")
    named = [reason.name.lower().replace("_", "-") for reason in layout.Reason if reason is not layout.Reason.MAX]
    assert ROW.findall(reasons) == named
    beside = [layout.Counter.DROPPED, layout.Counter.MAX]
    exact = [counter.name.lower().replace("_", "-") for counter in layout.Counter if counter not in beside]
    assert ROW.findall(counters) == exact
