# SPDX-License-Identifier: MIT
"""``tessmon pause``, ``resume`` and ``reload``: a word to the running service, and its answer."""

from __future__ import annotations

import getpass
from argparse import Namespace
from typing import TYPE_CHECKING

from tessmon.cli.arguments import configuration, leaf, positive

if TYPE_CHECKING:
    from tessmon.cli.arguments import Subparsers

_TEXTS = {
    "pause": "close the service's connections to the database; the journal goes on filling",
    "resume": "let the service write to the database again",
    "reload": "have the service read its configuration again",
}
_TIMEOUT_S = 120


def add_parser(commands: Subparsers) -> None:
    for name, text in _TEXTS.items():
        parser = leaf(commands, name, text)
        parser.add_argument(
            "--timeout",
            type=positive,
            default=_TIMEOUT_S,
            metavar="SECONDS",
            help="wait no longer for the answer (default: %(default)s)",
        )


def run(arguments: Namespace) -> int:
    from tessmon.control.client import tell

    socket = configuration(arguments).config.admin.socket
    answer = tell(socket, f"/{arguments.command}", _who(), arguments.timeout)
    if arguments.command == "pause":
        print("paused: the service has no connection to the database any more")
    elif arguments.command == "resume":
        print("resumed")
    else:
        print(
            "\n".join(["reloaded", *map(str, answer["changes"])]) if answer["changes"] else "nothing changed"
        )
    return 0


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in some containers
        return "tessmon command"
