# SPDX-License-Identifier: MIT
"""Arguments that several commands share, and what becomes of them."""

from __future__ import annotations

import argparse
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from tessmon.errors import TessmonError

if TYPE_CHECKING:
    from tessmon.config.load import Loaded

    Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

T = TypeVar("T")

CONFIG_HELP = "configuration file (default: /etc/tessmon/tessmon.toml, or ~/.config/tessmon/tessmon.toml)"

LONGEST_SPAN_S = 366 * 86_400

_AGO = re.compile(r"(\d{1,9})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def leaf(commands: Subparsers, name: str, text: str, listing: bool = False) -> argparse.ArgumentParser:
    """A command that does something: ``--config`` may stand behind its name too; a listing has ``--json``."""
    parser = commands.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False
    )
    parser.add_argument("--config", type=Path, metavar="PATH", default=argparse.SUPPRESS, help=CONFIG_HELP)
    if listing:
        parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def group(commands: Subparsers, name: str, text: str) -> Subparsers:
    """A noun with verbs of its own; which one was given stands in ``verb``."""
    parser = commands.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False
    )
    return parser.add_subparsers(dest="verb", metavar="VERB", required=True)


def configuration(arguments: argparse.Namespace) -> Loaded:
    """The configuration that the arguments name.

    Raises:
        ConfigurationError: it can't be used.
    """
    from tessmon.config.load import load

    return load(arguments.config)


def needed(table: T | None, name: str, says: str) -> T:
    """A table that the configuration must have.

    Args:
        table: None where it has none.
        name: of the table.
        says: what such a table says, to whoever has none.

    Raises:
        TessmonError: there is none.
    """
    if table is None:
        raise TessmonError(f"the configuration has no [{name}] table: it says {says}")
    return table


def point_in_time(text: str) -> datetime:
    """ISO 8601 (without zone it is UTC), or how long ago: 90s, 30m, 2h, 7d.

    Raises:
        ArgumentTypeError: it is neither.
    """
    ago = _AGO.fullmatch(text)
    try:
        if ago:
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time: write 2026-03-01T22:00 (UTC), or 90s, 30m, 2h, 7d for a time ago"
        ) from error


def time_span(text: str) -> float:
    """How long [s]: 90s, 30m, 2h, 1d, a year at most.

    Raises:
        ArgumentTypeError: it is none of these.
    """
    span = _AGO.fullmatch(text)
    seconds = timedelta(**{_UNITS[span[2]]: int(span[1])}).total_seconds() if span else 0.0
    if not 0 < seconds <= LONGEST_SPAN_S:
        raise argparse.ArgumentTypeError(f"{text!r} is no time span: write 90s, 30m, 2h, 1d, up to 366d")
    return seconds


def positive(text: str) -> int:
    """A whole number from 1.

    Raises:
        ArgumentTypeError: it is none.
    """
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 1 << 63):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return int(text)


def print_json(value: Any) -> None:
    """What a program reads; ASCII only, so that no terminal or pipe can hurt it."""
    print(json.dumps(value, indent=2, default=str))
