# SPDX-License-Identifier: MIT
"""Brokers, publishers and servers that end with the test that asked for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred

from tests.sources.mqttrig import Mosquitto, Publisher
from tests.vlbimon_site import Vlbimon


@pytest.fixture
def broker_with(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Makes a started broker with further lines of configuration."""
    brokers: list[Mosquitto] = []

    def make(*lines: str, **more: Any) -> Mosquitto:
        brokers.append(Mosquitto(tmp_path / f"broker{len(brokers)}", *lines, **more))
        return brokers[-1].start()

    yield make
    for broker in brokers:
        broker.stop()


@pytest.fixture
def broker(broker_with: Callable[..., Mosquitto]) -> Mosquitto:
    """A broker that anybody may use."""
    return broker_with()


@pytest.fixture
def publisher_at() -> Iterator[Callable[..., Publisher]]:
    """Makes publishers."""
    publishers: list[Publisher] = []

    def make(broker: Mosquitto, *given: Any, **more: Any) -> Publisher:
        publishers.append(Publisher(broker, *given, **more))
        return publishers[-1]

    yield make
    for publisher in publishers:
        publisher.close()


@pytest.fixture
def publisher(broker: Mosquitto, publisher_at: Callable[..., Publisher]) -> Publisher:
    """A publisher at the broker."""
    return publisher_at(broker)


@pytest.fixture
def serve_vlbimon() -> Iterator[Callable[[], Vlbimon]]:
    """Makes vlbimon servers in this reactor, each with its ``url``."""
    servers: list[Vlbimon] = []

    def make() -> Vlbimon:
        server = Vlbimon(reactor)
        server.url = f"http://127.0.0.1:{server.listen()}"
        servers.append(server)
        return server

    yield make
    for server in servers:
        pytest_twisted.blockon(ensureDeferred(server.close()))


@pytest.fixture
def server(serve_vlbimon: Callable[[], Vlbimon]) -> Vlbimon:
    """A vlbimon server."""
    return serve_vlbimon()
