# SPDX-License-Identifier: MIT
"""``tessmon pause``, ``resume``, ``reload`` and ``flush``: a word to the running service, and its answer."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tessmon.cli.arguments import leaf, positive, time_span
from tessmon.cli.service import admin_socket, user
from tessmon.cli.table import moment_ns

if TYPE_CHECKING:
    from tessmon.cli.arguments import Subparsers

_TEXTS = {
    "pause": "close the service's connections to the database; the journal goes on filling",
    "resume": "let the service write to the database again",
    "reload": "have the service read its configuration again",
    "flush": "have readings stored that the daylight filter holds back",
}
_TIMEOUT_S = 120
_LOOK_S = 5.0


def add_parser(commands: Subparsers) -> None:
    for name, text in _TEXTS.items():
        parser = leaf(commands, name, text)
        if name == "pause":
            parser.add_argument(
                "--for",
                dest="for_s",
                type=time_span,
                metavar="TIME",
                help="resume by itself after 90s, 30m, 2h, 1d (default: when somebody resumes)",
            )
        if name == "resume":
            parser.add_argument("--only-by", metavar="NAME", help="leave it paused if another name paused it")
        if name == "reload":
            parser.add_argument(
                "--dry-run", action="store_true", help="say what would change, and change nothing"
            )
        if name in ("pause", "resume"):
            parser.add_argument("--by", metavar="NAME", help="in this name (default: the user's)")
        parser.add_argument(
            "--timeout",
            type=positive,
            default=_TIMEOUT_S,
            metavar="SECONDS",
            help="wait no longer for the answer (default: %(default)s)",
        )


def run(arguments: Namespace) -> int:
    socket = admin_socket(arguments)
    command = {"pause": _pause, "resume": _resume, "reload": _reload, "flush": _flush}[arguments.command]
    print("\n".join(command(socket, arguments)))
    return 0


def _pause(socket: Path, arguments: Namespace) -> list[str]:
    from tessmon.control.client import NoAnswerError

    try:
        answer = _told(socket, arguments, for_s=arguments.for_s)
    except NoAnswerError as error:
        _say_how_far(socket, error, arguments.timeout)
        raise
    paused = answer["paused"] or {"until_ns": None}
    end = f"{moment_ns(paused['until_ns'])} UTC" if paused["until_ns"] else "`tessmon resume`"
    return [
        "paused: the service has no connection to the database any more",
        f"until {end}",
        *answer["said"],
    ]


def _say_how_far(socket: Path, error: Exception, timeout_s: int) -> None:
    """The door was locked at once; what takes time are the connections.

    Raises:
        AdminError: the service says that it is paused and has connections still.
    """
    from tessmon.control.client import AdminError, ask

    if ask(socket, "/status", min(timeout_s, _LOOK_S))["paused"]:
        raise AdminError(
            f"after {timeout_s} s the service still has a connection to the database. It makes no new one: writes"
            " stay paused until `tessmon resume`; its log says what the connection is at"
        ) from error


def _resume(socket: Path, arguments: Namespace) -> list[str]:
    return _told(socket, arguments, only_by=arguments.only_by)["said"] or ["resumed"]


def _reload(socket: Path, arguments: Namespace) -> list[str]:
    changes = _told(socket, arguments, dry_run=arguments.dry_run)["said"]
    if arguments.dry_run:
        return ["a reload would change", *changes] if changes else ["a reload would change nothing"]
    return ["reloaded", *changes] if changes else ["nothing changed"]


def _flush(socket: Path, arguments: Namespace) -> list[str]:
    return _told(socket, arguments)["said"] or ["there is no input to flush"]


def _told(socket: Path, arguments: Namespace, **wish: str | float | None) -> dict[str, Any]:
    from tessmon.control.client import tell

    who = getattr(arguments, "by", None) or user()
    return tell(socket, f"/{arguments.command}", who, arguments.timeout, **wish)
