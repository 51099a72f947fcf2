# SPDX-License-Identifier: MIT
"""Which file is which row, whatever happens to files."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import pytest_twisted
from twisted.internet import reactor

from tessmon.database.connection import Connector
from tessmon.database.session import PlainSession, at_once
from tessmon.records.batch import Standing
from tessmon.records.telemetry import TelemetryFile
from tessmon.sink.files import (
    MAX_PATH_BYTES,
    Fate,
    KnownFile,
    Opened,
    Seen,
    State,
    Touched,
    known_files,
    mark_vanished,
    note_ingested,
    open_files,
    reopen_cut_off,
    touch_files,
)
from tests.postgres import Database, unchanged_database

__all__ = ["unchanged_database"]

ROOT = Path(__file__).parents[2]
HOST = "exao1"
MODIFIED_NS = 1_729_567_295_123_456_789
CREATED_NS = 1_729_567_290_000_000_000
ROWS = "SELECT file_id, origin_path, state, size_bytes, head_bytes, fsid, inode FROM file_origins ORDER BY file_id"
VERSIONS = "SELECT file_id, xmin::text, seen_at FROM file_origins ORDER BY file_id"
LONG = b"a head of more than sixty-four bytes, as every file of some age has one that never changes"


class Files:
    """The functions, called on a plain connection as the service's user."""

    def __init__(self, dsn: str, timezone: str = "UTC") -> None:
        self.connection = psycopg2.connect(dsn, options=f"-c timezone={timezone}")
        self.connection.autocommit = True
        self.session = PlainSession(self.connection)

    def open(self, *seen: Seen, host: str = HOST) -> list[Opened]:
        opened = at_once(open_files(self.session, host, seen))
        return [one for one in opened if one is not None]

    def fates(self, *seen: Seen) -> list[tuple[int, Fate]]:
        return [(one.file_id, one.fate) for one in self.open(*seen)]

    def known(self, **options: Any) -> list[KnownFile]:
        async def listed() -> list[KnownFile]:
            return [one async for one in known_files(self.session, HOST, **options)]

        return at_once(listed())


@pytest.fixture
def files(unchanged_database: Database) -> Iterator[Files]:
    """A database without files; ids count from 1."""
    unchanged_database.execute(
        "DELETE FROM file_ingest_times; DELETE FROM file_origins; DELETE FROM positions;"
        "ALTER TABLE file_origins ALTER file_id RESTART"
    )
    opened = Files(unchanged_database.dsn)
    yield opened
    opened.connection.close()


def seen(path: str, inode: int, head: bytes | None = LONG, **fields: Any) -> Seen:
    size_bytes = 0 if head is None else len(head)
    return Seen(path, "camwfs", "bintel", 99, inode, head, size_bytes, MODIFIED_NS, CREATED_NS)._replace(
        **fields
    )


def rows(database: Database) -> list[tuple[int, str, str]]:
    return [(file_id, path, state) for file_id, path, state, *_ in database.fetch(ROWS)]


def test_a_new_file_gets_a_row_and_a_position_at_its_start(
    files: Files, unchanged_database: Database
) -> None:
    [opened] = files.open(seen("/telem/a", 5))
    assert opened == Opened(
        TelemetryFile("exao1/1", HOST, "/telem/a", "camwfs", "bintel", 1), Standing((0,), (0,)), Fate.NEW
    )
    assert (opened.origin, opened.offset) == ("exao1/1", 0)
    assert unchanged_database.fetch("SELECT * FROM file_origins")[0][1:-1] == (
        HOST,
        "/telem/a",
        datetime(2024, 10, 22, 3, 21, 35, 123456, tzinfo=UTC),
        datetime(2024, 10, 22, 3, 21, 30, tzinfo=UTC),
        len(LONG),
        "camwfs",
        "bintel",
        99,
        5,
        64,
        unchanged_database.fetch("SELECT sha256(%s)", [LONG[:64]])[0][0],
        "present",
    )
    assert unchanged_database.fetch("SELECT lane, origin, position, low FROM positions") == [
        ("telemetry", "exao1/1", [0], [0])
    ]


