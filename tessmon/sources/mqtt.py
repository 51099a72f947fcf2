# SPDX-License-Identifier: MIT
"""The MQTT source: lifts messages from a broker into a journal, acknowledges them when they are on disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from paho.mqtt.reasoncodes import ReasonCode
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, ensureDeferred
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.protocol import Factory
from twisted.internet.task import Cooperator, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from tessmon.config.model import Mqtt
from tessmon.config.secrets import read_secret
from tessmon.interfaces import IJournal, IJournalListener, SourceStatus
from tessmon.records.outcome import JOURNAL_FULL
from tessmon.sources.live import LiveSource
from tessmon.sources.mqtt_connection import MqttConnection
from tessmon.sources.mqtt_ending import Ending, Kind
from tessmon.sources.mqtt_endpoint import CONNECT_TIMEOUT_S, broker_endpoint
from tessmon.sources.mqtt_intake import Intake
from tessmon.sources.mqtt_retry import Retry
from tessmon.sources.mqtt_session import Session
from tessmon.sources.packets import Message
from tessmon.sources.tls import unreachable

STOP_TIMEOUT_S = 5.0
_PACKET_IDS = 0xFFFF
_RECALL_BYTES = 32 << 20
"""Payload that is read back for the session's memory at most: more than the broker may have under way [bytes]."""
_FAILURE_CODE = 0x80


