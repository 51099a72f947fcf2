# SPDX-License-Identifier: MIT
"""The command as people run it: exit codes, sentences, no tracebacks."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from tessmon.cli import COMMANDS, main
from tessmon.control.admin import AdminSocket
from tests.standin import PlainFace

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """A configuration that stays below the test's directory."""
    path = tmp_path / "tessmon.toml"
    path.write_text(
        f'[database]\ndsn = "host={tmp_path} dbname=none"\n'
        f'[journal]\ndirectory = "{tmp_path}/journals"\n'
        f'[admin]\nsocket = "{tmp_path}/admin.sock"\n'
    )
    return path


@pytest.fixture
def face() -> PlainFace:
    return PlainFace()


@pytest.fixture
def served(face: PlainFace, tmp_path: Path) -> Iterator[PlainFace]:
    """A coordinator that answers on the configured socket."""
    admin = AdminSocket(reactor, face, tmp_path / "admin.sock")
    admin.startService()
    yield face
    pytest_twisted.blockon(admin.stopService())


def tessmon(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=DEADLINE_S,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        cwd="/",
    )


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "tessmon", *map(str, arguments)]


def failed_with_a_sentence(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    assert done.stderr.startswith("tessmon: ")
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["--nonsense"],
        ["--conf", "x", "status"],
        ["run", "extra"],
        ["status", "extra"],
        ["status", "--jso"],
        ["pause", "--timeout", "0"],
        ["pause", "--for", "0s"],
        ["pause", "--for", "367d"],
        ["pause", "--for", "an hour"],
        ["resume", "--timeout", "soon"],
        ["reload", "now"],
        ["rejects"],
        ["rejects", "list", "--reason", "because"],
        ["rejects", "list", "--since", "yesterday"],
        ["rejects", "list", "--since", "999999999d"],
        ["rejects", "list", "--limit", "0"],
        ["rejects", "list", "--limit", "²"],
        ["rejects", "show"],
        ["rejects", "show", "-1"],
        ["rejects", "show", "99999999999999999999"],
        ["rejects", "retry"],
        ["rejects", "retry", "1", "--all"],
        ["rejects", "retry", "--all", "--reason", "invalid"],
        ["rejects", "retry", "--subject", "stars1"],
        ["rejects", "retry", "--all", "--subject", "stars1"],
        ["journal"],
        ["journal", "status", "extra"],
        ["db"],
        ["db", "drop"],
        ["db", "check", "extra"],
        ["config"],
        ["config", "show", "extra"],
        ["config", "init", "extra"],
        ["demo", "--for", "-1"],
        ["--print-completion", "cmd"],
    ],
)
def test_wrong_usage_is_told_with_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("usage: tessmon")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([name, "--help"])
    assert left.value.code == 0
    assert f"tessmon {name}" in capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_knows_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--print-completion", shell])
    assert left.value.code == 0
    script = capsys.readouterr().out
    assert all(name in script for name in COMMANDS)