def test_a_second_look_at_the_same_files_writes_nothing(files: Files, unchanged_database: Database) -> None:
    some = [seen(f"/telem/{n}", n, LONG[: 10 * n]) for n in range(20)] + [seen("/locked", 77, None)]
    files.open(*some)
    before = unchanged_database.fetch(VERSIONS)
    assert [fate for _, fate in files.fates(*some)] == [Fate.KNOWN] * 21
    assert unchanged_database.fetch(VERSIONS) == before


def test_a_file_is_found_where_it_was_left_off(files: Files, unchanged_database: Database) -> None:
    files.open(seen("/telem/a", 5))
    unchanged_database.execute("UPDATE positions SET position = '{70}', low = '{70}'")
    [opened] = files.open(seen("/telem/a", 5, size_bytes=200))
    assert (opened.file_id, opened.offset, opened.fate) == (1, 70, Fate.GROWN)
    assert unchanged_database.fetch("SELECT size_bytes FROM file_origins") == [(200,)]


def test_a_head_that_was_short_grows_and_the_file_stays_the_same(
    files: Files, unchanged_database: Database
) -> None:
    for length in (0, 3, 63, 64, 80):
        assert files.fates(seen("/telem/a", 5, LONG[:length]))[0][0] == 1
    assert [row[4] for row in unchanged_database.fetch(ROWS)] == [64]
    assert files.fates(seen("/telem/a", 5, b"x" + LONG)) == [(2, Fate.REPLACING)]


def test_a_renamed_file_keeps_its_row(files: Files, unchanged_database: Database) -> None:
    files.open(seen("/telem/a", 5))
    assert files.fates(seen("/archive/b", 5)) == [(1, Fate.RENAMED)]
    assert rows(unchanged_database) == [(1, "/archive/b", "present")]


def test_a_file_in_the_place_of_another_gets_a_row_of_its_own(
    files: Files, unchanged_database: Database
) -> None:
    files.open(seen("/telem/a", 5))
    assert files.fates(seen("/telem/a", 6, b"other")) == [(2, Fate.REPLACING)]
    assert files.fates(seen("/telem/a", 6, b"entirely")) == [(3, Fate.REPLACING)]  # the inode was used again
    assert rows(unchanged_database) == [
        (1, "/telem/a", "replaced"),
        (2, "/telem/a", "replaced"),
        (3, "/telem/a", "present"),
    ]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("at_once_seen", [True, False])
def test_rotated_files_are_told_apart_in_whatever_order_they_are_seen(
    files: Files, unchanged_database: Database, order: tuple[int, ...], at_once_seen: bool
) -> None:
    files.open(seen("/a", 1, b"one"), seen("/a.1", 2, b"two"))
    rotated = [seen("/a", 3, b"three"), seen("/a.1", 1, b"one"), seen("/a.2", 2, b"two")]
    looks = [[rotated[n] for n in order]] if at_once_seen else [[rotated[n]] for n in order]
    for look in looks:
        files.open(*look)
    assert sorted(rows(unchanged_database)) == [
        (1, "/a.1", "present"),
        (2, "/a.2", "present"),
        (3, "/a", "present"),
    ]


def test_files_that_changed_places_keep_their_rows(files: Files, unchanged_database: Database) -> None:
    files.open(seen("/a", 1, b"one"), seen("/b", 2, b"two"))
    assert files.fates(seen("/a", 2, b"two"), seen("/b", 1, b"one")) == [(2, Fate.RENAMED), (1, Fate.RENAMED)]
    assert rows(unchanged_database) == [(1, "/b", "present"), (2, "/a", "present")]


def test_one_file_under_two_paths_is_one_row_that_keeps_its_path(
    files: Files, unchanged_database: Database
) -> None:
    links = [seen("/a", 1), seen("/b", 1)]
    assert files.fates(*links) == [(1, Fate.NEW), (1, Fate.KNOWN)]
    before = unchanged_database.fetch(VERSIONS)
    files.open(*links)
    files.open(*reversed(links))
    assert unchanged_database.fetch(VERSIONS) == before


