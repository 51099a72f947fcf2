# SPDX-License-Identifier: MIT
"""How a command or a script gets to the database: by the configuration, or by a connection string of its own."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tessmon.config.load import load
from tessmon.config.secrets import read_secret
from tessmon.errors import ConfigurationError


class Access(NamedTuple):
    """Connection string and password; without one libpq has its own ways to find it."""

    dsn: str
    password: str | None


def access_of(dsn: str | None, configuration: Path | None) -> Access:
    """What the connection string says, else what the configuration does.

    Args:
        dsn: None: the configuration's; empty: the environment (``PG*``) alone.
        configuration: its file; None takes the usual one.

    Raises:
        ConfigurationError: the configuration or the password file can't be used.
    """
    if dsn is not None:
        return Access(dsn, None)
    settings = load(configuration).config.database
    if settings.password_file is None:
        return Access(settings.dsn, None)
    try:
        return Access(settings.dsn, read_secret(settings.password_file))
    except ValueError as error:
        raise ConfigurationError(f"[database] password_file: {error}") from error
