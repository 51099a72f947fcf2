# SPDX-License-Identifier: MIT
"""A vlbimon server as a process of its own, for tests that wait: what it is to do is said over a pair of sockets.

It speaks the true API, plain and with TLS (two doors to the same array), keeps a ledger of every point it received and
of every request, and fails on demand::

    def test_something(vlbimon_server: VlbimonServer) -> None:
        vlbimon_server.receive([("KP", "weather_tau225", 1712345600, 0.05)])
        vlbimon_server.fail("status", calls=("snapshot",), count=3, status=503, retry_after="2")
        ...                                      # service of a test, with vlbimon_server.url and .auth_file(path)
        assert vlbimon_server.served() == ...

`VlbimonServer.run` lets stations send. For use in a test's own reactor see `tests.vlbimon_site`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tessmon.demo.servers import new_directory
from tests.sources.certificates import make_identity
from tests.vlbimon_array import Raw, Received
from tests.vlbimon_doors import NAME, PASSWORD, Scheme
from tests.vlbimon_faults import ALL, Fault
from tests.vlbimon_site import Asked, Said, Vlbimon
from tests.vlbimon_stations import STATIONS, Stations

PLAIN, SECURE = "http", "https"
_ROOT = Path(__file__).parent.parent
_STEP_S = 0.02
"""Between two looks of the stations at their clock [s]."""


class VlbimonServer:
    """The process, and what it can be told. Methods return when it is done.

    Attributes:
        url, secure_url: of the two doors, without a slash at the end.
        ca_file: the certificate of the authority that signed that of the secure door.
        process: the process, to be stopped and continued.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        authority = make_identity(directory, "authority")
        made = make_identity(directory, "vlbimon", authority)
        self.ca_file = authority.certificate_file
        self._lock = threading.Lock()
        ours, theirs = socket.socketpair()
        with theirs, (directory / "vlbimon.log").open("ab") as log:
            command = [sys.executable, "-m", "tests.vlbimon_server", str(theirs.fileno())]
            self.process = subprocess.Popen(
                [*command, str(made.key_file), str(made.certificate_file)],
                cwd=_ROOT,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
            )
        self._socket = ours
        self._lines = ours.makefile("rb")
        self.ports: dict[str, int] = self.tell("ports")
        self.url = f"http://127.0.0.1:{self.ports[PLAIN]}"
        self.secure_url = f"https://localhost:{self.ports[SECURE]}"

    def tell(self, what: str, **arguments: Any) -> Any:
        """Have a command of `_Orders` done; its answer."""
        with self._lock:
            self._socket.sendall(json.dumps([what, arguments]).encode() + b"\n")
            line = self._lines.readline()
        assert line, (self.directory / "vlbimon.log").read_text()
        well, answer = json.loads(line)
        assert well, answer
        return answer

    def end(self) -> None:
        """It is gone."""
        self.process.send_signal(signal.SIGCONT)
        self._lines.close()
        self._socket.close()  # which ends it
        self.process.wait(30)

    def freeze(self) -> None:
        """It answers nothing, not even TLS's first words, until it is thawed."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def auth_file(self, path: Path, password: str = PASSWORD, scheme: str = "basicauth") -> Path:
        """Write the secrets file of a client, in YAML."""
        hosts = ("127.0.0.1", "localhost")
        lines = [
            f"{host}:\n  {scheme}:\n  - {json.dumps(NAME)}\n  - {json.dumps(password)}\n" for host in hosts
        ]
        path.touch(0o600)
        path.write_text("".join(lines))
        return path

    # Points.

    def receive(self, points: Iterable[Sequence[Any]]) -> int:
        """A station sends (station, parameter, stamp, value), all in one moment; `Raw` goes to the wire as it is."""
        return int(self.tell("receive", points=[[*map(_marked, point)] for point in points]))

    def receive_set(self, count: int, stamp_s: int) -> int:
        """So many series get a number each, at one moment: large sets that need not come through the pipe.

        The parameters are those of the list, and the stations are as many as it takes: S0, S1 and so on.
        """
        return int(self.tell("receive_set", count=count, stamp_s=stamp_s))

    def run(
        self,
        seconds: float,
        speed: float,
        *,
        seed: int = 5,
        parameters: Sequence[str] | None = None,
        stations: Sequence[str] = STATIONS,
        ago_s: float = 0.0,
    ) -> None:
        """Stations send from now on. Their clock is so many times too fast, and is right, or that much behind, when the
        seconds of it are over. What comes late comes with the last of them."""
        chosen = {"seed": seed, "parameters": parameters, "stations": list(stations)}
        self.tell("run", seconds=seconds, speed=speed, ago_s=ago_s, **chosen)

    def running(self) -> bool:
        """Whether they still send."""
        return bool(self.tell("running"))

    def received(self) -> list[Received]:
        """Every point that stations sent."""
        return [Received(*fields) for fields in self.tell("received")]

    def served(self) -> list[Received]:
        """Every point that was in a whole answer, once."""
        received = self.received()
        return [received[number] for number in self.tell("served")]

    # What was asked, and what is answered.

    def asked(self, *calls: str) -> list[Asked]:
        """Every request of these calls; of all when none is named."""
        return msgspec.convert(self.tell("asked", calls=calls or (*ALL, "")), list[Asked])

    def fail(self, kind: str, **fields: Any) -> None:
        """Something goes wrong; see `Fault`."""
        self.tell("fail", fault=msgspec.to_builtins(Fault(kind, **fields)))

    def be_well(self) -> None:
        """Nothing goes wrong any more."""
        self.tell("be_well")

    def say(self, call: str, body: str, cursor: str | None = None) -> None:
        """The next good answer to this call has this body, and this cursor; None: the true one, empty: none."""
        self.tell("say", call=call, said=[body, cursor])

    def shut(self, door: str = PLAIN) -> None:
        """Refuse connections."""
        self.tell("shut", door=door)

    def reopen(self, door: str = PLAIN) -> None:
        """Take them again, on the same port."""
        self.tell("reopen", door=door)

    def drop_connections(self) -> None:
        """RST to all that are there."""
        self.tell("drop")

    # Settings.

    def expire_sessions(self) -> None:
        self.tell("expire")

    def set_keys(
        self, scheme: Scheme = "basic", password: str = PASSWORD, *, forbidden: bool = False
    ) -> None:
        """How clients must say who they are from now on; sessions stay."""
        self.tell("keys", scheme=scheme, password=password, forbidden=forbidden)

    def forget_nonces(self) -> None:
        """Digest's challenges so far are stale."""
        self.tell("forget_nonces")

    def set(self, **fields: Any) -> None:
        """Attributes of `Vlbimon` and `Array` that are plain values, and session_life_s."""
        self.tell("set", **fields)


