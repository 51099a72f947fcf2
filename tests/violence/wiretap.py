# SPDX-License-Identifier: MIT
"""Between service and broker: passes everything on, and notes when messages go by and when they are acknowledged."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import NamedTuple

_PUBLISH, _PUBACK = 0x30, 0x40
_DUP, _QOS = 0x08, 0x06


class Acknowledged(NamedTuple):
    """A message at QoS 1: when it was first given to the service and when that acknowledged it [ns, monotonic]."""

    delivered_ns: int
    acknowledged_ns: int


class Wiretap:
    """A door of its own before a broker (MQTT 3.1.1).

    Attributes:
        acknowledged: the messages that were.
        connects: connections that came.
    """

    def __init__(self, broker_port: int) -> None:
        self.acknowledged: list[Acknowledged] = []
        self.connects = 0
        self._broker_port = broker_port
        self._delivered: dict[int, int] = {}
        self._door = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self._door.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Wiretap:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._door.accept()
                self.connects += 1
                broker = socket.create_connection(("127.0.0.1", self._broker_port))
                for source, target, look in (
                    (broker, client, self._delivery),
                    (client, broker, self._acknowledgement),
                ):
                    threading.Thread(target=_pass_on, args=(source, target, look), daemon=True).start()

    def _delivery(self, kind: int, body: bytes) -> None:
        if kind & 0xF0 == _PUBLISH and kind & _QOS:
            at = 2 + int.from_bytes(body[:2])
            packet_id = int.from_bytes(body[at : at + 2])
            if (
                not kind & _DUP
            ):  # one that comes again may be on disk, or even acknowledged, since it first came
                self._delivered[packet_id] = time.monotonic_ns()

    def _acknowledgement(self, kind: int, body: bytes) -> None:
        delivered_ns = self._delivered.pop(int.from_bytes(body), None) if kind == _PUBACK else None
        if delivered_ns is not None:
            self.acknowledged.append(Acknowledged(delivered_ns, time.monotonic_ns()))


def _pass_on(source: socket.socket, target: socket.socket, look: Callable[[int, bytes], None]) -> None:
    """What comes is looked at before it goes on, so that no time is noted too late for a delivery."""
    buffer = bytearray()
    with contextlib.suppress(OSError):
        while chunk := source.recv(65_536):
            buffer += chunk
            for kind, body in _packets(buffer):
                look(kind, body)
            target.sendall(chunk)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _packets(buffer: bytearray) -> Iterator[tuple[int, bytes]]:
    """Take whole packets from the front: first byte and body."""
    while len(buffer) >= 2:
        size, at = 0, 1
        while True:
            if at == len(buffer):
                return
            size |= (buffer[at] & 0x7F) << 7 * (at - 1)
            at += 1
            if buffer[at - 1] < 0x80:
                break
        if len(buffer) < at + size:
            return
        yield buffer[0], bytes(buffer[at : at + size])
        del buffer[: at + size]
