# SPDX-License-Identifier: MIT
"""From messages to the journal, and from what is on disk to acknowledgements; never more than there is room for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, succeed

from tessmon.config.model import Mqtt
from tessmon.interfaces import IJournal
from tessmon.records.frame import Frame, FrameKind
from tessmon.sources.frame_writer import FrameWriter
from tessmon.sources.mqtt_connection import MqttConnection
from tessmon.sources.mqtt_session import Receipt, Seen, Session
from tessmon.sources.packets import Message

MAX_UNACKNOWLEDGED = 5000
"""Messages that may wait for the disk; then nothing more is read."""
MAX_PENDING_BYTES = 8 * 1024 * 1024
"""The same in bytes; it also bounds messages that nobody acknowledges (QoS 0)."""


class Intake:
    """Takes messages of the present connection.

    Attributes:
        received, acknowledged, redelivered: counted since the start of the process.
        unacknowledged: messages that wait for the disk, of whatever connection.
    """

    def __init__(
        self, journal: IJournal, writer: FrameWriter, session: Session, reached: Callable[[str], None]
    ) -> None:
        self.received = self.acknowledged = self.redelivered = self.unacknowledged = 0
        self._journal = journal
        self._writer = writer
        self._session = session
        self._reached = reached
        self._connection: MqttConnection | None = None
        self._generation = 0
        self._window = self._max_payload_bytes = 0
        self._all_settled: Deferred[None] | None = None

    def limit(self, settings: Mqtt) -> None:
        """Take up the limits of these settings."""
        self._window = min(MAX_UNACKNOWLEDGED, settings.receive_maximum)
        self._max_payload_bytes = settings.max_payload_bytes

    def open(self, connection: MqttConnection, generation: int) -> None:
        """Messages come from this connection now."""
        self._connection, self._generation = connection, generation
        if not self.has_room():
            connection.hold()

    def close(self) -> None:
        """There is no connection; nobody can be acknowledged."""
        self._connection = None

    def has_room(self) -> bool:
        """May more be taken?"""
        return self.unacknowledged < self._window and self._journal.pending_bytes < MAX_PENDING_BYTES

    def make_room(self) -> None:
        """Let the connection read again if there is room."""
        if self._connection is not None and self.has_room():
            self._connection.resume()

    def arrived(self, message: Message) -> None:
        """Into the journal, unless it is there."""
        self.received += 1
        frame = self._frame(message)
        if not frame.qos:
            self._writer.message(frame, None)
        elif not frame.dup or (seen := self._session.look(frame)) is Seen.NEW:
            self.unacknowledged += 1
            self._writer.message(frame, self._session.journalled(frame))
        else:
            self.redelivered += 1
            if seen is Seen.ON_DISK:
                self._acknowledge(frame.packet_id, frame.qos)
        if self._connection is not None and not self.has_room():
            self._connection.hold()

    def settled(self, receipts: Sequence[Receipt]) -> None:
        """Acknowledge what is on disk, where the connection that brought it still stands."""
        self._reached("mqtt.before_ack")
        for receipt in receipts:
            self._session.settled(receipt)
            if receipt.generation == self._generation:
                self._acknowledge(receipt.packet_id, receipt.qos)
        self.unacknowledged -= len(receipts)
        if not self.unacknowledged and self._all_settled is not None:
            all_settled, self._all_settled = self._all_settled, None
            all_settled.callback(None)
        self.make_room()

    def all_settled(self) -> Deferred[None]:
        """A Deferred that fires when nothing waits for the disk, or can't be acknowledged anyway."""
        if not self.unacknowledged or self._connection is None:
            return succeed(None)
        self._all_settled = Deferred()
        return self._all_settled

    def _acknowledge(self, packet_id: int, qos: int) -> None:
        if self._connection is not None:
            self._connection.ack(packet_id, qos)
            self.acknowledged += 1

    def _frame(self, message: Message) -> Frame:
        payload = message.payload
        if len(payload) > self._max_payload_bytes:
            payload = payload[: self._max_payload_bytes]
        return Frame(
            FrameKind.MESSAGE,
            self._writer.stamp(),
            message.topic,
            payload,
            message.length,
            message.qos,
            message.dup,
            message.retain,
            message.packet_id,
            self._generation,
        )
