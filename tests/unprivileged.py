# SPDX-License-Identifier: MIT
"""To be nobody for a while: root may look at everything."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tessmon.demo.servers import new_directory

NOBODY = 65_534
WITHOUT_PRIVILEGE = (
    [] if os.geteuid() else ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]
)
"""Begin of a command that may read what its user may, and no more when that is root."""


@contextmanager
def as_nobody() -> Iterator[None]:
    """As a user without rights of its own; whoever is no root is one already."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that all may look into."""
    directory = new_directory("tessmon-open-")
    directory.chmod(0o755)
    yield directory
    for path, _, _ in os.walk(directory):
        os.chmod(path, 0o755)
    shutil.rmtree(directory)
