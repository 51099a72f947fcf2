# SPDX-License-Identifier: MIT
"""A cursor in JSON text: goes from name to name and from value to value, without parsing what it passes.

As strict as ``json.loads(text, strict=False)``, but what it costs is bounded between two steps and nothing recurses:
numbers of any length, deep nesting, doubled names and lone surrogates are passed like all else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from json import JSONDecoder

_MAX_NAME_CHARACTERS = 65536
_STEPS = 3_000
"""A pause comes after so many steps inside one value; they take some milliseconds."""

_BLANKS = re.compile(r"[ \t\n\r]*")
_SCALAR = re.compile(
    r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|true|false|null|NaN|-?Infinity", re.ASCII
)
_SHORT = (
    r""""[^"\\]{0,1000}(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\]{0,1000}){0,100}"|"""
    r"""-?(?:0|[1-9][0-9]{0,30})(?:\.[0-9]{1,30})?(?:[eE][-+]?[0-9]{1,9})?|true|false|null"""
)
_PAIR = re.compile(
    rf"[ \t\n\r]*(\[[ \t\n\r]*(?:{_SHORT})[ \t\n\r]*,[ \t\n\r]*(?:{_SHORT})[ \t\n\r]*\])[ \t\n\r]*"
)
"""Nearly all values; one match instead of a dozen steps."""
_NAME = re.compile(r'[ \t\n\r]*"([^"\\]{0,1000})"[ \t\n\r]*:')
_ESCAPES = re.compile(r'(?:[^"\\]*\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})){1,30000}')
_BRACKETS = re.compile(r"(?:[ \t\n\r]*\[){1,1000}")
_SHORT_CHARACTERS = 65536
_scan = JSONDecoder(parse_int=len, parse_float=len, strict=False).raw_decode
"""What numbers are is not asked here, and finding out takes long when they have thousands of digits."""


class JsonCursor:
    """How far a JSON text has been read.

    Iterators here give None where the work is long, so that whoever walks can give way; all else is quick.

    Attributes:
        text: all of it.
        at: where the next character to be read stands.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 1 if text.startswith("\ufeff") else 0

    def _wrong(self, what: str) -> ValueError:
        return ValueError(f"{what} at character {self.at}")

    def peek(self) -> str:
        """The next character that is no blank, empty at the end."""
        at = self.begin()
        return self.text[at : at + 1]

    def begin(self) -> int:
        """Where the next character stands that is no blank."""
        if self.text[self.at : self.at + 1] > " ":  # no blank is above it
            return self.at
        match = _BLANKS.match(self.text, self.at)
        assert match is not None
        self.at = match.end()
        return self.at

    def took(self, char: str) -> bool:
        """Go on behind a character, if it is the next one."""
        if self.peek() != char:
            return False
        self.at += 1
        return True

    def expect(self, char: str) -> None:
        """Go on behind a character.

        Raises:
            ValueError: there is another one.
        """
        if not self.took(char):
            raise self._wrong(f"{char} is missing" if self.at < len(self.text) else "the text is cut")

    def only_object(self) -> Iterator[str | None]:
        """`members` of the object that the whole text is."""
        if self.peek() != "{":
            raise self._wrong("no JSON object")
        yield from self.members()
        if self.begin() < len(self.text):
            raise self._wrong("something stands behind the object")

    def members(self) -> Iterator[str | None]:
        """The names in an object, or None for a pause. Whoever iterates reads the value behind each name."""
        self.expect("{")
        if self.took("}"):
            return
        while True:
            if match := _NAME.match(self.text, self.at):
                self.at = match.end()
                yield match[1]
            else:
                begin = self.begin()
                for _ in self._name():
                    yield None
                if self.at - begin > _MAX_NAME_CHARACTERS:
                    raise self._wrong("a name that is too long ends")
                name, _ = _scan(self.text, begin)
                self.expect(":")
                yield name
            if self.took("}"):
                return
            self.expect(",")

    def pair(self) -> str | None:
        """The text of the next value if it is a pair like most are, and go on behind it."""
        match = _PAIR.match(self.text, self.at)
        if match is None:
            return None
        self.at = match.end()
        return match[1]

    def value(self) -> Iterator[None]:
        """Go on behind the next value, whatever it is."""
        if self.peek() in ("[", "{") and self._short_value():
            return
        opened = bytearray()
        steps = 0
        while True:
            steps += 1
            if steps % _STEPS == 0:
                yield
            if match := _BRACKETS.match(self.text, self.at):
                self.at = match.end()
                opened += b"]" * match[0].count("[")
                if self.peek() != "]":
                    continue
            elif self.took("{"):
                opened += b"}"
                if self.peek() != "}":
                    yield from self._key()
                    continue
            elif self.peek() == '"':
                yield from self._string()
            elif match := _SCALAR.match(self.text, self.at):
                self.at = match.end()
            else:
                raise self._wrong("no JSON value" if self.peek() else "the text is cut")
            while opened and self.took(chr(opened[-1])):
                opened.pop()
                steps += 1
                if steps % _STEPS == 0:
                    yield
            if not opened:
                return
            self.expect(",")
            if opened.endswith(b"}"):
                yield from self._key()

    def _short_value(self) -> bool:
        """Go on behind a list or object that is not long and not deep: the scanner of the standard library is quick,
        but can't stop half-way."""
        try:
            _, size = _scan(self.text[self.at : self.at + _SHORT_CHARACTERS], 0)
        except (ValueError, RecursionError):
            return False
        self.at += size
        return True

    def _key(self) -> Iterator[None]:
        yield from self._name()
        self.expect(":")

    def _name(self) -> Iterator[None]:
        if self.peek() != '"':
            raise self._wrong("a name is missing" if self.at < len(self.text) else "the text is cut")
        yield from self._string()

    def _string(self) -> Iterator[None]:
        """Go on behind a string, the next character being its quote."""
        text, at = self.text, self.at + 1
        end = text.find('"', at)
        if text.find("\\", at, end if end >= 0 else None) >= 0:
            while match := _ESCAPES.match(text, at):
                at = match.end()
                if at - self.at > _STEPS:
                    yield
            end = text.find('"', at)
            self.at = at
            if text.find("\\", at, end if end >= 0 else None) >= 0:
                raise self._wrong("a wrong escape in the string that goes on")
        if end < 0:
            raise self._wrong("the string that never ends, which begins")
        self.at = end + 1