def test_after_a_restart_with_other_file_system_numbers_files_are_known_by_their_path(
    files: Files, unchanged_database: Database
) -> None:
    files.open(seen("/a", 1, b"one"), seen("/b", 2, b"two"))
    assert files.fates(seen("/a", 1, b"one", fsid=7), seen("/b", 2, b"two", fsid=7)) == [
        (1, Fate.KNOWN),
        (2, Fate.KNOWN),
    ]
    assert [row[5] for row in unchanged_database.fetch(ROWS)] == [7, 7]
    assert files.fates(seen("/c", 1, b"one", fsid=8)) == [
        (3, Fate.NEW)
    ]  # nothing but inode and head is equal


def test_numbers_of_64_bits_and_times_far_away_are_kept(files: Files, unchanged_database: Database) -> None:
    huge = (1 << 64) - 2
    for modified_ns in (-(10**9), 0, 1 << 62, -(1 << 62)):
        files.open(seen("/a", huge, fsid=huge, modified_ns=modified_ns))
    files.open(seen("/b", 1 << 63, fsid=0, modified_ns=1 << 70, created_ns=-(1 << 80)))
    assert [(one.file.file_id, one.fsid, one.inode) for one in files.known()] == [
        (1, huge, huge),
        (2, 0, 1 << 63),
    ]
    assert unchanged_database.fetch(
        "SELECT modification_time::text, creation_time::text FROM file_origins"
    ) == [
        (
            f"{datetime(1970, 1, 1) - timedelta(microseconds=(1 << 62) // 1000 + 1)}+00",
            "2024-10-22 03:21:30+00",
        ),
        ("9999-12-31 00:00:00+00", "0001-01-01 00:00:00+00"),
    ]


