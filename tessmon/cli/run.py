# SPDX-License-Identifier: MIT
"""``tessmon run``: the service in the foreground, as ``twistd -n tessmon`` is."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from tessmon.cli.arguments import leaf

if TYPE_CHECKING:
    from tessmon.cli.arguments import Subparsers


def add_parser(commands: Subparsers) -> None:
    leaf(commands, "run", "run the service in the foreground, until SIGTERM or Ctrl-C")


def run(arguments: Namespace) -> int:
    from tessmon import tap

    return int(tap.run(arguments.config))
