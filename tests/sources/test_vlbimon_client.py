# SPDX-License-Identifier: MIT
"""What a vlbimon server is asked, and how: names and passwords, TLS, limits."""

from __future__ import annotations

import re
import resource
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import DefaultOpenSSLContextFactory

from tessmon.config.model import Vlbimon as Settings
from tessmon.sources.vlbimon_client import (
    LoginRefused,
    Malformed,
    NotUsable,
    Refused,
    Unreachable,
    VlbimonClient,
    VlbimonError,
    questions,
)
from tessmon.sources.vlbimon_questions import MAX_QUERY_BYTES, Question, query
from tests.sources.certificates import make_identity
from tests.sources.vlbimonrig import asked, auth_file, pairs, settings
from tests.vlbimon_doors import PASSWORD
from tests.vlbimon_faults import Fault
from tests.vlbimon_site import Said, Vlbimon
from tests.vlbimon_stations import masterlist

WINDOW = (1_712_345_600, 1_712_349_200)


@asynccontextmanager
async def client_of(given: Settings) -> AsyncIterator[VlbimonClient]:
    """A client of the first server, which leaves it in the end."""
    client = VlbimonClient(given, given.servers[0], reactor)
    try:
        yield client
    finally:
        await client.close()


async def failing(call: Any) -> VlbimonError:
    """What a call fails with."""
    with pytest.raises(VlbimonError) as caught:
        await call
    return caught.value


@pytest_twisted.ensureDeferred
async def test_all_calls_go_over_one_connection(server: Vlbimon, tmp_path: Path) -> None:
    server.array.receive(pairs(range(3)))
    async with client_of(settings(tmp_path, server.url)) as client:
        made = await client.open_session()
        assert client.session_id == made
        assert await client.check_session(made)
        snapshot = await client.snapshot(None)
        assert (snapshot.status, snapshot.cursor) == (200, asked(server, "snapshot")[0].told)
        assert b"weather_tau225" in snapshot.body
        history = await client.history(["KP"], ["weather_tau225"], int(time.time()) - 200, int(time.time()))
        assert history.body.count(b"[") >= 4
        assert b"default" in (await client.masterlist()).body
        assert len(client._web._pool._connections) == 1
        assert client._web._endpoints.made == 1
    assert all(each.authorization == "" for each in asked(server, "snapshot", "masterlist"))
    assert all(each.session == made for each in asked(server, "snapshot", "history", "restore"))


@pytest_twisted.ensureDeferred
async def test_names_of_any_kind_arrive_as_they_are(server: Vlbimon, tmp_path: Path) -> None:
    odd = ["A B/ü", "x&y=+%", "a\r\nb: c", "#?;", "日本"]
    async with client_of(settings(tmp_path, server.url)) as client:
        await client.history(odd, odd[::-1], *WINDOW)
    said = asked(server, "history")[0].query
    assert (said["observatory"], said["field"]) == (odd, odd[::-1])
    assert (said["startTime"], said["endTime"]) == ([str(WINDOW[0])], [str(WINDOW[1])])


@pytest.mark.parametrize("scheme", ["digest", "digest-sha256", "digest-2069"])
@pytest_twisted.ensureDeferred
async def test_digest_shows_no_password_and_lasts(server: Vlbimon, tmp_path: Path, scheme: Any) -> None:
    server.keys.scheme = scheme
    secrets = auth_file(tmp_path / "digest.toml")
    secrets.write_text(f'["127.0.0.1"]\ndigestauth = ["Your Name", "{PASSWORD}"]\n')
    async with client_of(settings(tmp_path, server.url, auth_file=secrets)) as client:
        await client.open_session()
        assert len(asked(server, "session")) == 2  # the first one brings the challenge
        await client.open_session()
        assert len(asked(server, "session")) == 3
        server.keys.forget_nonces()
        await client.open_session()
        assert len(asked(server, "session")) == 5
    assert {each.authorization for each in server.asked} == {"", "digest"}


