# SPDX-License-Identifier: MIT
"""The manual says what the program says: reasons, states, metrics, settings, log lines, commands."""

from __future__ import annotations

import argparse
import ast
import io
import re
import shlex
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tessmon import metrics
from tessmon.cli import COMMANDS, parser
from tessmon.config.model import TABLES
from tessmon.errors import Cause, Reason
from tessmon.records.outcome import FLUSH, JOURNAL_FULL
from tessmon.sources.mqtt_ending import Kind
from tessmon.statistics import Period
from tests.docs.conftest import ROOT, Manual
from tests.standin import PlainFace, files_status, vlbimon_status

NO_PART_OF_THE_SERVICE = ("demo", "cli", "doctor")


def calls(*functions: str) -> list[tuple[str, str, Path]]:
    """(function, constant first argument, module) of calls like ``….function("…", …)`` in the service."""
    return [call for call in _all_calls() if call[0] in functions]


@cache
def _all_calls() -> list[tuple[str, str, Path]]:
    found = []
    for path in sorted((ROOT / "tessmon").rglob("*.py")):
        if path.relative_to(ROOT / "tessmon").parts[0] in NO_PART_OF_THE_SERVICE:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and isinstance(node.func, ast.Attribute):
                first = node.args[0]
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    found.append((node.func.attr, first.value, path))
    return found


def test_it_builds_without_a_warning(manual: Manual) -> None:
    assert (manual.code, manual.words) == (0, "")
    for page in manual.pages:
        assert (manual.html / f"{page}.html").exists()


def test_nothing_of_it_is_fetched_from_elsewhere(manual: Manual) -> None:
    for path in manual.html.glob("*.html"):
        assert not re.findall(r"(?:src|href)=\"(?:https?:)?//[^\"]*\.(?:js|css|woff2?)", path.read_text()), (
            path
        )


@pytest.mark.parametrize(("table", "words"), [("reasons", Reason), ("causes", Cause)])
def test_every_reason_and_cause_is_explained(manual: Manual, table: str, words: type[Reason | Cause]) -> None:
    assert [row[0] for row in manual.table("rejects", table)] == [str(word) for word in words]
    assert all(row[1] for row in manual.table("rejects", table))


def test_every_state_is_explained(manual: Manual) -> None:
    entered = {
        room: {word for _, word, path in calls("enter", "_enter") if room in path.parts or room == path.stem}
        for room in ("sources", "lane")
    }
    assert entered["sources"]
    assert entered["lane"]
    known = {
        "service-states": set(metrics._SERVICE_STATES),
        "source-states": {*metrics._SOURCE_STATES, *metrics._FILES_STATES, *metrics._VLBIMON_STATES}
        | entered["sources"],
        "lane-states": set(metrics._LANE_STATES) | entered["lane"],
    }
    for table, words in known.items():
        assert {row[0] for row in manual.table("watching", table)} == words


def test_every_metric_is_explained_with_its_labels(manual: Manual) -> None:
    exported: dict[str, set[str]] = {}
    face = PlainFace()  # in a state in which every figure has a value
    face.pause("ana", 3600)
    face.files = [files_status()]
    face.vlbimon = [vlbimon_status()]
    face.outlook = {**(face.outlook or {}), "full_in_s": 3600.0}
    for family in text_string_to_metric_families(generate_latest(metrics.registry_of(face)).decode()):
        for sample in family.samples:
            if sample.name.startswith("tessmon_") and not sample.name.endswith("_created"):
                exported.setdefault(sample.name, set()).update(sample.labels)
    told = {name: set(labels.split(", ")) - {""} for name, labels, _ in manual.table("watching", "metrics")}
    assert told == exported
    for page, text in [*manual.blocks("yaml"), *manual.literals()]:
        asked = re.findall(
            r"\btessmon_(?:source|files|vlbimon|journal|lane|state|ready|paused|build)\w*", text
        )
        assert set(asked) <= exported.keys(), page