@pytest.mark.parametrize("timezone", ["America/Santiago", "Australia/Lord_Howe", "Etc/GMT-14"])
def test_times_are_the_same_wherever_the_one_who_writes_them_is(
    files: Files, unchanged_database: Database, timezone: str
) -> None:
    elsewhere = Files(unchanged_database.dsn, timezone)
    stamps = [1_712_455_199_000_001_000 + n * 1_800_000_000_000 for n in range(6)]  # Chile's clocks go back
    for n, stamp in enumerate(stamps):
        elsewhere.open(seen(f"/{n}", n, modified_ns=stamp, created_ns=stamp))
    at_once(note_ingested(elsewhere.session, [1, 2, 3, 4, 5, 6]))
    elsewhere.connection.close()
    whole = "(extract(epoch FROM {}) * 1000000)::bigint"
    found = unchanged_database.fetch(
        f"SELECT {whole.format('modification_time')}, {whole.format('creation_time')}, {whole.format('ts')} "
        "FROM file_origins JOIN file_ingest_times USING (file_id) ORDER BY file_id"
    )
    assert found == [(stamp // 1000,) * 3 for stamp in stamps]
    assert files.fates(*(seen(f"/{n}", n, modified_ns=at, created_ns=at) for n, at in enumerate(stamps))) == [
        (n + 1, Fate.KNOWN) for n in range(6)
    ]


def test_paths_of_any_bytes_are_stored_readably_and_come_back(
    files: Files, unchanged_database: Database
) -> None:
    odd = [
        b"/telem/\xff\xfe_1.bintel",
        "/télé/β".encode(),
        b"/back\\slash",
        b"/new\nline",
        b'/quo"te{,}',
        b"/\\xff",
    ]
    paths = [os.fsdecode(path) for path in odd]
    opened = files.open(*(seen(path, n) for n, path in enumerate(paths, 1)))
    assert [one.file.path for one in opened] == paths
    assert [one.file.path for one in files.known()] == paths
    stored = [path for _, path, _ in rows(unchanged_database)]
    assert stored[:3] == ["/telem/\\xff\\xfe_1.bintel", "/télé/β", "/back\\\\slash"]
    assert len(set(stored)) == len(odd)


def test_a_path_that_is_too_long_harms_no_other(files: Files) -> None:
    longest = "/" + "ä" * 999 + "/"
    assert len(longest.encode()) == MAX_PATH_BYTES
    wanted = [seen(longest + "x", 1), seen(longest, 2), seen("/" + os.urandom(900).hex(), 3)]
    opened = at_once(open_files(files.session, HOST, wanted))
    assert [one and one.file_id for one in opened] == [None, 1, 2]
    assert at_once(open_files(files.session, HOST, wanted[:1])) == [None]


def test_hosts_do_not_meddle_with_each_other(files: Files, unchanged_database: Database) -> None:
    same = seen("/telem/a", 5)
    assert [one.origin for one in files.open(same)] == ["exao1/1"]
    assert [one.origin for one in files.open(same, host="exao2")] == ["exao2/2"]
    at_once(mark_vanished(files.session, HOST, [1, 2]))
    assert [state for *_, state in rows(unchanged_database)] == ["vanished", "present"]


def test_what_is_no_telemetry_file_has_no_position(files: Files, unchanged_database: Database) -> None:
    [opened] = files.open(seen("/rawimages/x.fits", 5, device="", kind=""))
    assert opened.offset == 0
    assert unchanged_database.fetch("SELECT * FROM positions") == []


def test_an_unreadable_file_is_noted_and_read_once_it_can_be(
    files: Files, unchanged_database: Database
) -> None:
    assert files.fates(seen("/a", 5, None)) == [(1, Fate.NEW)]
    assert rows(unchanged_database) == [(1, "/a", "unreadable")]
    assert files.fates(seen("/a", 5)) == [(1, Fate.GROWN)]
    assert files.fates(seen("/a", 5, None, size_bytes=len(LONG))) == [(1, Fate.KNOWN)]
    assert rows(unchanged_database) == [(1, "/a", "unreadable")]
    assert files.fates(seen("/a", 5)) == [(1, Fate.KNOWN)]
    assert files.fates(seen("/a", 6, None)) == [(2, Fate.REPLACING)]
    assert rows(unchanged_database) == [(1, "/a", "replaced"), (2, "/a", "unreadable")]


def test_files_that_vanished_come_back_as_what_they_were(files: Files, unchanged_database: Database) -> None:
    files.open(seen("/a", 1, b"one"), seen("/b", 2, b"two"))
    assert at_once(mark_vanished(files.session, HOST, [1, 2])) == 2
    assert at_once(mark_vanished(files.session, HOST, [1])) == 0
    assert [one.state for one in files.known(states=list(State))] == [State.VANISHED] * 2
    assert files.known() == []
    assert files.fates(seen("/a", 1, b"one"), seen("/c", 2, b"two")) == [(1, Fate.KNOWN), (2, Fate.RENAMED)]
    assert rows(unchanged_database) == [(1, "/a", "present"), (2, "/c", "present")]


def test_a_stale_look_at_a_young_file_changes_nothing(files: Files, unchanged_database: Database) -> None:
    files.open(seen("/a", 1, LONG))
    before = unchanged_database.fetch(VERSIONS)
    assert files.fates(seen("/a", 1, LONG[:20])) == [(1, Fate.SHRUNK)]
    assert unchanged_database.fetch(VERSIONS) == before
    assert files.fates(seen("/a", 1, LONG)) == [(1, Fate.KNOWN)]


def test_a_file_that_was_cut_off_begins_anew_and_its_old_row_is_found_no_more(
    files: Files, unchanged_database: Database
) -> None:
    files.open(seen("/a", 1))
    unchanged_database.execute("UPDATE positions SET position = '{80}', low = '{80}'")
    for _ in range(2):  # another process sees it too
        opened = at_once(reopen_cut_off(files.session, HOST, 1, seen("/a", 1, LONG[:20])))
        assert opened is not None
        assert (opened.file_id, opened.offset) == (2, 0)
    assert rows(unchanged_database) == [(1, "/a", "replaced"), (2, "/a", "present")]
    assert files.fates(seen("/a", 1, LONG)) == [(2, Fate.GROWN)]
    assert files.fates(seen("/b", 1, LONG)) == [(2, Fate.RENAMED)]


def test_open_files_are_kept_fresh(files: Files, unchanged_database: Database) -> None:
    files.open(seen("/a", 1, b"a "), seen("/b", 2, b"two"), seen("/c", 3, b""))
    later_ns = MODIFIED_NS + 10**9
    touched = [
        Touched(1, 500, later_ns, LONG),
        Touched(2, 500, later_ns, b"tow boats"),
        Touched(3, 0, later_ns, b""),
    ]
    at_once(touch_files(files.session, HOST, touched))
    whole = ROWS.replace("fsid", "modification_time")
    at = datetime(2024, 10, 22, 3, 21, 36, 123456, tzinfo=UTC)
    assert unchanged_database.fetch(whole) == [
        (1, "/a", "present", 500, 64, at, 1),
        (2, "/b", "present", 500, 3, at, 2),
        (3, "/c", "present", 0, 0, at, 3),
    ]
    before = unchanged_database.fetch(VERSIONS)
    at_once(touch_files(files.session, HOST, touched))
    at_once(touch_files(files.session, "exao2", [Touched(1, 501, later_ns, LONG)]))
    assert unchanged_database.fetch(VERSIONS) == before
    assert files.fates(seen("/a", 1)) == [(1, Fate.KNOWN)]


def test_the_time_of_ingestion_is_that_of_the_last_time(files: Files, unchanged_database: Database) -> None:
    files.open(seen("/a", 1))
    at_once(note_ingested(files.session, [1, 999]))
    files.open(seen("/b", 1))
    table = "SELECT ts, device, origin_host, origin_path, file_id, ingested_at FROM file_ingest_times"
    [first] = unchanged_database.fetch(table)
    assert first[:5] == (datetime(2024, 10, 22, 3, 21, 30, tzinfo=UTC), "camwfs", HOST, "/a", 1)
    at_once(note_ingested(files.session, [1]))
    [second] = unchanged_database.fetch(table)
    assert (second[3], second[4]) == ("/b", 1)
    assert second[5] > first[5]


def test_files_are_listed_page_by_page(files: Files) -> None:
    files.open(*(seen(f"/{n}", n) for n in range(25)))
    assert [one.file.file_id for one in files.known(page=10)] == list(range(1, 26))
    [first, *_] = files.known(page=25)
    assert first == KnownFile(
        TelemetryFile("exao1/1", HOST, "/0", "camwfs", "bintel", 1),
        99,
        0,
        len(LONG),
        MODIFIED_NS // 1000,
        State.PRESENT,
        Standing((0,), (0,)),
    )


@pytest_twisted.ensureDeferred
async def test_the_service_opens_files_with_the_same_words(
    unchanged_database: Database, files: Files
) -> None:
    connection = await Connector(unchanged_database.settings, reactor).connect()
    [opened] = await open_files(connection, HOST, [seen("/a", 1)])
    assert [opened] == [one._replace(fate=Fate.NEW) for one in files.open(seen("/a", 1))]
    await touch_files(connection, HOST, [Touched(1, 500, MODIFIED_NS, LONG)])
    await note_ingested(connection, [1])
    assert await mark_vanished(connection, HOST, [1]) == 1
    assert [one.file.file_id async for one in known_files(connection, HOST, list(State))] == [1]
    connection.close()


def work(dsn: str, seed: int) -> None:
    """Look again and again at files that are renamed, grown and replaced by a known chance."""
    chance, files = random.Random(seed), Files(dsn)
    for _ in range(40):
        looked = []
        for inode in chance.sample(range(30), 12):
            length = chance.choice([0, 5, 64])
            path = f"/{inode}" if chance.random() < 0.6 else f"/{inode % 5}.moved"
            looked.append(seen(path, inode, (b"%d " % inode * 40)[:length]))
        files.open(*looked)
        at_once(touch_files(files.session, HOST, [Touched(n, n, MODIFIED_NS, b"") for n in range(30, 0, -1)]))
    files.connection.close()


def test_processes_that_look_at_the_same_files_at_once_agree(
    files: Files, unchanged_database: Database
) -> None:
    program = "import sys; from tests.sink.test_files import work; work(sys.argv[1], int(sys.argv[2]))"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, unchanged_database.dsn, str(seed)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in (1, 2)
    ]
    for process in started:
        _, errors = process.communicate(timeout=120)
        assert (process.returncode, errors) == (0, "")
    live = unchanged_database.fetch(
        "SELECT origin_path, count(*) FROM file_origins WHERE state = 'present' GROUP BY 1 HAVING count(*) > 1"
    )
    assert live == []
    final = [seen(f"/{inode}", inode, (b"%d " % inode * 40)[:64]) for inode in range(30)]
    ids = files.fates(*final)
    assert len({file_id for file_id, _ in ids}) == 30
    assert files.fates(*final) == [(file_id, Fate.KNOWN) for file_id, _ in ids]
