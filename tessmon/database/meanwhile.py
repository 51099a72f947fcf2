# SPDX-License-Identifier: MIT
"""While the database works on a statement of a plain connection, the process that sent it works too."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from psycopg2 import extensions

if TYPE_CHECKING:
    from psycopg2.extensions import connection as PlainConnection  # noqa: N812


@contextmanager
def meanwhile(work: Callable[[], None]) -> Iterator[None]:
    """Within this, ``work()`` is called whenever a statement was sent and its answer is not there yet.

    Args:
        work: must not raise, and must not use the database.
    """

    def wait(connection: PlainConnection) -> None:
        while (state := connection.poll()) != extensions.POLL_OK:
            if state == extensions.POLL_WRITE:
                select.select([], [connection], [])
            else:
                work()
                select.select([connection], [], [])

    extensions.set_wait_callback(wait)
    try:
        yield
    finally:
        extensions.set_wait_callback(None)
