# SPDX-License-Identifier: MIT
"""Brokers and publishers that end with the test that asked for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sources.mqttrig import Mosquitto, Publisher


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
