# SPDX-License-Identifier: MIT
"""Telemetry files become rows while they grow, whatever happens to them: the real service, real files."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tessmon.control.client import AdminError, tell
from tests import flatlogs
from tests.decode.test_bintel_data_set import PRIORITIES, assert_exact
from tests.decode.test_ndjson_files import events_of, text_of
from tests.observatory import Service, fetch, tally, wait_for
from tests.operating import refused, tessmon
from tests.postgres import Database
from tests.telemetry import (
    SAMPLES,
    age,
    append,
    contents,
    events,
    files,
    following,
    positions,
    rejects,
    rows,
    service,
    tree,
    wait_idle,
    wait_rows,
    wait_tally,
)
from tests.unprivileged import WITHOUT_PRIVILEGE

__all__ = ["service", "tree"]

OLD, NEW = "camwfs_20241022032000000000000.bintel", "camwfs_20241022033000000000000.bintel"
NDJSON = "maggieo_x_2024-10-22T031405.ndjson"


def records(count: int, begin: int = 0) -> list[bytes]:
    """Records of several types; those of a place are always the same."""
    return list(flatlogs.mixed_records(begin + count))[begin:]


def lines(count: int, begin: int = 0) -> list[bytes]:
    """Lines of a Python device."""
    texts = [
        {"ts": f"2024-10-22T03:14:05.{n:06}000", "prio": "TELM", "ec": "telem_indi_set", "msg": {"n": n}}
        for n in range(begin, begin + count)
    ]
    return [json.dumps(text).encode() + b"\n" for text in texts]


# the data set


def test_every_sample_file_is_stored_exactly(service: Service, tree: Path, database: Database) -> None:
    expected: dict[tuple[str, int], dict[str, Any]] = {}
    for path in sorted((SAMPLES / "exact").rglob("*.exact.ndjson")):
        name = str(path.relative_to(SAMPLES / "exact")).removesuffix(".exact.ndjson")
        for text in path.read_text().splitlines():
            line = json.loads(text)
            expected[name, line["offset"]] = line
    said = {}
    for path in SAMPLES.rglob("exao*/**/*.ndjson*"):
        if "exact" not in path.parts and "reference" not in path.parts:
            name = str(path.relative_to(SAMPLES))
            content = text_of(path)
            content = content[: content.rfind(b"\n") + 1]
            said |= {(name, event.offset): event for event in events_of(content)}
    for host in ("exao1", "exao2", "exao3"):
        shutil.copytree(SAMPLES / host, tree / host)
    service.start()
    wait_rows(database, len(expected) + len(said), service)
    found = {(path, offset): rest for path, offset, *rest in rows(database, tree)}
    assert found.keys() == expected.keys() | said.keys()
    for key, line in expected.items():
        _, ns, ec, prio, msg, _ = found[key]
        assert (ns, ec, prio) == (
            line["time_s"] * 10**9 + line["time_ns"],
            line["name"],
            PRIORITIES[line["prio"]],
        )
        fields = flatlogs.event(line["ec"], ns).fields
        assert_exact(_in_order(msg, line["msg"]), line["msg"], fields)
    for key, event in said.items():
        assert found[key] == [
            Path(key[0]).name.rpartition("_")[0],
            event.ts_ns,
            event.ec,
            event.prio,
            json.loads(event.msg),
            event.digest,
        ]
    assert rejects(database) == []
    wait_idle(service, database)
    assert not service.stop()
    service.assert_quick()


def _in_order(msg: Any, exact: Any) -> Any:
    """What the database gives, which sorts keys, with those of the exact message in their order."""
    if isinstance(exact, dict) and isinstance(msg, dict):
        assert msg.keys() == exact.keys()
        return {key: _in_order(msg[key], exact[key]) for key in exact}
    return msg


def test_the_same_records_under_another_path_are_duplicates(
    service: Service, tree: Path, database: Database
) -> None:
    """A copy, a line file beside its packed form, another host's copy of the tree."""
    (tree / NDJSON).write_bytes(b"".join(lines(40)))
    (tree / OLD).write_bytes(b"".join(records(30)))
    service.start()
    wait_tally(database, service, stored=70)
    before = contents(database)
    (tree / "copy").mkdir()
    shutil.copy(tree / OLD, tree / "copy" / OLD)
    (tree / f"{NDJSON}.gz").write_bytes(gzip.compress(b"".join(lines(40))))
    wait_tally(database, service, stored=70, duplicate=70)
    service.stop()
    service.tables["files"]["host"] = "exao2"
    service.write_config()
    service.start()
    wait_tally(database, service, stored=70, duplicate=210)
    assert contents(database) == before
    hosts = fetch(database.reader_dsn, "SELECT origin_host, count(*) FROM file_origins GROUP BY 1 ORDER BY 1")
    assert hosts == [("exao1", 4), ("exao2", 4)]