@implementer(IJournalListener)
class MqttSource(LiveSource):
    """See DESIGN: MQTT is QoS 1, with a persistent session and acknowledgement by hand."""

    log = Logger()
    name = "mqtt"

    def __init__(
        self,
        settings: Mqtt,
        journal: IJournal,
        reactor: Any,
        *,
        reached: Callable[[str], None] = lambda point: None,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        super().__init__("MQTT", journal, reactor, now_ns)
        self._settings = settings
        self._session = Session()
        self._intake = Intake(journal, self._writer, self._session, reached)
        self._intake.limit(settings)
        self._retry = Retry()
        self._connection: MqttConnection | None = None
        self._generation = 0
        self._accepted = False
        self._kept = ""
        self._refused_topics: dict[str, str] = {}

    # The service.

    def status(self) -> SourceStatus:
        """At a glance, at no cost."""
        intake = self._intake
        state, detail, since_ns = self._state.told
        return SourceStatus(
            self.name,
            state,
            self._full_detail(detail),
            since_ns,
            intake.received,
            self._writer.messages,
            intake.acknowledged,
            intake.redelivered,
            self._generation,
            intake.unacknowledged,
        )

    def reconfigure(self, settings: Mqtt) -> None:
        """Take up new settings at once; a connection is given up only when it must be made anew."""
        old, self._settings = self._settings, settings
        self._intake.limit(settings)
        self._intake.make_room()
        connection = self._connection
        same_connection = settings == replace(
            old,
            register_topic=settings.register_topic,
            reading_topics=settings.reading_topics,
            max_payload_bytes=settings.max_payload_bytes,
        )
        if connection is None or not same_connection:
            self._retry.reset()
            self._wake()
            if connection is not None:
                connection.leave()
            return
        connection.packets.max_payload_bytes = settings.max_payload_bytes
        if self._accepted and _topics(old) != _topics(settings):
            self._subscribe(_topics(settings) - _topics(old))

    # The journal's listener.

    def settled(self, receipts: Sequence[Any]) -> None:
        """Acknowledge, on the connection that brought them."""
        self._intake.settled(receipts)

    def journal_full(self, why: str) -> None:
        """Leave, so that the broker keeps what comes."""
        self._writer.event(JOURNAL_FULL, why=why)
        self.log.error("Nothing is taken from the broker: {why}", why=why)
        if self._connection is not None:
            self._connection.leave()
        self._wake()

    def journal_has_room(self) -> None:
        """Come back."""
        self._writer.event("journal_room")
        self._retry.reset()
        self._wake()

    # The connection's owner; called from inside paho.

    def accepted(self, session_present: bool) -> None:
        """The broker took us."""
        settings, session = self._settings, self._session
        self._accepted = True
        self._generation += 1
        session.begin(session_present, _place(settings), settings.client_id)
        session.topics |= _topics(settings)
        self._writer.event(
            "connected",
            session_present=session_present,
            generation=self._generation,
            protocol=settings.protocol,
            broker=_place(settings),
            client_id=settings.client_id,
            topics=sorted(session.topics),
        )
        self._kept = "the broker kept our session" if session_present else "a new session"
        self._state.enter("connecting", f"{_place(settings)} let us in; subscribing")
        self._refused_topics.clear()
        self._reactor.callLater(0, self._subscribe, _topics(settings))
        if self._connection is not None:
            self._intake.open(self._connection, self._generation)

    def arrived(self, message: Message) -> None:
        """Into the journal, unless it is there."""
        self._intake.arrived(message)

    def subscribed(self, answers: Mapping[str, ReasonCode]) -> None:
        """Remember and say which topics the broker gives and which it doesn't."""
        for topic, reason in answers.items():
            if reason.value >= _FAILURE_CODE:
                self._refused_topics[topic] = reason.getName()
                self._session.topics.discard(topic)
                self.log.error("The broker refuses topic {topic}: {why}", topic=topic, why=reason.getName())
            else:
                self._refused_topics.pop(topic, None)
        settings = self._settings
        self._state.enter(
            "connected", f"connected to {_place(settings)} as {settings.client_id}, {self._kept}"
        )
        self._tell_topics()

    def unsubscribed(self, filters: Collection[str]) -> None:
        """Remember what is left."""
        self._session.topics -= set(filters) - _topics(self._settings)
        self._tell_topics()

    # Inside.

    async def _run(self) -> None:
        await self._recall()
        self._journal.watch(self._intake.make_room)
        while not self._stopping:
            if self._journal.full is not None:
                self._state.enter("journal_full", f"nothing is taken: {self._journal.full}")
                await self._sleep(Deferred())
                continue
            self._state.enter("connecting", f"connecting to {_place(self._settings)}")
            ending = await self._connect_once()
            self._accepted, self._connection = False, None
            self._intake.close()
            if not self._stopping:
                await self._after(ending)

    async def _recall(self) -> None:
        """Rebuild the session's memory from the journal, in slices."""
        newest_ns = 0
        try:
            frames = await self._journal.tail(_PACKET_IDS, _RECALL_BYTES)
            newest_ns = frames[-1].received_ns if frames else 0
            cooperator = Cooperator(scheduler=lambda call: self._reactor.callLater(0, call))
            await cooperator.cooperate(iter(self._session.recall(frames))).whenDone()
        except Exception:
            self.log.failure("The end of the journal can't be read; a redelivery may be journalled twice")
        self._writer.begin(newest_ns)

    async def _connect_once(self) -> Ending:
        settings = self._settings
        try:
            endpoint, tls = broker_endpoint(self._reactor, settings)
            password = read_secret(settings.password_file) if settings.password_file else None
        except ValueError as error:
            return Ending(Kind.REFUSED, str(error))
        connection = MqttConnection(self._reactor, settings, password, self, tls)
        try:
            factory = Factory.forProtocol(lambda: connection)
            factory.noisy = False
            self._rest = endpoint.connect(factory)
            await self._rest
        except (CancelledError, ConnectingCancelledError):
            return Ending(Kind.LEFT, "asked to")
        except Exception:
            return Ending(Kind.UNREACHABLE, f"{_place(settings)} {unreachable(Failure(), CONNECT_TIMEOUT_S)}")
        finally:
            self._rest = None
        self._connection = connection
        if self._stopping or self._journal.full is not None or settings is not self._settings:
            connection.leave()
        return await connection.ended

    async def _after(self, ending: Ending) -> None:
        """Tell what happened and wait before the next attempt."""
        if ending.kind is Kind.LEFT:
            return
        verdict = self._retry.judge(ending)
        if verdict.news:
            self._writer.event(verdict.kind, why=verdict.why)
            self.log.warn("{kind}: {why}", kind=verdict.kind, why=verdict.why)
        self._state.enter(verdict.state, f"{verdict.why}; next attempt in {verdict.delay_s:.0f} s")
        await self._sleep(deferLater(self._reactor, verdict.delay_s))

    async def _stop(self) -> None:
        self._stopping = True
        try:
            await ensureDeferred(self._wind_down()).addTimeout(STOP_TIMEOUT_S, self._reactor)
        except TimeoutError:
            self.log.warn("{count} messages were not on disk in time", count=self._intake.unacknowledged)
        if self._connection is not None:
            self._connection.leave()
        self._wake()
        if self._running is not None:
            await self._running
        self._end()

    async def _wind_down(self) -> None:
        """Take what was read, and wait for the disk as long as there is someone to acknowledge to."""
        if self._connection is not None:
            await self._connection.wind_down()
        await self._intake.all_settled()

    def _subscribe(self, wanted: Collection[str]) -> None:
        """Ask for topics, and give back those that are no longer configured."""
        if self._connection is None:
            return
        self._session.topics |= set(wanted)
        if wanted:
            self._connection.subscribe(sorted(wanted))
        if gone := self._session.topics - _topics(self._settings):
            self._connection.unsubscribe(sorted(gone))

    def _tell_topics(self) -> None:
        self._writer.event("subscribed", topics=sorted(self._session.topics), refused=self._refused_topics)

    def _full_detail(self, detail: str) -> str:
        parts = [detail]
        parts += [f"topic {topic} is refused ({why})" for topic, why in self._refused_topics.items()]
        if self._accepted and not self._intake.has_room():
            parts.append("waiting for the disk")
        return "; ".join(parts)


def _topics(settings: Mqtt) -> set[str]:
    return {each for each in (*settings.reading_topics, settings.register_topic) if each}


def _place(settings: Mqtt) -> str:
    """The broker without credentials."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{'mqtts' if settings.tls else 'mqtt'}://{host}:{settings.port}"
