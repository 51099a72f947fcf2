# SPDX-License-Identifier: MIT
# mypy: disable-error-code="no-untyped-call"
"""The service: builds the tree from a configuration and is the coordinator that everybody speaks to.

Only this module and those it wires an input with (`tessmon.photometer`, `tessmon.telemetry`, `tessmon.vlbimon`) know
all rooms.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, ensureDeferred, gatherResults, maybeDeferred, succeed
from twisted.internet.error import CannotListenError, ReactorNotRunning
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from tessmon import collector
from tessmon.config.load import Loaded, load
from tessmon.config.model import Config
from tessmon.config.reload import difference, refusal
from tessmon.control.admin import AdminSocket
from tessmon.control.door import Door
from tessmon.control.notify import Notify
from tessmon.control.pausing import Pausing
from tessmon.control.signals import Signals
from tessmon.database.connection import Connector
from tessmon.database.schema import SCHEMA_VERSION, program_version
from tessmon.errors import ConfigurationError, JournalError, TessmonError
from tessmon.inputs import Input
from tessmon.journalled import Wiring
from tessmon.logs import Levels
from tessmon.photometer import PhotometerInput
from tessmon.telemetry import TelemetryInput
from tessmon.vlbimon import VlbimonInput
from tessmon.web.site import site

ANSWER_S = 0.1
"""Who asks for a stop is answered before it begins [s]."""
_LISTS = ("sources", "journals", "files", "vlbimon", "lanes")
PATIENCE_S = 30.0
"""A journal whose thread has not answered for this time is held to be hung [s]."""


class Tessmon(Service):
    """The root of all services, and the coordinator (`tessmon.control.face.ServiceFace`).

    Args:
        loaded: the configuration and where it came from.
        reactor: the loop.
        levels: of the log; a reload changes them.
        fatal: called with a sentence when the service can't go on at all.
        reached: called at named points, for tests that kill the process there.
        now_ns: wall clock.
        patience_s: see `PATIENCE_S`.
        begin_anew: called before a stop behind which the process is to begin anew; None: it can't.
    """

    log = Logger()

    def __init__(
        self,
        loaded: Loaded,
        reactor: Any,
        levels: Levels,
        fatal: Callable[[str], None],
        reached: Callable[[str], None] = lambda point: None,
        now_ns: Callable[[], int] = time.time_ns,
        patience_s: float = PATIENCE_S,
        begin_anew: Callable[[], None] | None = None,
    ) -> None:
        self.config = loaded.config
        self._path = loaded.path
        self._reactor = reactor
        self._levels = levels
        self._fatal = fatal
        self._now_ns = now_ns
        self._patience_s = patience_s
        self._begin_anew = begin_anew
        self._started_ns = now_ns()
        self._stopping = False
        directory = loaded.config.journal.directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._door = Door(directory / "paused", now_ns)
        self._connector = Connector(
            self.config.database, reactor, statement_timeout_s=self.config.writer.statement_timeout_s
        )
        wiring = Wiring(self.config, self._connector, self._door, reactor, reached, now_ns, self.stop)
        self._inputs: list[Input] = []
        if self.config.mqtt is not None:
            self._inputs.append(PhotometerInput(wiring))
        if self.config.files is not None:
            self._inputs.append(TelemetryInput(wiring))
        if self.config.vlbimon is not None:
            self._inputs.append(VlbimonInput(wiring))
        self._pausing = Pausing(self._door, self._shut, self._announce, reactor)
        self._signals = Signals(reactor, self)
        self._notify = Notify(self, reactor)
        self._admin = AdminSocket(reactor, self, self.config.admin.socket)
        self._site = site(self, reactor)
        self._web: IListeningPort | None = None
        self._stats = LoopingCall(self._log_stats)
        self._stats.clock = reactor
        self._starting: Deferred[None] | None = None

    # life

    def startService(self) -> None:
        super().startService()
        collector.settle()
        self._signals.startService()
        self._notify.startService()
        self._starting = ensureDeferred(self._start())

    async def _start(self) -> None:
        path = self._path or "none, all values are defaults"
        self.log.info("tessmon {version}; configuration: {path}", version=program_version(), path=path)
        try:
            for one in self._inputs:
                await one.start()
        except JournalError as error:
            self._fatal(str(error))
            return
        except Exception as error:
            self.log.failure("a defect of the program keeps the service from starting")
            self._fatal(f"a defect of the program keeps the service from starting: {error!r}")
            return
        if self._stopping:
            return
        self._pausing.startService()
        for one in self._inputs:
            one.begin()
        self._admin.startService()
        self._listen()
        self._stats.start(self.config.stats.period_s, now=False)
        self._notify.ready()

    def _listen(self) -> None:
        address = self.config.web.address
        if address is None:
            return
        host, port = address
        try:
            self._web = web = self._reactor.listenTCP(port, self._site, interface=host)
        except CannotListenError as error:
            self.log.error("no web face on {host}:{port}: {error}", host=host, port=port, error=error)
        else:
            self.log.info("web face on http://{host}:{port}/", host=host, port=web.getHost().port)

    def stopService(self) -> Deferred[None]:
        """Fires when all is on disk and closed: sources first, then lanes, journals last."""
        super().stopService()
        self._stopping = True
        self._notify.stopping()
        return ensureDeferred(self._stop())

    async def _stop(self) -> None:
        if self._starting is not None:
            await self._starting
        counted = self._stats.running
        if counted:
            self._stats.stop()
        self._pausing.stopService()
        for one in self._inputs:
            await one.stop()
        if counted:
            self._log_stats()  # the rest of a period
        self._signals.stopService()
        if self._admin.running:
            await self._admin.stopService()
        if self._web is not None:
            await maybeDeferred(self._web.stopListening)
            self._site.close()
        self._notify.stopService()
        self.log.info("stopped; what waits is in the journal")

    # the coordinator

    def pause(self, who: str, for_s: float | None = None) -> Deferred[list[str]]:
        return self._pausing.pause(who, for_s)

    def resume(self, who: str, only_by: str | None = None) -> Deferred[list[str]]:
        return maybeDeferred(self._pausing.resume, who, only_by)

    def _shut(self) -> Deferred[Any]:
        return gatherResults([one.lane.shut() for one in self._inputs])

    def _announce(self, what: str, **detail: object) -> None:
        for one in self._inputs:
            one.announce(what, **detail)

    def flush(self, who: str) -> Deferred[list[str]]:
        self.log.info("flush asked for by {who}", who=who)
        return ensureDeferred(self._flush(who))

    async def _flush(self, who: str) -> list[str]:
        return [sentence for one in self._inputs for sentence in await one.flush(who)]

    def stop(self, who: str) -> Deferred[list[str]]:
        self.log.info("stop asked for by {who}", who=who)
        self._reactor.callLater(ANSWER_S, self._end)
        return succeed([])

    def restart(self, who: str) -> Deferred[list[str]]:
        return maybeDeferred(self._restart, who)

    def _restart(self, who: str) -> list[str]:
        if self._begin_anew is None or "NOTIFY_SOCKET" in os.environ:
            raise TessmonError("the service does not start itself: restart it with what started it")
        load(self._path)  # what it could not begin with
        self.log.info("restart asked for by {who}", who=who)
        self._begin_anew()
        self._reactor.callLater(ANSWER_S, self._end)
        return []

    def _end(self) -> None:
        with suppress(ReactorNotRunning):
            self._reactor.stop()

    def reload(self, dry_run: bool = False) -> Deferred[list[str]]:
        if dry_run:
            return maybeDeferred(self._look_at_configuration)
        self._notify.reloading()
        return maybeDeferred(self._reload).addBoth(self._reloaded)

    def _reloaded(self, outcome: Any) -> Any:
        self._notify.reloaded()
        return outcome

    def _reload(self) -> list[str]:
        loaded = load(self._path)
        changes = difference(self.config, loaded.config)
        refused = refusal(changes)
        if refused is not None:
            raise ConfigurationError(refused)
        renewals = self._renewals(loaded.config)
        if not self._stopping:
            self._apply(loaded.config, renewals)
        return list(map(str, changes))

    def _renewals(self, config: Config) -> list[Callable[[], None]]:
        """What applies a configuration to each input: all of them can, or none does."""
        return [one.renewal(config) for one in self._inputs]

    def _look_at_configuration(self) -> list[str]:
        config = load(self._path).config
        changes = difference(self.config, config)
        refused = refusal(changes)
        if refused is not None:
            raise ConfigurationError("\n".join([f"it would be refused: {refused}", *map(str, changes)]))
        self._renewals(config)
        return list(map(str, changes))

    def _apply(self, config: Config, renewals: Sequence[Callable[[], None]]) -> None:
        old, self.config = self.config, config
        self._levels.set(config.log)
        self._connector.statement_timeout_s = config.writer.statement_timeout_s
        for renew in renewals:
            renew()
        if config.stats != old.stats and self._stats.running:
            self._stats.stop()
            self._stats.start(config.stats.period_s, now=False)

    def status(self) -> dict[str, Any]:
        state, _ = self._state()
        pause = self._door.pause
        return {
            "version": program_version(),
            "pid": os.getpid(),
            "started_ns": self._started_ns,
            "now_ns": self._now_ns(),
            "state": state,
            "paused": pause and pause._asdict(),
            "schema": {"known": SCHEMA_VERSION},
            **_joined([one.status() for one in self._inputs]),
            "config": {"path": self._path and str(self._path)},
        }

    async def waiting(self) -> dict[str, Any]:
        counts = {one.lane.lane: await one.waiting() for one in self._inputs}
        return {lane: count._asdict() for lane, count in counts.items() if count is not None}

    def live(self) -> tuple[bool, str]:
        for one in self._inputs:
            sentence = one.hung(self._patience_s)
            if sentence is not None:
                return False, sentence
        return True, "reactor and journals work"

    def ready(self) -> tuple[bool, str]:
        state, sentence = self._state()
        return state == "running", sentence

    def _state(self) -> tuple[str, str]:
        if self._stopping:
            return "stopping", "the service is stopping"
        if self._door.locked:
            return "paused", "writes are paused"
        for one in self._inputs:
            lane = one.lane.status()
            if lane.state not in ("running", "idle"):
                return ("refused" if lane.state == "refused" else "waiting"), lane.detail
            problem = one.problem()
            if problem is not None:
                return "waiting", problem
        return "running", "what is accepted reaches the database"

    def _log_stats(self) -> None:
        for one in self._inputs:
            one.log_stats()


def _joined(parts: Sequence[dict[str, list[dict[str, Any]]]]) -> dict[str, list[dict[str, Any]]]:
    """Each list of the status, of all inputs."""
    return {key: [one for part in parts for one in part.get(key, [])] for key in _LISTS}
