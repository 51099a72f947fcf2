# SPDX-License-Identifier: MIT
"""The machine around the service: disk, unit, files, and the configuration."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tessmon.doctor.finding import Finding, Verdict
from tessmon.doctor.journal import file_system_of
from tessmon.doctor.patience import Patience
from tessmon.doctor.unit import admin_socket, exposure_of
from tests.doctor.examined import configured, examined, verdicts

OK, WARNING, FAULT, NOT_CHECKED = Verdict.OK, Verdict.WARNING, Verdict.FAULT, Verdict.NOT_CHECKED
ROOT = Path(__file__).parents[2]
MIB = 1 << 20


def journal(tmp_path: Path, directory: Path, **keys: Any) -> dict[str, Finding]:
    keys = {"min_free_bytes": 0, "max_bytes": MIB, **keys, "directory": str(directory)}
    return examined("journal", configured(tmp_path, journal=keys))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A directory with the journal of one source."""
    directory = tmp_path / "state"
    (directory / "mqtt").mkdir(parents=True)
    (directory / "mqtt" / "lock").touch()
    return directory


def test_a_good_disk_has_no_trouble_and_keeps_no_file(tmp_path: Path, state: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    found = journal(tmp_path, state)
    assert verdicts(found) == dict.fromkeys(
        ["journal room", "journal disk", "journal sync", "journal mqtt"], OK
    )
    assert [each for each in sorted(tmp_path.rglob("*")) if each.name != "tessmon.toml"] == before


def test_room_is_compared_with_what_is_configured(tmp_path: Path, state: Path) -> None:
    full = journal(tmp_path, state, min_free_bytes=1 << 49)["journal room"]
    assert full.verdict is FAULT
    short = journal(tmp_path, state, max_bytes=1 << 49)["journal room"]
    assert short.verdict is WARNING
    assert "max_bytes 512.0 TiB" in short.found


def test_a_disk_in_memory_is_warned_of(tmp_path: Path) -> None:
    directory = Path(f"/dev/shm/{tmp_path.parent.name}-{tmp_path.name}")
    directory.mkdir()
    try:
        found = journal(tmp_path, directory)["journal disk"]
    finally:
        shutil.rmtree(directory)
    assert found.verdict is WARNING
    assert "tmpfs" in found.found


def test_a_disk_that_takes_no_file_is_a_fault(tmp_path: Path) -> None:
    found = journal(tmp_path, Path("/proc"))["journal sync"]
    assert found.verdict is FAULT
    assert "can't be written" in found.found


def test_damaged_files_are_counted(tmp_path: Path, state: Path) -> None:
    (state / "mqtt" / f"{1:020}.journal.damaged").touch()
    found = journal(tmp_path, state)["journal mqtt"]
    assert found.verdict is WARNING
    assert f"{1:020}.journal.damaged" in found.found


def test_a_journal_that_was_never_made_is_not_judged(tmp_path: Path) -> None:
    assert verdicts(journal(tmp_path, tmp_path / "a" / "b")) == {"journal": NOT_CHECKED}


def test_the_file_system_is_the_one_mounted_nearest() -> None:
    mounts = "\n".join(
        [
            "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw",
            "28 27 0:30 / /mnt/a\\040b rw shared:1 master:2 - nfs4 server:/x rw",
            "29 27 0:31 / /mnt/a rw - tmpfs tmpfs rw",
        ]
    )
    kinds = [file_system_of(Path(each), mounts) for each in ("/mnt/a b/c", "/mnt/a/c", "/mnt/abc", "/")]
    assert kinds == ["nfs4", "tmpfs", "ext4", "ext4"]


def systemd_analyze() -> str:
    found = shutil.which("systemd-analyze")
    assert found is not None
    return found


def test_a_units_exposure_is_measured(tmp_path: Path) -> None:
    own = ROOT / "etc" / "systemd" / "tessmon.service"
    assert exposure_of(systemd_analyze(), own, Patience(60)).verdict is OK
    open_unit = tmp_path / "tessmon.service"
    open_unit.write_text("[Service]\nExecStart=/bin/true\n")
    found = exposure_of(systemd_analyze(), open_unit, Patience(60))
    assert found.verdict is WARNING
    assert "of 10" in found.found
    nonsense = tmp_path / "nonsense.service"
    nonsense.write_text("nonsense\n")
    assert exposure_of(systemd_analyze(), nonsense, Patience(60)).verdict is NOT_CHECKED


def unit(tmp_path: Path, mode: int = 0o600, **tables: dict[str, Any]) -> dict[str, Finding]:
    loaded = configured(tmp_path, **tables)
    (tmp_path / "tessmon.toml").chmod(mode)
    return examined("unit", loaded)


def test_a_password_in_a_readable_configuration_is_a_fault(tmp_path: Path) -> None:
    tables = {"database": {"dsn": "host=h dbname=d password=secret"}}
    readable = unit(tmp_path, 0o644, **tables)["unit secrets"]
    assert readable.verdict is FAULT
    assert "secret" not in readable.found.replace("at the secret", "")
    assert unit(tmp_path, 0o600, **tables)["unit secrets"].verdict is OK
    assert unit(tmp_path, 0o644)["unit secrets"].verdict is OK


def test_a_secret_that_others_can_read_by_now_is_a_fault(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("x")
    secret.chmod(0o600)
    loaded = configured(tmp_path, database={"password_file": str(secret)})
    assert examined("unit", loaded)["unit secrets"].verdict is OK
    secret.chmod(0o644)
    found = examined("unit", loaded)["unit secrets"]
    assert found.verdict is FAULT
    assert f"chmod 600 {secret}" in found.found


@pytest.mark.parametrize(
    ("mode", "directory_mode", "verdict"),
    [(0o600, 0o755, OK), (0o660, 0o755, OK), (0o666, 0o755, FAULT), (0o666, 0o750, OK)],
)
def test_everybodys_admin_socket_is_a_fault(
    tmp_path: Path, mode: int, directory_mode: int, verdict: Verdict
) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    path = directory / "admin.sock"
    assert admin_socket(path).verdict is NOT_CHECKED
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.fspath(path))
        path.chmod(mode)
        directory.chmod(directory_mode)
        assert admin_socket(path).verdict is verdict
    path.unlink()
    path.touch()
    assert admin_socket(path).verdict is FAULT


@pytest.mark.parametrize(
    ("listen", "verdict"),
    [
        ("127.0.0.1:8270", OK),
        ("[::1]:8270", OK),
        ("", OK),
        ("0.0.0.0:8270", WARNING),
        ("192.0.2.1:80", WARNING),
    ],
)
def test_a_web_face_for_everybody_is_warned_of(tmp_path: Path, listen: str, verdict: Verdict) -> None:
    assert unit(tmp_path, web={"listen": listen})["unit web"].verdict is verdict


def test_a_configuration_without_a_service_is_good(tmp_path: Path) -> None:
    found = examined("configuration", configured(tmp_path))
    assert verdicts(found) == {"configuration": OK, "service": NOT_CHECKED}


def test_what_answers_and_is_no_service_is_a_fault(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "admin.sock"))
        other.listen()

        def answer() -> None:
            connection, _ = other.accept()
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno")
            connection.close()

        thread = Thread(target=answer)
        thread.start()
        found = examined("configuration", configured(tmp_path))
        thread.join()
    assert verdicts(found) == {"configuration": OK, "service": FAULT}
    assert "no tessmon service" in found["service"].found
