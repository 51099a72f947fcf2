# SPDX-License-Identifier: MIT
"""``tessmon photometer`` on a real PostgreSQL."""

from __future__ import annotations

import select
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest

from tessmon.cli.table import width
from tests.cli.observatory_command import Command, misused, tessmon, unchanged_database

__all__ = ["tessmon", "unchanged_database"]

JANUARY, FEBRUARY, MARCH = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3))
NOW = datetime.now(UTC).replace(microsecond=0)
MAC, OTHER_MAC, MAC_4C = "18:FE:34:00:00:01", "18:FE:34:00:00:02", "18:FE:34:00:0A:04"
DEADLINE_S = 60


def held(tessmon: Command, mac: str = MAC) -> list[tuple[object, ...]]:
    """(since, location, observer, authorised) of each version."""
    return tessmon.database.fetch(
        "SELECT valid_since, location_id, observer_id, authorised FROM tess_t WHERE mac_address = %s"
        " ORDER BY valid_since",
        [mac],
    )


def test_without_photometers_it_says_so(tessmon: Command) -> None:
    assert tessmon.done("photometer", "list") == "no photometers\n"
    assert tessmon.json("photometer", "list") == []


def test_photometers_are_listed_in_their_order_with_their_last_reading(tessmon: Command) -> None:
    last = datetime.now(UTC).replace(microsecond=0) - timedelta(days=3, hours=4, minutes=30)
    _, current = tessmon.photometer("stars10", MAC, [JANUARY, FEBRUARY])
    (four,) = tessmon.photometer("stars2", MAC_4C, [MARCH], (20.03, 20.04, 19.9, 19.8), "TESS4C")
    before, _ = tessmon.photometer(None, OTHER_MAC, [JANUARY, MARCH], (20.5,))
    tessmon.reading(current, last)
    tessmon.reading(current, FEBRUARY)
    tessmon.reading(four, MARCH, "tess_readings4c_t")
    tessmon.reading(before, JANUARY)
    lines = [line.split() for line in tessmon.done("photometer", "list").splitlines()]
    assert lines[0] == ["name", "MAC", "auth.", "last", "place", "zero", "points"]
    assert [line[0] for line in lines[1:]] == ["stars2", "stars10", OTHER_MAC]
    assert lines[2] == ["stars10", MAC, "no", "3", "d", "4", "h", "Unknown", "20.25"]
    assert lines[1][-4:] == ["20.03", "20.04", "19.9", "19.8"]
    listed = tessmon.json("photometer", "list")
    assert [one["name"] for one in listed] == ["stars2", "stars10", None]
    assert [one["last_reading"] for one in listed] == [
        MARCH.isoformat(),
        last.isoformat(),
        JANUARY.isoformat(),
    ]
    assert listed[0]["model"] == "TESS4C"
    assert [channel["zero_point"] for channel in listed[0]["channels"]] == [20.03, 20.04, 19.9, 19.8]
    assert listed[1]["valid_since"] == FEBRUARY.isoformat()
    assert (listed[1]["authorised"], listed[1]["observer_name"]) == (False, "Unknown")


def test_a_list_is_narrowed_to_what_is_left_to_do(tessmon: Command) -> None:
    tessmon.photometer("stars1", MAC, [JANUARY])
    tessmon.photometer("stars2", OTHER_MAC, [JANUARY])
    tessmon.location("Peak")
    tessmon.done("photometer", "locate", "stars1", "peak")
    tessmon.done("photometer", "authorise", "stars2")
    assert [one["name"] for one in tessmon.json("photometer", "list", "--unlocated")] == ["stars2"]
    assert [one["name"] for one in tessmon.json("photometer", "list", "--unauthorised")] == ["stars1"]