# files that come, grow and go


def test_a_new_file_of_a_device_is_read_when_the_old_one_was(
    service: Service, tree: Path, database: Database
) -> None:
    """The old one has much to read still, and its last record is written when the new file is there already."""
    made = records(3000)
    (tree / OLD).write_bytes(b"".join(made[:2000])[:-5])
    service.start()
    wait_tally(database, service, stored=1999)
    append(tree / OLD, b"".join(made[:2000])[-5:] + made[2000])
    (tree / NEW).write_bytes(b"".join(made[2001:]))
    append(tree / OLD, b"")
    wait_tally(database, service, timeout_s=20, stored=3000)
    order = fetch(
        database.reader_dsn,
        "SELECT min(xmin::text::bigint), max(xmin::text::bigint), file_id FROM telem GROUP BY 3",
    )
    (_, old_last, _), (new_first, _, _) = sorted(order)
    assert old_last <= new_first
    service.assert_quick()


@pytest.mark.parametrize("while_stopped", [False, True], ids=["live", "stopped"])
def test_a_renamed_file_is_read_on_from_where_it_was(
    while_stopped: bool, service: Service, tree: Path, database: Database
) -> None:
    """In mid-record, to another name and to another directory, and written on there."""
    made = records(60)
    (tree / OLD).write_bytes(b"".join(made[:20]) + made[20][:9])
    service.start()
    wait_tally(database, service, stored=20)
    if while_stopped:
        service.stop()
    (tree / "moved").mkdir()
    (tree / OLD).rename(tree / "moved" / NEW)
    append(tree / "moved" / NEW, made[20][9:] + b"".join(made[21:40]))
    if while_stopped:
        service.start()
    wait_tally(database, service, stored=40)
    (tree / "moved" / NEW).rename(tree / OLD)
    append(tree / OLD, b"".join(made[40:]))
    wait_tally(database, service, stored=60)
    wait_idle(service, database)
    assert files(database) == {OLD: ["present"]}
    assert positions(database) == {OLD: [len(b"".join(made))]}


def test_what_a_deleted_file_still_had_is_read(service: Service, tree: Path, database: Database) -> None:
    """It was open when it went, and the database was away."""
    made = records(40)
    (tree / "sub").mkdir()
    (tree / OLD).write_bytes(b"".join(made[:20]))
    (tree / "sub" / NEW).write_bytes(b"".join(made[20:30]))
    service.start()
    wait_tally(database, service, stored=30)
    service.signal(signal.SIGSTOP)
    append(tree / OLD, b"".join(made[30:]))
    (tree / OLD).unlink()
    shutil.rmtree(tree / "sub")
    service.signal(signal.SIGCONT)
    wait_tally(database, service, stored=40)
    wait_for(lambda: files(database) == {OLD: ["vanished"], NEW: ["vanished"]}, "the files to be gone")


def test_a_followed_directory_that_goes_and_comes_back_is_followed_again(
    service: Service, tree: Path, database: Database
) -> None:
    made = records(30)
    (tree / OLD).write_bytes(b"".join(made[:20]))
    service.start()
    wait_tally(database, service, stored=20)
    shutil.rmtree(tree)
    wait_for(lambda: files(database) == {OLD: ["vanished"]}, "the file to be gone")
    tree.mkdir()
    (tree / NEW).write_bytes(b"".join(made[20:]))
    wait_tally(database, service, stored=30)
    wait_for(lambda: {"directory_missing", "directory_back"} <= set(events(database)), "the events")


