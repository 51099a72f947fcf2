# SPDX-License-Identifier: MIT
"""A unit file as its reader sees it."""

from __future__ import annotations

from pathlib import Path


class Unit:
    """Settings by name, whatever section they stand in; one that stands there again has several values."""

    def __init__(self, path: Path) -> None:
        self._values: dict[str, list[str]] = {}
        for line in path.read_text().splitlines():
            key, equals, value = line.partition("=")
            if equals and not line.startswith("#"):
                self._values.setdefault(key, []).append(value)

    def all(self, key: str) -> list[str]:
        """The values, in order; empty when it is not there."""
        return self._values.get(key, [])

    def one(self, key: str) -> str:
        """The one value."""
        (value,) = self._values[key]
        return value
