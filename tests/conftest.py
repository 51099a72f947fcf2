# SPDX-License-Identifier: MIT
"""Fixtures that all tests share, and the watch over what a test leaves behind."""

from __future__ import annotations

import gc
import inspect
import itertools
import shutil
import signal
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest
from twisted.logger import LogEvent, LogLevel, globalLogPublisher

from tessmon.demo.servers import Broker, new_directory
from tests.observatory import Publisher, Service
from tests.postgres import Database, database, other_database, postgres

__all__ = ["broker", "clean", "database", "make_service", "other_database", "postgres", "publisher"]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell without job control starts what goes to the background so, and children of ours would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long one example takes says nothing on a machine that does other things, too; a test that hangs has a time-out.
hypothesis.settings.register_profile(
    "tessmon", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("tessmon")

_numbers = itertools.count(1)
LONG = ("test_soak.py", "test_vlbimon_away.py", "test_vlbimon_killed.py", "test_vlbimon_unwell.py")
BROKER_LINES = ("max_queued_messages 200000", "max_inflight_messages 1000", "persistence false")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that two processes come to their end together."""
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.fixture(autouse=True)
def clean(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test leaves a failure in the log or a delayed call in the reactor.

    A test that wants a failure to be logged says so with ``@pytest.mark.logs_failures``.
    """
    failures: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        if event.get("log_failure") is not None or event.get("log_level") is LogLevel.critical:
            failures.append(event)

    globalLogPublisher.addObserver(observe)
    try:
        yield
        if inspect.iscoroutinefunction(inspect.unwrap(request.function)):
            gc.collect()  # a Deferred that failed unseen tells when it goes
    finally:
        globalLogPublisher.removeObserver(observe)
    if request.node.get_closest_marker("logs_failures") is None:
        assert not failures, [event.get("log_failure") or event.get("log_format") for event in failures]
    from twisted.internet import reactor

    left = [call for call in reactor.getDelayedCalls() if call.active()]  # type: ignore[attr-defined]
    for call in left:
        call.cancel()
    assert not left


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """A mosquitto with a long queue."""
    directory = new_directory("tessmon-broker-")
    server = Broker(directory, kind="mosquitto", lines=BROKER_LINES)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(directory)


@pytest.fixture
def publisher(broker: Broker) -> Iterator[Publisher]:
    """A client of the broker."""
    client = Publisher(broker, f"publisher-{next(_numbers)}")
    yield client
    client.close()


@pytest.fixture
def make_service() -> Iterator[Callable[..., Service]]:
    """Makes services; all end with the test."""
    directory = new_directory("tessmon-service-")
    made: list[Service] = []

    def make(broker: Broker, database: Database, **tables: dict[str, Any]) -> Service:
        number = next(_numbers)
        tables.setdefault("mqtt", {}).setdefault("client_id", f"tessmon-{number}")
        service = Service(directory / str(number), broker.url, database.dsn, **tables)
        made.append(service)
        return service

    yield make
    for service in made:
        service.end()
    shutil.rmtree(directory)
