# SPDX-License-Identifier: MIT
"""TLS: the broker must be who it says; what is wrong is named."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

from tests.sources.certificates import Identity, make_identity
from tests.sources.mqttrig import CommandedJournal, Mosquitto, running, source_into, until

MakeBroker = Callable[..., Mosquitto]


@pytest.fixture
def authority(tmp_path: Path) -> Identity:
    return make_identity(tmp_path, "authority")


def tls_broker(broker_with: MakeBroker, server: Identity, authority: Identity, *lines: str) -> Mosquitto:
    return broker_with(
        f"cafile {authority.certificate_file}",
        f"certfile {server.certificate_file}",
        f"keyfile {server.key_file}",
        *lines,
    )


def settings(broker: Mosquitto, authority: Identity, host: str = "localhost", **more: Any) -> Any:
    url = f"mqtts://{host}:{broker.port}"
    return broker.settings(broker=url, ca_file=authority.certificate_file, **more)


async def refusal(broker: Mosquitto, given: Any) -> str:
    """What a source with these settings says that it is refused."""
    source = source_into(journal := CommandedJournal(), given)
    source.startService()
    await until(lambda: source.status().state == "refused")
    detail = source.status().detail
    assert len(journal.events("refused")) == 1
    assert "New client connected from" not in broker.log
    await source.stopService()
    await until(lambda: not journal.scheduled)
    return detail


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
@pytest_twisted.ensureDeferred
async def test_a_broker_with_the_right_name_is_trusted(
    broker_with: MakeBroker, tmp_path: Path, authority: Identity, host: str, protocol: str
) -> None:
    broker = tls_broker(broker_with, make_identity(tmp_path, "server", authority), authority)
    journal = CommandedJournal()
    async with running(source_into(journal, settings(broker, authority, host, protocol=protocol))) as source:
        assert source.status().detail.startswith(f"connected to mqtts://{host}:{broker.port}")
        assert source._connection is not None
        source._connection.transport.getPeerCertificate()
    assert "Received DISCONNECT from tessmon-test" in broker.log


@pytest_twisted.ensureDeferred
async def test_messages_come_through_tls(
    broker_with: MakeBroker, tmp_path: Path, authority: Identity
) -> None:
    """Two listeners: the publisher comes without TLS."""
    server = make_identity(tmp_path, "server", authority)
    broker = tls_broker(broker_with, server, authority)
    journal = CommandedJournal(at_once=False)
    given = settings(broker, authority, receive_maximum=500)
    async with running(
        source_into(journal, given),
        source_into(
            other := CommandedJournal(),
            settings(broker, authority, client_id="publisher", reading_topics=("none",)),
        ),
    ) as source:
        sender = other.source
        assert sender is not None
        assert sender._connection is not None
        for number in range(2000):
            sender._connection._client.publish("STARS4ALL/s/reading", b"%d" % number + b"x" * 200, 1)
        while source.status().acknowledged < 2000:
            assert source.status().unacknowledged <= 500
            before = len(journal.messages)
            journal.settle()
            await until(
                lambda before=before: len(journal.messages) > before or source.status().acknowledged == 2000
            )
        assert len(journal.messages) == 2000


@pytest_twisted.ensureDeferred
async def test_a_broker_with_another_name_is_refused(
    broker_with: MakeBroker, tmp_path: Path, authority: Identity
) -> None:
    server = make_identity(tmp_path, "server", authority, hosts=("example.test",))
    broker = tls_broker(broker_with, server, authority)
    assert "certificate is not for localhost" in await refusal(broker, settings(broker, authority))


@pytest_twisted.ensureDeferred
async def test_an_unknown_authority_is_refused(
    broker_with: MakeBroker, tmp_path: Path, authority: Identity
) -> None:
    broker = tls_broker(broker_with, make_identity(tmp_path, "server", authority), authority)
    stranger = make_identity(tmp_path, "stranger")
    detail = await refusal(broker, settings(broker, stranger))
    assert re.search("can't be trusted: (self.signed certificate in|unable to get local issuer)", detail)
    by_the_system = broker.settings(broker=f"mqtts://localhost:{broker.port}")
    assert "can't be trusted" in await refusal(broker, by_the_system)


@pytest_twisted.ensureDeferred
async def test_an_expired_certificate_is_refused(
    broker_with: MakeBroker, tmp_path: Path, authority: Identity
) -> None:
    server = make_identity(tmp_path, "server", authority, days=(-30, -1))
    broker = tls_broker(broker_with, server, authority)
    assert "certificate has expired" in await refusal(broker, settings(broker, authority))


@pytest_twisted.ensureDeferred
async def test_a_client_certificate_opens_the_door(
    broker_with: MakeBroker, tmp_path: Path, authority: Identity
) -> None:
    server = make_identity(tmp_path, "server", authority)
    client = make_identity(tmp_path, "client", authority)
    broker = tls_broker(broker_with, server, authority, "require_certificate true")
    detail = await refusal(broker, settings(broker, authority))
    assert "can't agree on TLS" in detail
    assert "certificate" in detail
    given = settings(broker, authority, cert_file=client.certificate_file, key_file=client.key_file)
    async with running(source_into(CommandedJournal(), given)) as source:
        assert source.status().state == "connected"


@pytest_twisted.ensureDeferred
async def test_files_that_hold_no_certificate_are_named(
    broker_with: MakeBroker, tmp_path: Path, authority: Identity
) -> None:
    broker = tls_broker(broker_with, make_identity(tmp_path, "server", authority), authority)
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("nothing\n")
    assert str(nothing) in await refusal(broker, replace(settings(broker, authority), ca_file=nothing))
    mixed = replace(settings(broker, authority), cert_file=authority.certificate_file, key_file=nothing)
    assert "cert_file and key_file" in await refusal(broker, mixed)
