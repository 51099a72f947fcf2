# SPDX-License-Identifier: MIT
"""Thousands of photometers on a broker that is shared with everybody: what is counted, shown and kept in memory
does not grow with names and topics that anybody can make up."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from tessmon.demo.guarded import free_port
from tessmon.demo.servers import Broker
from tests import scale
from tests.flood import Pipe, publish_packet
from tests.observatory import (
    REGISTER_TOPIC,
    Service,
    fetch,
    in_background,
    reading,
    stamp,
    wait_accounted,
    wait_for,
)
from tests.watch import MEGABYTE, RSS_LIMIT_BYTES, Watch

ROOT = Path(__file__).parents[2]
READINGS = 4
FOREIGN_ROUNDS = scale.MANY_PHOTOMETERS // 25
TOGETHER = 50
LABEL = re.compile(r'\w+="(?:[^"\\]|\\.)*"')
SCREEN_LINES, SCREEN_COLUMNS = 24, 80
LARGE_BYTES = 10 * MEGABYTE

TOPICS = (
    "zigbee2mqtt/kitchen/lamp",
    "STARS4ALL/stars1/status",
    "STARS4ALL",
    "stars4all/register",
    "",
    "/",
    "/" * 200,
    "/".join("x" * 201),
    "x" * 0xFFFF,
    "🔭/🌌/👩\u200d🚀",
    "\u202egnidaer/1srats/LLA4SRATS",
    "עברית/العربية",
    "e" + "\u0301" * 3000,
    "a/\ufffd\ufeff\u2028\U0010fffd",
    "a'\";--/{}\\/%s",
    " ",
)
"""What mosquitto lets pass; all but the empty one, which no PUBLISH may have."""

UNSEEN_TOPICS = ("$other/application", "$SYS/broker/version", "$share/group/STARS4ALL/stars1/reading")
"""What # doesn't match."""

BODIES: tuple[tuple[str, bytes], ...] = (
    ("foreign JSON", b'{"state":"ON","brightness":254,"linkquality":102}'),
    ("a name and nothing else", b'{"name":"stars1"}'),
    ("a name of another kind", b'{"name":["stars1"],"seq":1}'),
    ("a list", b"[1,2,3]"),
    ("nothing", b""),
    ("text", "21.5 °C".encode()),
    ("binary", bytes(range(256)) * 8),
    ("a bitmap", b"BM" + os.urandom(50_000)),
    ("too long", b"\0" * 200_000),
)

NAMES = (
    "nobody-{}",
    "../../{}",
    "{}';DROP TABLE tess_t;--",
    "\u202e{}\u202c",
    "{}\x1b[2J\x07",
    "{}\uffff\ufdd0",
    "{:🌌<255}",
    "{:İ<255}",
    '{}{{lane="x"}} 1\n',
)

ODD_TOPICS = (
    b"\xff\xfe/reading",
    b"\xc3\x28",
    b"\xed\xa0\x80/half a surrogate pair",
    b"\xf4\x90\x80\x80",
    b"nul\0/reading",
    b"\x01\x1f\x7f",
    "\uffff/\ufdd0".encode(),
    b"\x80" * 0xFFFF,
    b"+/#",
)
"""What other brokers may let pass; bytes that are no UTF-8 among them."""


def test_what_is_counted_and_remembered_does_not_grow_with_names_and_topics(
    broker: Broker, database: Any, make_service: Callable[..., Service]
) -> None:
    port = free_port()
    service = make_service(
        broker, database, mqtt={"reading_topics": ["#"]}, web={"listen": f"127.0.0.1:{port}"}
    )
    service.start()
    wait_for(lambda: service.source_state() == "connected", "the broker's session")
    with Watch(service) as watch:
        sent = _publish(broker, _some_of_everything())
        wait_accounted(database.dsn, sent, service)
        labels, memory = _labels(port), watch.begin_anew()
        with in_background(_publish_unseen, broker):
            sent += _publish(broker, _registrations(1, scale.MANY_PHOTOMETERS))
            sent += _publish(broker, _mixed())
            sent += _publish(broker, _huge())
        counted = wait_accounted(database.dsn, sent, service, 600)
        print(counted)
    print(f"RssAnon {memory / 1e6:.1f} MB with one photometer, then {watch.most_bytes / 1e6:.1f} MB at most")
    assert watch.most_bytes < RSS_LIMIT_BYTES
    assert _labels(port) <= labels, "a label that grows"
    assert 'cause="unregistered"' in labels
    subjects = {subject for (subject,) in fetch(database.dsn, "SELECT DISTINCT subject FROM tallies")}
    assert subjects == {"", *(f"stars{n}" for n in range(scale.MANY_PHOTOMETERS))}
    assert fetch(
        database.dsn,
        "SELECT count, count(*) FROM (SELECT count(*) FROM tess_readings_t GROUP BY tess_id) AS c GROUP BY count",
    ) == [(READINGS, scale.MANY_PHOTOMETERS)]
    assert counted["stored new"] == scale.MANY_PHOTOMETERS
    assert counted["rejected unregistered"] == scale.MADE_UP_NAMES + len(NAMES)
    _assert_one_screen(service)
    service.assert_quick()


def test_topics_that_are_no_text_are_accounted_for(
    database: Any, make_service: Callable[..., Service]
) -> None:
    with LenientBroker(ODD_TOPICS) as broker:
        service = make_service(broker, database, mqtt={"reading_topics": ["#"]})
        service.start()
        wait_for(lambda: broker.acknowledged == len(ODD_TOPICS), "all to be acknowledged")
        counted = wait_accounted(database.dsn, len(ODD_TOPICS), service)
        assert counted == {"total": len(ODD_TOPICS), "rejected unregistered": len(ODD_TOPICS)}
        kept = fetch(database.dsn, "SELECT envelope FROM rejects ORDER BY position")
        for topic, (envelope,) in zip(ODD_TOPICS, kept, strict=True):
            assert bytes(envelope).endswith(topic)  # as it came, to be replayed
        service.assert_quick()
        service.stop()


