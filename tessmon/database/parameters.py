# SPDX-License-Identifier: MIT
"""From a connection string to the parameters of a session. Synchronous; names are resolved elsewhere.

Source: "Connection Strings" and "Parameter Key Words" of the libpq chapter in PostgreSQL's documentation.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tessmon.config.model import Database
from tessmon.config.secrets import read_secret
from tessmon.database.driver import psycopg2
from tessmon.errors import ConfigurationError

LOCK_TIMEOUT_S = 10
"""A statement waits no longer than this for a lock [s]."""

IDLE_IN_TRANSACTION_S = 60
"""The server ends a session that leaves a transaction open so long [s]: its process stands still."""

_LIVENESS = {
    "keepalives": "1",
    "keepalives_idle": "4",
    "keepalives_interval": "1",
    "keepalives_count": "3",
    "tcp_user_timeout": "4500",
}
"""libpq's defaults notice a cut network after 15 minutes, these in less than 10 s [s, s, count, ms]: 5 s when nothing
is sent, and 4.5 s more when something is sent just before that, for then the kernel begins to wait anew."""

_SERVER_LIVENESS = {
    "tcp_keepalives_idle": "4",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "4500",
    "client_connection_check_interval": "1000",
    "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_S * 1000),
}
"""The same for the server's side: a session that we have given up must not keep its locks."""

_FIXED = {"timezone": "UTC", "synchronous_commit": "on", "datestyle": "ISO", "search_path": "public"}
"""What no connection string changes: the promises rest on it."""


class Host(NamedTuple):
    """One entry of ``host``: its name as written, its port as text; an empty one means the default."""

    name: str
    port: str

    @property
    def needs_address(self) -> bool:
        """Whether it is a name or address of the network; a directory or ``@name`` is a UNIX socket."""
        return bool(self.name) and self.name[0] not in "/@"


def read_dsn(dsn: str) -> dict[str, str]:
    """A connection string's parameters.

    Raises:
        ConfigurationError: libpq can't read it. Its own words could repeat a password, so they are not given.
    """
    try:
        return dict(psycopg2.extensions.parse_dsn(dsn))
    except psycopg2.Error:
        raise ConfigurationError(
            "[database] dsn is not a connection string of libpq: write key=value pairs or a postgresql:// URL"
        ) from None


def where_of(dsn: str) -> str:
    """Which database a connection string means, for messages: ``tessmon at db.example:5432``.

    Raises:
        ConfigurationError: libpq can't read it.
    """
    given = read_dsn(dsn)
    host = given.get("host") or given.get("hostaddr") or os.environ.get("PGHOST") or "the local socket"
    port = given.get("port") or os.environ.get("PGPORT")
    name = given.get("dbname") or os.environ.get("PGDATABASE") or "the user's database"
    return f"{name} at {host}:{port}" if port else f"{name} at {host}"


def command_parameters(dsn: str, password: str | None = None) -> dict[str, str]:
    """What the command line's connections are made with; they may wait for a lock as long as it takes.

    Raises:
        ConfigurationError: libpq can't read the connection string.
    """
    parameters = {
        "application_name": "tessmon command",
        "connect_timeout": "10",
        **_LIVENESS,
        **read_dsn(dsn),
        "client_encoding": "UTF8",
    }
    given = parameters.get("options") or os.environ.get("PGOPTIONS", "")
    parameters["options"] = f"{given} {_as_options(_FIXED)}".strip()
    if password is not None:
        parameters["password"] = password
    return parameters


def session_parameters(
    settings: Database, *, application_name: str, statement_timeout_s: float
) -> dict[str, str]:
    """All that libpq is to know, but for the addresses of hosts.

    What a connection string says itself wins, except where a promise rests on it. Session settings travel in
    the start-up packet: they cost no round trip, and they win over ALTER ROLE and ALTER DATABASE.

    Raises:
        ConfigurationError: the connection string or the password file can't be read.
    """
    given = read_dsn(settings.dsn)
    usual = {
        "application_name": application_name,
        "target_session_attrs": "read-write",
        **_LIVENESS,
    }
    parameters = {**usual, **given, "client_encoding": "UTF8"}
    parameters["options"] = _options(
        given.get("options") or os.environ.get("PGOPTIONS", ""), statement_timeout_s
    )
    if settings.password_file is not None:
        try:
            parameters["password"] = read_secret(settings.password_file)
        except ValueError as error:
            raise ConfigurationError(f"[database] password_file: {error}") from error
    return parameters


def _options(given: str, statement_timeout_s: float) -> str:
    """Command-line options of the session's server process; of equal ones the last wins."""
    usual = {
        "statement_timeout": str(round(statement_timeout_s * 1000)),
        "lock_timeout": str(LOCK_TIMEOUT_S * 1000),
        **_SERVER_LIVENESS,
    }
    return " ".join(part for part in (_as_options(usual), given, _as_options(_FIXED)) if part)


def _as_options(settings: Mapping[str, str]) -> str:
    return " ".join(f"-c {name}={value}" for name, value in settings.items())


def hosts_of(parameters: Mapping[str, str]) -> list[Host]:
    """The hosts that a connection string or the environment names; empty when there is nothing to resolve,
    because an address is given already or no host is.

    A host that only a service file (``service=``) names is not found here: libpq looks it up itself, and blocks.

    Raises:
        ConfigurationError: there are neither one port nor as many as hosts.
    """
    names = parameters.get("host") or os.environ.get("PGHOST", "")
    if not names or parameters.get("hostaddr") or os.environ.get("PGHOSTADDR"):
        return []
    hosts = names.split(",")
    ports = (parameters.get("port") or os.environ.get("PGPORT", "")).split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    if len(ports) != len(hosts):
        raise ConfigurationError(f"[database] dsn names {len(hosts)} hosts and {len(ports)} ports")
    return [Host(name, port) for name, port in zip(hosts, ports, strict=True)]


def with_addresses(
    parameters: Mapping[str, str], hosts: Sequence[tuple[Host, Sequence[str]]]
) -> dict[str, str]:
    """The parameters with ``hostaddr`` beside ``host``: each host as often as it has addresses, a UNIX socket
    once with an empty one."""
    entries = [(host, address) for host, addresses in hosts for address in addresses]
    return {
        **parameters,
        "host": ",".join(host.name for host, _ in entries),
        "port": ",".join(host.port for host, _ in entries),
        "hostaddr": ",".join(address for _, address in entries),
    }
