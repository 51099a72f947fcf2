# SPDX-License-Identifier: MIT
"""Files, a database, and the command on both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.files.archive import Archive
from tests.postgres import Database


@pytest.fixture
def archive(tmp_path: Path, database: Database) -> Iterator[Archive]:
    """An empty one."""
    made = Archive(tmp_path / "archive", database)
    yield made
    made.end()