def test_bash_takes_the_completion(tmp_path: Path) -> None:
    script = tmp_path / "tessmon.bash"
    script.write_text(tessmon("--print-completion", "bash").stdout)
    words = "COMP_WORDS=(tessmon rej); COMP_CWORD=1; _shtab_tessmon; echo ${COMPREPLY[@]}"
    done = subprocess.run(
        ["bash", "-c", f". {script}; {words}"], capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert done.stdout.split() == ["rejects"]


@pytest.mark.parametrize("name", ["status", "pause", "resume", "reload", "flush", "stop", "restart"])
def test_without_a_service_it_says_how_to_start_one(settings: Path, name: str) -> None:
    told = failed_with_a_sentence(tessmon("--config", settings, name))
    assert f"no service answers at {settings.parent}/admin.sock" in told
    assert "start it with `tessmon run`" in told


@pytest.mark.parametrize("verb", [["rejects", "list"], ["db", "check"], ["db", "migrate"]])
def test_without_a_database_it_is_one_sentence(settings: Path, verb: list[str]) -> None:
    told = failed_with_a_sentence(tessmon(*verb, "--config", settings))
    assert len(told.splitlines()) == 1


def test_without_a_driver_it_says_what_to_install(settings: Path, tmp_path: Path) -> None:
    (tmp_path / "absent").mkdir()
    (tmp_path / "absent" / "psycopg2.py").write_text("raise ImportError('no libpq here')")
    path = os.pathsep.join([str(tmp_path / "absent"), str(ROOT)])
    told = failed_with_a_sentence(tessmon("rejects", "list", "--config", settings, PYTHONPATH=path))
    assert "tessmon[binary]" in told
    assert "no libpq here" in told


def test_a_configuration_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    told = failed_with_a_sentence(tessmon("status", "--config", tmp_path / "none.toml"))
    assert "none.toml is not there" in told


def test_every_mistake_in_a_configuration_is_told(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("[mqtt]\nkeepalive_s = -1\nport = 3\n")
    told = failed_with_a_sentence(tessmon("config", "check", "--config", path))
    assert "keepalive_s" in told
    assert "no key port" in told
    as_json = tessmon("config", "check", "--json", "--config", path)
    assert as_json.returncode == 1
    assert len(json.loads(as_json.stdout)["problems"]) == 2


def test_a_mistake_in_a_schema_is_one_in_the_configuration(tmp_path: Path) -> None:
    path, schema = tmp_path / "files.toml", tmp_path / "codes.toml"
    path.write_text(f'[files]\ndirectories = ["{tmp_path}"]\nschemas = ["{schema}"]\n')
    schema.write_text('[[event]]\ncode = 20950\nname = "telem_new"\nfields = ["gain: real"]\n')
    told = failed_with_a_sentence(tessmon("config", "check", "--config", path))
    assert f"{schema}: event telem_new: field gain: nobody knows the type real" in told
    schema.write_text(schema.read_text().replace("real", "float32"))
    assert tessmon("config", "check", "--config", path).returncode == 0


def test_a_configuration_that_is_written_is_good_and_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "new" / "tessmon.toml"
    assert tessmon("config", "init", "--config", path).returncode == 0
    assert tessmon("config", "check", "--config", path).returncode == 0
    path.write_text("# mine\n")
    assert "--force" in failed_with_a_sentence(tessmon("config", "init", "--config", path))
    assert path.read_text() == "# mine\n"
    assert tessmon("config", "init", "--force", "--config", path).returncode == 0
    assert path.read_text() == tessmon("config", "init", "--stdout").stdout


def test_the_configuration_in_effect_is_shown_with_origins(settings: Path) -> None:
    shown = tessmon("config", "show", "--config", settings)
    assert f'socket = "{settings.parent}/admin.sock"' in shown.stdout
    listed = json.loads(tessmon("config", "show", "--json", "--config", settings).stdout)
    assert {"database", "journal", "writer", "admin"} <= {each["table"] for each in listed}


@pytest_twisted.ensureDeferred
async def test_status_tells_readiness_by_its_exit_code(served: PlainFace, settings: Path) -> None:
    ready = await deferToThread(tessmon, "status", "--config", settings)
    assert (ready.returncode, ready.stderr) == (0, "")
    assert "state       running" in ready.stdout
    served.readiness = (False, "the database is away")
    away = await deferToThread(tessmon, "status", "--json", "--config", settings)
    assert away.returncode == 1
    assert json.loads(away.stdout)["ready_detail"] == "the database is away"


@pytest_twisted.ensureDeferred
async def test_pause_resume_and_reload_reach_the_service(served: PlainFace, settings: Path) -> None:
    paused = await deferToThread(tessmon, "pause", "--config", settings, LOGNAME="ana")
    assert paused.returncode == 0
    assert paused.stdout.startswith("paused")
    resumed = await deferToThread(tessmon, "--config", settings, "resume", LOGNAME="ana")
    assert resumed.returncode == 0
    reloaded = await deferToThread(tessmon, "reload", "--config", settings)
    assert reloaded.stdout == "reloaded\n[log] level: info -> debug\n"
    asked = await deferToThread(tessmon, "reload", "--dry-run", "--config", settings)
    assert asked.stdout == "a reload would change\n[log] level: info -> debug\n"
    flushed = await deferToThread(tessmon, "flush", "--config", settings, LOGNAME="ana")
    assert flushed.stdout == "photometer: stored, all that was held back\n"
    assert served.asked == ["pause ana", "resume ana", "reload", "reload, dry run", "flush ana"]


@pytest_twisted.ensureDeferred
async def test_a_pause_has_an_end_and_a_name(served: PlainFace, settings: Path) -> None:
    paused = await deferToThread(
        tessmon, "pause", "--for", "2h", "--by", "ana's script", "--config", settings
    )
    assert paused.returncode == 0, paused.stderr
    assert "\nuntil 20" in paused.stdout
    again = await deferToThread(tessmon, "pause", "--config", settings, LOGNAME="bob")
    assert "until `tessmon resume`\nit was paused before, by ana's script" in again.stdout
    await deferToThread(tessmon, "resume", "--only-by", "eve", "--config", settings, LOGNAME="bob")
    assert served.asked == ["pause ana's script for 7200 s", "pause bob", "resume bob only by eve"]


@pytest_twisted.ensureDeferred
async def test_a_pause_that_takes_too_long_says_how_things_are(served: PlainFace, settings: Path) -> None:
    served.pausing = Deferred()
    told = failed_with_a_sentence(
        await deferToThread(tessmon, "pause", "--timeout", "1", "--config", settings)
    )
    assert "after 1 s the service still has a connection to the database" in told
    assert "writes stay paused" in told
    served.pausing.callback([])


@pytest.mark.parametrize(
    "mistake", ["[photometer]\ndeny = 5\n", "[photometer\n", "[admin]\nsockt = 3\n"], ids=str.split
)
@pytest_twisted.ensureDeferred
async def test_a_configuration_gone_wrong_keeps_nobody_from_the_service(
    served: PlainFace, settings: Path, mistake: str
) -> None:
    settings.write_text(settings.read_text() + mistake)
    resumed = await deferToThread(tessmon, "resume", "--config", settings)
    assert resumed.returncode == 0, resumed.stderr
    failed_with_a_sentence(await deferToThread(tessmon, "restart", "--config", settings))
    assert [each.split()[0] for each in served.asked] == ["resume"]


@pytest_twisted.ensureDeferred
async def test_journals_of_the_service_are_shown(served: PlainFace, settings: Path) -> None:
    shown = await deferToThread(tessmon, "journal", "status", "--config", settings)
    assert shown.returncode == 0
    assert "waiting for lane photometer: 3 frames" in shown.stdout
    listed = await deferToThread(tessmon, "journal", "status", "--json", "--config", settings)
    assert json.loads(listed.stdout)["journals"][0]["segments"] == 2


@pytest_twisted.ensureDeferred
async def test_a_reader_who_has_seen_enough_is_no_traceback(served: PlainFace, settings: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = await deferToThread(
        subprocess.run,
        command("status", "--config", settings),
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=DEADLINE_S,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("verb", ["check", "show"])
@pytest.mark.parametrize("redirection", ["> /dev/full", ">&-"])
def test_output_that_goes_nowhere_is_no_traceback(redirection: str, verb: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"$@" {redirection}', "sh", *command("config", verb)],
        stderr=subprocess.PIPE,
        text=True,
        timeout=DEADLINE_S,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    if redirection == ">&-":
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.endswith("No space left on device\n")


def test_the_version_is_told() -> None:
    done = tessmon("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("tessmon ")


@pytest_twisted.ensureDeferred
async def test_a_terminal_without_letters_gets_escapes(served: PlainFace, settings: Path) -> None:
    served.readiness = (True, "größer")
    done = await deferToThread(
        tessmon, "status", "--config", settings, PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C"
    )
    assert done.returncode == 0
    assert "gr\\xf6\\xdfer" in done.stdout


def test_control_c_is_one_word(settings: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(settings.parent / "admin.sock"))
        silent.listen()
        waiting = subprocess.Popen(
            command("status", "--config", settings),
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        connection, _ = silent.accept()
        connection.recv(1000)
        waiting.send_signal(signal.SIGINT)
        _, told = waiting.communicate(timeout=DEADLINE_S)
        connection.close()
    assert (waiting.returncode, told) == (1, "tessmon: interrupted\n")
