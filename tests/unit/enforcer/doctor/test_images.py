"""Recorded system images are judged by their files alone: distribution, version, datapath, kernel features."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from watchword.enforcer.doctor import distributions, examination, features, modules
from watchword.enforcer.doctor.findings import Finding
from watchword.enforcer.doctor.gathering import gather, windows
from watchword.enforcer.doctor.host import Host

IMAGES = Path(__file__).parent / "images"
RELEASES: dict[str, dict[str, str]] = tomllib.loads((IMAGES / "releases.toml").read_text())
BROKEN = [Finding(features.GROUP, "helpers", "fail", "the kernel lacks some", "install a newer kernel")]
WHOLE = [Finding(features.GROUP, "helpers", "pass", "all offered")]


def written(root: Path, image: dict[str, str]) -> Path:
    (root / "etc").mkdir()
    lines = [f'ID="{image["id"]}"', f'VERSION_ID="{image["version_id"]}"', f'PRETTY_NAME="{image["pretty_name"]}"']
    (root / "etc/os-release").write_text("\n".join(lines) + "\n")
    place = "debian_version" if image["id"] in ("debian", "ubuntu") else "redhat-release"
    (root / "etc" / place).write_text(image["release"] + "\n")
    (root / "proc/sys/kernel").mkdir(parents=True)
    (root / "proc/sys/kernel/osrelease").write_text(image["kernel"] + "\n")
    return root


@pytest.mark.parametrize("name", RELEASES)
def test_each_listed_distribution_is_known_with_its_datapath(name: str, tmp_path: Path) -> None:
    image = RELEASES[name]
    host = gather(written(tmp_path, image))
    entry = distributions.listed(host)
    assert (entry.datapath if entry else "") == image["datapath"]
    (finding,) = distributions.judge(host)
    assert finding.result == ("pass" if entry else "degraded")
    assert image["pretty_name"] in finding.detail
    assert host.kernel.release == image["kernel"]


def test_every_line_of_the_table_has_an_image(tmp_path: Path) -> None:
    seen: set[distributions.Distribution | None] = set()
    for name, image in RELEASES.items():
        (tmp_path / name).mkdir()
        seen.add(distributions.listed(gather(written(tmp_path / name, image))))
    seen |= {distributions.listed(gather(path)) for path in IMAGES.glob("debian-*")}
    seen |= {distributions.listed(windows(f"{year}", "AMD64")) for year in WINDOWS}
    assert set(distributions.TABLE) <= seen


WINDOWS = ("2012ServerR2", "2016Server", "2019Server", "2022Server", "2025Server")


@pytest.mark.parametrize("release", WINDOWS)
def test_windows_is_listed_and_gets_no_datapath_yet(release: str) -> None:
    host = windows(release, "AMD64")
    assert distributions.judge(host)[0].result == "pass"
    found = examination.judged(host)
    assert (found.datapath, found.result) == ("", "fail")
    assert "windows" in next(f.detail for f in found.findings if f.group == "datapath")


def test_other_windows_is_not_listed() -> None:
    for release in ("2012Server", "10", "11"):
        assert distributions.judge(windows(release, "AMD64"))[0].result == "degraded"


@pytest.mark.parametrize("name", ["debian-11", "debian-12", "debian-13"])
def test_debian_kernels_have_every_feature_of_netfilter(name: str) -> None:
    host = gather(IMAGES / name)
    assert [finding for finding in modules.judge(host) if finding.result != "pass"] == []
    merged = {f.name for f in modules.judge(host) if "as part of" in f.detail}
    assert "nf_conntrack_ipv6" in merged
    assert ("nf_log_common" in merged) == (host.kernel.version >= (5, 13))


def copied(tmp_path: Path, name: str = "debian-12") -> Path:
    root = tmp_path / "root"
    shutil.copytree(IMAGES / name, root)
    return root


def edited(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def feature(host: Host, name: str) -> Finding:
    return next(finding for finding in modules.judge(host) if finding.name == name)


def test_a_module_that_is_not_installed_is_missed(tmp_path: Path) -> None:
    root = copied(tmp_path)
    (dep,) = root.glob("lib/modules/*/modules.dep")
    edited(dep, "kernel/net/netfilter/xt_HMARK.ko:\n", "")
    missed = feature(gather(root), "xt_HMARK")
    assert missed.result == "fail"
    assert "modules-extra" in missed.remedy


def test_a_feature_that_was_not_built_is_missed(tmp_path: Path) -> None:
    root = copied(tmp_path)
    (dep,) = root.glob("lib/modules/*/modules.dep")
    (config,) = root.glob("boot/config-*")
    edited(dep, "kernel/net/netfilter/xt_bpf.ko:\n", "")
    edited(config, "CONFIG_NETFILTER_XT_MATCH_BPF=m", "# CONFIG_NETFILTER_XT_MATCH_BPF is not set")
    missed = feature(gather(root), "xt_bpf")
    assert missed.result == "fail"
    assert "CONFIG_NETFILTER_XT_MATCH_BPF" in missed.remedy


def test_loaded_and_built_in_count(tmp_path: Path) -> None:
    root = copied(tmp_path)
    (dep,) = root.glob("lib/modules/*/modules.dep")
    (config,) = root.glob("boot/config-*")
    for module in ("xt_set", "xt_LOG"):
        edited(dep, f"kernel/net/netfilter/{module}.ko:\n", "")
    (root / "proc/modules").write_text("xt_set 16384 0 - Live 0x0000000000000000\n")
    edited(config, "CONFIG_NETFILTER_XT_TARGET_LOG=m", "CONFIG_NETFILTER_XT_TARGET_LOG=y")
    host = gather(root)
    assert feature(host, "xt_set").detail == "loaded"
    assert feature(host, "xt_LOG").detail == "built in"


def test_what_cannot_be_read_is_not_guessed(tmp_path: Path) -> None:
    image = RELEASES["rhel-9"]
    host = gather(written(tmp_path, image))
    assert {finding.result for finding in modules.judge(host)} == {"skip"}


def test_an_old_module_counts_only_where_it_was_not_taken_in(tmp_path: Path) -> None:
    root = copied(tmp_path, "debian-11")  # 5.10: nf_log_common is a module of its own
    (dep,) = root.glob("lib/modules/*/modules.dep")
    edited(dep, "kernel/net/netfilter/nf_log_common.ko:\n", "kernel/net/netfilter/nf_log_syslog.ko:\n")
    assert feature(gather(root), "nf_log_common").result == "fail"


def of(found: examination.Examination, group: str) -> list[Finding]:
    return [finding for finding in found.findings if finding.group == group]


def test_the_probes_decide_and_not_the_version() -> None:
    host = gather(IMAGES / "debian-12")
    assert examination.judged(host, WHOLE).datapath == "ebpf"
    refused = examination.judged(host, BROKEN)
    assert refused.datapath == ""
    (given,) = of(refused, "datapath")
    assert given.result == "fail"
    assert "`netfilter` alone" in given.detail
    old = gather(IMAGES / "debian-11")
    assert examination.judged(old, WHOLE).datapath == "ebpf"
    assert examination.judged(old).datapath == ""


def test_what_the_other_datapath_lacks_fails_nothing(tmp_path: Path) -> None:
    root = copied(tmp_path)
    (dep,) = root.glob("lib/modules/*/modules.dep")
    edited(dep, "kernel/net/netfilter/xt_HMARK.ko:\n", "")
    found = examination.judged(gather(root), WHOLE)
    assert next(f for f in found.findings if f.name == "xt_HMARK").result == "skip"
    neither = examination.judged(gather(root), BROKEN)
    assert next(f for f in neither.findings if f.name == "helpers").result == "fail"
    assert next(f for f in of(neither, "datapath")).result == "fail"


def test_every_finding_that_is_not_good_has_a_remedy(tmp_path: Path) -> None:
    hosts: list[tuple[Host, Any]] = [(gather(path), BROKEN) for path in IMAGES.glob("debian-*")]
    hosts += [(windows("2019Server", "AMD64"), ()), (gather(tmp_path), BROKEN)]
    for host, probed in hosts:
        for finding in examination.judged(host, probed).findings:
            assert finding.remedy or finding.result in ("pass", "skip"), finding
            assert finding.detail
