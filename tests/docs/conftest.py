# SPDX-License-Identifier: MIT
"""The manual, built once."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docutils import nodes

from tessmon.demo.servers import new_directory

ROOT = Path(__file__).parents[2]


class Manual:
    """What Sphinx made of docs/.

    Attributes:
        code: Sphinx's exit code.
        words: what it said.
        html: directory of the pages.
        pages: name → its tree.
    """

    def __init__(self, directory: Path) -> None:
        self.html = directory / "html"
        trees = directory / "trees"
        command = [sys.executable, "-m", "sphinx", "-q", "-W", "-n", "--keep-going", "-b", "html"]
        built = subprocess.run(
            [*command, "-d", str(trees), str(ROOT / "docs"), str(self.html)],
            capture_output=True,
            text=True,
            check=False,
        )
        self.code, self.words = built.returncode, built.stdout + built.stderr
        self.pages: dict[str, Any] = {
            path.stem: pickle.loads(path.read_bytes()) for path in sorted(trees.glob("*.doctree"))
        }

    def table(self, page: str, name: str) -> list[list[str]]:
        """The texts of a table's cells, without its head."""
        for found in self.pages[page].findall(nodes.table):
            if name in found["names"] or name in found["ids"]:
                body = next(found.findall(nodes.tbody))
                return [[_plain(cell) for cell in row.children] for row in body.children]
        raise AssertionError(f"page {page} has no table {name}")

    def tables(self, page: str) -> set[str]:
        """The names of a page's tables."""
        return {name for found in self.pages[page].findall(nodes.table) for name in found["names"]}

    def words_in(self, page: str, name: str) -> list[str]:
        """What stands as a literal in the first column of a table."""
        for found in self.pages[page].findall(nodes.table):
            if name in found["names"]:
                body = next(found.findall(nodes.tbody))
                return [
                    _plain(text) for row in body.children for text in row.children[0].findall(nodes.literal)
                ]
        raise AssertionError(f"page {page} has no table {name}")

    def blocks(self, language: str | None = None) -> list[tuple[str, str]]:
        """(page, text) of all blocks in a language, or of those that name none."""
        return [
            (page, block.astext())
            for page, tree in self.pages.items()
            for block in tree.findall(nodes.literal_block)
            if block.get("language") == language
        ]

    def literals(self) -> list[tuple[str, str]]:
        """(page, text) of all literals within sentences."""
        return [
            (page, _plain(literal))
            for page, tree in self.pages.items()
            for literal in tree.findall(nodes.literal)
        ]


def _plain(node: Any) -> str:
    """Its text on one line."""
    return " ".join(node.astext().split())


@pytest.fixture(scope="session")
def manual() -> Iterator[Manual]:
    directory = new_directory("tessmon-manual-")
    yield Manual(directory)
    shutil.rmtree(directory)
