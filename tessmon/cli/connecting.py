# SPDX-License-Identifier: MIT
"""How the command line gets to the database: by the configuration, or by ``--dsn``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psycopg2.extensions import connection

    from tessmon.database.access import Access


def add_dsn(parser: ArgumentParser) -> None:
    """``--dsn``: another user than the service's, or another database."""
    parser.add_argument(
        "--dsn", help="connection string to use instead of the configured one, as another user"
    )


def access(arguments: Namespace) -> Access:
    """What the arguments name, else what the configuration does.

    Raises:
        ConfigurationError: the configuration or the password file can't be used.
    """
    from tessmon.database.access import access_of

    return access_of(arguments.dsn, arguments.config)


@contextmanager
def connected(arguments: Namespace) -> Iterator[connection]:
    """A connection in autocommit, whose statements Ctrl-C ends at once.

    Raises:
        TessmonError: the configuration, the driver or the database does not allow it.
    """
    from tessmon.database import plain

    with plain.connected(*access(arguments)) as opened:
        from psycopg2 import extensions, extras

        extensions.set_wait_callback(extras.wait_select)
        try:
            yield opened
        finally:
            extensions.set_wait_callback(None)