def test_a_photometer_is_found_by_name_or_mac(tessmon: Command) -> None:
    tessmon.photometer("stars1", MAC, [JANUARY])
    number = tessmon.location("Peak")
    tessmon.done("photometer", "locate", "stars1", "Peak", "--since", JANUARY.isoformat())
    for wanted in ("stars1", "STARS1", MAC, "18:fe:34:0:0:1"):
        shown = tessmon.done("photometer", "show", wanted)
        lines = {line[:14].strip(): line[14:] for line in shown.splitlines()}
        assert lines["MAC"] == MAC
        assert lines["place"] == f"Peak (number {number})"
        assert lines["region"] == "town, sub, region, country"
        assert lines["last reading"] == "none"
    assert tessmon.json("photometer", "show", MAC)["place"] == "Peak"


def test_who_has_no_such_photometer_is_told_who_had_it(tessmon: Command) -> None:
    tessmon.photometer("stars1", MAC, [JANUARY])
    assert "no photometer has the name or MAC stars9: `tessmon photometer list`" in tessmon.refused(
        "photometer", "show", "stars9"
    )
    tessmon.done("photometer", "rename", "stars1", "stars2", "--since", MARCH.isoformat())
    assert f"it was that of {MAC} until 2026-03-01 00:00:00 UTC" in tessmon.refused(
        "photometer", "history", "stars1"
    )


def test_the_history_has_names_and_versions(tessmon: Command) -> None:
    ids = tessmon.photometer("stars1", MAC, [JANUARY, MARCH])
    tessmon.photometer("stars2", OTHER_MAC, [JANUARY])
    tessmon.location("Peak")
    tessmon.done("photometer", "locate", "stars1", "Peak", "--since", FEBRUARY.isoformat())
    tessmon.done("photometer", "rename", "stars1", "stars2", "--override", "--since", MARCH.isoformat())
    told = tessmon.json("photometer", "history", "stars2")
    assert [(one["name"], one["mac_address"], one["valid_state"]) for one in told["names"]] == [
        ("stars1", MAC, "Expired"),
        ("stars2", OTHER_MAC, "Expired"),
        ("stars2", MAC, "Current"),
    ]
    assert [(one["valid_since"], one["valid_until"][:10], one["place"]) for one in told["versions"]] == [
        (JANUARY.isoformat(), "2026-02-01", "Unknown"),
        (FEBRUARY.isoformat(), "2026-03-01", "Peak"),
        (MARCH.isoformat(), "2999-12-31", "Peak"),
    ]
    assert [one["tess_id"] for one in told["versions"]][::2] == ids
    lines = tessmon.done("photometer", "history", MAC).splitlines()
    assert lines[0].split() == ["name", "MAC", "since", "(UTC)", "until"]
    assert lines[3].split() == ["stars2", MAC, "2026-03-01", "00:00:00"]
    assert lines[-1].split() == [str(ids[1]), "2026-03-01", "00:00:00", "no", "Peak", "20.25"]


def test_hostile_names_stay_within_the_terminal(tessmon: Command) -> None:
    tessmon.photometer("\x1b[2j" + "星" * 60, "serial \x1b[31m" + "x" * 80, [JANUARY], (20.03,) * 4)
    tessmon.location("L" * 200)
    hostile = "\x1b[2j" + "星" * 60
    tessmon.done("photometer", "locate", hostile, "L" * 200)
    tessmon.done("photometer", "rename", hostile, hostile + "2")
    for verb in (
        ["list"],
        ["show", hostile + "2"],
        ["history", hostile + "2"],
        ["authorise", hostile + "2"],
        ["authorise", hostile + "2"],
    ):
        text = tessmon.done("photometer", *verb)
        assert all(line.isprintable() and width(line) <= 80 for line in text.splitlines()), text
    assert tessmon.refused("photometer", "rename", hostile + "2", hostile + "2")[:-1].isprintable()


