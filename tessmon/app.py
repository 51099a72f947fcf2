# SPDX-License-Identifier: MIT
# mypy: disable-error-code="no-untyped-call"
"""The service: builds the tree from a configuration and is the coordinator that everybody speaks to.

Only this module and those it wires an input with (`tessmon.photometer`) know all rooms.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, ensureDeferred, gatherResults, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from tessmon.config.load import Loaded, load
from tessmon.config.model import Config
from tessmon.config.reload import difference, refusal
from tessmon.control.admin import AdminSocket
from tessmon.control.door import Door
from tessmon.control.signals import Signals
from tessmon.database.connection import Connector
from tessmon.database.schema import SCHEMA_VERSION, program_version
from tessmon.errors import ConfigurationError, JournalError
from tessmon.logs import Levels
from tessmon.photometer import PhotometerInput
from tessmon.web.site import site


class Tessmon(Service):
    """The root of all services, and the coordinator (`tessmon.control.face.ServiceFace`).

    Args:
        loaded: the configuration and where it came from.
        reactor: the loop.
        levels: of the log; a reload changes them.
        fatal: called with a sentence when the service can't go on at all.
        reached: called at named points, for tests that kill the process there.
        now_ns: wall clock.
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
    ) -> None:
        self.config = loaded.config
        self._path = loaded.path
        self._reactor = reactor
        self._levels = levels
        self._fatal = fatal
        self._now_ns = now_ns
        self._started_ns = now_ns()
        self._stopping = False
        directory = loaded.config.journal.directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._door = Door(directory / "paused", now_ns)
        self._connector = Connector(
            self.config.database, reactor, statement_timeout_s=self.config.writer.statement_timeout_s
        )
        self._inputs: list[PhotometerInput] = []
        if self.config.mqtt is not None:
            self._inputs.append(
                PhotometerInput(self.config, self._connector, self._door, reactor, reached, now_ns)
            )
        self._signals = Signals(reactor, self)
        self._admin = AdminSocket(reactor, self, self.config.admin.socket)
        self._site = site(self, reactor)
        self._web: IListeningPort | None = None
        self._stats = LoopingCall(self._log_stats)
        self._stats.clock = reactor
        self._starting: Deferred[None] | None = None

    # life

    def startService(self) -> None:
        super().startService()
        gc.collect()
        gc.freeze()  # modules and classes stay: a full collection that walks them takes the reactor 25 ms each time
        self._signals.startService()
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
        if self._door.pause is not None:
            self.log.warn(
                "writes are paused since a while, by {by}; resume with SIGUSR2", by=self._door.pause.by
            )
        self._admin.startService()
        self._listen()
        self._stats.start(self.config.stats.period_s, now=False)

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
        return ensureDeferred(self._stop())

    async def _stop(self) -> None:
        if self._starting is not None:
            await self._starting
        if self._stats.running:
            self._stats.stop()
        for one in self._inputs:
            await one.stop()
        self._signals.stopService()
        if self._admin.running:
            await self._admin.stopService()
        if self._web is not None:
            await maybeDeferred(self._web.stopListening)
            self._site.close()
        self.log.info("stopped; what waits is in the journal")

    # the coordinator

    def pause(self, who: str) -> Deferred[Any]:
        if not self._door.locked:
            self.log.info("writes paused by {who}", who=who)
            self._door.lock(who)
            for one in self._inputs:
                one.announce("paused", by=who)
        return gatherResults([one.lane.shut() for one in self._inputs])

    def resume(self, who: str) -> Deferred[Any]:
        if self._door.locked:
            self.log.info("writes resumed by {who}", who=who)
            self._door.open()
            for one in self._inputs:
                one.announce("resumed", by=who)
        return succeed(None)

    def reload(self) -> Deferred[list[str]]:
        return maybeDeferred(self._reload)

    def _reload(self) -> list[str]:
        loaded = load(self._path)
        changes = difference(self.config, loaded.config)
        refused = refusal(changes)
        if refused is not None:
            raise ConfigurationError(refused)
        self._apply(loaded.config)
        return [f"[{one.table}] {one.key} = {one.new!r}" for one in changes]

    def _apply(self, config: Config) -> None:
        old, self.config = self.config, config
        self._levels.set(config.log)
        self._connector.statement_timeout_s = config.writer.statement_timeout_s
        for one in self._inputs:
            one.apply(config)
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
            "sources": [one.source.status()._asdict() for one in self._inputs],
            "journals": [one.journal_status() for one in self._inputs],
            "lanes": [one.lane_status() for one in self._inputs],
            "config": {"path": self._path and str(self._path)},
        }

    async def waiting(self) -> dict[str, Any]:
        return {one.lane.lane: (await one.waiting())._asdict() for one in self._inputs}

    def live(self) -> bool:
        return all(one.journal.identity for one in self._inputs)

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
            if one.journal.full is not None:
                return "waiting", str(one.journal.full)
        return "running", "what is accepted reaches the database"

    def _log_stats(self) -> None:
        for one in self._inputs:
            source, lane = one.source.status(), one.lane.status()
            self.log.info(
                "statistics of {name}: {received} received, {redelivered} redelivered, {state}; {outcomes}",
                name=source.name,
                received=source.received,
                redelivered=source.redelivered,
                state=source.state,
                outcomes=", ".join(
                    f"{' '.join(filter(None, key))} {count}" for key, count in sorted(lane.outcomes.items())
                ),
            )
