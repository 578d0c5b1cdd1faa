"""Requirement: what manages the host's workloads, as far as the host itself shows it."""

from __future__ import annotations

from functools import partial

from watchword.enforcer.doctor.findings import Finding
from watchword.enforcer.doctor.host import Host

GROUP = "orchestrator"

_finding = partial(Finding, GROUP)

#: Where workloads run without a host of their own, by the variable that says so and what it contains.
_SERVERLESS = (
    ("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE", "AWS Fargate (ECS)"),
    ("AWS_LAMBDA_FUNCTION_NAME", "", "AWS Lambda"),
    ("K_SERVICE", "", "Cloud Run"),
    ("FUNCTIONS_WORKER_RUNTIME", "", "Azure Functions"),
)


def judge(host: Host) -> list[Finding]:
    """What the host shows by itself."""
    found = [*_serverless(host)]
    if _is_node(host):
        found.append(
            _finding("Kubernetes", "pass", "this host is a node; ask its cluster too: doctor --kubeconfig FILE")
        )
        found.append(_plugin(host))
    if not found:
        found.append(_finding("orchestrator", "pass", "none shows itself on this host"))
    return found


def _is_node(host: Host) -> bool:
    return "kubelet" in host.processes or "var/lib/kubelet" in host.files or bool(host.networks)


def _serverless(host: Host) -> list[Finding]:
    remedy = "nothing is installed there; protect what it talks to, and name it as an external network"
    for variable, part, name in _SERVERLESS:
        value = host.environment.get(variable)
        if value is not None and part in value:
            return [_finding("serverless", "fail", f"{name}: there is no host to run an Enforcer on; ignored", remedy)]
    return []


def _plugin(host: Host) -> Finding:
    kubenet = "--network-plugin=kubenet" in host.arguments or "--network-plugin kubenet" in host.arguments
    if kubenet or "kubenet" in host.networks:
        return refused_kubenet("the kubelet uses kubenet")
    if not host.networks:
        remedy = "install a CNI plugin, such as the cloud's own, Calico, Cilium or Flannel"
        return _finding("CNI plugin", "fail", "there is no configuration in /etc/cni/net.d", remedy)
    return _finding("CNI plugin", "pass", ", ".join(name for name in host.networks if name))


def refused_kubenet(why: str) -> Finding:
    """What is said where kubenet is used."""
    return _finding("CNI plugin", "fail", why, "use a CNI plugin; on AKS: --network-plugin azure")
