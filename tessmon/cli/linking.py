# SPDX-License-Identifier: MIT
"""The database connection of commands that write for a while: with the service's rights, and its pauses."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from tessmon.cli.progress import ProgressLine

if TYPE_CHECKING:
    from tessmon.config.model import Config
    from tessmon.files.link import Link


def link_parameters(arguments: Namespace, config: Config, name: str) -> dict[str, str]:
    """Of the connections: as the service has them, by the configuration or by ``--dsn``.

    Raises:
        ConfigurationError: the connection string or the password file can't be used.
    """
    from tessmon.database.parameters import session_parameters

    settings = config.database
    if arguments.dsn is not None:
        settings = replace(settings, dsn=arguments.dsn, password_file=None)
    parameters = session_parameters(
        settings, application_name=name, statement_timeout_s=config.writer.statement_timeout_s
    )
    return {"connect_timeout": "10", **parameters}


@contextmanager
def linked(
    config: Config,
    parameters: dict[str, str],
    line: ProgressLine,
    wait: Callable[[float], None] = time.sleep,
) -> Iterator[Link]:
    """A connection that says what it waits for; Ctrl-C ends its statements at once."""
    from psycopg2 import extensions, extras

    from tessmon.files.hold import Hold
    from tessmon.files.link import Link

    said = ""

    def waits(why: str, wait_s: float) -> None:
        nonlocal said
        if why and why != said:
            line.say(f"waiting: {why}")
        elif not why:
            line.say("going on")
        said = why
        wait(wait_s)

    link = Link(parameters, Hold(config).why, waits, time.monotonic)
    extensions.set_wait_callback(extras.wait_select)
    try:
        yield link
    finally:
        link.close()
        extensions.set_wait_callback(None)
