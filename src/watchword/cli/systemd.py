"""The systemd units with which a real installation runs the Console and the Enforcer.

Printed by ``watchword console unit`` and ``watchword enforcer unit``, so that they name the paths of this
very installation.
"""

from __future__ import annotations

import sys
from pathlib import Path

_CONSOLE = """\
[Unit]
Description=Watchword Console
After=network-online.target
Wants=network-online.target

[Service]
Type=exec
# The journal is no place for the credential of the first start.
ExecStart={watchword} console start --data-dir %S/watchword-console --json \\
  --credential-file %S/watchword-console/administrator{options}
DynamicUser=yes
StateDirectory=watchword-console
StateDirectoryMode=0700
Restart=always
RestartSec=2
NoNewPrivileges=yes
PrivateDevices=yes
ProtectHome=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
MemoryDenyWriteExecute=yes

[Install]
WantedBy=multi-user.target
"""

_ENFORCER = """\
[Unit]
Description=Watchword Enforcer
# Before the network, so that the last policy is in force before the first packet.
DefaultDependencies=no
After=local-fs.target sys-fs-bpf.mount
Before=network-pre.target shutdown.target
Wants=network-pre.target
Conflicts=shutdown.target

[Service]
Type=notify
# Ready as soon as the last policy is in force. Not yet enrolled and without a Console, a boot goes on after this time.
TimeoutStartSec=30
ExecStart={watchword} enforcer start --json{options}
Restart=always
RestartSec=1
# The kernel goes on deciding while the agent is away, and so do the workloads it started.
KillMode=process

[Install]
WantedBy=multi-user.target
"""


def command() -> str:
    """The absolute path of this installation's ``watchword``."""
    return str(Path(sys.executable).with_name("watchword"))


def console_unit(options: str = "") -> str:
    """The unit of the Console."""
    return _CONSOLE.format(watchword=command(), options=f" {options}" if options else "")


def enforcer_unit(options: str = "") -> str:
    """The unit of the Enforcer."""
    return _ENFORCER.format(watchword=command(), options=f" {options}" if options else "")
