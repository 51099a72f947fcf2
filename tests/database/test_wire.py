# SPDX-License-Identifier: MIT
"""A server that hangs up in the middle of a session's beginning, as one does that is just being stopped."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg2
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol

from tessmon.config import model
from tessmon.database.connection import Connector, Trouble, trouble_of

AUTHENTICATION_OK = b"R\0\0\0\x08\0\0\0\0"
SHUTTING_DOWN = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is shutting down\0\0"
FATAL = b"E" + (4 + len(SHUTTING_DOWN)).to_bytes(4, "big") + SHUTTING_DOWN


class HangsUp(Protocol):
    """Says something to whoever says something, and hangs up."""

    def __init__(self, last_words: bytes) -> None:
        self._last_words = last_words

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(self._last_words)
        self.transport.loseConnection()


@pytest.fixture(params=[b"", AUTHENTICATION_OK, FATAL], ids=["nothing", "welcome", "its reason"])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    factory = Factory.forProtocol(lambda: HangsUp(request.param))
    listening = reactor.listenTCP(0, factory, interface="127.0.0.1")  # type: ignore[attr-defined]
    yield listening.getHost().port
    pytest_twisted.blockon(listening.stopListening())


@pytest_twisted.ensureDeferred
async def test_a_server_that_hangs_up_while_it_lets_us_in_is_weather_and_nothing_is_logged(port: int) -> None:
    """That nothing is logged is what the fixture `clean` looks at."""
    settings = model.Database(dsn=f"host=127.0.0.1 port={port} user=nobody dbname=none sslmode=disable")
    for _ in range(5):
        with pytest.raises(psycopg2.OperationalError) as told:
            await Connector(settings, reactor).connect()
        assert trouble_of(told.value) is Trouble.WEATHER
