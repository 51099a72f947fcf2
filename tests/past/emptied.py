# SPDX-License-Identifier: MIT
"""A database without points, the same for all tests of a module: parameters and their views stay."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.postgres import Database, unchanged_database

__all__ = ["emptied", "unchanged_database"]

_EMPTY_SQL = """
DELETE FROM vlbimon_points; DELETE FROM vlbimon_stations; DELETE FROM vlbimon_clients; DELETE FROM vlbimon_status;
DELETE FROM bridge_stationstatus; DELETE FROM positions; DELETE FROM rejects; DELETE FROM tallies"""


@pytest.fixture
def emptied(unchanged_database: Database) -> Iterator[Database]:
    """It is empty before the test and after it."""
    yield unchanged_database
    unchanged_database.execute(_EMPTY_SQL)
