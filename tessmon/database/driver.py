# SPDX-License-Identifier: MIT
"""The database driver, or one sentence about its absence: import psycopg2 from here."""

from __future__ import annotations

from tessmon.errors import TessmonError


class DriverMissingError(TessmonError, ImportError):
    """psycopg2 is not installed; the text says how to install it."""


try:
    import psycopg2
    import psycopg2.errorcodes
    import psycopg2.extensions
except ImportError as error:
    raise DriverMissingError(
        f"the PostgreSQL driver psycopg2 can't be used ({error}): "
        "install tessmon[binary] with pip, or your system's package python3-psycopg2"
    ) from None

__all__ = ["DriverMissingError", "psycopg2"]
