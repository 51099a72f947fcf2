# SPDX-License-Identifier: MIT
"""``tessmon telemetry show|tail|codes``."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cli.observatory_command import Command, misused, tessmon, unchanged_database
from tests.observatory import wait_for
from tests.telemetry_rows import BEGIN, store_events

__all__ = ["tessmon", "unchanged_database"]

ROOT = Path(__file__).parents[2]
DEADLINE_S = 30
LOOKED = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'tessmon command' AND state = 'idle'
  AND query LIKE '%FROM telem%'
"""


@pytest.fixture
def command(tessmon: Command) -> Iterator[Command]:
    """The command on a database without telemetry."""
    tessmon.database.execute("DELETE FROM telem; DELETE FROM file_origins")
    return tessmon


def test_the_newest_events_are_shown_in_the_order_of_time(command: Command) -> None:
    store_events(command.database, [{"fps": n + 0.5} for n in range(30)], ns=7)
    shown = command.done("telemetry", "show", "camwfs", "--limit", "3").splitlines()
    assert shown == [
        "time (UTC)                     prio  ec            message",
        '2026-03-01 22:00:27.000000007  TELM  telem_stdcam  {"fps": 27.5}',
        '2026-03-01 22:00:28.000000007  TELM  telem_stdcam  {"fps": 28.5}',
        '2026-03-01 22:00:29.000000007  TELM  telem_stdcam  {"fps": 29.5}',
    ]


def test_time_and_event_code_choose(command: Command) -> None:
    store_events(command.database, [{"fps": n} for n in range(10)])
    store_events(command.database, [{"other": n} for n in range(10)], ec="telem_other")
    chosen = ["--since", "2026-03-01T22:00:03", "--until", "2026-03-01T22:00:04", "--ec", "telem_stdcam"]
    found = command.json("telemetry", "show", "camwfs", *chosen)
    assert [(one["ts"], one["msg"]) for one in found] == [
        ("2026-03-01T22:00:03.000000000Z", {"fps": 3}),
        ("2026-03-01T22:00:04.000000000Z", {"fps": 4}),
    ]
    assert found[0] | {"path": "", "msg": 0} == {
        "ts": "2026-03-01T22:00:03.000000000Z",
        "device": "camwfs",
        "prio": "TELM",
        "ec": "telem_stdcam",
        "msg": 0,
        "host": "exao1",
        "path": "",
        "offset": 3,
    }
    assert found[0]["path"].startswith("/telem/camwfs_")


def test_what_is_shown_fits_a_terminal_and_does_not_steer_it(command: Command) -> None:
    store_events(command.database, [{"text": "\x1b[2J" + "β" * 200}], ec="a_code_\x1b_" + "x" * 60)
    lines = command.done("telemetry", "show", "camwfs").splitlines()
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in "".join(lines)
    assert command.json("telemetry", "show", "camwfs")[0]["msg"]["text"] == "\x1b[2J" + "β" * 200


def test_nothing_to_show_is_said(command: Command) -> None:
    assert command.done("telemetry", "show", "nobody") == "no telemetry of nobody at that time\n"
    assert command.json("telemetry", "show", "nobody") == []


def test_tail_ends_by_itself_after_so_many(command: Command) -> None:
    store_events(command.database, [{"fps": n} for n in range(3)])
    shown = command.done("telemetry", "tail", "--limit", "2").splitlines()
    assert shown == [
        '2026-03-01 22:00:01.000000000 camwfs TELM telem_stdcam {"fps": 1}',
        '2026-03-01 22:00:02.000000000 camwfs TELM telem_stdcam {"fps": 2}',
    ]


