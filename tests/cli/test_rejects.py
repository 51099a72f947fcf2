# SPDX-License-Identifier: MIT
"""``tessmon rejects`` and ``tessmon db`` on a real PostgreSQL."""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg2
import pytest

from tessmon.cli import main
from tessmon.cli.table import width
from tessmon.records.frame import Frame, FrameKind, pack_frame
from tests.postgres import Database

DEADLINE_S = 60


class Command:
    """The command on one database, in this process."""

    def __init__(self, database: Database, settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.database = database
        self.settings = settings
        self.now = datetime.now(UTC).replace(microsecond=0)
        self._capsys = capsys

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, output, errors."""
        code = main(["--config", str(self.settings), *arguments])
        told = self._capsys.readouterr()
        return code, told.out, told.err

    def reject(
        self,
        payload: bytes,
        reason: str = "not_json",
        subject: str = "",
        detail: str = "it is no JSON",
        age: timedelta = timedelta(),
    ) -> int:
        """Put one into the table; gives its ID."""
        at = self.now - age
        topic = "STARS4ALL/stars1/reading"
        frame = Frame(FrameKind.MESSAGE, int(at.timestamp()) * 10**9, topic, payload, len(payload), 1, True)
        packed = pack_frame(frame)
        ((number,),) = self.database.fetch("SELECT count(*) FROM rejects")
        ((reject_id,),) = self.database.fetch(
            "INSERT INTO rejects (lane, origin, position, received_at, reason, subject, detail, topic,"
            " envelope, payload) VALUES ('photometer', 'a', ARRAY[1, 1, %s]::bigint[], %s, %s, %s, %s, %s, %s, %s)"
            " RETURNING reject_id",
            [number, at, reason, subject, detail, topic, packed[: len(packed) - len(payload)], payload],
        )
        return int(reject_id)

    def due(self) -> list[int]:
        return [
            row[0]
            for row in self.database.fetch("SELECT reject_id FROM rejects WHERE due ORDER BY reject_id")
        ]


@pytest.fixture
def command(database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    settings = tmp_path / "tessmon.toml"
    settings.write_text(f"[database]\ndsn = {json.dumps(database.dsn)}\n")
    return Command(database, settings, capsys)


def test_without_rejects_it_says_so(command: Command) -> None:
    assert command.run("rejects", "list") == (0, "no rejects\n", "")


def test_rejects_are_listed_newest_first_below_their_counts(command: Command) -> None:
    old = command.reject(b"{", age=timedelta(hours=3))
    new = command.reject(b"[]", "invalid", "stars1", "mag is text", timedelta(hours=1))
    middle = command.reject(b"x", age=timedelta(hours=2))
    code, text, errors = command.run("rejects", "list")
    assert (code, errors) == (0, "")
    lines = text.splitlines()
    assert [line.split() for line in lines[:4]] == [
        ["rejects", "reason"],
        ["2", "not_json"],
        ["1", "invalid"],
        [],
    ]
    assert [int(line.split()[0]) for line in lines[5:]] == [new, middle, old]
    assert lines[5].split()[1:] == [
        *f"{command.now - timedelta(hours=1):%Y-%m-%d %H:%M:%S}".split(),
        "invalid",
        "stars1",
        "mag",
        "is",
        "text",
    ]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--reason", "invalid"], [1]),
        (["--subject", "stars1"], [1, 2]),
        (["--reason", "not_json", "--subject", "stars1"], [2]),
        (["--since", "90m"], [0, 1]),
        (["--since", "two hours ago"], [0, 1, 2]),
        (["--limit", "1"], [0]),
        (["--reason", "conflict"], []),
    ],
)
def test_a_list_is_narrowed_down(command: Command, arguments: Sequence[str], found: list[int]) -> None:
    ids = [
        command.reject(b"x"),
        command.reject(b"x", "invalid", "stars1", age=timedelta(hours=1)),
        command.reject(b"x", "not_json", "stars1", age=timedelta(hours=2)),
        command.reject(b"x", "not_json", "stars2", age=timedelta(hours=3)),
    ]
    instant = (command.now - timedelta(hours=2)).isoformat()
    given = [instant if each == "two hours ago" else each for each in arguments]
    code, text, _ = command.run("rejects", "list", "--json", *given)
    assert code == 0
    assert [each["reject_id"] for each in json.loads(text)["rejects"]] == [ids[place] for place in found]


def test_a_cut_list_says_what_is_missing(command: Command) -> None:
    for _ in range(3):
        command.reject(b"x")
    _, text, _ = command.run("rejects", "list", "--limit", "1")
    assert text.splitlines()[-1] == "2 older ones are not shown: --limit"


def test_hostile_rejects_can_be_looked_at(command: Command) -> None:
    payload = b"\x1b[2J\x00\xff{" + "星\u202e".encode() + b"x" * 300
    reject_id = command.reject(payload, subject="n" * 200, detail="\x1b[31m" + "d" * 400 + "星" * 40)
    _, listed, _ = command.run("rejects", "list")
    _, shown, _ = command.run("rejects", "show", str(reject_id))
    for text in (listed, shown):
        assert all(line.isprintable() for line in text.splitlines())
    assert all(width(line) <= 80 for line in listed.splitlines())
    assert "\\x1b[2J\\x00\\xff{星\\u202exxx" in shown


def test_all_of_a_reject_is_shown(command: Command) -> None:
    payload = b'{"name": "stars1", "mag": "dark"}' * 3
    reject_id = command.reject(payload, "invalid", "stars1", "mag is no number")
    code, text, _ = command.run("rejects", "show", str(reject_id))
    assert code == 0
    words = {line.split(maxsplit=1)[0]: line for line in text.splitlines() if " " in line}
    for name in ("lane", "origin", "position", "piece", "received_at", "rejected_at", "due", "topic"):
        assert name in words
    assert "mag is no number" in words["detail"]
    assert "frame qos" in text
    assert payload.decode() in text
    dumped = "".join(
        line.split("  ")[1] for line in text.splitlines() if line[:6].isalnum() and "  " in line[6:8]
    )
    assert bytes.fromhex(dumped) == payload


def test_a_shown_reject_is_exact_as_json(command: Command) -> None:
    payload = b"\x00\xff{"
    reject_id = command.reject(payload)
    code, text, _ = command.run("rejects", "show", "--json", str(reject_id))
    shown = json.loads(text)
    assert code == 0
    assert bytes.fromhex(shown["payload_hex"]) == payload
    assert shown["payload"] == "\x00\\xff{"
    assert shown["position"] == [1, 1, 0]
    assert shown["received_at"] == command.now.isoformat()
    assert shown["frame"]["received_ns"] == int(command.now.timestamp()) * 10**9
    assert shown["frame"]["dup"] is True


def test_a_frame_that_cannot_be_unpacked_is_shown_without(command: Command) -> None:
    reject_id = command.reject(b"x")
    command.database.execute("UPDATE rejects SET envelope = 'short'")
    code, text, _ = command.run("rejects", "show", "--json", str(reject_id))
    assert code == 0
    assert json.loads(text)["frame"] is None
    assert command.run("rejects", "show", str(reject_id))[0] == 0


def test_a_reject_that_is_gone_is_a_sentence(command: Command) -> None:
    code, _, errors = command.run("rejects", "show", "12345")
    assert code == 1
    assert errors.startswith("tessmon: there is no reject 12345")


def test_rejects_are_marked_due_by_id(command: Command) -> None:
    ids = [command.reject(b"x") for _ in range(3)]
    code, text, _ = command.run("rejects", "retry", str(ids[0]), str(ids[2]))
    assert code == 0
    assert text.startswith("2 rejects are due")
    assert command.due() == [ids[0], ids[2]]


def test_an_unknown_id_is_told_and_the_others_are_marked(command: Command) -> None:
    reject_id = command.reject(b"x")
    code, text, errors = command.run("rejects", "retry", str(reject_id), "999", "998")
    assert code == 1
    assert text.startswith("1 reject is due")
    assert errors == "tessmon: there is no reject 998, 999\n"
    assert command.due() == [reject_id]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--reason", "not_json"], [0, 2]),
        (["--reason", "not_json", "--subject", "stars2"], [2]),
        (["--all"], [0, 1, 2]),
        (["--reason", "conflict"], []),
    ],
)
def test_rejects_are_marked_due_by_reason(command: Command, arguments: list[str], found: list[int]) -> None:
    ids = [
        command.reject(b"x"),
        command.reject(b"x", "invalid", "stars1"),
        command.reject(b"x", "not_json", "stars2"),
    ]
    code, text, _ = command.run("rejects", "retry", *arguments)
    assert code == 0
    assert text.startswith(f"{len(found)} ")
    assert command.due() == [ids[place] for place in found]


def test_a_retry_tells_the_running_service(command: Command) -> None:
    reject_id = command.reject(b"x")
    listener = psycopg2.connect(command.database.dsn)
    try:
        listener.autocommit = True
        listener.cursor().execute("LISTEN tessmon_rejects")
        assert command.run("rejects", "retry", str(reject_id))[0] == 0
        assert select.select([listener], [], [], DEADLINE_S)[0]
        listener.poll()
        assert [each.channel for each in listener.notifies] == ["tessmon_rejects"]
    finally:
        listener.close()


def test_a_password_file_is_used(command: Command, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("for the writer\n")
    secret.chmod(0o600)
    dsn = command.database.dsn.split(" password=")[0]
    command.settings.write_text(
        f"[database]\ndsn = {json.dumps(dsn)}\npassword_file = {json.dumps(str(secret))}\n"
    )
    assert command.run("rejects", "list") == (0, "no rejects\n", "")
    secret.write_text("another\n")
    code, _, errors = command.run("rejects", "list")
    assert code == 1
    assert "password authentication failed" in errors
    assert "another" not in errors


def test_another_user_is_taken_by_dsn(command: Command) -> None:
    command.reject(b"x")
    code, _, errors = command.run("rejects", "retry", "--all", "--dsn", command.database.reader_dsn)
    assert code == 1
    assert "permission denied" in errors
    assert len(errors.splitlines()) == 1
    assert command.due() == []


def test_control_c_ends_a_statement_that_waits(command: Command) -> None:
    blocker = psycopg2.connect(command.database.superuser_dsn)
    try:
        blocker.cursor().execute("LOCK TABLE rejects IN ACCESS EXCLUSIVE MODE")
        waiting = subprocess.Popen(
            [sys.executable, "-m", "tessmon", "--config", str(command.settings), "rejects", "list"],
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        _until_a_lock_is_waited_for(command.database)
        waiting.send_signal(signal.SIGINT)
        _, told = waiting.communicate(timeout=DEADLINE_S)
    finally:
        blocker.close()
    assert waiting.returncode == 1
    assert told.startswith("tessmon: ")
    assert len(told.splitlines()) == 1


def _until_a_lock_is_waited_for(database: Database) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not database.fetch("SELECT 1 FROM pg_locks WHERE NOT granted"):
        assert time.monotonic() < deadline


def test_the_schema_is_found_good(command: Command) -> None:
    code, text, _ = command.run("db", "check", "--dsn", command.database.owner_dsn)
    assert "BAD" not in text
    assert code == 0
    _, listed, _ = command.run("db", "check", "--json", "--dsn", command.database.owner_dsn)
    assert all(each["ok"] for each in json.loads(listed))


def test_a_schema_too_new_is_told_with_both_numbers(command: Command) -> None:
    command.database.execute(
        "INSERT INTO schema_migrations (version, name, digest, program_version) VALUES (9999, 'x', 'x', '99.0')"
    )
    code, text, _ = command.run("db", "check", "--dsn", command.database.owner_dsn)
    assert code == 1
    assert "BAD" in text
    assert "9999" in text
    code, _, errors = command.run("db", "migrate", "--dsn", command.database.owner_dsn)
    assert code == 1
    assert "9999" in errors


def test_a_schema_is_made_once(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    server = command.database.server
    dsn = server.superuser_dsn(f"{command.database.name}_made")
    code, text, _ = command.run("db", "init", "--create-database", "--dsn", dsn)
    assert code == 0
    assert "migration 1" in text
    assert command.run("db", "init", "--create-database", "--dsn", dsn)[:2] == (0, "nothing to do\n")
    assert command.run("db", "migrate", "--dsn", dsn)[:2] == (0, "nothing to do\n")
    command.database.execute(f"DROP DATABASE {command.database.name}_made")
