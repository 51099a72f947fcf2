# SPDX-License-Identifier: MIT
"""Two machines and a wire between them, as network name spaces: packets to an address can be made to vanish.

The name space that a process stands in when it makes a `Wire` is the servers' machine; whoever wants one of its own
runs under `isolated`, as any user.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType

BROKER, DATABASE = "10.77.0.1", "10.77.0.2"
"""Addresses of the servers."""
TO_BROKER, TO_DATABASE = "10.77.0.11", "10.77.0.12"
"""Addresses that the other machine speaks to them from."""

_NOBODY = "02:00:00:00:00:99"
"""A hardware address that no interface has: what is sent there arrives at the other end, and is left lying."""
_NEAR, _FAR = "near", "far"


class ForbiddenError(Exception):
    """This kernel lets this user make no name spaces."""


def isolated(command: Sequence[str]) -> list[str]:
    """The command line of a command in a network of its own, in which it may do all.

    It stays the user it is: PostgreSQL refuses to run as root, also where root is only a name.

    Raises:
        ForbiddenError: the kernel does not let us; the text says what to change.
    """
    prefix = ["unshare", "--net"]
    if os.geteuid() != 0:
        prefix += ["--user", "--map-current-user", "--keep-caps"]
    tried = subprocess.run([*prefix, "ip", "link"], capture_output=True, text=True, check=False)
    if tried.returncode:
        raise ForbiddenError(
            f"this test wants network name spaces and got none ({tried.stderr.strip()}): run it as root, or let users "
            "have name spaces (sysctl user.max_net_namespaces, kernel.apparmor_restrict_unprivileged_userns)"
        )
    return [*prefix, *command]


class Wire:
    """From this network name space, the servers' machine, to a new one.

    Attributes:
        prefix: before a command that is to run on the other machine.
    """

    def __init__(self) -> None:
        self._other = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo here; exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._other.stdout is not None
        assert self._other.stdout.readline() == b"here\n"
        self.prefix = ["nsenter", f"--net=/proc/{self._other.pid}/ns/net"]
        _ip(f"link add name {_NEAR} type veth peer name {_FAR} netns {self._other.pid}")
        for run, end, addresses in (
            (_ip, _NEAR, (BROKER, DATABASE)),
            (self._far_ip, _FAR, (TO_BROKER, TO_DATABASE)),
        ):
            run("link set lo up")
            for address in addresses:
                run(f"address add {address}/24 dev {end}")
            run(f"link set {end} up")
        for server, client in ((BROKER, TO_BROKER), (DATABASE, TO_DATABASE)):
            self._far_ip(f"route add {server}/32 dev {_FAR} src {client}")

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._other.communicate()

    @contextmanager
    def cut(self, addresses: Sequence[str]) -> Iterator[None]:
        """Meanwhile, what the other end sends to these addresses vanishes without a word to anybody."""
        for address in addresses:
            self._at_sender(address)(
                f"neigh replace {address} lladdr {_NOBODY} nud permanent dev {self._end(address)}"
            )
        try:
            yield
        finally:
            for address in addresses:
                self._at_sender(address)(f"neigh delete {address} dev {self._end(address)}")

    def _at_sender(self, address: str) -> Callable[[str], None]:
        return self._far_ip if address in (BROKER, DATABASE) else _ip

    def _end(self, address: str) -> str:
        return _FAR if address in (BROKER, DATABASE) else _NEAR

    def _far_ip(self, command: str) -> None:
        _run([*self.prefix, "ip", *command.split()])


def _ip(command: str) -> None:
    _run(["ip", *command.split()])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, f"{' '.join(command)}: {done.stderr}"