@pytest.mark.parametrize("how", ["shorter", "longer", "replaced", "emptied"])
def test_other_content_under_a_known_path_is_read_from_its_begin(
    how: str, service: Service, tree: Path, database: Database
) -> None:
    """Cut off and written anew, or another file in its place; what the old one had stays."""
    made = records(60)
    (tree / OLD).write_bytes(b"".join(made[:20]))
    service.start()
    wait_tally(database, service, stored=20)
    other = made[20:50] if how == "longer" else made[20:30]
    if how == "replaced":
        (tree / "new").write_bytes(b"".join(other))
        (tree / "new").rename(tree / OLD)
    else:
        service.signal(signal.SIGSTOP)
        (tree / OLD).write_bytes(b"" if how == "emptied" else b"".join(other))  # in place
        service.signal(signal.SIGCONT)
        if how == "emptied":
            wait_for(lambda: files(database) == {OLD: ["replaced", "present"]}, "it to be found cut off")
            append(tree / OLD, b"".join(other))
    wait_tally(database, service, stored=20 + len(other))
    append(tree / OLD, b"".join(made[50:]))
    wait_tally(database, service, stored=30 + len(other))
    wait_idle(service, database)
    assert files(database) == {OLD: ["replaced", "present"]}
    service.stop()
    service.start()
    wait_idle(service, database)
    assert tally(database.dsn) == {"total": 30 + len(other), "stored": 30 + len(other)}
    assert rejects(database) == []


def test_a_file_is_known_by_what_it_held_as_soon_as_it_held_anything(
    service: Service, tree: Path, database: Database
) -> None:
    """It was found empty, then short. When its inode is another file's later, the head tells."""
    made = records(30)
    (tree / OLD).touch()
    service.start()
    wait_for(lambda: files(database) == {OLD: ["present"]}, "the empty file")
    append(tree / OLD, made[0][:20])
    wait_for(lambda: _head_bytes(database) == [20], "its first bytes")
    append(tree / OLD, made[0][20:] + b"".join(made[1:20]))
    wait_tally(database, service, stored=20)
    assert _head_bytes(database) == [64]
    service.kill()
    (tree / OLD).write_bytes(b"".join(made[20:30]) * 20)  # the inode is the same, as after a reuse of it
    service.start()
    wait_tally(database, service, stored=30, duplicate=190)


def _head_bytes(database: Database) -> list[int]:
    return [
        found for (found,) in fetch(database.reader_dsn, "SELECT head_bytes FROM file_origins ORDER BY 1")
    ]


def test_a_file_of_two_names_is_one(service: Service, tree: Path, database: Database) -> None:
    made = records(30)
    (tree / OLD).write_bytes(b"".join(made[:20]))
    os.link(tree / OLD, tree / NEW)
    service.start()
    wait_tally(database, service, stored=20)
    append(tree / NEW, b"".join(made[20:25]))
    wait_tally(database, service, stored=25)
    append(tree / OLD, b"".join(made[25:]))
    wait_tally(database, service, stored=30)
    wait_idle(service, database)
    assert sum(map(len, files(database).values())) == 1
    (tree / OLD).unlink()
    append(tree / NEW, records(1, 30)[0])
    wait_tally(database, service, stored=31)


def test_lines_that_are_packed_while_they_are_read_are_stored_once(
    service: Service, tree: Path, database: Database
) -> None:
    """As a Python device does it: the packed file grows beside the other, which goes then."""
    text = b"".join(lines(3000))
    (tree / NDJSON).write_bytes(text[:70_000])
    service.start()
    wait_rows(database, text[:70_000].count(b"\n"), service)
    append(tree / NDJSON, text[70_000:])
    packed = gzip.compress(text)
    append(tree / f"{NDJSON}.gz", packed[:9000])
    wait_rows(database, 3000, service)
    append(tree / f"{NDJSON}.gz", packed[9000:])
    (tree / NDJSON).unlink()
    wait_tally(database, service, stored=3000, duplicate=3000)
    wait_for(lambda: files(database)[NDJSON] == ["vanished"], "the file to be gone")
    assert rejects(database) == []


def test_a_file_that_may_not_be_read_is_read_when_it_may(
    service: Service, tree: Path, database: Database
) -> None:
    (tree / OLD).write_bytes(b"".join(records(20)))
    (tree / OLD).chmod(0)
    service.prefix = WITHOUT_PRIVILEGE
    service.start()
    wait_for(lambda: files(database) == {OLD: ["unreadable"]}, "the file to be told as unreadable")
    (tree / OLD).chmod(0o644)
    wait_tally(database, service, stored=20)
    assert files(database) == {OLD: ["present"]}
    assert service.log.read_text().count("can't be read") == 1


