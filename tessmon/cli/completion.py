# SPDX-License-Identifier: MIT
"""What a shell is told about the command line beyond its words: where a file or directory may stand."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path


def leaves(
    parser: argparse.ArgumentParser, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    """Every command that does something: its words, and its parser."""
    verbs = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not verbs:
        yield words, parser
    for action in verbs:
        for name, below in action.choices.items():
            yield from leaves(below, (*words, name))


def complete_paths(parser: argparse.ArgumentParser) -> None:
    """Mark each argument that is a path, so that shells complete it: ``DIR`` with directories, others with files."""
    import shtab

    for each in (parser, *(below for _, below in leaves(parser))):
        for action in each._actions:
            if action.type is Path:
                action.complete = shtab.DIRECTORY if action.metavar == "DIR" else shtab.FILE  # type: ignore[attr-defined]
