# SPDX-License-Identifier: MIT
"""A reload is all or nothing: what differs, and whether a restart is needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tessmon.config.model import Config, Files, Mqtt, settings
from tessmon.config.reload import Change, difference, refusal

OLD = Config()
RESTART = {
    ("database", "dsn"),
    ("database", "password_file"),
    ("journal", "directory"),
    ("journal", "max_bytes"),
    ("journal", "min_free_bytes"),
    ("journal", "retention_s"),
    ("files", "host"),
    ("web", "listen"),
    ("admin", "socket"),
}


def test_equal_configurations_differ_in_nothing() -> None:
    assert difference(OLD, Config()) == []
    assert refusal([]) is None


def test_live_changes_are_found_and_may_be_applied() -> None:
    new = replace(
        OLD,
        photometer=replace(OLD.photometer, deny=("stars1",)),
        writer=replace(OLD.writer, batch_rows=5),
        mqtt=Mqtt(reading_topics=("a",)),
    )
    changes = difference(OLD, new)
    assert changes == [
        Change("mqtt", "reading_topics", ("STARS4ALL/+/reading",), ("a",), live=True),
        Change("photometer", "deny", (), ("stars1",), live=True),
        Change("writer", "batch_rows", 1000, 5, live=True),
    ]
    assert refusal(changes) is None


def test_restart_changes_are_refused_with_their_names() -> None:
    new = replace(
        OLD,
        journal=replace(OLD.journal, directory=Path("/elsewhere")),
        web=replace(OLD.web, listen=""),
        writer=replace(OLD.writer, batch_rows=5),
    )
    sentence = refusal(difference(OLD, new))
    assert (
        sentence == "nothing was changed, because a restart is needed for [journal] directory, [web] listen"
    )


def test_turning_an_input_on_or_off_needs_a_restart() -> None:
    off = replace(OLD, mqtt=None)
    assert difference(OLD, off) == [Change("mqtt", "", OLD.mqtt, None, live=False)]
    assert difference(off, off) == []
    assert refusal(difference(off, OLD)) == "nothing was changed, because a restart is needed for [mqtt]"


def test_what_files_are_read_is_live_and_whose_they_are_is_not() -> None:
    old = replace(OLD, files=Files(host="exao1"))
    more = replace(old, files=Files(host="exao1", directories=(Path("/data"),), poll_s=1.0))
    assert refusal(difference(old, more)) is None
    assert [change.key for change in difference(old, more)] == ["directories", "poll_s"]
    sentence = refusal(difference(old, replace(old, files=Files(host="exao2"))))
    assert sentence == "nothing was changed, because a restart is needed for [files] host"
    assert difference(OLD, old) == [Change("files", "", None, old.files, live=False)]


def test_every_setting_says_whether_it_is_live() -> None:
    stiff = {(table, each.name) for table, each in settings() if not each.metadata["live"]}
    assert stiff == RESTART
