# SPDX-License-Identifier: MIT
"""Server processes that never outlive this one, never run as root, and can be frozen and killed."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tessmon.demo.accounts import Account, ServerError, as_user

_PR_SET_PDEATHSIG = 1
"""Source: prctl(2)."""

_POLL_S = 0.02
_LOWEST_PORT = 15_000
_PORT_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOG_TAIL_LINES = 8

_THAW = 'read -r line; kill -CONT "$@" 2>&-'
"""Waits for the end of its input, which comes when we close it and when we die, and wakes the frozen then."""

_libc = ctypes.CDLL(None, use_errno=True)
"""Loaded here, so that nothing has to be looked up between fork and exec."""


def free_port() -> int:
    """A loopback port that nobody uses now, below those that the kernel gives to outgoing connections.

    A client that keeps trying a port of the kernel's range while its server is away is some day given that
    very port as its own, is connected to itself, and the server can't come back.
    """
    try:
        highest = int(_PORT_RANGE_FILE.read_text().split()[0]) - 1
    except (OSError, ValueError, IndexError):
        highest = 32_767
    ports = range(_LOWEST_PORT, highest) if highest > _LOWEST_PORT + 1000 else range(0, 1)
    for port in random.sample(ports, k=min(len(ports), 200)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise ServerError("no free loopback port was found")


def wait_until(condition: Callable[[], bool], timeout_s: float, poll_s: float = _POLL_S) -> bool:
    """Whether ``condition()``, asked every ``poll_s`` seconds, became true within ``timeout_s`` seconds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(poll_s)
    return True


class GuardedProcess:
    """A process and its children, which get a signal when the thread that started them ends, even by kill -9.

    It runs in a process group of its own, so that Ctrl-C on the terminal is ours alone to act upon.
    """

    def __init__(
        self,
        arguments: Sequence[str | Path],
        *,
        log: Path,
        account: Account | None = None,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        orphaned: signal.Signals = signal.SIGTERM,
    ) -> None:
        """Start it.

        Args:
            arguments: the command line.
            log: file to append its output to; made with mode 0600.
            account: who it runs as; None: ourselves.
            environment: all of its environment; None: ours.
            directory: where it runs; None: here.
            orphaned: the signal that it gets when we are gone.
        """
        self.log = log
        self._thaw: subprocess.Popen[bytes] | None = None
        parent = os.getpid()
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
            self._process = subprocess.Popen(
                [str(argument) for argument in arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=directory,
                process_group=0,
                preexec_fn=lambda: _die_with(parent, orphaned),
                **as_user(account),
            )

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it lives."""
        return self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process, not to its children."""
        self._process.send_signal(number)

    def wait(self, timeout_s: float) -> int | None:
        """Its exit status, None when it lives on after ``timeout_s`` seconds."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def freeze(self) -> None:
        """Stop it and its children in their tracks; return when all stand still."""
        if self._thaw is not None:
            return
        _signal(self.pid, signal.SIGSTOP)
        family = [self.pid, *children_of(self.pid)]
        self._thaw = subprocess.Popen(
            ["/bin/sh", "-c", _THAW, "sh", *map(str, family)], stdin=subprocess.PIPE, process_group=0
        )
        for pid in family:
            _signal(pid, signal.SIGSTOP)
        if not wait_until(lambda: all(_state(pid) in "TZX" for pid in family), 10):
            raise ServerError(f"process {self.pid} or a child of it does not stand still")

    def thaw(self) -> None:
        """Let the frozen go on."""
        if self._thaw is not None:
            self._thaw.communicate()
            self._thaw = None

    def kill(self) -> None:
        """SIGKILL for it and its children, frozen or not; return when none is left."""
        _signal(self.pid, signal.SIGSTOP)  # so that it makes no child behind our back
        children = children_of(self.pid)
        _signal(self.pid, signal.SIGKILL)
        for pid in children:
            _signal(pid, signal.SIGKILL)
        self._process.wait()
        if not wait_until(lambda: all(_state(pid) in "ZX" for pid in children), 10):
            raise ServerError(f"children of process {self.pid} outlive SIGKILL")
        self.thaw()

    def last_words(self) -> str:
        """The end of its log, on one line."""
        lines = self.log.read_text(errors="replace").splitlines()
        return " / ".join(line.strip() for line in lines[-_LOG_TAIL_LINES:]) or "it said nothing"


def children_of(parent: int) -> list[int]:
    """Process numbers of the living children of ``parent``."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            fields = _stat(int(entry.name))
            if len(fields) > 1 and fields[1] == str(parent):
                found.append(int(entry.name))
    return found


def _state(pid: int) -> str:
    """The kernel's letter for the state of a process, X when there is none."""
    return (_stat(pid) or ["X"])[0]


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat behind the command's name: state, parent ...; empty when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _die_with(parent: int, number: int) -> None:
    """Runs in the child, as its final user (a change of user would undo it), just before exec."""
    _libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
