# SPDX-License-Identifier: MIT
"""Reload: whole or not at all, and at any moment."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tessmon.control.signals import BETWEEN_RELOADS_S
from tessmon.demo.servers import Broker
from tests import scale
from tests.observatory import Publisher, Service, in_background, reading, stamp, wait_accounted, wait_for
from tests.operating import ROOT, done, refused, tessmon


@pytest.fixture
def running(
    broker: Broker, publisher: Publisher, database: Any, make_service: Callable[..., Service]
) -> Service:
    """A service with one photometer."""
    service = make_service(broker, database)
    service.start()
    wait_for(lambda: service.source_state() == "connected", "the broker's session")
    publisher.register("stars1", "AA:BB:CC:00:00:01", tstamp="2026-01-01T00:00:00")
    publisher.flush()
    wait_accounted(database.dsn, 1, service)
    return service


def rewrite(service: Service, **tables: dict[str, Any]) -> None:
    service.tables.update(tables)
    service.write_config()


def test_what_would_change_is_said_and_not_done(
    running: Service, publisher: Publisher, database: Any
) -> None:
    assert done(tessmon(running, "reload", "--dry-run")) == "a reload would change nothing\n"
    rewrite(running, photometer={"deny": ["stars1"]}, log={"level": "debug"})
    assert done(tessmon(running, "reload", "--dry-run")).splitlines() == [
        "a reload would change",
        '[photometer] deny: [] -> ["stars1"]',
        '[log] level: "info" -> "debug"',
    ]
    publisher.publish(*reading("stars1", 1, tstamp=stamp(1)))
    publisher.flush()
    assert wait_accounted(database.dsn, 2, running)["stored"] == 1

    rewrite(running, rejects={"keep_days": 5}, database={"dsn": "host=elsewhere password=secret"})
    said = refused(tessmon(running, "reload", "--dry-run"))
    assert "it would be refused: nothing was changed, because a restart is needed for [database] dsn" in said
    assert "[rejects] keep_days: 90 -> 5" in said
    assert "(needs a restart)" in said
    assert "secret" not in said

    running.config.write_text(running.config.read_text() + "[photometer.daylight]\ndepth = 4\n")
    line = running.config.read_text().splitlines().index("depth = 4") + 1
    for arguments in (["reload"], ["reload", "--dry-run"]):
        assert f"tessmon.toml:{line}: [photometer.daylight] depth" in refused(tessmon(running, *arguments))
    running.signal(signal.SIGHUP)
    wait_for(lambda: f"tessmon.toml:{line}:" in running.last_words(), "the log to name the line")

    running.config.unlink()
    running.signal(signal.SIGHUP)
    wait_for(lambda: "tessmon.toml is not there" in running.last_words(), "the log to miss the file")
    assert "is not there" in refused(tessmon(running, "reload"))
    publisher.publish(*reading("stars1", 2, tstamp=stamp(2)))
    publisher.flush()
    assert wait_accounted(database.dsn, 3, running)["stored"] == 2
    assert "reloaded" not in running.log.read_text()


def test_a_storm_of_reloads_costs_nothing(running: Service, publisher: Publisher, database: Any) -> None:
    messages = [reading("stars1", number, tstamp=stamp(number)) for number in range(1, 501)]
    began_s = time.monotonic()
    with in_background(publisher.at_rate, messages, 500):
        for number in range(scale.RELOADS):
            rewrite(running, rejects={"keep_days": 1 + number})
            running.signal(signal.SIGHUP)
    publisher.flush()
    wait_for(lambda: f"-> {scale.RELOADS}\n" in running.log.read_text(), "the last of them to be taken up")
    lasted_s = time.monotonic() - began_s
    assert wait_accounted(database.dsn, 501, running)["stored"] == 500
    reloads = running.log.read_text().count("SIGHUP: reloaded")
    assert 1 <= reloads <= 2 + lasted_s / BETWEEN_RELOADS_S
    running.assert_quick()


def blocked(pid: int) -> set[int]:
    """The signals that a process holds back."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return set()
    (mask,) = re.findall(r"^SigBlk:\s*(\w+)", status, re.MULTILINE)
    return {number for number in range(1, 32) if int(mask, 16) >> (number - 1) & 1}


@pytest.mark.parametrize("ignored", [False, True], ids=["from-the-first-line", "ignored-at-first"])
def test_signals_during_the_start_kill_nothing(
    broker: Broker, database: Any, make_service: Callable[..., Service], ignored: bool
) -> None:
    """Started as by nohup, signals do no harm even before Python begins."""
    service = make_service(broker, database)
    command = [sys.executable, "-m", "tessmon", "run", "--config", str(service.config)]
    if ignored:
        command = ["sh", "-c", 'trap "" HUP USR2; exec "$@"', "sh", *command]
    with service.log.open("wb") as log:
        service.process = process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
    if not ignored:
        wait_for(lambda: not service.alive or signal.SIGHUP in blocked(process.pid), "the first line")
    over = threading.Event()

    def pester() -> None:
        while not over.wait(0.005):
            process.send_signal(signal.SIGHUP)
            process.send_signal(signal.SIGUSR2)

    if ignored:
        wait_for(lambda: b"tessmon" in Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0"), "exec")
    with in_background(pester):
        try:
            wait_for(lambda: not service.alive or service.source_state() == "connected", "the start")
        finally:
            over.set()
    assert service.alive, service.last_words()
    before = service.log.read_text().count("SIGHUP: reloaded")
    service.signal(signal.SIGHUP)
    wait_for(lambda: service.log.read_text().count("SIGHUP: reloaded") > before, "a reload")
    assert service.stop() == 0
    assert "Traceback" not in service.log.read_text()
