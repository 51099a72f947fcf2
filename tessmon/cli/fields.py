# SPDX-License-Identifier: MIT
"""Arguments that describe places and people: what can't be one is told as wrong usage."""

from __future__ import annotations

import argparse
import difflib
import math
from collections.abc import Callable

MAX_CHARACTERS = 255


def label(text: str) -> str:
    """A name or another short text; blanks around it don't count.

    Raises:
        ArgumentTypeError: it is blank, too long, or no text that a database takes.
    """
    stripped = text.strip()
    if not stripped:
        raise argparse.ArgumentTypeError("a text that is not blank is wanted")
    if len(stripped) > MAX_CHARACTERS or not stripped.isprintable():
        raise argparse.ArgumentTypeError(f"at most {MAX_CHARACTERS} visible characters are wanted")
    return stripped


def any_name(text: str) -> str:
    """A name as somebody else made it: whatever a database takes.

    Raises:
        ArgumentTypeError: it is no text in the terminal's encoding.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise argparse.ArgumentTypeError(f"{text!a} is no text in UTF-8") from error
    return text


def number_within(low: float, high: float, unit: str) -> Callable[[str], float]:
    """A reader of numbers in a closed range."""

    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {low:g} to {high:g} {unit}")
        return number

    return read


def time_zone(text: str) -> str:
    """A name of the IANA time zone data base.

    Raises:
        ArgumentTypeError: this machine knows no such zone.
    """
    import zoneinfo

    known = zoneinfo.available_timezones()
    if text in known:
        return text
    if not known:
        raise argparse.ArgumentTypeError("this machine knows no time zones: install the package tzdata")
    alike = difflib.get_close_matches(text, known, 1)
    hint = f"did you mean {alike[0]}?" if alike else "write one like Europe/Madrid"
    raise argparse.ArgumentTypeError(f"{text!r} is no time zone: {hint}")


def email(text: str) -> str:
    """An address, as far as that can be told without sending anything.

    Raises:
        ArgumentTypeError: it can't be one.
    """
    name, at, host = label(text).rpartition("@")
    if not (name and at and host) or " " in text.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is no e-mail address")
    return text.strip()


def website(text: str) -> str:
    """An address that begins with http:// or https://.

    Raises:
        ArgumentTypeError: it does not.
    """
    address = label(text)
    scheme, colon, rest = address.partition("://")
    if scheme.lower() not in ("http", "https") or not colon or not rest or " " in address:
        raise argparse.ArgumentTypeError(f"{text!r} is no web address: write https://…")
    return address