def test_the_statistics_are_shown_as_they_are_logged(manual: Manual) -> None:
    shown = "\n".join(text for _, text in manual.blocks())
    for title, figures in Period(0, 0, {}).lines():
        [example] = re.findall(rf"{re.escape(title)} = \[([-\d, ]+)\]", shown)
        assert len(example.split(",")) == len(figures) == title.count(",") + 1


def test_every_warning_and_error_of_the_log_is_explained(manual: Manual) -> None:
    def line(words: str, level: str) -> tuple[str, str]:
        return re.sub(r"\{[^}]*\}", "{}", words), level

    logged = {line(words, level) for level, words, _ in calls("info", "warn", "error")}
    told = {line(words, level) for words, level, _ in manual.table("watching", "log-lines")}
    assert told <= logged
    assert {line for line in logged if line[1] != "info"} <= told


def test_every_event_is_explained(manual: Manual) -> None:
    told = set(manual.words_in("tables", "events"))
    written = {word for _, word, _ in calls("event", "announce", "_announce")}
    assert {"connected", "paused"} <= written
    ends = {str(kind) for kind in Kind} - {
        Kind.LEFT,
        Kind.CLOSED,
    }  # one is no event, the other is told as lost
    assert written | ends | {FLUSH, JOURNAL_FULL} <= told


def test_every_setting_is_explained(manual: Manual) -> None:
    for name, model in TABLES.items():
        rows = manual.table("configuration", f"table-{name.replace('.', '-')}")
        assert [row[0] for row in rows] == [each.name for each in fields(model)]
        assert [row[2] for row in rows] == [each.metadata["doc"] for each in fields(model)]
        assert {row[3] for row in rows} <= {"live", "restart"}


def test_settings_that_are_named_exist(manual: Manual) -> None:
    named = [
        (page, *match.groups())
        for page, literal in manual.literals()
        if (match := re.match(r"\[([\w.]+)\](?: (\w+))?", literal))
    ]
    assert len(named) > 20
    for page, table, key in named:
        assert table in TABLES, (page, table)
        assert key is None or key in {each.name for each in fields(TABLES[table])}, (page, table, key)


def test_commands_that_are_shown_are_right(manual: Manual) -> None:
    shown = [
        (page, line.strip()[2:])
        for page, text in manual.blocks("console")
        for line in text.splitlines()
        if re.match(r"\s*[$#] tessmon ", line)
    ]
    assert len(shown) > 10
    for page, command in shown:
        assert complaint(command) == "", (page, command)


def test_commands_that_are_named_exist(manual: Manual) -> None:
    named = {(page, text) for page, text in manual.literals() if text.startswith("tessmon ")}
    assert len(named) > 20
    for page, command in named:
        said = complaint(command)
        assert said == "" or "are required" in said, (page, command, said)


def test_every_command_is_named(manual: Manual) -> None:
    named = {text.split()[1] for page, text in manual.literals() if text.startswith("tessmon ")}
    assert named - {"--print-completion"} == COMMANDS.keys()


def complaint(command: str) -> str:
    """What the real parser says against a command; nothing is run."""
    said = io.StringIO()
    try:
        with redirect_stderr(said), redirect_stdout(io.StringIO()):
            _parser().parse_args(shlex.split(command)[1:])
    except SystemExit as error:
        return said.getvalue() if error.code else ""
    return ""


@cache
def _parser() -> argparse.ArgumentParser:
    return parser()


def test_files_that_are_named_exist(manual: Manual) -> None:
    texts = [*manual.literals(), *manual.blocks("console")]
    named = {
        (page, path)
        for page, text in texts
        for path in re.findall(r"(?<![\w/.])(?:etc|scripts|tests|docs|tessmon)/[\w./-]+", text)
        if "NOUN" not in path
    }
    assert len(named) > 5
    for page, path in named:
        assert (ROOT / path).exists(), (page, path)


def test_every_script_is_named(manual: Manual) -> None:
    named = {text for page, text in manual.literals() if page == "operations"}
    scripts = {path.name for path in (ROOT / "scripts").glob("tessmon_*")}
    assert scripts
    assert scripts <= named