class LenientBroker:
    """A broker that knows the least of MQTT 3.1.1 and delivers one message at QoS 1 on each of its topics,
    whatever bytes these are."""

    def __init__(self, topics: Iterable[bytes]) -> None:
        self.acknowledged = 0
        self._topics = tuple(topics)
        self._server = socket.create_server(("127.0.0.1", free_port()))
        self.url = f"mqtt://127.0.0.1:{self._server.getsockname()[1]}"
        self._serving = in_background(self._serve)

    def __enter__(self) -> LenientBroker:
        self._serving.__enter__()
        return self

    def __exit__(self, *failure: Any) -> None:
        self._server.close()
        self._serving.__exit__(*failure)

    def _serve(self) -> None:
        client, _ = self._server.accept()
        client.settimeout(60)
        with client, client.makefile("rb") as stream:
            while kind := stream.read(1):
                body = stream.read(_length(stream.read))
                if kind[0] >> 4 == 1:
                    client.sendall(b"\x20\x02\0\0")
                elif kind[0] >> 4 == 8:
                    client.sendall(b"\x90\x04" + body[:2] + b"\1\1")
                    for number, topic in enumerate(self._topics, 1):
                        client.sendall(_publish_packet(topic, number))
                elif kind[0] >> 4 == 4:
                    self.acknowledged += 1
                elif kind[0] >> 4 == 14:
                    return


def _length(read: Callable[[int], bytes]) -> int:
    value = shift = 0
    while (byte := read(1)[0]) & 0x80:
        value |= (byte & 0x7F) << shift
        shift += 7
    return value | byte << shift


def _publish_packet(topic: bytes, packet_id: int) -> bytes:
    """As `publish_packet`, of bytes that are no text: the length of a topic of this length is the same."""
    payload = json.dumps(reading(f"odd{packet_id}", 1)[1]).encode()
    whole = publish_packet("x" * len(topic), payload, packet_id)
    at = whole.index(len(topic).to_bytes(2, "big") + b"x" * len(topic)) + 2
    return whole[:at] + topic + whole[at + len(topic) :]


def _publish(broker: Broker, messages: Iterable[tuple[str, bytes]], client_id: str = "crowd") -> int:
    """Until the broker has all; gives how many."""
    pipe = Pipe(broker.port, client_id, window=1000)
    packets = (publish_packet(topic, payload, n % 0xFFFF + 1) for n, (topic, payload) in enumerate(messages))
    while block := list(islice(packets, TOGETHER)):
        pipe.send(b"".join(block), len(block))
    pipe.flush()
    return pipe.sent


def _publish_unseen(broker: Broker) -> None:
    _publish(broker, ((topic, b"{}") for topic in UNSEEN_TOPICS), "unseen")


def _some_of_everything() -> Iterator[tuple[str, bytes]]:
    yield from _registrations(0, 1)
    yield from (_reading("stars0", n) for n in range(READINGS))
    yield from (_reading(name.format(""), 0) for name in NAMES)
    yield from _foreign(1)
    yield from _huge()


def _registrations(start: int, stop: int) -> Iterator[tuple[str, bytes]]:
    for n in range(start, stop):
        mac = f"AA:BB:CC:00:{n // 256:02X}:{n % 256:02X}"
        payload = {"name": f"stars{n}", "mac": mac, "calib": 20.25, "tstamp": "2026-01-01T00:00:00"}
        yield REGISTER_TOPIC, json.dumps(payload).encode()


def _mixed() -> Iterator[tuple[str, bytes]]:
    """Readings of the photometers, of nobody, and what is no reading at all, in turns."""
    left = [
        (_reading(f"stars{n}", seq) for seq in range(READINGS) for n in range(1, scale.MANY_PHOTOMETERS)),
        (_reading(NAMES[n % len(NAMES)].format(n), n) for n in range(scale.MADE_UP_NAMES)),
        _foreign(FOREIGN_ROUNDS),
    ]
    while left:
        for each in list(left):
            block = list(islice(each, 20))
            yield from block
            if not block:
                left.remove(each)


def _reading(name: str, seq: int) -> tuple[str, bytes]:
    topic = f"STARS4ALL/{name}/reading" if name.isascii() and name.isalnum() else "odd"
    return topic, json.dumps(reading(name, seq, tstamp=stamp(seq))[1], ensure_ascii=False).encode()


def _foreign(rounds: int) -> Iterator[tuple[str, bytes]]:
    for n in range(rounds):
        for place, topic in enumerate(filter(None, TOPICS)):
            for _, body in BODIES[n % 3 :: 3] if rounds > 1 else BODIES:
                yield (f"{topic}{n}" if place < 2 else topic), body


def _huge() -> Iterator[tuple[str, bytes]]:
    yield "STARS4ALL/stars0/reading", b'{"name":"stars0","pad":"' + b"x" * LARGE_BYTES


def _labels(port: int) -> set[str]:
    """All labels with their values that /metrics shows."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    return {label for line in lines if line[:1] != "#" for label in LABEL.findall(line)}


def _assert_one_screen(service: Service) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "tessmon", "status", "--config", str(service.config)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=ROOT,
    ).stdout.splitlines()
    assert max(map(len, shown)) <= SCREEN_COLUMNS
    assert len(shown) <= SCREEN_LINES, "\n".join(shown)
