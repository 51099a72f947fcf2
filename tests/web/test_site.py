# SPDX-License-Identifier: MIT
"""Metrics and health, over real TCP."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPMessage
from typing import Any

import pytest
import pytest_twisted
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from tessmon.control.bounded import BoundedSite
from tessmon.web import site
from tests.standin import PlainFace

DEADLINE_S = 10


@pytest.fixture
def face() -> PlainFace:
    return PlainFace()


@pytest.fixture
def port(face: PlainFace) -> Iterator[int]:
    served: BoundedSite = site(face, reactor, timeout_s=0.5)
    listening: Any = reactor.listenTCP(0, served, interface="127.0.0.1")
    yield listening.getHost().port
    pytest_twisted.blockon(listening.stopListening())
    served.close()


async def get(port: int, path: str, method: str = "GET", accept: str = "*/*") -> tuple[int, str, HTTPMessage]:
    """Status code, body and headers."""
    return await deferToThread(_get, port, path, method, accept)


def _get(port: int, path: str, method: str, accept: str) -> tuple[int, str, HTTPMessage]:
    connection = HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    try:
        connection.request(method, path, headers={"Accept": accept})
        response = connection.getresponse()
        return response.status, response.read().decode(), response.headers
    finally:
        connection.close()


@pytest_twisted.ensureDeferred
async def test_the_index_names_every_path(port: int) -> None:
    code, text, headers = await get(port, "/")
    assert code == 200
    assert all(path in text for path in ("/metrics", "/livez", "/readyz"))
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Server"] == "tessmon"


@pytest_twisted.ensureDeferred
async def test_readyz_says_why_not(face: PlainFace, port: int) -> None:
    assert (await get(port, "/readyz"))[:2] == (200, "what is accepted reaches the database\n")
    face.readiness = (False, "paused by ana")
    assert (await get(port, "/readyz"))[:2] == (503, "paused by ana\n")


@pytest_twisted.ensureDeferred
async def test_livez_follows_the_process(face: PlainFace, port: int) -> None:
    assert (await get(port, "/livez"))[:2] == (200, "live\n")
    face.liveness = (False, "the journal in /x has not answered for 31 s")
    assert (await get(port, "/livez"))[:2] == (503, "the journal in /x has not answered for 31 s\n")


@pytest_twisted.ensureDeferred
async def test_metrics_are_read_by_prometheus_own_parser(port: int) -> None:
    code, text, headers = await get(port, "/metrics")
    assert code == 200
    assert headers["Content-Type"].startswith("text/plain; version=")
    names = {family.name for family in text_string_to_metric_families(text)}
    assert {"tessmon_build_info", "tessmon_lane_records", "process_resident_memory_bytes"} <= names


@pytest_twisted.ensureDeferred
async def test_metrics_come_as_openmetrics_when_asked_for(port: int) -> None:
    accept = "application/openmetrics-text; version=1.0.0"
    code, text, headers = await get(port, "/metrics", accept=accept)
    assert code == 200
    assert headers["Content-Type"].startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
@pytest_twisted.ensureDeferred
async def test_nothing_can_be_changed_from_here(face: PlainFace, port: int, method: str) -> None:
    for path in ("/", "/metrics", "/livez", "/readyz"):
        code, _, headers = await get(port, path, method)
        assert code == 405
        assert headers["Allow"] == "GET, HEAD"
    assert (await get(port, "/pause", "POST"))[0] == 404
    assert face.asked == []


@pytest.mark.parametrize("path", ["/", "/metrics", "/livez", "/readyz"])
@pytest_twisted.ensureDeferred
async def test_head_is_get_without_a_body(port: int, path: str) -> None:
    code, text, headers = await get(port, path, "HEAD")
    assert (code, text) == (200, "")
    assert int(headers["Content-Length"]) > 0


@pytest_twisted.ensureDeferred
async def test_a_request_that_never_ends_is_cut_off(port: int) -> None:
    assert await deferToThread(_talk, port, b"GET /metrics HTTP/1.1\r\nX: ") == b""


@pytest_twisted.ensureDeferred
async def test_a_packet_full_of_requests_is_answered_once(port: int) -> None:
    answer = await deferToThread(_talk, port, b"GET /metrics HTTP/1.1\r\n\r\n" * 2000)
    assert answer.count(b"HTTP/1.1 200") <= 1
    assert (await get(port, "/livez"))[0] == 200


def _talk(port: int, request: bytes) -> bytes:
    answer = b""
    with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as client:
        try:
            client.sendall(request)
            while chunk := client.recv(65536):
                answer += chunk
        except (ConnectionResetError, BrokenPipeError):
            pass
    return answer
