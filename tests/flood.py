# SPDX-License-Identifier: MIT
"""A publisher that is never the bottleneck: prepared PUBLISH packets over a raw socket, in a process of its own.

Run as ``python -m tests.flood --port N --messages N …``; `Flood` does that, and tells when.
"""

from __future__ import annotations

import argparse
import array
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.observatory import reading, stamp

PHOTOMETERS = 200
_ROOT = Path(__file__).parent.parent
_CONNACK_BYTES = _PUBACK_BYTES = 4
_PACKET_IDS = 0xFFFF
_BLOCK = 50


def readings(count: int, after_s: int, photometers: int = PHOTOMETERS) -> Iterator[tuple[str, bytes]]:
    """Topics and payloads of readings with their publisher's stamps, no two of them at one second of one photometer.

    Args:
        count: how many; sequence numbers count from 0.
        after_s: of the first stamps, see `stamp` [s].
        photometers: how many take turns.
    """
    for number in range(count):
        at = stamp(after_s + number // photometers)
        topic, payload = reading(f"stars{number % photometers}", number, tstamp=at)
        yield topic, json.dumps(payload, separators=(",", ":")).encode()


def publish_packet(topic: str, payload: bytes, packet_id: int) -> bytes:
    """A PUBLISH at QoS 1 (Source: MQTT 3.1.1, 3.3); QoS 0 when the packet id is 0."""
    name = topic.encode()
    body = len(name).to_bytes(2, "big") + name
    body += packet_id.to_bytes(2, "big") if packet_id else b""
    length, encoded = len(body) + len(payload), bytearray()
    while True:
        length, low = divmod(length, 128)
        encoded.append(low | 0x80 if length else low)
        if not length:
            return bytes((0x32 if packet_id else 0x30,)) + bytes(encoded) + body + payload


def connect_packet(client_id: str) -> bytes:
    """A CONNECT with a clean session and no keep-alive (Source: MQTT 3.1.1, 3.1)."""
    body = b"\0\x04MQTT\x04\x02\0\0" + len(client_id).to_bytes(2, "big") + client_id.encode()
    return bytes((0x10, len(body))) + body


class Pipe:
    """A connection to the broker that has so many messages under way at most."""

    def __init__(self, port: int, client_id: str, window: int) -> None:
        self.sent = 0
        self._window = window
        self._answered = 0
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(connect_packet(client_id))
        assert self._socket.recv(_CONNACK_BYTES, socket.MSG_WAITALL) == b"\x20\x02\0\0"

    def send(self, packets: bytes, count: int) -> None:
        """Give the broker so many, as soon as the window lets them."""
        while self.sent + count - self._answered // _PUBACK_BYTES > self._window:
            self._hear()
        self._socket.sendall(packets)
        self.sent += count

    def flush(self) -> None:
        """Until all are acknowledged."""
        while self._answered < _PUBACK_BYTES * self.sent:
            self._hear()

    def close(self) -> None:
        """Go; a clean session leaves nothing behind."""
        self._socket.close()

    def _hear(self) -> None:
        heard = len(self._socket.recv(65_536))  # nothing but PUBACKs comes
        assert heard, "the broker closed the connection"
        self._answered += heard


class Flood:
    """The publisher as a child process that has everything ready and waits for its order."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def go(self) -> None:
        """Publish."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def wait(self) -> float:
        """Until the broker has acknowledged all; gives how long it took [s]."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the publisher broke"
        return float(json.loads(line)["seconds"])


@contextmanager
def flood(port: int, messages: int, *, after_s: int = 0, **more: object) -> Iterator[Flood]:
    """A `Flood` that is ready.

    Args:
        port: of the broker.
        messages, after_s: see `readings`.
        more: what the command line of this module takes besides.
    """
    given = {"port": port, "messages": messages, "after-s": after_s, **more}
    command = [sys.executable, "-m", "tests.flood", *(f"--{name}={value}" for name, value in given.items())]
    process = subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", "the publisher does not start"
            yield Flood(process)
        finally:
            process.kill()


def _at_rate(pipe: Pipe, packets: list[bytes], rate_hz: float) -> array.array[int]:
    """One packet after the other; gives when each was sent [ns of the monotonic clock]."""
    stamps = array.array("q")
    began = time.monotonic()
    for number, packet in enumerate(packets):
        ahead_s = began + number / rate_hz - time.monotonic()
        if ahead_s > 0:
            time.sleep(ahead_s)  # the rate is what is asked for
        stamps.append(time.monotonic_ns())
        pipe.send(packet, 1)
    return stamps


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--messages", type=int, required=True)
    parser.add_argument("--after-s", type=int, default=0)
    parser.add_argument("--photometers", type=int, default=PHOTOMETERS)
    parser.add_argument("--window", type=int, default=2000)
    parser.add_argument(
        "--rate", type=float, default=0.0, help="messages/s; 0: as fast as the broker takes them"
    )
    parser.add_argument("--stamps", type=Path, help="where to write when each message was sent, with --rate")
    args = parser.parse_args()
    packets = [
        publish_packet(topic, payload, number % _PACKET_IDS + 1)
        for number, (topic, payload) in enumerate(readings(args.messages, args.after_s, args.photometers))
    ]
    blocks = [packets[at : at + _BLOCK] for at in range(0, len(packets), _BLOCK)]
    joined = [(b"".join(block), len(block)) for block in blocks]
    pipe = Pipe(args.port, f"flood-{time.monotonic_ns()}", args.window)
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.monotonic()
    if args.rate:
        stamps = _at_rate(pipe, packets, args.rate)
        if args.stamps is not None:
            args.stamps.write_bytes(stamps.tobytes())
    else:
        for block, count in joined:
            pipe.send(block, count)
    pipe.flush()
    print(json.dumps({"seconds": time.monotonic() - began}), flush=True)


if __name__ == "__main__":
    main()
