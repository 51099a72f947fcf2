# SPDX-License-Identifier: MIT
"""etc/mosquitto-tessmon.conf keeps what photometers publish while tessmon and the broker are away."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tessmon.config.model import Mqtt
from tessmon.demo.servers import Broker, new_directory
from tests.observatory import Publisher, Service, reading, wait_for

FILE = Path(__file__).parents[2] / "etc" / "mosquitto-tessmon.conf"
NOBODY = SimpleNamespace(dsn="host=127.0.0.1 port=1 dbname=nowhere user=nobody")
READINGS = 2000
"""More than a mosquitto queues that nobody told anything."""


def lines() -> list[str]:
    """What the file says."""
    written = FILE.read_text().splitlines()
    return [line for line in written if line and not line.startswith("#")]


@pytest.fixture
def told_broker() -> Iterator[Broker]:
    directory = new_directory("tessmon-told-broker-")
    server = Broker(directory, kind="mosquitto", lines=lines())
    server.start()
    yield server
    server.stop()
    shutil.rmtree(directory)


def test_every_line_says_why() -> None:
    written = FILE.read_text().splitlines()
    for line in lines():
        assert written[written.index(line) - 1].startswith("# "), line


def test_as_many_are_on_their_way_as_the_service_takes() -> None:
    assert f"max_inflight_messages {Mqtt().receive_maximum}" in lines()


def test_readings_at_qos_0_wait_for_the_service_and_outlive_a_restart_of_the_broker(
    told_broker: Broker, make_service: Callable[..., Service]
) -> None:
    service = make_service(told_broker, NOBODY)
    service.start()
    wait_for(lambda: service.source_state() == "connected", "the broker's session")
    assert service.stop() == 0
    publisher = Publisher(told_broker, "photometers")
    for number in range(READINGS):
        publisher.publish(*reading("stars1", number), qos=0)
    publisher.publish(
        *reading("stars1", READINGS)
    )  # when this is acknowledged, the broker has the others too
    publisher.flush()
    publisher.close()
    told_broker.stop()
    told_broker.start()
    service.start()
    wait_for(lambda: _journalled(service) > READINGS, "all readings to come")
    assert _journalled(service) == READINGS + 1


def _journalled(service: Service) -> int:
    status = service.status()
    return status["sources"][0]["journalled"] if status else 0