@pytest.mark.parametrize(
    ("scheme", "ours", "sentence"),
    [
        ("basic", "basicauth", "does not take the name and password: correct"),
        ("digest", "digestauth", "does not take the name and password: correct"),
        ("digest", "basicauth", "wants digest authentication: write digestauth"),
        ("basic", "digestauth", "knows no digest authentication: write basicauth"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_wrong_password_is_told_apart_from_a_wrong_scheme(
    server: Vlbimon, tmp_path: Path, scheme: Any, ours: str, sentence: str
) -> None:
    server.keys.scheme = scheme
    secrets = auth_file(tmp_path / "wrong.yaml", "wrong", ours)
    async with client_of(settings(tmp_path, server.url, auth_file=secrets)) as client:
        error = await failing(client.open_session())
    assert isinstance(error, LoginRefused)
    assert error.status == 401
    assert sentence in str(error)
    assert len(asked(server, "session")) <= 2


@pytest_twisted.ensureDeferred
async def test_without_a_name_the_sentence_says_where_it_belongs(server: Vlbimon, tmp_path: Path) -> None:
    async with client_of(settings(tmp_path, server.url, auth_file=None)) as client:
        assert "[vlbimon] auth_file is not set" in str(await failing(client.open_session()))
    other = auth_file(tmp_path / "other.yaml")
    other.write_text("elsewhere.example.org:\n  basicauth: [a, b]\n")
    async with client_of(settings(tmp_path, server.url, auth_file=other)) as client:
        assert "auth_file names nobody for it" in str(await failing(client.open_session()))
        other.chmod(0o644)
        assert "chmod 600" in str(await failing(client.open_session()))
    server.keys.forbidden = True
    async with client_of(settings(tmp_path, server.url)) as client:
        error = await failing(client.open_session())
        assert "lets Your Name make no session" in str(error)
        assert PASSWORD not in str(error)


@pytest_twisted.ensureDeferred
async def test_passwords_never_go_over_plain_http_to_elsewhere(tmp_path: Path) -> None:
    secrets = auth_file(tmp_path / "s.yaml")
    secrets.write_text("192.0.2.1:\n  basicauth: [a, b]\n")
    async with client_of(settings(tmp_path, "http://192.0.2.1", auth_file=secrets)) as client:
        for call in (client.open_session(), client.check_session("x"), client.history(["a"], ["b"], *WINDOW)):
            error = await failing(call)
            assert isinstance(error, LoginRefused)
            assert "write https://" in str(error)


@pytest_twisted.ensureDeferred
async def test_a_session_without_an_id_is_none(server: Vlbimon, tmp_path: Path) -> None:
    async with client_of(settings(tmp_path, server.url)) as client:
        for reply in ("", "[]", "{}", '{"id": 5}', '{"id": ""}', '{"id": "a;b"}', '{"id": "a\\r\\nb"}'):
            server.say("session", Said(reply))
            assert isinstance(await failing(client.open_session()), Malformed), reply
            assert client.session_id is None
        assert await client.check_session("../../else where?") is False
    assert urlsplit(asked(server, "restore")[0].uri).path == "/session/..%2F..%2Felse%20where%3F"


@pytest_twisted.ensureDeferred
async def test_redirections_are_not_followed(server: Vlbimon, tmp_path: Path) -> None:
    server.faults.add(Fault("status", ("snapshot",), count=1, status=302))
    async with client_of(settings(tmp_path, server.url)) as client:
        error = await failing(client.snapshot(None))
    assert isinstance(error, Refused)
    assert "a redirection: correct [vlbimon] servers" in str(error)
    assert len(server.asked) == 1


@pytest_twisted.ensureDeferred
async def test_a_connection_that_was_closed_meanwhile_is_made_anew(server: Vlbimon, tmp_path: Path) -> None:
    async with client_of(settings(tmp_path, server.url)) as client:
        await client.open_session()
        for call in (client.open_session, client.masterlist):
            server.faults.add(Fault("closed", count=1))
            await call()
        server.faults.add(Fault("closed", count=2))
        error = await failing(client.open_session())
        assert isinstance(error, Unreachable)
        assert "closed the connection without an answer" in str(error)


class _Silent(Protocol):
    """Says what its factory has to say, and nothing more."""

    def connectionMade(self) -> None:
        self.factory.there.append(self)
        self.transport.write(self.factory.said)

    def connectionLost(self, reason: Any = None) -> None:
        self.factory.gone.callback(None)


@pytest.fixture
def listening() -> Iterator[Callable[..., Any]]:
    """Makes servers that are none."""
    ports: list[Any] = []

    def make(said: bytes) -> Any:
        factory = Factory.forProtocol(_Silent)
        factory.said, factory.there, factory.gone = said, [], Deferred()
        ports.append(reactor.listenTCP(0, factory, interface="127.0.0.1"))
        factory.url = f"http://127.0.0.1:{ports[-1].getHost().port}"
        return factory

    yield make
    for port in ports:
        pytest_twisted.blockon(port.stopListening())


@pytest_twisted.ensureDeferred
async def test_no_answer_is_given_up_in_time_and_no_connection_is_left(
    listening: Callable[..., Any], tmp_path: Path
) -> None:
    late, odd = (
        "did not answer in full within 0.2 s",
        "closed the connection|cut the connection|can't be reached",
    )
    for said, sentence in (
        (b"", late),
        (b"HTTP/1.1 200 OK\r\n", late),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", late),
        (b"220 mail.example.org ESMTP\r\n", odd),
        (b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", odd),
    ):
        factory = listening(said)
        async with client_of(settings(tmp_path, factory.url, timeout_s=0.2)) as client:
            error = await failing(client.masterlist())
            assert isinstance(error, Unreachable), said
            assert re.search(sentence, str(error)), error
            await factory.gone


@pytest_twisted.ensureDeferred
async def test_a_connection_that_is_not_made_is_given_up(tmp_path: Path) -> None:
    """A full queue of connections: the kernel answers no more."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        given = settings(tmp_path, f"http://127.0.0.1:{port}", connect_timeout_s=0.2)
        async with client_of(given) as client:
            assert "doesn't answer within 0.2 s" in str(await failing(client.masterlist()))
        for each in waiting:
            each.close()
    async with client_of(settings(tmp_path, "http://nonesuch.invalid")) as client:
        assert "has a name that can't be looked up" in str(await failing(client.masterlist()))


@pytest_twisted.ensureDeferred
async def test_a_body_without_end_takes_bounded_memory(server: Vlbimon, tmp_path: Path) -> None:
    server.faults.add(Fault("endless"))
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with client_of(settings(tmp_path, server.url, max_reply_bytes=1 << 20, timeout_s=30.0)) as client:
        error = await failing(client.masterlist())
    assert isinstance(error, Malformed)
    assert "max_reply_bytes" in str(error)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 20_000


@pytest_twisted.ensureDeferred
async def test_tls_checks_who_answers(server: Vlbimon, tmp_path: Path) -> None:
    authority = make_identity(tmp_path, "authority")
    good = make_identity(tmp_path, "good", authority)
    other = make_identity(tmp_path, "other", authority, hosts=("example.test",))
    stranger = make_identity(tmp_path, "stranger")

    async def attempt(port: int, ca: Any) -> str:
        given = settings(tmp_path, f"https://localhost:{port}", ca_file=ca and ca.certificate_file)
        async with client_of(given) as client:
            try:
                await client.open_session()
            except VlbimonError as error:
                return str(error)
            return "well"

    def listen(door: str, identity: Any) -> int:
        return server.listen(
            door, DefaultOpenSSLContextFactory(str(identity.key_file), str(identity.certificate_file))
        )

    port = listen("good", good)
    assert await attempt(port, authority) == "well"
    assert "the server's certificate can't be trusted" in await attempt(port, stranger)
    assert "the server's certificate can't be trusted" in await attempt(port, None)
    wrong = await attempt(listen("other", other), authority)
    assert "the server's certificate is not for localhost: correct [vlbimon] servers" in wrong
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("nothing\n")
    with pytest.raises(NotUsable, match=r"\[vlbimon\] ca_file .*nothing.pem holds no certificate"):
        VlbimonClient(settings(tmp_path, "https://a", ca_file=nothing), "https://a", reactor)


def test_the_whole_array_is_asked_for_in_few_questions() -> None:
    listed = masterlist()
    stations = [each for each in listed if each != "default"]
    fields = list(dict.fromkeys(name for entries in listed.values() for name in entries))
    assert (len(stations), len(fields) > 530) == (11, True)
    asks = list(questions(stations, fields))
    assert len(asks) <= 5
    assert sorted((s, f) for some, several in asks for s in some for f in several) == sorted(
        (s, f) for s in stations for f in fields
    )
    assert all(len(query(Question(*each, *WINDOW))) < MAX_QUERY_BYTES for each in asks)


@pytest.mark.parametrize("max_bytes", [200, 500, 8000])
@pytest.mark.parametrize("length", [1, 30, 200])
def test_questions_have_room_for_any_names(max_bytes: int, length: int) -> None:
    stations = [f"{number:03}" + "ü" * (length - 1) for number in range(70)]
    fields = [f"{number:03}" + "x" * (length - 1) for number in range(50)]
    asks = list(questions(stations, fields, max_bytes))
    assert len([None for some, several in asks for _ in some for _ in several]) == 3500
    for some, several in asks:
        text = query(Question(some, several, *WINDOW))
        assert len(text) < max_bytes or len(some) == 1 or len(several) == 1
        assert parse_qs(text)["observatory"] == list(some)
    assert list(questions([], fields)) == list(questions(stations, [])) == []
