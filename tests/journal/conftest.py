# SPDX-License-Identifier: MIT
"""Fixtures of the journal's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.defer import ensureDeferred

from tests.journal.desk import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Journals in a directory of their own."""
    desk = Desk(tmp_path / "journal")
    yield desk
    pytest_twisted.blockon(ensureDeferred(desk.close()))
