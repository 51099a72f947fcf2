# SPDX-License-Identifier: MIT
"""``tessmon stop`` and ``restart``: end the running service in good order, and wait until it is done."""

from __future__ import annotations

import subprocess
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tessmon.cli.arguments import configuration, leaf, positive
from tessmon.cli.service import admin_socket, user
from tessmon.errors import TessmonError

if TYPE_CHECKING:
    from tessmon.cli.arguments import Subparsers

UNIT = "tessmon.service"
_TIMEOUT_S = 120
_LOOK_S = 0.1
_TEXTS = {
    "stop": "flush the service, stop it and wait until all is on disk",
    "restart": "flush the service, stop it and wait until it is there again",
}


def add_parser(commands: Subparsers) -> None:
    for name, text in _TEXTS.items():
        parser = leaf(commands, name, f"{text}; by systemctl where systemd runs it")
        parser.add_argument(
            "--timeout",
            type=positive,
            default=_TIMEOUT_S,
            metavar="SECONDS",
            help="wait no longer (default: %(default)s)",
        )


def run(arguments: Namespace) -> int:
    from tessmon.control.client import ask, tell

    if arguments.command == "restart":
        configuration(arguments)  # with a wrong one it would not come back
    socket = admin_socket(arguments)
    before = ask(socket, "/status")
    _flush(socket, arguments.timeout)
    if _is_of_systemd(before["pid"]):
        return subprocess.run(["systemctl", arguments.command, UNIT], check=False).returncode and 1
    tell(socket, f"/{arguments.command}", user(), arguments.timeout)
    if arguments.command == "stop":
        _wait(lambda: _status(socket) is None, "has not ended", arguments.timeout)
        print("stopped")
    else:
        _wait(lambda: _is_new(_status(socket), before), "is not there again", arguments.timeout)
        print("restarted")
    return 0


def _flush(socket: Path, timeout_s: int) -> None:
    """What is held back comes back by itself at the next start: that it can't be flushed stops nobody."""
    from tessmon.control.client import tell

    try:
        said = tell(socket, "/flush", user(), timeout_s)["said"]
    except TessmonError as error:
        said = [f"not flushed: {error}"]
    print("\n".join(said), flush=True)


def _is_of_systemd(pid: int) -> bool:
    """Whether the process is the main one of our unit, and not one that somebody started beside it."""
    try:
        shown = subprocess.run(
            ["systemctl", "show", "--property=MainPID", "--value", UNIT],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return False
    return shown.stdout.strip() == str(pid)


def _status(socket: Path) -> dict[str, Any] | None:
    """None while nobody answers."""
    from tessmon.control.client import AdminError, NotRunningError, ask

    try:
        return ask(socket, "/status")
    except NotRunningError:
        return None
    except AdminError:  # it broke off while it answered: look again
        return {}


def _is_new(status: dict[str, Any] | None, before: dict[str, Any]) -> bool:
    return status is not None and status.get("started_ns", before["started_ns"]) != before["started_ns"]


def _wait(done: Callable[[], bool], what: str, timeout_s: int) -> None:
    """Raises:
    TessmonError: it is not done in time.
    """
    until_s = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > until_s:
            raise TessmonError(f"the service {what} after {timeout_s} s; look into its log")
        time.sleep(_LOOK_S)
