# SPDX-License-Identifier: MIT
"""Lines of JSON as devices write them, brought into the JSON that a ``jsonb`` column takes, value for value.

Numbers are never read as floats and written again: all text that needs no change stays as it is. Every look at a line
costs time in proportion to its length, and not much more for what is hostile in it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tessmon.decode.marking import MARK
from tessmon.decode.refusal import Refusal, quoted
from tessmon.errors import Reason

MAX_DEPTH = 100
"""Of objects and lists in each other. The parser's own limit depends on who calls it."""
MAX_ODD_PARTS = 50_000
"""Objects and lists, values that are no finite numbers, characters to mark: of each at most so many in a line. More
hold everybody up for longer than telemetry is worth."""

_MAX_DIGITS = 300
"""A number of more may be beyond float64."""
_MAX_NUMBER_CHARACTERS = 1000
"""PostgreSQL's numeric takes 16383 digits behind the point; nobody measures so well."""

_ODD_VALUES = {
    "NaN": '"NaN"', "nan": '"NaN"', "-nan": '"NaN"',
    "Infinity": '"Infinity"', "inf": '"Infinity"',
    "-Infinity": '"-Infinity"', "-inf": '"-Infinity"',
}  # fmt: skip
"""What Python and the instrument's printer write for what is not finite, and what is stored."""
_NEGATIVE_ZERO = '"-0.0"'
_STORED_ODD_VALUES = {*_ODD_VALUES.values(), _NEGATIVE_ZERO}

_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)'
"""Also one without an end: no character is looked at twice. A possessive quantifier around alternatives would be wrong
in Python before 3.11.5."""
_ODD_VALUE = r"(?<![\w.+-])(?:NaN|-?(?:nan|inf|Infinity)|-0(?:\.0+)?(?:[eE][+-]?[0-9]+)?)(?![\w.+-])(?!\s*:)"
_STRING_OR_ODD_VALUE = re.compile(rf"{_STRING}|({_ODD_VALUE})", re.ASCII | re.DOTALL)
_ODD_ESCAPE = re.compile(
    r"(?<!\\)((?:\\\\)*+)"  # pairs of backslashes before it: each is one in the text
    r"(?:\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # two that make one character
    r"|\\u(?P<odd>0000|[dD][89a-fA-F][0-9a-fA-F]{2}))"
)
_BAD_BYTE = re.compile("[\udc80-\udcff]")
_STRINGS = re.compile(_STRING, re.DOTALL)

_LOOKS_NEGATIVE_ZERO = re.compile(r"-0(?:\.0*)?(?:[eE][+-]?[0-9]+)?(?![0-9.eE])")
_LOOKS_TINY = re.compile(r"[eE]-[0-9]{3}")
_LOOKS_LONG = re.compile(rf"(?<![0-9])[0-9]{{{_MAX_DIGITS}}}")
_EXTREME = re.compile(r"(?<![\w.])(?:[0-9][0-9.]*[eE]-[0-9]{3,}|[0-9.]{300,}(?:[eE][+-]?[0-9]+)?)", re.ASCII)


class Restated(NamedTuple):
    """A line in JSON's own words, with strings for odd values; and whether other strings had to be changed."""

    text: str
    marked: bool


def restate(line: bytes) -> Restated:
    """What a line means that is no JSON, or that ``jsonb`` refuses. What is no JSON for other reasons stays so.

    NULs, halves of surrogate pairs and bytes that are no UTF-8 become a `MARK` and their hexadecimal digits.

    Raises:
        Refusal: too much of it is odd.
    """
    text = as_sent = line.decode("utf-8", "surrogateescape")
    if not text.isascii():
        text, parts = _BAD_BYTE.subn(_mark_byte, text, MAX_ODD_PARTS + 1)
        _check_count(parts, "bytes that are no UTF-8")
    if "\\u" in text:
        text, parts = _ODD_ESCAPE.subn(_mark, text, MAX_ODD_PARTS + 1)
        _check_count(parts, "characters that can't be kept")
    return Restated(restate_values(text), text != as_sent)


def is_odd_value(text: str) -> bool:
    """Whether a string is one that stands for an odd value."""
    return f'"{text}"' in _STORED_ODD_VALUES


def restate_values(text: str) -> str:
    """The text with negative zeros and what is not finite as strings.

    Raises:
        Refusal: there are too many of them.
    """
    parts = 0

    def restated(found: re.Match[str]) -> str:
        nonlocal parts
        value = found[1]
        if value is None:
            return found[0]
        parts += 1
        _check_count(parts, "values that are no finite numbers")
        return _ODD_VALUES.get(value, _NEGATIVE_ZERO)

    return _STRING_OR_ODD_VALUE.sub(restated, text)


def may_have_negative_zeros(text: str) -> bool:
    """Whether JSON text wants `restate_values`; what looks so may stand in a string."""
    return "-0" in text and _LOOKS_NEGATIVE_ZERO.search(text) is not None


def check_numbers(text: str) -> None:
    """Refuse JSON text with numbers that are too small or too long for float64: queries that read the key would fail.
    (Those that are too large are refused by the parser.)

    Raises:
        Refusal: it has one.
    """
    tiny = ("e-" in text or "E-" in text) and _LOOKS_TINY.search(text)
    if not tiny and (len(text) <= _MAX_DIGITS or not _LOOKS_LONG.search(text)):
        return
    if any(map(_is_beyond, _EXTREME.findall(text))):
        for number in _EXTREME.findall(_STRINGS.sub('""', text)):
            if _is_beyond(number):
                raise Refusal(Reason.INVALID, f"{quoted(number)} can't be kept as a number")


def has_many_parts(text: str) -> bool:
    """Whether JSON text has so many objects and lists that `check_depth` must look.

    Raises:
        Refusal: there are too many of them.
    """
    if len(text) <= 2 * MAX_DEPTH:
        return False
    parts = text.count("{") + text.count("[")
    _check_count(parts, "objects and lists")
    return parts > MAX_DEPTH


def check_depth(values: object) -> None:
    """Refuse what is nested too deeply.

    Raises:
        Refusal: it is.
    """
    level = [values]
    for _ in range(MAX_DEPTH + 1):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return
    raise too_deep()


def too_deep() -> Refusal:
    """The refusal of what is nested too deeply."""
    return Refusal(Reason.INVALID, f"more than {MAX_DEPTH} objects and lists in each other")


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _check_count(parts: int, what: str) -> None:
    if parts > MAX_ODD_PARTS:
        raise Refusal(Reason.INVALID, f"more than {MAX_ODD_PARTS} {what}")


def _is_beyond(number: str) -> bool:
    if len(number) > _MAX_NUMBER_CHARACTERS:
        return True
    try:
        value = float(number)
    except ValueError:
        return False  # in a string
    return value == float("inf") or (value == 0 and number.lower().partition("e")[0].strip("0.") != "")


def _mark(found: re.Match[str]) -> str:
    odd = found["odd"]
    return found[0] if odd is None else f"{found[1]}{MARK}{'00' if odd == '0000' else odd.upper()}"


def _mark_byte(found: re.Match[str]) -> str:
    return f"{MARK}{ord(found[0]) - 0xDC00:02X}"
