# SPDX-License-Identifier: MIT
"""Brokers that go away, fall silent, refuse, or give our name to another: named, survived, nothing lost."""

from __future__ import annotations

import glob
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as paho
import pytest
import pytest_twisted
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode
from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater

from tessmon.sources.mqtt import MqttSource
from tessmon.sources.mqtt_connection import MqttConnection
from tessmon.sources.mqtt_ending import Kind, connect_refused
from tessmon.sources.mqtt_endpoint import broker_endpoint
from tests.sources.certificates import password_line
from tests.sources.mqttrig import (
    CommandedJournal,
    Mosquitto,
    Publisher,
    connected,
    free_port,
    running,
    source_into,
    until,
)

BOTH = pytest.mark.parametrize("protocol", ["3.1.1", "5"])


async def stopped(source: MqttSource) -> None:
    """Stop one that is not connected; its last commit included."""
    await source.stopService()
    journal = source._journal
    await until(lambda: not journal.scheduled)  # type: ignore[attr-defined]


@BOTH
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest_twisted.ensureDeferred
async def test_a_broker_that_comes_back_finds_its_session(
    broker: Mosquitto, publisher_at: Callable[..., Publisher], protocol: str, number: int
) -> None:
    journal = CommandedJournal()
    async with running(source_into(journal, broker.settings(protocol=protocol))) as source:
        await publisher_at(broker).publish([b"before"])
        await until(lambda: source.status().acknowledged == 1)
        broker.signal(signal.SIGUSR1)
        await until(lambda: "Saving in-memory database" in broker.log)
        await deferLater(reactor, 0.1)
        broker.stop(number)
        await until(lambda: source.status().state == "connecting")
        assert "next attempt in" in source.status().detail
        broker.start()
        await connected(source, 2)
        assert journal.events("connected")[1]["session_present"] is True
        await publisher_at(broker).publish([b"after"])
        await until(lambda: len(journal.messages) == 2)
        assert len(journal.events("lost")) == 1


@pytest_twisted.ensureDeferred
async def test_a_broker_that_is_away_at_the_start_is_waited_for_and_told_once(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path / "late")
    journal = CommandedJournal()
    source = source_into(journal, broker.settings())
    source.startService()
    await until(lambda: len(journal.events("unreachable")) == 1)
    assert "can't be reached" in source.status().detail
    await deferLater(reactor, 1.5)
    broker.start()
    try:
        await connected(source)
        assert len(journal.events("unreachable")) == 1
    finally:
        await stopped(source)
        broker.stop()


@pytest_twisted.ensureDeferred
async def test_an_unknown_name_is_said_so() -> None:
    source = source_into(
        journal := CommandedJournal(), Mosquitto.settings_of(1, broker="mqtt://no.such.invalid")
    )
    source.startService()
    await until(lambda: journal.events("unreachable"))
    assert "has a name that can't be looked up" in source.status().detail
    await stopped(source)


@pytest_twisted.ensureDeferred
async def test_a_silent_broker_is_left_within_one_and_a_half_keepalives(broker: Mosquitto) -> None:
    journal = CommandedJournal()
    settings = broker.settings(keepalive_s=2)
    async with running(source_into(journal, settings)) as source:
        await deferLater(reactor, 3.5)
        assert source.status().connects == 1
        assert journal.events("lost") == []
        assert "Received PINGREQ from tessmon-test" in broker.log
        broker.signal(signal.SIGSTOP)
        frozen_at = time.monotonic()
        await until(lambda: journal.events("lost"))
        assert time.monotonic() - frozen_at <= 3.2
        assert "nothing came from the broker" in journal.events("lost")[0]["why"]
        broker.signal(signal.SIGCONT)
        await connected(source, 2)


@pytest_twisted.ensureDeferred
async def test_a_stop_in_any_state_is_quick(broker: Mosquitto) -> None:
    for settings in (
        broker.settings(),
        Mosquitto.settings_of(free_port()),
        broker.settings(username="x" * 70000),
    ):
        for wait_s in (0, 0.01, 0.1):
            source = source_into(CommandedJournal(), settings)
            source.startService()
            if wait_s:
                await deferLater(reactor, wait_s)
            began = time.monotonic()
            await stopped(source)
            assert time.monotonic() - began < 2
            assert source.status().state == "stopped"


@pytest_twisted.ensureDeferred
async def test_a_frozen_broker_does_not_hold_up_the_stop(broker: Mosquitto) -> None:
    async with running(source_into(CommandedJournal(), broker.settings())) as source:
        broker.signal(signal.SIGSTOP)
        began = time.monotonic()
        await source.stopService()
        assert time.monotonic() - began < 4


@pytest_twisted.ensureDeferred
async def test_another_client_with_our_id_is_named_where_the_broker_says_so(broker: Mosquitto) -> None:
    """mosquitto 2.0.11 closes without a word in version 5 too, so its packet is ours."""
    journal = CommandedJournal()
    async with running(source_into(journal, broker.settings(protocol="5"))) as source:
        assert source._connection is not None
        source._connection.dataReceived(b"\xe0\x01\x8e")
        await until(lambda: source.status().state == "taken_over")
        assert "another client connected with our client id" in source.status().detail
        assert len(journal.events("taken_over")) == 1


