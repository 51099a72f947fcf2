# SPDX-License-Identifier: MIT
"""Archives become rows, whatever happens meanwhile: the real command, with its processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.files.archive import OLD_S, Archive, decoded, interrupt, mixed, name, workers
from tests.observatory import wait_for
from tests.telemetry import SAMPLES, following, rejects, rows
from tests.unprivileged import WITHOUT_PRIVILEGE

RECORDS = 20_000
VERSIONS = """
SELECT file_id, xmin::text FROM file_origins UNION ALL SELECT 0, xmin::text FROM positions
UNION ALL SELECT -1, xmin::text FROM file_ingest_times UNION ALL SELECT -2, xmin::text FROM tallies ORDER BY 1, 2"""


def test_every_sample_file_is_stored_once(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    for host in ("exao1", "exao2", "exao3"):
        shutil.copytree(SAMPLES / host, archive.tree / host)
    expected = set()
    for path in sorted((SAMPLES / "exact").rglob("*.exact.ndjson")):
        file = str(path.relative_to(SAMPLES / "exact")).removesuffix(".exact.ndjson")
        expected |= {(file, json.loads(line)["offset"]) for line in path.read_text().splitlines()}
    done = archive.json(capsys, "backfill")
    found = rows(archive.database, archive.tree)
    assert expected <= {(path, offset) for path, offset, *_ in found}
    assert done["outcomes"]["stored"] == len(found)
    assert done["outcomes"]["rejected"] == len(rejects(archive.database))
    assert done["left_out"] == done["faults"] == done["stopped"] == []
    assert done["read_bytes"] == sum(
        path.stat().st_size for path in archive.tree.rglob("*.*") if path.is_file()
    )
    before = archive.database.fetch(VERSIONS)
    assert archive.json(capsys, "backfill")["outcomes"] == {"stored": 0, "duplicate": 0, "rejected": 0}
    assert archive.database.fetch(VERSIONS) == before


def test_what_was_killed_in_the_midst_of_a_file_goes_on_there(archive: Archive) -> None:
    content = mixed(RECORDS)
    archive.write(name("camwfs"), content)
    process = archive.start("backfill", "--workers", "1")
    wait_for(archive.position, "a part of the file")
    [worker] = workers(process)
    os.kill(worker, signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "a worker was killed by SIGKILL" in errors
    known = int(errors.split()[-1])  # the transaction at hand may have been committed
    assert 0 <= known <= archive.position() < len(content)
    again = archive.start("backfill", "--json")
    done = json.loads(again.communicate(timeout=120)[0])
    assert again.returncode == 0
    assert archive.stored() == decoded(content)
    assert 0 < done["outcomes"]["stored"] < RECORDS
    assert done["outcomes"]["duplicate"] == 0


def test_an_interrupted_one_ends_its_transaction_and_says_where_it_stopped(archive: Archive) -> None:
    content = mixed(RECORDS)
    path = archive.write(name("camwfs"), content)
    process = archive.start("backfill")
    wait_for(archive.position, "a part of the file")
    interrupt(process)
    text, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in errors
    position = archive.position()
    assert 0 < position < len(content)
    assert f"at byte {position} of" in text
    assert path.name in text.replace("\n            ", "")
    assert "run it again" in text
    assert archive.stored() == decoded(content[:position])
    again = archive.start("backfill")
    again.communicate(timeout=120)
    assert archive.stored() == decoded(content)


def test_two_of_them_and_the_live_tail_store_a_file_once(archive: Archive, tmp_path: Path) -> None:
    content = mixed(RECORDS)
    archive.write(name("camwfs"), content)
    service = following(tmp_path / "service", archive.tree, archive.database)
    try:
        both = [archive.start("backfill", "--json") for _ in range(2)]
        service.start()
        done = [json.loads(process.communicate(timeout=120)[0]) for process in both]
        assert [process.returncode for process in both] == [0, 0]
        wait_for(lambda: archive.position() == len(content), "the whole file")
        assert archive.stored() == decoded(content)
        [(stored, duplicate)] = archive.database.fetch("SELECT sum(stored), sum(duplicate) FROM tallies")
        assert (stored, duplicate) == (RECORDS, 0)
        assert sum(one["outcomes"]["stored"] for one in done) <= RECORDS
        assert archive.database.fetch("SELECT count(*) FROM file_origins") == [(1,)]
        assert service.stop() == 0
    finally:
        service.end()


def test_it_holds_while_the_service_is_paused_and_has_no_connection(archive: Archive) -> None:
    content = mixed(RECORDS)
    archive.write(name("camwfs"), content)
    archive.state.mkdir()
    (archive.state / "paused").write_text(
        json.dumps({"by": "ana", "since_ns": 1_772_000_000 * 10**9, "end": None})
    )
    process = archive.start("backfill")
    assert process.stderr is not None
    line = process.stderr.readline()
    assert "waiting: writes are paused by ana since 2026-02-25 06:13:20 UTC" in line
    assert "tessmon resume" in line
    assert (archive.sessions(), archive.position()) == (0, 0)
    (archive.state / "paused").unlink()
    wait_for(archive.position, "a part of the file")
    (archive.state / "paused").write_text(
        json.dumps({"by": "ben", "since_ns": 1_772_000_000 * 10**9, "end": None})
    )
    wait_for(lambda: not archive.sessions(), "all connections to end")
    assert 0 < archive.position() <= len(content)
    (archive.state / "paused").unlink()
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert archive.stored() == decoded(content)


def test_it_asks_the_service_whether_it_is_paused(archive: Archive, tmp_path: Path) -> None:
    archive.write(name("camwfs"), mixed(90))
    service = following(tmp_path / "service", tmp_path / "elsewhere", archive.database)
    archive.config.write_text(archive.config.read_text().replace(str(archive.socket), str(service.socket)))
    try:
        service.start()
        service.signal(signal.SIGUSR1)
        wait_for(lambda: service.lane_state() == "paused", "the pause")
        process = archive.start("backfill")
        assert process.stderr is not None
        assert "writes are paused by" in process.stderr.readline()
        assert archive.stored() == []
        service.signal(signal.SIGUSR2)
        process.communicate(timeout=60)
        assert (process.returncode, len(archive.stored())) == (0, 90)
    finally:
        service.end()


def test_it_waits_for_a_database_that_is_away(archive: Archive) -> None:
    content = mixed(RECORDS)
    archive.write(name("camwfs"), content)
    process = archive.start("backfill")
    wait_for(archive.position, "a part of the file")
    archive.database.server.stop("immediate")
    assert process.stderr is not None
    assert "waiting: the database: " in process.stderr.readline()
    archive.database.server.start()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "going on" in errors
    assert archive.stored() == decoded(content)


def test_devices_times_and_numbers_choose(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    for device in ("a_b", "c"):
        for hour in (1, 2, 3):
            archive.write(f"{device}_202410220{hour}0000000000000.bintel", mixed(9, hour))

    def chosen(*arguments: str) -> list[str]:
        archive.database.execute("TRUNCATE positions, telem, file_ingest_times; DELETE FROM file_origins")
        archive.json(capsys, "backfill", *arguments)
        names = archive.database.fetch(
            "SELECT DISTINCT origin_path FROM file_origins JOIN positions ON origin = origin_host || '/' || file_id"
            " WHERE position > '{0}'"
        )
        return sorted(Path(path).name[:-20] for [path] in names)

    assert chosen("--device", "a_b") == ["a_b_2024102201", "a_b_2024102202", "a_b_2024102203"]
    assert chosen("--since", "2024-10-22T02:00") == [
        "a_b_2024102202",
        "a_b_2024102203",
        "c_2024102202",
        "c_2024102203",
    ]
    assert chosen("--limit", "2") == ["a_b_2024102201", "c_2024102201"]
    assert chosen("--device", "c", "--device", "a_b", "--limit", "2", "--since", "2024-10-22T03:00") == [
        "a_b_2024102203",
        "c_2024102203",
    ]


def test_a_bad_file_costs_what_is_bad(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    sound = mixed(90)
    ends = [offset for offset, _, _ in decoded(sound)]
    archive.write(name("a", 1), sound[: ends[50]] + b"\0" * 500)
    archive.write(name("b", 1), sound[: ends[50] + 5])
    archive.write(name("b", 2), mixed(90, 2))  # so nobody waits for the rest of the first
    archive.write(name("c", 1), sound[: ends[50] + 5])  # it may grow
    archive.write(name("d", 1, "ndjson.gz"), b"no gzip")
    done = archive.json(capsys, "backfill")
    assert done["outcomes"]["stored"] == len(archive.stored()) == 3 * 50 + 90
    assert {(reason, subject) for reason, subject, _ in rejects(archive.database)} == {
        ("framing", "a"),
        ("cut", "b"),
        ("damaged", "d"),
    }
    assert done["outcomes"]["rejected"] == 3
    with (archive.tree / name("c", 1)).open("ab") as file:
        file.write(sound[ends[50] + 5 :])
    assert archive.json(capsys, "backfill")["outcomes"] == {"stored": 40, "duplicate": 0, "rejected": 0}


def test_what_may_not_be_read_is_told_and_read_when_it_may(archive: Archive) -> None:
    content = mixed(30)
    paths = [archive.write(name(device), content) for device in ("a", "b", "c")]
    notes = archive.tree / "notes.txt"
    notes.write_text("no telemetry")
    below = archive.tree / "below"
    below.mkdir()
    for path in (paths[0], paths[1], notes, below):
        path.chmod(0)
    process = archive.start("backfill", "--json", "--device", "a", "--device", "c", prefix=WITHOUT_PRIVILEGE)
    text, errors = process.communicate(timeout=60)
    assert process.returncode == 1, errors
    done = json.loads(text)
    assert {path for path, _ in done["left_out"]} == {str(paths[0]), str(below)}
    assert all("ermission denied" in why for _, why in done["left_out"])
    assert done["outcomes"]["stored"] == 30
    for path in (paths[0], paths[1], notes):
        path.chmod(0o644)
    below.chmod(0o755)
    again = archive.start("backfill", prefix=WITHOUT_PRIVILEGE)
    text, errors = again.communicate(timeout=60)
    assert (again.returncode, errors) == (0, "")
    assert "60 records stored" in text


def test_the_same_records_under_another_name_are_duplicates(
    archive: Archive, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.write(name("a", 1), mixed(90))
    archive.write(f"copy/{name('a', 1)}", mixed(90))
    done = archive.json(capsys, "backfill", "--workers", "1")
    assert done["outcomes"] == {"stored": 90, "duplicate": 90, "rejected": 0}
    ingested = "SELECT device, ts FROM file_ingest_times ORDER BY file_id"
    assert archive.database.fetch(ingested) == []  # each may be the newest, and grow
    archive.write(name("a", 2), mixed(9, 2), OLD_S + 1)
    os.utime(archive.tree / name("a", 1), (OLD_S + 2, OLD_S + 2))
    assert archive.json(capsys, "backfill")["files"] == 1


def test_what_is_missing_is_said_in_one_sentence(
    archive: Archive, capsys: pytest.CaptureFixture[str]
) -> None:
    text = archive.config.read_text()
    archive.config.write_text(text[: text.index("[files]")])
    assert archive.run(capsys, "backfill") == (
        1,
        "",
        "tessmon: the configuration has no [files] table: it says which directories to look into\n",
    )
    archive.config.write_text(text.replace(archive.database.dsn, archive.database.dsn + " user=nobody"))
    code, _, errors = archive.run(capsys, "backfill")
    assert code == 1
    assert errors.startswith("tessmon: the database refused: ")
    assert errors.count("\n") == 1
