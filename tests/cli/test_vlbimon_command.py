# SPDX-License-Identifier: MIT
"""``tessmon vlbimon``: the real command, where it asks a server in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tessmon.cli import main
from tessmon.cli.vlbimon_status import chosen, rendered
from tessmon.interfaces import VlbimonStatus
from tests.cli.observatory_command import Command, misused, tessmon
from tests.observatory import wait_for
from tests.past.emptied import emptied, unchanged_database
from tests.postgres import Database
from tests.standin import PlainFace, journal_status, lane_status
from tests.vlbimon_server import VlbimonServer, vlbimon_server
from tests.vlbimon_service import expected, rows, watching

__all__ = ["emptied", "tessmon", "unchanged_database", "vlbimon_server"]

ROOT = Path(__file__).parents[2]
MASTERLIST = ROOT / "tests" / "vlbimon" / "masterlist.json"
NOW_S = int(time.time())
START_S = NOW_S - 3 * 3600
SPAN = ("--start", str(START_S), "--end", str(NOW_S), "--station", "KP", "--param", "weather_tau225")
POINTS = [("KP", "weather_tau225", START_S + 60 * n, n / 8) for n in range(179)]


class Console:
    """The command as a process, with a server and a database."""

    def __init__(self, directory: Path, database: Database, server: VlbimonServer) -> None:
        self.directory = directory
        self.database = database
        self.state = directory / "state"
        self.state.mkdir()
        self.config = directory / "tessmon.toml"
        tables = {
            "database": {"dsn": database.dsn},
            "journal": {"directory": str(self.state)},
            "admin": {"socket": str(directory / "admin.sock")},
            "vlbimon": {
                "servers": [server.url],
                "auth_file": str(server.auth_file(directory / "logins.yaml")),
            },
        }
        lines = []
        for table, keys in tables.items():
            lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
        self.config.write_text("\n".join(lines))
        self.config.chmod(0o600)
        self.running: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tessmon", "--config", str(self.config), "vlbimon", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self.running.append(process)
        return process

    def done(self, *arguments: str) -> tuple[str, str]:
        """Output and errors of one that must succeed."""
        process = self.start(*arguments)
        told = process.communicate(timeout=120)
        assert process.returncode == 0, told
        return told

    def sessions(self) -> int:
        """Of its connections."""
        sql = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'tessmon history'"
        )
        return int(self.database.fetch(sql)[0][0])

    def end(self) -> None:
        for process in self.running:
            process.kill()
            process.communicate()


@pytest.fixture
def console(tmp_path: Path, emptied: Database, vlbimon_server: VlbimonServer) -> Iterator[Console]:
    made = Console(tmp_path, emptied, vlbimon_server)
    yield made
    made.end()


@pytest.fixture
def plain(tessmon: Command, emptied: Database) -> Command:
    """The command in this process, on a database without points, where it needs no server."""
    assert tessmon.database is emptied
    return tessmon


def pause(console: Console, name: str) -> None:
    lock = {"by": name, "since_ns": 1_772_000_000 * 10**9, "end": None}
    (console.state / "paused").write_text(json.dumps(lock))


def test_it_holds_while_the_service_is_paused_and_goes_on_where_it_was_interrupted(
    console: Console, vlbimon_server: VlbimonServer
) -> None:
    vlbimon_server.receive(POINTS)
    pause(console, "ana")
    process = console.start("history", *SPAN)
    assert process.stderr is not None
    assert "waiting: writes are paused by ana since 2026-02-25" in process.stderr.readline()
    assert (console.sessions(), rows(console.database)) == (0, {})
    (console.state / "paused").unlink()
    wait_for(lambda: rows(console.database), "the first hour")
    pause(console, "ben")
    wait_for(lambda: not console.sessions(), "all connections to end")
    process.send_signal(signal.SIGINT)
    text, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in errors, errors
    assert "interrupted; run it again to go on from " in errors
    stored = rows(console.database)
    [(position,)] = console.database.fetch("SELECT position[1] FROM positions WHERE lane = 'vlbimon'")
    assert START_S < position < NOW_S
    assert f"{len(stored):,} points stored" in text
    (console.state / "paused").unlink()
    asked = len(vlbimon_server.asked("history"))
    text, errors = console.done("history", *SPAN, "--json")
    told = json.loads(text)
    assert "going on from" in errors
    assert (told["start"], told["done"], told["ended"]) == (START_S, NOW_S, None)
    assert rows(console.database) == expected(vlbimon_server.received())
    starts = {int(each.query["startTime"][0]) for each in vlbimon_server.asked("history")[asked:]}
    assert min(starts) == position


def test_what_history_writes_load_reads(console: Console, vlbimon_server: VlbimonServer) -> None:
    vlbimon_server.receive(POINTS[:60])
    vlbimon_server.receive(
        [("KP", "telescope_status", START_S + 5, 'a, "b"\n c'), ("KP", "unheard_of", START_S + 6, 7)]
    )
    tree = str(console.directory / "csv")
    more = ("--param", "telescope_status", "--param", "unheard_of", "--csv", tree)
    text, _ = console.done("history", *SPAN[:2], "--end", str(START_S + 3600), *SPAN[4:], *more)
    assert "62 points written" in text
    assert "536 parameters, 11 stations" in console.done("masterlist")[0]
    assert main(["--config", str(console.config), "vlbimon", "load", tree]) == 0
    assert rows(console.database) == expected(vlbimon_server.received())


# Without a server.


def test_a_masterlist_is_compared_and_taken_up(plain: Command, tmp_path: Path) -> None:
    entries = json.loads(MASTERLIST.read_text())
    plain.json("vlbimon", "masterlist", "--file", str(MASTERLIST))
    entries["default"]["weather_tau225"]["description"] = "another one"
    entries["default"]["weather_new"] = {"datatype": "float", "units": "m", "partype": "optional"}
    entries["XYZ"] = {}
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(entries))
    told = plain.json("vlbimon", "masterlist", "--file", str(changed))
    assert told["new_stations"] == ["XYZ"]
    new, other = told["changes"]
    assert (new["parameter"], new["was"], new["now"]["datatype"]) == ("weather_new", None, "float")
    assert (other["parameter"], other["now"]) == ("weather_tau225", {"description": "another one"})
    assert plain.database.fetch("SELECT count(*) FROM ts_param_weather_new") == [(0,)]
    text = plain.done("vlbimon", "masterlist", "--file", str(changed))
    assert text.splitlines() == ["537 parameters, 12 stations", "no parameter is new or has changed"]
    text = plain.done("vlbimon", "masterlist", "--file", str(MASTERLIST))
    assert "description was another one, is " in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80


def test_what_is_no_masterlist_is_said_and_not_quoted(plain: Command) -> None:
    said = plain.refused("vlbimon", "masterlist", "--file", str(plain.settings))
    assert "is no masterlist" in said
    assert "dsn" not in said


def test_a_tree_is_loaded_and_what_is_bad_is_told(plain: Command, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "KP").mkdir(parents=True)
    (tree / "KP" / "weather_tau225.csv").write_text(f"{START_S},0.5\nno line\n{START_S + 1},0.25")
    (tree / "SMA").symlink_to(tree / "KP")
    assert "run `tessmon vlbimon masterlist` first" in plain.refused("vlbimon", "load", str(tree))
    plain.done("vlbimon", "masterlist", "--file", str(MASTERLIST))
    code, text, errors = plain.run("vlbimon", "load", str(tree))
    assert (code, errors) == (1, "")
    lines = text.splitlines()
    assert lines[0].startswith("1 of 1 file, 23 bytes read in ")
    assert lines[1] == "1 point stored, 0 replaced, 0 duplicate, 0 filtered, 1 rejected"
    assert "rejected    KP/weather_tau225.csv, line 2: " in text
    assert "unfinished  the last line of KP/weather_tau225.csv has no end yet" in text
    assert "left out    SMA: it is a link" in text
    assert max(map(len, lines)) <= 80
    (tree / "SMA").unlink()
    assert plain.json("vlbimon", "load", str(tree))["outcomes"]["stored"] == 0


def test_a_directory_that_is_missing_is_said(plain: Command, tmp_path: Path) -> None:
    assert "No such file" in plain.refused("vlbimon", "load", str(tmp_path / "missing"))


def test_the_summary_has_each_station_and_parameter_with_its_first_and_last(
    plain: Command, tmp_path: Path
) -> None:
    assert plain.done("vlbimon", "summary") == "no points\n"
    plain.done("vlbimon", "masterlist", "--file", str(MASTERLIST))
    tree = tmp_path / "tree"
    for station, months in (("KP", 3), ("SMA", 1)):
        (tree / station).mkdir(parents=True)
        lines = [
            f"{1_712_345_600 + month * 30 * 86_400 + n},{n}\n" for month in range(months) for n in range(10)
        ]
        (tree / station / "weather_tau225.csv").write_text("".join(lines))
    plain.done("vlbimon", "load", str(tree))
    expected = [
        {"station": "KP", "rows": 30, "first_s": 1_712_345_600, "last_s": 1_712_345_609 + 60 * 86_400},
        {"station": "SMA", "rows": 10, "first_s": 1_712_345_600, "last_s": 1_712_345_609},
    ]
    assert plain.json("vlbimon", "summary") == [{**each, "parameter": "weather_tau225"} for each in expected]
    assert plain.done("vlbimon", "summary").splitlines() == [
        "KP: 30 points",
        "rows  first (UTC)       last (UTC)        parameter",
        "  30  2024-04-05 19:33  2024-06-04 19:33  weather_tau225",
        "",
        "SMA: 10 points",
        "rows  first (UTC)       last (UTC)        parameter",
        "  10  2024-04-05 19:33  2024-04-05 19:33  weather_tau225",
        "",
        "40 points in all",
    ]
    assert [each["station"] for each in plain.json("vlbimon", "summary", "--station", "SMA")] == ["SMA"]
    assert plain.done("vlbimon", "summary", "--station", "PICO") == "no points of 'PICO'\n"
    reader = plain.json("vlbimon", "summary", "--dsn", plain.database.reader_dsn)
    assert [each["rows"] for each in reader] == [30, 10]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--start", "2024-04-05", "--end", "2024-04-04"), "--end must be later than --start"),
        (("--start", "20240405", "--end", "2h"), "no time since the year 2000"),
        (("--start", "yesterday", "--end", "2h"), "is no time"),
        (("--start", "2099-01-01", "--end", "2099-01-02"), "--start must not lie in the future"),
        (("--start", "2h"), "required: --end"),
        (("--start", "2h", "--end", "1h", "--public", "--private"), "not allowed with"),
    ],
)
def test_a_wrong_use_is_told(
    arguments: tuple[str, ...], said: str, console_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = misused(capsys, "--config", str(console_file), "vlbimon", "history", *arguments)
    assert said in told


@pytest.fixture
def console_file(tmp_path: Path) -> Path:
    path = tmp_path / "tessmon.toml"
    path.write_text("[vlbimon]\n")
    return path


def test_without_its_table_nothing_is_asked(plain: Command) -> None:
    assert "has no [vlbimon] table" in plain.refused("vlbimon", "history", "--start", "2h", "--end", "1h")


# The running service.


def status_of(**fields: Any) -> dict[str, Any]:
    now_s = 1_800_000_000
    source = VlbimonStatus(
        "vlbimon",
        "connected",
        "https://vlbimon1.example is asked every 10 s",
        (now_s - 100) * 10**9,
        "https://vlbimon1.example",
        9,
        3,
        2,
        (now_s - 5) * 10**9,
        0.25,
        70,
        0,
        1,
        now_s - 1800,
        True,
        4,
        "1712345690.25",
        (now_s + 7) * 10**9,
        False,
        True,
        None,
    )._replace(**fields)
    face = PlainFace()
    status = face.status()
    lane = {**status["lanes"][0], **lane_status(name="vlbimon")._asdict()}
    lane["outcomes"] = [["stored", "", 40], ["rejected", "null_value", 3], ["filtered", "placeholder", 2]]
    return {
        **status,
        "now_ns": now_s * 10**9,
        "vlbimon": [source._asdict()],
        "journals": [{**status["journals"][0], **journal_status()._asdict(), "name": "vlbimon"}],
        "lanes": [lane],
        "waiting": {"vlbimon": {"frames": 3, "size_bytes": 300, "oldest_ns": (now_s - 1) * 10**9}},
    }


def test_a_status_says_what_is_owed_and_what_failed() -> None:
    text = " ".join(rendered(chosen(status_of())).split())
    for said in (
        "connected, since ",
        "server https://vlbimon1.example",
        "9 brought a snapshot, 3 failed; the last one came 5.0 s ago and took 250 ms",
        "the last 2 in a row failed next try in 7.0 s cursor 1712345690.25",
        "1 made since the start",
        "30 min 0 s are owed, and is being asked for",
        "4 calls for it",
        "waiting: 3 frames",
        "lag 1.5 s",
        "stored 40",
        "rejected 3 (null_value 3)",
    ):
        assert said in text
    assert chosen(status_of())["vlbimon"][0]["owed_s"] == 1800
    nothing = " ".join(rendered(chosen(status_of(swept_s=None, sweeping=False, last_poll_ns=0))).split())
    assert "nobody knows up to when it is whole" in nothing
    assert "none came yet" in nothing
    assert "masterlist" not in text


def test_a_status_says_when_the_server_is_asked_next_and_why_then() -> None:
    now_ns = status_of()["now_ns"]

    def text(**fields: Any) -> str:
        return " ".join(rendered(chosen(status_of(**fields))).split())

    assert "next poll in 7.0 s cursor" in text(failures=0)
    asked = text(next_poll_ns=now_ns + 42 * 10**9, left_alone=True)
    assert "next try in 42.0 s, as the server asked (Retry-After)" in asked
    assert "the next try is due" in text(next_poll_ns=now_ns - 10**9)
    assert "next" not in text(next_poll_ns=0, state="journal_full")


def test_a_cursor_steers_no_terminal() -> None:
    shown = rendered(chosen(status_of(cursor="\x1b]0;mine\x07" + "\u202e\xe9" + "y" * 4096)))
    assert "cursor      \\x1b]0;mine\\x07\\u202e\xe9yyy" in shown
    assert "y" * 60 not in shown
    assert "…" in shown
    assert all(each.isprintable() for each in shown.splitlines())
    assert "the server sent none yet" in rendered(chosen(status_of(cursor=None)))


def test_a_status_says_that_there_is_no_masterlist() -> None:
    asked_s = status_of()["now_ns"] // 10**9 - 60
    text = " ".join(rendered(chosen(status_of(listed=False, asked_s=asked_s))).split())
    up_to = f"{datetime.fromtimestamp(asked_s, UTC):%Y-%m-%d %H:%M:%S} UTC so far"
    assert f"no masterlist yet: until it comes, only what snapshots had is asked for, up to {up_to};" in text
    assert "snapshots had is asked for; then" in " ".join(rendered(chosen(status_of(listed=False))).split())


def test_a_status_fits_a_terminal() -> None:
    text = rendered(chosen(status_of(detail="x" * 300, server="https://" + "y" * 300, polls=10**12)))
    assert max(map(len, text.splitlines())) <= 80


def test_the_running_service_says_how_it_does(
    console: Console, vlbimon_server: VlbimonServer, capsys: pytest.CaptureFixture[str]
) -> None:
    vlbimon_server.receive(POINTS)
    service = watching(console.directory / "service", vlbimon_server, console.database)
    service.start()

    def told(*more: str) -> str:
        assert main(["--config", str(service.config), "vlbimon", "status", *more]) == 0
        return capsys.readouterr().out

    def swept() -> Any:
        [source] = json.loads(told("--json"))["vlbimon"]
        return source["swept_s"] and source["owed_s"] < 60

    try:
        wait_for(swept, "the first sweep")
        assert "whole up to" in told()
        assert service.stop() == 0
    finally:
        service.end()
