# SPDX-License-Identifier: MIT
"""Rows that people know by a name, or else by their number: locations and observers."""

from __future__ import annotations

from collections.abc import Mapping

from tessmon.errors import TessmonError


class NamedRowError(TessmonError):
    """A name is taken, unknown, or of several; the text says which, and what to do."""


def number_of(named: Mapping[int, str], wanted: str, noun: str) -> int:
    """The number of the row with a name, in any case of letters, or with a number as text.

    Args:
        named: number → name of all there are.
        noun: what they are, and the command's noun.

    Raises:
        NamedRowError: there is none, or more than one.
    """
    found = [number for number, name in named.items() if name.casefold() == wanted.casefold()]
    found = found or [number for number in named if str(number) == wanted]
    if len(found) == 1:
        return found[0]
    if found:
        numbers = ", ".join(map(str, found))
        raise NamedRowError(f"the {noun}s {numbers} are all named {wanted}: give the number")
    raise NamedRowError(
        f"no {noun} is named {wanted}: `tessmon {noun} list` shows all, `tessmon {noun} add` makes one"
    )


def check_new(named: Mapping[int, str], name: str, noun: str) -> None:
    """Refuse a name that another has, in any case of letters.

    Raises:
        NamedRowError: another has it.
    """
    for number, taken in named.items():
        if taken.casefold() == name.casefold():
            raise NamedRowError(f"{noun} {number} is named {taken} already: take another name")