@BOTH
@pytest_twisted.ensureDeferred
async def test_another_client_with_our_id_is_probable_where_the_broker_is_silent(
    broker: Mosquitto, publisher_at: Callable[..., Publisher], protocol: str
) -> None:
    journal = CommandedJournal()
    async with running(source_into(journal, broker.settings(protocol=protocol))) as source:
        for times in range(1, 4):
            await connected(source, times)
            version = paho.MQTTv5 if protocol == "5" else paho.MQTTv311
            publisher_at(broker, "tessmon-test", version=version, **_session(protocol)).close()
            await until(lambda times=times: source.status().connects == times and not source._accepted)
        assert source.status().state == "taken_over"
        assert "probably another client uses our client id" in source.status().detail
        assert len(journal.events("lost")) == 2
        assert len(journal.events("taken_over")) == 1


def _session(protocol: str) -> dict[str, bool]:
    return {} if protocol == "5" else {"clean_session": False}


@BOTH
@pytest_twisted.ensureDeferred
async def test_the_password_file_is_read_at_each_connect(
    broker_with: Callable[..., Mosquitto], tmp_path: Path, protocol: str
) -> None:
    users = tmp_path / "users"
    users.write_text(password_line("tess", "right"))
    broker = broker_with(security=("allow_anonymous false", f"password_file {users}"))
    secret = tmp_path / "secret"
    secret.write_text("wrong\n")
    secret.chmod(0o600)
    journal = CommandedJournal()
    settings = broker.settings(protocol=protocol, username="tess", password_file=secret)
    source = source_into(journal, settings)
    source.startService()
    await until(lambda: source.status().state == "refused")
    assert "[mqtt] username" in source.status().detail
    assert "next attempt in" in source.status().detail
    assert len(journal.events("refused")) == 1
    secret.write_text("right\n")
    source.reconfigure(settings)
    await connected(source)
    assert "right" not in str(journal.appended)
    await stopped(source)


@pytest_twisted.ensureDeferred
async def test_a_missing_password_file_is_refused_by_name(broker: Mosquitto, tmp_path: Path) -> None:
    settings = broker.settings(username="tess", password_file=tmp_path / "none")
    source = source_into(CommandedJournal(), settings)
    source.startService()
    await until(lambda: source.status().state == "refused")
    assert str(tmp_path / "none") in source.status().detail
    await stopped(source)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0x84, "[mqtt] protocol"),
        (0x85, "[mqtt] client_id"),
        (0x86, "[mqtt] username and password_file"),
        (0x87, "allow this user or client id"),
        (0x88, "wait"),
        (0x95, "look at its log"),
    ],
)
def test_each_refusal_says_what_to_do(code: int, words: str) -> None:
    sentence = connect_refused(ReasonCode(PacketTypes.CONNACK, identifier=code))
    assert sentence.startswith("the broker refuses the connection (")
    assert words in sentence


@BOTH
@pytest_twisted.ensureDeferred
async def test_a_topic_that_the_broker_refuses_is_named(
    broker_with: Callable[..., Mosquitto],
    publisher_at: Callable[..., Publisher],
    tmp_path: Path,
    protocol: str,
) -> None:
    rules = tmp_path / "rules.json"
    allowed = {"acltype": "subscribeLiteral", "topic": "STARS4ALL/register", "allow": True}
    rules.write_text(
        json.dumps(
            {
                "defaultACLAccess": {
                    "publishClientSend": True,
                    "publishClientReceive": True,
                    "subscribe": False,
                    "unsubscribe": True,
                },
                "anonymousGroup": "all",
                "groups": [{"groupname": "all", "roles": [{"rolename": "some"}]}],
                "roles": [{"rolename": "some", "acls": [allowed]}],
                "clients": [],
            }
        )
    )
    (plugin,) = glob.glob("/usr/lib/*/mosquitto_dynamic_security.so")
    broker = broker_with(f"plugin {plugin}", f"plugin_opt_config_file {rules}")
    journal = CommandedJournal()
    async with running(source_into(journal, broker.settings(protocol=protocol))) as source:
        assert source.status().state == "connected"
        assert "topic STARS4ALL/+/reading is refused" in source.status().detail
        (event,) = journal.events("subscribed")
        assert event["topics"] == ["STARS4ALL/register"]
        assert list(event["refused"]) == ["STARS4ALL/+/reading"]
        await publisher_at(broker).publish([b"x"], topic="STARS4ALL/register")
        await until(lambda: journal.messages)


class Mute(Protocol):
    """Accepts, and says nothing or good-bye."""

    def connectionMade(self) -> None:
        if self.factory.closes:  # type: ignore[union-attr]
            self.transport.loseConnection()  # type: ignore[union-attr]


@pytest_twisted.ensureDeferred
async def test_a_server_that_closes_at_once_is_no_broker() -> None:
    factory = Factory.forProtocol(Mute)
    factory.closes = True  # type: ignore[attr-defined]
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")  # type: ignore[attr-defined]
    source = source_into(journal := CommandedJournal(), Mosquitto.settings_of(port.getHost().port))
    source.startService()
    await until(lambda: journal.events("unreachable"))
    assert "closed the connection at once" in source.status().detail
    await stopped(source)
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_server_that_never_answers_is_given_up() -> None:
    factory = Factory.forProtocol(Mute)
    factory.closes = False  # type: ignore[attr-defined]
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")  # type: ignore[attr-defined]
    settings = Mosquitto.settings_of(port.getHost().port)
    nobody = source_into(CommandedJournal(), settings)
    connection = MqttConnection(reactor, settings, None, nobody, None, answer_timeout_s=0.2)
    endpoint, _tls = broker_endpoint(reactor, settings)
    await endpoint.connect(Factory.forProtocol(lambda: connection))
    ending = await connection.ended
    assert ending == (Kind.UNREACHABLE, "the broker doesn't answer CONNECT within 0.2 s", 0)
    await port.stopListening()
