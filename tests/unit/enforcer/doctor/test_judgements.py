"""Each group of requirements, held against hosts made up for it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from watchword.enforcer.doctor import capabilities, conflicts, dependencies, orchestrators, size
from watchword.enforcer.doctor.findings import Finding, worst
from watchword.enforcer.doctor.gathering import gather
from watchword.enforcer.doctor.host import Host, Kernel, Program

PLAIN = Host(kernel=Kernel("6.1.0-50-amd64"), processors=4, memory=8 << 30, capabilities=(1 << 41) - 1)


def result(findings: list[Finding], name: str) -> str:
    return next(finding.result for finding in findings if finding.name == name)


@pytest.mark.parametrize(("processors", "expected"), [(1, "degraded"), (2, "pass"), (64, "pass"), (None, "skip")])
def test_processors(processors: int | None, expected: str) -> None:
    assert result(size.judge(dataclasses.replace(PLAIN, processors=processors)), "processors") == expected


@pytest.mark.parametrize(
    ("mebibytes", "expected"), [(256, "fail"), (1024, "degraded"), (1900, "pass"), (2048, "pass"), (None, "skip")]
)
def test_memory(mebibytes: int | None, expected: str) -> None:
    memory = None if mebibytes is None else mebibytes << 20
    assert result(size.judge(dataclasses.replace(PLAIN, memory=memory)), "memory") == expected


def test_processors_and_memory_are_read(tmp_path: Path) -> None:
    (tmp_path / "sys/devices/system/cpu").mkdir(parents=True)
    (tmp_path / "sys/devices/system/cpu/online").write_text("0-2,5\n")
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal:        2035000 kB\nMemFree: 1 kB\n")
    (tmp_path / "proc/self/status").write_text("CapPrm:\t0\nCapEff:\t0000000000201000\n")
    host = gather(tmp_path)
    assert (host.processors, host.memory, host.capabilities) == (4, 2035000 << 10, 1 << 12 | 1 << 21)
    (tmp_path / "sys/devices/system/cpu/online").write_text("nonsense")
    assert gather(tmp_path).processors is None


def test_six_capabilities_and_those_that_ebpf_needs() -> None:
    names = {
        f"CAP_{name}" for name in ["SYS_PTRACE", "NET_ADMIN", "NET_RAW", "SYS_RESOURCE", "SYS_ADMIN", "SYS_MODULE"]
    }
    assert {finding.name for finding in capabilities.judge(PLAIN, "ebpf")} == names
    assert set(capabilities.EBPF) == {"CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_NET_RAW"}
    nothing = dataclasses.replace(PLAIN, capabilities=0)
    assert {f.name for f in capabilities.judge(nothing, "ebpf") if f.result == "fail"} == set(capabilities.EBPF)
    assert {f.name for f in capabilities.judge(nothing, "netfilter") if f.result == "fail"} == names
    for finding in capabilities.judge(PLAIN, "netfilter"):
        assert finding.result == "pass"


def test_dependencies_of_the_datapath_alone_are_missed() -> None:
    assert worst(dependencies.judge(PLAIN, "ebpf")) == "fail"
    with_elf = dataclasses.replace(PLAIN, libraries=frozenset({"libelf.so.1"}))
    assert worst(dependencies.judge(with_elf, "ebpf")) == "pass"
    missed = {f.name for f in dependencies.judge(with_elf, "netfilter") if f.result == "fail"}
    assert missed == {"conntrack", "ipset", "iptables"}


def test_dependencies_are_found_in_files(tmp_path: Path) -> None:
    for name in ("usr/sbin/ipset", "usr/lib/x86_64-linux-gnu/libelf.so.1"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    host = gather(tmp_path)
    assert host.commands == {"ipset"}
    assert host.libraries == {"libelf.so.1"}


def test_a_rival_fails_and_packet_filters_do_not() -> None:
    rival = dataclasses.replace(PLAIN, processes=frozenset({"enforcerd", "firewalld"}), chains=frozenset({"KUBE-SVC"}))
    found = conflicts.judge(rival, frozenset())
    assert result(found, "other enforcers") == "fail"
    assert result(found, "packet filters") == "pass"
    assert "firewalld, kube-proxy" in next(f.detail for f in found if f.name == "packet filters")


def test_programs_of_others_at_our_hooks_are_named() -> None:
    programs = (
        Program("sched_cls", "cil_from_netdev"),
        Program("cgroup_skb", "enforce"),
        Program("cgroup_skb", "sd_fw_egress"),
        Program("kprobe", "looks_elsewhere"),
    )
    host = dataclasses.replace(PLAIN, programs=programs)
    found = next(f for f in conflicts.judge(host, frozenset({"enforce"})) if f.name == "BPF programs")
    assert found.result == "degraded"
    assert found.detail.endswith(": cil_from_netdev (sched_cls)")
    assert result(conflicts.judge(PLAIN, frozenset()), "BPF programs") == "pass"


def test_a_host_without_an_orchestrator() -> None:
    assert [f.result for f in orchestrators.judge(PLAIN)] == ["pass"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE"), ("AWS_LAMBDA_FUNCTION_NAME", "f"), ("K_SERVICE", "s")],
)
def test_serverless_is_recognised_and_ignored(variable: str, value: str) -> None:
    host = dataclasses.replace(PLAIN, environment={variable: value})
    found = orchestrators.judge(host)
    assert result(found, "serverless") == "fail"
    assert "ignored" in found[0].detail
    assert orchestrators.judge(dataclasses.replace(PLAIN, environment={"AWS_EXECUTION_ENV": "AWS_ECS_EC2"}))[
        0
    ].name != ("serverless")


def node(root: Path, configuration: object, arguments: str = "/usr/bin/kubelet") -> Host:
    (root / "proc/71").mkdir(parents=True)
    (root / "proc/71/comm").write_text("kubelet\n")
    (root / "proc/71/cmdline").write_text(arguments.replace(" ", "\0"))
    (root / "etc/cni/net.d").mkdir(parents=True)
    if configuration is not None:
        text = configuration if isinstance(configuration, str) else json.dumps(configuration)
        (root / "etc/cni/net.d/10-net.conflist").write_text(text)
    return gather(root)


def test_a_node_with_a_plugin(tmp_path: Path) -> None:
    host = node(tmp_path, {"name": "k8s-pod-network", "plugins": [{"type": "calico"}, {"type": "portmap"}]})
    found = orchestrators.judge(host)
    assert result(found, "CNI plugin") == "pass"
    assert "calico" in next(f.detail for f in found if f.name == "CNI plugin")


@pytest.mark.parametrize(
    ("configuration", "arguments"),
    [
        ({"name": "kubenet", "plugins": [{"type": "bridge"}]}, "/usr/bin/kubelet"),
        (None, "/usr/bin/kubelet --network-plugin=kubenet --v=2"),
        (None, "/usr/bin/kubelet"),
        ("{not json", "/usr/bin/kubelet"),
    ],
)
def test_kubenet_and_no_plugin_at_all_are_refused(configuration: object, arguments: str, tmp_path: Path) -> None:
    assert result(orchestrators.judge(node(tmp_path, configuration, arguments)), "CNI plugin") == "fail"