class Tail:
    """The command in a process of its own; read line by line."""

    def __init__(self, command: Command, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tessmon",
                "--config",
                command.settings,
                "telemetry",
                "tail",
                "--json",
                *arguments,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self._read = b""

    def messages(self, number: int) -> list[Any]:
        """The messages of the next so many events."""
        assert self._process.stdout is not None
        deadline = time.monotonic() + DEADLINE_S
        while self._read.count(b"\n") < number:
            assert select.select([self._process.stdout], [], [], deadline - time.monotonic())[0], self._read
            more = os.read(self._process.stdout.fileno(), 1 << 16)
            assert more, self._process.stderr and self._process.stderr.read()
            self._read += more
        *lines, self._read = self._read.split(b"\n", number)
        return [json.loads(line)["msg"] for line in lines]

    def interrupt(self) -> tuple[int, bytes, bytes]:
        """Ctrl-C; exit code and what was said since."""
        self._process.send_signal(signal.SIGINT)
        said, errors = self._process.communicate(timeout=DEADLINE_S)
        return self._process.returncode, self._read + said, errors


def test_tail_shows_each_event_once_as_it_is_stored_until_it_is_interrupted(command: Command) -> None:
    database = command.database
    store_events(database, [{"n": n} for n in range(12)])
    tail = Tail(command)
    assert tail.messages(10) == [{"n": n} for n in range(2, 12)]
    store_events(database, [{"n": 12}, {"n": 13}], begin=BEGIN + timedelta(seconds=12))
    assert tail.messages(2) == [{"n": 12}, {"n": 13}]
    late = BEGIN + timedelta(seconds=5)  # another file was read later
    store_events(database, [{"late": 1}], device="camsci1", begin=late)
    assert tail.messages(1) == [{"late": 1}]
    store_events(database, [{"n": 14}], begin=BEGIN + timedelta(hours=1))
    assert tail.messages(1) == [{"n": 14}]
    assert tail.interrupt() == (0, b"", b"")


def test_tail_waits_for_the_first_event_of_the_devices_that_are_named(command: Command) -> None:
    tail = Tail(command, "camsci1", "camsci2", "--ec", "telem_stdcam")
    wait_for(lambda: command.database.fetch(LOOKED) == [(1,)], "the first look")
    store_events(command.database, [{"other": 1}])
    store_events(command.database, [{"other": 1}], device="camsci2", ec="telem_other")
    store_events(command.database, [{"n": 1}], device="camsci2")
    assert tail.messages(1) == [{"n": 1}]
    assert tail.interrupt() == (0, b"", b"")


def test_codes_are_listed_with_their_fields(command: Command) -> None:
    lines = command.done("telemetry", "codes").splitlines()
    assert lines[0].split() == ["code", "name", "from", "fields"]
    assert max(map(len, lines)) <= 80
    assert any(line.split()[:2] == ["20070", "telem_observer"] for line in lines)
    known = {one["name"]: one for one in command.json("telemetry", "codes")}
    assert known["telem_observer"] == {
        "code": 20070,
        "name": "telem_observer",
        "from": None,
        "fields": [
            {"name": "email", "type": "string"},
            {"name": "obsName", "type": "string"},
            {"name": "observing", "type": "bool", "default": False},
        ],
    }
    assert known["loop_closed"]["fields"] is None


def test_one_code_is_shown_in_full(command: Command) -> None:
    shown = command.done("telemetry", "codes", "telem_observer").splitlines()
    assert shown == [
        "20070 telem_observer",
        "  email             string",
        "  obsName           string",
        "  observing         bool",
    ]
    assert "no event code has nonsense" in command.done("telemetry", "codes", "nonsense")


def test_codes_that_the_configuration_adds_are_there(command: Command, tmp_path: Path) -> None:
    codes = tmp_path / "codes.toml"
    codes.write_text(
        '[[event]]\ncode = 30000\nname = "telem_new"\nfields = ["a: int8 = -1", "b: [float32]"]\n'
    )
    command.settings.write_text(
        f"{command.settings.read_text()}[files]\nschemas = [{json.dumps(str(codes))}]\n"
    )
    assert command.done("telemetry", "codes", "telem_new").splitlines() == [
        "30000 telem_new",
        "  a                 int8 = -1",
        "  b                 [float32]",
    ]


def test_wrong_usage_is_told(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert "DEVICE" in misused(capsys, "telemetry", "show")
    assert "'0' is no whole number from 1" in misused(capsys, "telemetry", "show", "x", "--limit", "0")
    assert "is no time" in misused(capsys, "telemetry", "show", "x", "--since", "yesterday")
