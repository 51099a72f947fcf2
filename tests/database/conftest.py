# SPDX-License-Identifier: MIT
"""One more database than all tests share."""

from tests.postgres import unchanged_database

__all__ = ["unchanged_database"]