def test_a_place_and_an_observer_are_given_from_a_time_on(tessmon: Command) -> None:
    tessmon.photometer("stars1", MAC, [JANUARY, MARCH])
    peak, observer = tessmon.location("Peak"), tessmon.observer("Jane Doe")
    text = tessmon.done(
        "photometer", "locate", "stars1", "peak", "--observer", "jane doe", "--since", "2026-02-01"
    )
    assert text == "stars1 is at Peak and observed by Jane Doe from 2026-02-01 00:00:00 UTC on\n"
    assert held(tessmon) == [
        (JANUARY, -1, -1, 0),
        (FEBRUARY, peak, observer, 0),
        (MARCH, peak, observer, 0),
    ]
    assert "nothing to do" in tessmon.done(
        "photometer", "locate", "stars1", str(peak), "--since", "2026-02-01"
    )


def test_an_observer_alone_leaves_the_place(tessmon: Command) -> None:
    tessmon.photometer("stars1", MAC, [JANUARY])
    peak, observer = tessmon.location("Peak"), tessmon.observer("Jane Doe")
    tessmon.done("photometer", "locate", "stars1", "Peak", "--since", "2026-01-01")
    tessmon.done("photometer", "locate", "stars1", "-", "--observer", str(observer), "--since", "2026-02-01")
    assert held(tessmon) == [(JANUARY, peak, -1, 0), (FEBRUARY, peak, observer, 0)]


def test_no_stored_reading_is_changed_and_that_is_told(tessmon: Command) -> None:
    (tess_id,) = tessmon.photometer("stars1", MAC, [JANUARY])
    tessmon.location("Peak")
    for day in (JANUARY, MARCH):
        tessmon.reading(tess_id, day + timedelta(hours=5))
    before = tessmon.database.fetch("SELECT * FROM tess_readings_t ORDER BY tstamp")
    text = tessmon.done("photometer", "locate", "stars1", "Peak", "--since", "2026-02-01")
    assert "the last of 2026-03-01 05:00:00 UTC, stay as they are" in " ".join(text.split())
    assert tessmon.database.fetch("SELECT * FROM tess_readings_t ORDER BY tstamp") == before


def test_an_unclear_or_unknown_place_is_a_sentence(tessmon: Command) -> None:
    tessmon.photometer("stars1", MAC, [JANUARY])
    numbers = [tessmon.location("Peak", latitude) for latitude in (40.0, 41.0)]
    told = tessmon.refused("photometer", "locate", "stars1", "Peak")
    assert f"{numbers[0]}, {numbers[1]} are all named Peak" in told
    assert "no location is named Moon" in tessmon.refused("photometer", "locate", "stars1", "Moon")
    assert "no observer is named X" in tessmon.refused(
        "photometer", "locate", "stars1", str(numbers[0]), "--observer", "X"
    )
    assert held(tessmon) == [(JANUARY, -1, -1, 0)]


def test_authorisation_is_given_and_taken(tessmon: Command) -> None:
    tessmon.photometer("stars1", MAC, [JANUARY, MARCH])
    text = tessmon.done("photometer", "authorise", "stars1")
    assert text == "stars1 is authorised from 2026-01-01 00:00:00 UTC on\n"
    assert held(tessmon) == [(JANUARY, -1, -1, 1), (MARCH, -1, -1, 1)]
    assert "nothing to do" in tessmon.done("photometer", "authorise", "stars1")
    tessmon.done("photometer", "authorise", "stars1", "--revoke", "--since", "2026-02-01")
    assert [row[3] for row in held(tessmon)] == [1, 0, 0]
    tessmon.done("photometer", "authorise", "stars1", "--since", "2026-03-01")
    assert [row[3] for row in held(tessmon)] == [1, 0, 1]
    tessmon.done("photometer", "authorise", "stars1", "--revoke")
    *_, (since, _, _, authorised) = held(tessmon)
    assert (authorised, since > NOW) == (0, True)