def _marked(value: Any) -> Any:
    return {"raw": str(value)} if isinstance(value, Raw) else value


class _Orders:
    """What a test may tell the process: a method each."""

    def __init__(self, vlbimon: Vlbimon, ports: dict[str, int]) -> None:
        self._vlbimon = vlbimon
        self._ports = ports
        self._stations: Stations | None = None

    def ports(self) -> Any:
        return self._ports

    def receive(self, points: list[list[Any]]) -> Any:
        return self._vlbimon.array.receive(
            [[Raw(each["raw"]) if isinstance(each, dict) else each for each in point] for point in points]
        )

    def receive_set(self, count: int, stamp_s: int) -> Any:
        names = list(self._vlbimon.masterlist["default"])
        return self._vlbimon.array.receive(
            (f"S{n // len(names)}", names[n % len(names)], stamp_s, n / 8) for n in range(count)
        )

    def run(self, seconds: float, speed: float, ago_s: float, **chosen: Any) -> None:
        began_s, real_s = time.monotonic(), seconds / speed
        start_s = time.time() + real_s - seconds - ago_s
        self._stations = stations = Stations(start_s, **chosen)
        receive = self._vlbimon.array.receive

        def step() -> None:
            passed_s = min((time.monotonic() - began_s) * speed, seconds)
            if points := [delivery[1:] for delivery in stations.until(start_s + passed_s)]:
                receive(points)
            if passed_s < seconds:
                self._vlbimon.reactor.callLater(_STEP_S, step)
                return
            receive([delivery[1:] for delivery in stations.rest()])
            self._stations = None

        step()

    def running(self) -> Any:
        return self._stations is not None

    def received(self) -> Any:
        return self._vlbimon.array.received

    def served(self) -> Any:
        return sorted(self._vlbimon.served())

    def asked(self, calls: list[str]) -> Any:
        return msgspec.to_builtins([asked for asked in self._vlbimon.asked if asked.call in calls])

    def fail(self, fault: Any) -> None:
        self._vlbimon.faults.add(msgspec.convert(fault, Fault))

    def be_well(self) -> None:
        self._vlbimon.faults.call_off()

    def say(self, call: str, said: list[Any]) -> None:
        self._vlbimon.say(call, Said(*said))

    async def shut(self, door: str) -> None:
        await self._vlbimon.shut(door)

    def reopen(self, door: str) -> None:
        self._vlbimon.reopen(door)

    def drop(self) -> None:
        self._vlbimon.drop()

    def expire(self) -> None:
        self._vlbimon.sessions.expire()

    def keys(self, scheme: Scheme, password: str, forbidden: bool) -> None:
        keys = self._vlbimon.keys
        keys.scheme, keys.password, keys.forbidden = scheme, password, forbidden

    def forget_nonces(self) -> None:
        self._vlbimon.keys.forget_nonces()

    def set(self, **fields: Any) -> None:
        vlbimon = self._vlbimon
        for name, value in fields.items():
            if name == "session_life_s":
                vlbimon.sessions.life_s = value
            else:
                owner = next(owner for owner in (vlbimon, vlbimon.array) if hasattr(owner, name))
                setattr(owner, name, value)