def test_new_settings_are_taken_up_in_mid_file(
    service: Service, tree: Path, database: Database, tmp_path: Path
) -> None:
    """Directories, how long a record may be, the time zone of those who write local time, polling."""
    made, texts = records(40), lines(20)
    (tree / OLD).write_bytes(b"".join(made[:20]) + made[20][:5])
    (tree / NDJSON).write_bytes(b"".join(texts[:10]) + texts[10][:30])
    service.start()
    wait_tally(database, service, stored=30)
    other = tmp_path / "other"
    other.mkdir()
    (other / NEW).write_bytes(b"".join(made[30:]))
    service.tables["files"] |= {
        "directories": [str(tree), str(other)],
        "max_record_bytes": 100_000,
        "timezone": "America/Santiago",
        "poll_s": 0.2,
    }
    service.write_config()
    tell(service.socket, "/reload", "a test")
    append(tree / OLD, made[20][5:] + b"".join(made[21:30]))
    append(tree / NDJSON, texts[10][30:] + b"".join(texts[11:]))
    wait_tally(database, service, stored=60)
    hours = fetch(
        database.reader_dsn,
        "SELECT extract(hour FROM ts AT TIME ZONE 'UTC')::int, count(*) FROM telem "
        "WHERE device = 'maggieo_x' GROUP BY 1 ORDER BY 1",
    )
    assert hours == [(3, 10), (6, 10)]
    assert service.status()["files"][0]["mode"] == "polling"
    service.tables["files"]["directories"] = [str(other)]
    service.write_config()
    tell(service.socket, "/reload", "a test")
    append(tree / OLD, made[0])
    append(other / NEW, records(1, 50)[0])
    wait_tally(database, service, stored=61)


# what is cut or damaged


def test_a_cut_record_is_one_reject_when_nothing_more_comes_and_none_when_it_does(
    service: Service, tree: Path, database: Database
) -> None:
    made, texts = records(30), lines(30)
    binary, text = b"".join(made[:20]) + made[20][:-3], b"".join(texts[:20]) + texts[20][:-9]
    (tree / OLD).write_bytes(binary)
    (tree / NDJSON).write_bytes(text)
    service.start()
    wait_tally(database, service, stored=40)
    wait_idle(service, database)
    assert rejects(database) == []  # they are the newest
    service.stop()
    (tree / NEW).touch()
    (tree / NDJSON.replace("031405", "041405")).touch()
    age(tree / OLD)
    age(tree / NDJSON)
    for _ in range(2):  # and not again after a restart
        service.start()
        wait_tally(database, service, stored=40, rejected_cut=2)
        wait_idle(service, database)
        assert service.stop() == 0
    at = [("cut", "camwfs", [len(b"".join(made[:20]))]), ("cut", "maggieo_x", [len(b"".join(texts[:20]))])]
    assert rejects(database) == at
    append(tree / OLD, made[20][-3:-1])  # still cut
    age(tree / OLD)
    service.start()
    wait_for(lambda: positions(database)[OLD][1] == len(binary) + 2, "the longer rest to be known")
    assert rejects(database) == at
    append(tree / OLD, made[20][-1:] + made[21])
    append(tree / NDJSON, texts[20][-9:] + texts[21])
    wait_tally(database, service, stored=44)
    assert rejects(database) == []
    service.assert_quick()


def test_where_framing_is_lost_the_rest_is_one_reject_for_ever(
    service: Service, tree: Path, database: Database
) -> None:
    made = records(60)
    sound = b"".join(made[:20])
    (tree / OLD).write_bytes(sound + b"\x07" * 3000)
    service.start()
    wait_tally(database, service, stored=20, rejected_framing=1)
    append(tree / OLD, b"".join(made[20:40]))
    append(tree / NEW, b"".join(made[40:]))
    wait_tally(database, service, stored=40, rejected_framing=1)
    wait_idle(service, database)
    service.stop()
    append(tree / OLD, b"more")
    age(tree / OLD)
    service.start()
    wait_idle(service, database)
    assert tally(database.dsn) == {"total": 41, "stored": 40, "rejected framing": 1}
    assert rejects(database) == [("framing", "camwfs", [len(sound)])]