def test_a_rename_tells_who_lost_the_name_and_what_is_tried_again(tessmon: Command) -> None:
    tessmon.photometer("stars1", MAC, [JANUARY])
    tessmon.photometer("stars2", OTHER_MAC, [JANUARY])
    tessmon.database.execute(
        "INSERT INTO rejects (lane, origin, position, received_at, reason, subject, detail, topic, envelope, payload)"
        " VALUES ('photometer', 'o', '{1,1,1}', now(), 'unregistered', 'stars2', '', '', '', '')"
    )
    assert f"stars2 is the name of {OTHER_MAC}: --override" in tessmon.refused(
        "photometer", "rename", "stars1", "Stars2"
    )
    text = " ".join(tessmon.done("photometer", "rename", "stars1", "Stars2", "--override").split())
    assert f"{MAC} is stars2 from" in text
    assert f"{OTHER_MAC} has no name now" in text
    assert "1 rejected readings under that name are due" in text
    assert tessmon.json("photometer", "show", "stars2")["mac_address"] == MAC
    assert tessmon.database.fetch("SELECT due FROM rejects") == [(True,)]
    assert "name: is blank" in tessmon.refused("photometer", "rename", "stars2", " ")


def test_a_running_service_is_told(tessmon: Command) -> None:
    tessmon.photometer("stars1", MAC, [JANUARY])
    tessmon.location("Peak")
    tessmon.database.execute(
        "INSERT INTO rejects (lane, origin, position, received_at, reason, subject, detail, topic, envelope, payload)"
        " VALUES ('photometer', 'o', '{1,1,1}', now(), 'unregistered', 'stars2', '', '', '', '')"
    )
    listener = psycopg2.connect(tessmon.database.dsn)
    try:
        listener.autocommit = True
        listener.cursor().execute("LISTEN tessmon_photometers; LISTEN tessmon_rejects")
        for verb, channels in (
            (["authorise", "stars1"], {"tessmon_photometers"}),
            (["locate", "stars1", "Peak"], {"tessmon_photometers"}),
            (["rename", "stars1", "stars2"], {"tessmon_photometers", "tessmon_rejects"}),
        ):
            tessmon.done("photometer", *verb)
            assert select.select([listener], [], [], DEADLINE_S)[0]
            listener.poll()
            assert {each.channel for each in listener.notifies} == channels
            listener.notifies.clear()
    finally:
        listener.close()


def test_who_may_only_read_is_told_what_to_do_and_that_helps(tessmon: Command) -> None:
    tessmon.photometer("stars1", MAC, [JANUARY])
    tessmon.location("Peak")
    reader = ["--dsn", tessmon.database.reader_dsn]
    verbs = [["authorise", "stars1"], ["locate", "stars1", "Peak"], ["rename", "stars1", "stars2"]]
    for verb in verbs:
        told = tessmon.refused("photometer", *verb, *reader)
        assert "the user tessmon_reader may not change photometers: name another with --dsn" in told
    assert held(tessmon) == [(JANUARY, -1, -1, 0)]
    tessmon.database.execute(told.rpartition("run: ")[2])
    try:
        for verb in verbs:
            tessmon.done("photometer", *verb, *reader)
    finally:
        tessmon.database.execute(
            "REVOKE INSERT, UPDATE ON tess_t, name_to_mac_t, rejects FROM tessmon_reader"
        )


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["locate", "stars1"], "LOCATION"),
        (["locate", "stars1", "-"], "LOCATION"),
        (["locate", "stars1", "Peak", "--since", "yesterday"], "is no time"),
        (["authorise"], "NAME|MAC"),
        (["rename", "stars1"], "NEW"),
        (["show", "\udcff"], "UTF-8"),
    ],
)
def test_wrong_usage_is_told(capsys: pytest.CaptureFixture[str], arguments: list[str], word: str) -> None:
    assert word in misused(capsys, "photometer", *arguments)


def test_nothing_begins_in_the_future(tessmon: Command) -> None:
    tessmon.photometer("stars1", MAC, [JANUARY])
    tomorrow = (NOW + timedelta(days=1)).isoformat()
    assert "future" in tessmon.refused("photometer", "authorise", "stars1", "--since", tomorrow)
