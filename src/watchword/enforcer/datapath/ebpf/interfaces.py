"""The interfaces that a profile leaves alone: from their names to what the kernel's programs know them by.

Programs know a device by its index, its name and the agent's network namespace. Names are looked up here, in that
namespace alone, again whenever the kernel says (rtnetlink) that a device has come, gone or been renamed. What
programs were told before stays right until then: a device that has another name by now is left alone no more, and of
one that is gone nothing comes.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import socket
from collections.abc import Mapping, Sequence

from watchword.enforcer.datapath.base import DatapathError
from watchword.enforcer.datapath.ebpf import _layout as layout
from watchword.enforcer.datapath.ebpf._layout import Limit
from watchword.enforcer.datapath.ebpf.object import Map

_RTMGRP_LINK = 1
_READ = 1 << 16


class Interfaces:
    """One Enforcer's; ``fds`` are descriptors of maps by name. Belongs to the network namespace it is made in."""

    def __init__(self, fds: Mapping[str, int], state: layout.State) -> None:
        self._state = state
        self._known = Map(fds["excluded"], ctypes.c_uint32, layout.Device, "excluded")
        self._names: frozenset[str] = frozenset()
        self._news: socket.socket | None = None
        self._listeners: list[int] = []

    def close(self) -> None:
        """Let go; the kernel leaves alone what it left alone, as long as it is called the same."""
        self._mute()
        del self._state  # its memory is closed next

    def announce(self, epoll: int) -> None:
        """Make this epoll descriptor readable whenever devices have changed."""
        self._listeners.append(epoll)
        if self._news is not None:
            _register(epoll, self._news)

    def choose(self, names: Sequence[str]) -> bool:
        """Leave these alone and no others; whether that changes anything now."""
        if len(names) > Limit.MAX_EXCLUDED:
            raise DatapathError(
                f"excludedInterfaces: {len(names)} names; {Limit.MAX_EXCLUDED} is the most there can be"
            )
        self._names = frozenset(names)
        if self._names and self._news is None:
            self._listen()
        elif not self._names:
            self._mute()
        return self._settle()

    def follow(self) -> bool:
        """Look for devices that have come, gone or been renamed; whether that changes anything."""
        if self._news is None:
            return False
        while True:
            try:
                self._news.recv(_READ)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # news were lost: what there is now is looked at anyway
                    raise DatapathError(f"news of interfaces cannot be read: {error}") from error
        return self._settle()

    def _listen(self) -> None:
        self._news = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        self._news.bind((0, _RTMGRP_LINK))
        for epoll in self._listeners:
            _register(epoll, self._news)

    def _mute(self) -> None:
        if self._news is not None:
            self._news.close()
            self._news = None

    def _settle(self) -> bool:
        """Tell the programs what there is; who is left alone no more comes first."""
        wanted = {index: name for index, name in socket.if_nameindex() if name in self._names}
        there = {index.value: device.name.decode() for index, device in self._known.items()}
        if wanted == there:
            self._state.excluding = bool(wanted)
            return False
        for index, name in there.items():
            if wanted.get(index) != name:
                self._known.remove(ctypes.c_uint32(index))
        for index, name in wanted.items():
            if there.get(index) != name:
                self._known.put(ctypes.c_uint32(index), layout.Device(name.encode()))
        self._state.excluding = bool(wanted)
        return True


def _register(epoll: int, news: socket.socket) -> None:
    with select.epoll.fromfd(os.dup(epoll)) as registry:
        registry.register(news.fileno(), select.EPOLLIN)
