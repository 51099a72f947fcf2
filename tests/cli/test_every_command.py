# SPDX-License-Identifier: MIT
"""What every command keeps: a help, JSON of its listings, and completion in the shells."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from tessmon.cli import main, parser
from tessmon.cli.completion import leaves
from tessmon.control.admin import AdminSocket
from tests.postgres import Database
from tests.standin import PlainFace

ROOT = Path(__file__).parents[2]
LISTINGS = {"list", "show", "history", "status", "check", "doctor", "tail", "codes"}
"""Last words of commands that show something."""

ARGUMENTS = {
    ("photometer", "show"): ["stars1"],
    ("photometer", "history"): ["stars1"],
    ("rejects", "show"): ["1"],
    ("doctor",): ["configuration", "unit"],
    ("files", "verify"): ["telem/camwfs_20260101000000000000000.bintel"],
    ("telemetry", "show"): ["camwfs"],
    ("telemetry", "tail"): ["camwfs", "--limit", "1"],
    ("vlbimon", "masterlist"): ["--file", str(ROOT / "tests" / "vlbimon" / "masterlist.json")],
    ("vlbimon", "load"): ["telem"],
}
"""What a listing is asked here, where it wants to be asked something."""

IN_A_PROCESS = {("vlbimon", "history")}
"""Listings with a reactor of their own: they are asked elsewhere."""

ROWS = """
INSERT INTO rejects (lane, origin, position, received_at, reason, detail, topic, envelope, payload)
VALUES ('photometer', 'x', '{1,1,1}', now(), 'not_json', 'no JSON', 't', '\\x00', '\\x6e6f');
INSERT INTO tess_t (mac_address, valid_since, zp1) VALUES ('01:02:03:04:05:06', '2026-01-01', 20.25);
INSERT INTO name_to_mac_t (name, mac_address, valid_since) VALUES ('stars1', '01:02:03:04:05:06', '2026-01-01');
SELECT tessmon_ensure_partitions('telem', '{2026-01-01}');
INSERT INTO file_origins (origin_host, origin_path, modification_time, creation_time, size_bytes, device, kind, fsid,
                          inode, head_bytes)
VALUES ('exao1', '/telem/camwfs', '2026-01-01', '2026-01-01', 0, 'camwfs', 'bintel', 1, 1, 0);
INSERT INTO telem (ts, ns, file_id, file_offset, digest, device, ec, prio, msg)
VALUES ('2026-01-01', 0, 1, 0, 1, 'camwfs', 'telem_stdcam', 'TELM', '{"fps": 1.5}')
"""

COMPLETE = """
source "$1"; shift
function=$(complete -p tessmon | sed 's/.* -F \\([^ ]*\\) .*/\\1/')
COMP_WORDS=(tessmon "$@"); COMP_CWORD=$#; COMPREPLY=()
$function tessmon "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""

COMMANDS = dict(leaves(parser()))


def has_json(words: tuple[str, ...]) -> bool:
    return any("--json" in action.option_strings for action in COMMANDS[words]._actions)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_and_argument_has_a_help(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    command = COMMANDS[words]
    assert command.description
    assert [action.dest for action in command._actions if not action.help] == []
    with pytest.raises(SystemExit) as left:
        main([*words, "--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert f"usage: tessmon {' '.join(words)}" in shown
    assert max(map(len, shown.splitlines())) <= 100


def test_every_word_is_told_in_the_help_above_it(capsys: pytest.CaptureFixture[str]) -> None:
    for above in {words[:-1] for words in COMMANDS}:
        with pytest.raises(SystemExit):
            main([*above, "--help"])
        listed = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("    ")]
        told = {line[0] for line in listed if len(line) > 1} | {line[0] for line in listed}
        assert {words[len(above)] for words in COMMANDS if words[: len(above)] == above} <= told


def test_every_listing_takes_json() -> None:
    listings = {words for words in COMMANDS if words[-1] in LISTINGS}
    assert listings
    assert {words for words in listings if not has_json(words)} == set()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Path]:
    """The socket of a coordinator that answers."""
    path = tmp_path / "admin.sock"
    admin = AdminSocket(reactor, PlainFace(), path)
    admin.startService()
    yield path
    pytest_twisted.blockon(admin.stopService())


@pytest_twisted.ensureDeferred
async def test_every_listing_prints_json(
    served: Path,
    database: Database,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A command that wants to be asked something must have its question among the ``ARGUMENTS``."""
    database.execute(ROWS)
    (tmp_path / "telem").mkdir()
    (tmp_path / "telem" / "camwfs_20260101000000000000000.bintel").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    settings = tmp_path / "tessmon.toml"
    settings.write_text(
        f'[database]\ndsn = "{database.dsn}"\n[admin]\nsocket = "{served}"\n[journal]\ndirectory = "{tmp_path}/state"\n'
        f'[files]\nhost = "exao1"\ndirectories = ["{tmp_path}/telem"]\n'
    )
    settings.chmod(0o600)
    for words in filter(has_json, COMMANDS):
        if words in IN_A_PROCESS:
            continue
        line = ["--config", str(settings), *words, *ARGUMENTS.get(words, []), "--json"]
        code = await deferToThread(main, line)
        told = capsys.readouterr()
        assert (words, code, told.err) == (words, 0, ""), told
        assert json.loads(told.out) is not None


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with bash's completion script."""
    directory = tmp_path_factory.mktemp("completion")
    (directory / "tessmon").write_text(script_of("bash"))
    (directory / "complete").write_text(COMPLETE)
    return directory


def script_of(shell: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tessmon", "--print-completion", shell],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return done.stdout


def completions(bash: Path, *words: str) -> list[str]:
    """What bash offers when TAB is pressed behind the last word."""
    done = subprocess.run(
        ["bash", "--norc", bash / "complete", bash / "tessmon", *words],
        capture_output=True,
        text=True,
        cwd=bash,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_bash_takes_the_script(bash: Path) -> None:
    subprocess.run(["bash", "-n", bash / "tessmon"], check=True)


def test_bash_completes_every_command(bash: Path) -> None:
    firsts = {words[0] for words in COMMANDS}
    assert set(completions(bash, "")) == firsts
    for first in {words[0] for words in COMMANDS if len(words) == 2}:
        assert set(completions(bash, first, "")) == {words[1] for words in COMMANDS if words[0] == first}


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["pho"], ["photometer"]),
        (["photometer", "his"], ["history"]),
        (["doctor", "cer"], ["certificates"]),
        (["doctor", "broker", "cl"], ["clock"]),
        (["status", "--js"], ["--json"]),
        (["rejects", "list", "--reason", "not_"], ["not_json"]),
        (["demo", "--postgres", "w"], ["wheel"]),
        (["--config", "tess"], ["tessmon"]),
        (["status", "--config", "tess"], ["tessmon"]),
        (["nonsense", "--config", "x"], []),
    ],
)
def test_bash_completes_words_choices_and_files(bash: Path, words: list[str], offered: list[str]) -> None:
    assert completions(bash, *words) == offered


def test_directories_are_completed_with_directories(bash: Path) -> None:
    (bash / "there").mkdir(exist_ok=True)
    (bash / "there.txt").touch()
    assert completions(bash, "demo", "--directory", "the") == ["there"]
    assert set(completions(bash, "--config", "the")) == {"there", "there.txt"}


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_other_shells_are_told_every_command(shell: str) -> None:
    script = script_of(shell)
    for words in COMMANDS:
        assert all(word in script for word in words)
    if shell == "zsh":
        assert script.startswith("#compdef tessmon")