def main() -> None:
    """Serve until the socket with this number is closed."""
    from twisted.internet import reactor
    from twisted.internet.defer import ensureDeferred
    from twisted.internet.protocol import Factory
    from twisted.internet.ssl import DefaultOpenSSLContextFactory
    from twisted.protocols.basic import LineOnlyReceiver

    number, key_file, certificate_file = sys.argv[1:]
    vlbimon = Vlbimon(reactor)
    tls = DefaultOpenSSLContextFactory(key_file, certificate_file)
    orders = _Orders(vlbimon, {PLAIN: vlbimon.listen(PLAIN), SECURE: vlbimon.listen(SECURE, tls)})

    class Pipe(LineOnlyReceiver):
        delimiter = b"\n"
        MAX_LENGTH = 1 << 30

        def lineReceived(self, line: bytes) -> None:
            what, arguments = json.loads(line)
            ensureDeferred(self._do(what, arguments))

        async def _do(self, what: str, arguments: dict[str, Any]) -> None:
            try:
                answer = getattr(orders, what)(**arguments)
                if hasattr(answer, "__await__"):
                    answer = await answer
                said = [True, answer]
            except Exception as error:
                said = [False, repr(error)]
            self.sendLine(json.dumps(said).encode())

        def connectionLost(self, _reason: Any = None) -> None:
            with contextlib.suppress(Exception):
                reactor.stop()  # type: ignore[attr-defined]

    reactor.adoptStreamConnection(int(number), socket.AF_UNIX, Factory.forProtocol(Pipe))  # type: ignore[attr-defined]
    os.close(int(number))
    reactor.run()  # type: ignore[attr-defined]


@pytest.fixture
def vlbimon_server() -> Iterator[VlbimonServer]:
    """A server that knows nothing yet."""
    directory = new_directory("tessmon-vlbimon-")
    server = VlbimonServer(directory)
    yield server
    server.end()
    shutil.rmtree(directory)


if __name__ == "__main__":
    main()