def test_packed_files_cost_what_is_bad_of_them(service: Service, tree: Path, database: Database) -> None:
    text = b"".join(lines(2000))
    packed = gzip.compress(text, 1)
    broken = gzip.compress(text[: len(text) // 2], 1)
    made = {
        "empty": b"",
        "garbage": b"this is no gzip at all" * 30,
        "cut": packed[: len(packed) // 2],
        "whole": packed,
        "sum": broken[:-8] + b"\0\0\0\0" + broken[-4:] + gzip.compress(text[len(text) // 2 :], 1),
    }
    for device, content in made.items():
        path = tree / f"{device}_2024-10-22T031405.ndjson.gz"
        path.write_bytes(content)
        age(path)
        (tree / f"{device}_2024-10-22T041405.ndjson").touch()
    for _ in range(2):
        service.start()
        wait_idle(service, database)
        assert [reject[:2] for reject in rejects(database)] == [("cut", "cut"), ("damaged", "garbage")]
        assert service.stop() == 0
        counted = tally(database.dsn)
        assert (counted["rejected cut"], counted["rejected damaged"]) == (1, 1)
        devices = dict(fetch(database.reader_dsn, "SELECT device, count(*) FROM telem GROUP BY 1"))
        assert devices["whole"] == devices["sum"] == 2000
        assert 0 < devices["cut"] < 2000
        assert devices.keys() == {"whole", "sum", "cut"}
        assert events(database).count("check_sum") == 1
    cut = tree / "cut_2024-10-22T031405.ndjson.gz"
    append(cut, packed[len(packed) // 2 :])
    service.start()
    wait_for(lambda: [reject[:2] for reject in rejects(database)] == [("damaged", "garbage")], "the rest")
    wait_rows(database, 6000, service)
    service.assert_quick()


def test_a_file_that_was_read_is_not_read_again(service: Service, tree: Path, database: Database) -> None:
    """Neither unpacked again nor told again: the database has nothing to write at the next start."""
    for number in range(300):
        path = tree / f"dev{number % 7}_2024-10-22T0{number // 60}{number % 60:02}00.ndjson.gz"
        path.write_bytes(gzip.compress(b"".join(lines(2, 2 * number))))
        age(path)
    service.start()
    wait_tally(database, service, stored=600)
    wait_for(lambda: _count(database, "file_ingest_times") == 293, "the times when files were done with")
    wait_idle(service, database)
    service.stop()
    before = _writes(database)
    for path in tree.iterdir():  # what is not opened can't be missed
        path.chmod(0o644)
    service.start()
    wait_idle(service, database)
    wait_for(lambda: service.status()["lanes"][0]["state"] == "idle", "rest")
    assert service.status()["files"][0]["files"] == 300
    service.stop()
    assert _writes(database) == before
    assert tally(database.dsn) == {"total": 600, "stored": 600}


def _count(database: Database, table: str) -> int:
    [(count,)] = database.fetch(f"SELECT count(*) FROM {table}")
    return int(count)


def _writes(database: Database) -> list[tuple[Any, ...]]:
    """The newest version of rows of each table."""
    return [
        database.fetch(f"SELECT max(xmin::text::bigint), count(*) FROM {table}")[0]
        for table in ("file_origins", "file_ingest_times", "positions", "telem", "tallies")
    ]


# schemas


SCHEMA = """
[[event]]
code = 4711
name = "telem_new"
fields = ["value: int32"]
"""


def test_records_of_an_unknown_code_become_rows_when_their_schema_is_there(
    service: Service, tree: Path, database: Database, tmp_path: Path
) -> None:
    known = records(10)
    [like] = [record for record in known if record[1:3] == (20).to_bytes(2, "little")][:1]
    new, other = (like[:1] + code.to_bytes(2, "little") + like[3:] for code in (4711, 4712))
    (tree / OLD).write_bytes(b"".join(known) + new + other + known[0])
    service.start()
    wait_tally(database, service, stored=10, duplicate=1, rejected_unknown_code=2)
    schema_file = tmp_path / "new.toml"
    schema_file.write_text("[[event]]\nnothing = 1\n")
    service.tables["files"]["schemas"] = [str(schema_file)]
    service.tables["log"] = {"level": "debug"}
    service.write_config()
    with pytest.raises(AdminError, match="nothing"):
        tell(service.socket, "/reload", "a test")
    assert service.status()["files"][0]["state"] == "following"
    service.tables["log"] = {"level": "info"}
    service.write_config()
    schema_file.write_text(SCHEMA)
    tell(service.socket, "/reload", "a test")
    wait_tally(database, service, stored=11, duplicate=1, rejected_unknown_code=1)
    schema_file.write_text(SCHEMA + SCHEMA.replace("4711", "4712").replace("_new", "_other"))
    tell(service.socket, "/reload", "a test")  # the file's content is another, its name is the same
    wait_tally(database, service, stored=12, duplicate=1)
    assert rejects(database) == []
    assert {row[4]: row[6] for row in rows(database) if row[4] in ("telem_new", "telem_other")}


def test_at_a_start_only_what_is_known_by_now_is_tried_again(
    service: Service, tree: Path, database: Database, tmp_path: Path
) -> None:
    [like] = [record for record in records(10) if record[1:3] == (20).to_bytes(2, "little")][:1]
    stamp = flatlogs.HEADER.unpack_from(like)[2]
    made = [
        like[:1] + (4711 + n % 5).to_bytes(2, "little") + (stamp + n).to_bytes(4, "little") + like[7:]
        for n in range(1000)
    ]
    (tree / OLD).write_bytes(b"".join(made))
    service.start()
    wait_tally(database, service, rejected_unknown_code=1000)
    service.stop()
    hopeless = "SELECT max(xmin::text::bigint) FROM rejects"
    before = database.fetch(hopeless)
    schema_file = tmp_path / "new.toml"
    schema_file.write_text(SCHEMA)
    service.tables["files"]["schemas"] = [str(schema_file)]
    service.write_config()
    service.start()
    wait_tally(database, service, stored=200, rejected_unknown_code=800)
    assert database.fetch(hopeless) == before


def test_a_long_record_of_an_unknown_code_is_read_again_from_its_file(
    service: Service, tree: Path, database: Database, tmp_path: Path
) -> None:
    """The reject has no more than its beginning."""
    made = flatlogs.record(20826, {"loads": [n / 7 for n in range(30_000)]})
    long = made[:1] + (4711).to_bytes(2, "little") + made[3:]
    (tree / OLD).write_bytes(long + records(1)[0])
    service.start()
    wait_tally(database, service, stored=1, rejected_unknown_code=1)
    schema_file = tmp_path / "new.toml"
    schema_file.write_text(SCHEMA.replace('"value: int32"', '"loads: [float32]"'))
    service.tables["files"]["schemas"] = [str(schema_file)]
    service.write_config()
    tell(service.socket, "/reload", "a test")
    wait_tally(database, service, stored=2)


def test_a_reject_waits_for_the_host_that_has_its_file(
    service: Service, tree: Path, database: Database, tmp_path: Path
) -> None:
    made = flatlogs.record(20826, {"loads": [n / 7 for n in range(30_000)]})
    (tree / OLD).write_bytes(made[:1] + (4711).to_bytes(2, "little") + made[3:])
    service.start()
    wait_tally(database, service, rejected_unknown_code=1)
    service.stop()
    database.execute("UPDATE rejects SET due = true")
    there = tmp_path / "there"
    there.mkdir()
    (there / NEW).write_bytes(b"".join(records(5)))
    other = following(tmp_path / "other", there, database, files={"host": "exao2"})
    try:
        other.start()
        wait_rows(database, 5, other)
        wait_idle(other, database)
        assert database.fetch("SELECT reason, due FROM rejects") == [("unknown_code", True)]
    finally:
        other.end()
    schema_file = tmp_path / "new.toml"
    schema_file.write_text(SCHEMA.replace('"value: int32"', '"loads: [float32]"'))
    service.tables["files"]["schemas"] = [str(schema_file)]
    service.write_config()
    service.start()
    wait_rows(database, 6, service)
    assert rejects(database) == []


def test_a_wrong_schema_keeps_the_service_from_starting_with_a_sentence(
    service: Service, tmp_path: Path
) -> None:
    schema_file = tmp_path / "new.toml"
    schema_file.write_text("[[event]]\nnothing = 1\n")
    service.tables["files"]["schemas"] = [str(schema_file)]
    service.write_config()
    assert "new.toml: event 1 of the file: nobody knows 'nothing'" in refused(tessmon(service, "run"))
