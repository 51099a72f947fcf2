# SPDX-License-Identifier: MIT
"""An MQTT broker of our own: mosquitto where it is installed, else the one in the wheel ``iotcore``."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from tessmon.demo.accounts import ServerError, make_reachable, private_directory, unprivileged_account
from tessmon.demo.guarded import GuardedProcess, wait_until
from tessmon.demo.server import Server

BrokerKind = Literal["mosquitto", "iotcore"]

_SYSTEM_PATHS = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
"""Debian's mosquitto stands in /usr/sbin, which is not on an ordinary user's PATH."""


def mosquitto_program() -> Path | None:
    """mosquitto's path, None when it is not installed."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path=_SYSTEM_PATHS)
    return Path(found) if found else None


def has_iotcore() -> bool:
    """Whether the wheel ``iotcore`` is installed."""
    return importlib.util.find_spec("iotcore") is not None


class Broker(Server):
    """A broker for everybody on this machine.

    Root's mosquitto runs as the user ``mosquitto``, else ``nobody``. iotcore keeps all it knows in memory only.
    """

    kind_of_server = "broker"

    def __init__(
        self,
        directory: Path,
        *,
        kind: BrokerKind | None = None,
        lines: Sequence[str] = (),
        port: int | None = None,
    ) -> None:
        """Touches nothing yet.

        Args:
            directory: where it lives; made where it is missing. What a mosquitto kept there is used again.
            kind: None: mosquitto, else iotcore.
            lines: of mosquitto's configuration; a key of ours among them replaces our value.
            port: TCP port; None: a free one.
        """
        super().__init__(directory, port)
        self.kind = kind or ("mosquitto" if mosquitto_program() else "iotcore")
        self.lines = tuple(lines)

    @property
    def url(self) -> str:
        """As ``[mqtt] broker`` wants it."""
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What the broker says."""
        return self.directory / "broker.log"

    def start(self) -> None:
        """Start it, and return when it takes connections.

        Raises:
            ServerError: it does not start, it runs already, or there is no program to run.
        """
        if self.running:
            raise ServerError(f"the broker of {self.directory} runs already")
        if _takes_connections(self.port):
            raise ServerError(f"port {self.port} of 127.0.0.1 is in use by another program")
        self._process = self._start_mosquitto() if self.kind == "mosquitto" else self._start_iotcore()
        process = self._process
        wait_until(lambda: not process.running or _takes_connections(self.port), 30)
        if not process.running:
            raise ServerError(f"{self.kind} ended at once; its log {self.log} says: {process.last_words()}")
        if not _takes_connections(self.port):
            raise ServerError(f"{self.kind} takes no connections; see {self.log}")

    def stop(self, timeout_s: float = 30) -> None:
        """Stop it in good order, frozen or not: mosquitto keeps sessions and queues on disk."""
        if self._process is None or not self.running:
            return
        self._process.thaw()
        self._process.send(signal.SIGTERM)
        if self._process.wait(timeout_s) is None:
            raise ServerError(f"{self.kind} does not stop within {timeout_s:g} s; see {self.log}")

    def _start_mosquitto(self) -> GuardedProcess:
        program = mosquitto_program()
        if program is None:
            raise ServerError("mosquitto was not found: install the package mosquitto of your system")
        account = unprivileged_account("mosquitto")
        make_reachable(self.directory, account)
        store = private_directory(self.directory / "store", account)
        configuration = self.directory / "mosquitto.conf"
        configuration.write_text("\n".join(self._configuration(store)) + "\n")
        configuration.chmod(0o644)
        return GuardedProcess(
            [program, "-c", configuration],
            log=self.log,
            account=account,
            environment={"PATH": _SYSTEM_PATHS},
            directory=store,
        )

    def _configuration(self, store: Path) -> list[str]:
        ours = {
            "allow_anonymous": "true",
            "persistence": "true",
            "persistence_location": f"{store}/",
            "max_queued_messages": "1000000",
            "log_dest": "stderr",
            "connection_messages": "true",
        }
        theirs = {line.split()[0] for line in self.lines if line.strip()}
        defaults = [f"{key} {value}" for key, value in ours.items() if key not in theirs]
        return [*defaults, f"listener {self.port} 127.0.0.1", *self.lines]

    def _start_iotcore(self) -> GuardedProcess:
        if not has_iotcore():
            raise ServerError("iotcore was not found: install mosquitto from your system or iotcore with pip")
        make_reachable(self.directory, None)
        return GuardedProcess(
            [sys.executable, "-m", "iotcore", "--listen", "127.0.0.1", "--port", str(self.port)],
            log=self.log,
            directory=self.directory,
        )


def _takes_connections(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
