# SPDX-License-Identifier: MIT
"""The unit: as systemd judges it, as the program and the README have it, and the service in its filter."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tessmon.cli import parser
from tessmon.config import places
from tessmon.config.secrets import CREDENTIAL
from tessmon.control.notify import EXTENSION_S
from tessmon.demo.guarded import free_port
from tessmon.demo.servers import Broker, new_directory
from tests.etc.unit import Unit
from tests.observatory import Publisher, Service, reading, wait_accounted, wait_for
from tests.sources.certificates import make_identity

ROOT = Path(__file__).parents[2]
FILE = ROOT / "etc" / "systemd" / "tessmon.service"
UNIT = Unit(FILE)
USERS = ROOT / "etc" / "sysusers.d" / "tessmon.conf"
TOP_MEMORY_BYTES = 120 << 20
FILTERED = [sys.executable, str(ROOT / "tests" / "etc" / "filtered.py"), str(FILE)]


def systemd(*command: str) -> str:
    """What one of systemd's programs says, standard error too."""
    answer = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert answer.returncode == 0, answer.stdout
    return answer.stdout


def test_its_exposure_is_small() -> None:
    systemd("systemd-analyze", "security", "--offline=yes", "--threshold=15", str(FILE))


def test_systemd_finds_no_fault_with_it(tmp_path: Path) -> None:
    """The programs are not where the unit looks for them; an empty answer says that every line is known."""
    unit = tmp_path / "tessmon.service"
    text = FILE.read_text()
    for command in (UNIT.one("ExecStart"), UNIT.one("ExecReload")):
        text = text.replace(f"={command}\n", f"={shutil.which('true')}\n")
    unit.write_text(text)
    assert systemd("systemd-analyze", "verify", str(unit)) == ""


def test_its_commands_are_ours() -> None:
    for command in (UNIT.one("ExecStart"), UNIT.one("ExecReload")):
        program, *arguments = command.split()
        assert program == "tessmon"
        parser().parse_args(arguments)


def test_it_lives_where_the_program_looks_and_where_the_readme_says() -> None:
    configuration, secrets = UNIT.one("ConfigurationDirectory").split()
    assert Path("/etc", configuration) == places.SERVICE_CONFIGURATION.parent
    assert Path("/var/lib", UNIT.one("StateDirectory")) == places.SERVICE_STATE
    assert Path("/run", UNIT.one("RuntimeDirectory")) == places.SERVICE_RUNTIME
    told = [places.SERVICE_CONFIGURATION, places.SERVICE_STATE, places.SERVICE_RUNTIME / places.ADMIN_SOCKET]
    comment = next(line for line in FILE.read_text().splitlines() if line.startswith("# /etc/tessmon"))
    assert comment == "# " + ", ".join(map(str, told))
    readme = (ROOT / "README.rst").read_text()
    for path in (places.SERVICE_CONFIGURATION, FILE.relative_to(ROOT), USERS.relative_to(ROOT)):
        assert str(path) in readme
    name, _, source = UNIT.one("LoadCredential").partition(":")
    assert Path(source) == Path("/etc", secrets)
    assert f"file /etc/{secrets}/database " in FILE.read_text()
    assert f'password_file = "{CREDENTIAL}{name}_database"' in FILE.read_text()


def test_its_user_is_made() -> None:
    assert USERS.read_text().splitlines()[-1].split()[:2] == ["u", UNIT.one("User")]
    systemd("systemd-sysusers", "--dry-run", str(USERS))


def test_its_limits_have_room_for_what_is_promised() -> None:
    assert int(UNIT.one("MemoryMax").removesuffix("M")) << 20 > 1.5 * TOP_MEMORY_BYTES
    assert int(UNIT.one("TimeoutStartSec")) > EXTENSION_S


def filtered(*arguments: str) -> str:
    """What Python says that runs within the filter."""
    return subprocess.run(
        [*FILTERED, sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ).stdout


def test_the_filter_refuses_what_it_does_not_let_through() -> None:
    said = filtered(
        "-c",
        "import os, socket\n"
        "for call in (lambda: os.nice(1), lambda: socket.socket(socket.AF_NETLINK)):\n"
        "    try: call()\n"
        "    except PermissionError: print('refused')\n",
    )
    assert said == "refused\n" * 2


@pytest.fixture
def tls_broker(tmp_path: Path) -> Iterator[tuple[Broker, dict[str, Any]]]:
    """One that speaks plainly to publishers and TLS to the service, and what the service must know."""
    authority = make_identity(tmp_path, "authority")
    server = make_identity(tmp_path, "server", authority)
    directory, port = new_directory("tessmon-tls-broker-"), free_port()
    lines = [f"listener {port} 127.0.0.1"]
    files = (authority.certificate_file, server.certificate_file, server.key_file)
    for name, path in zip(("cafile", "certfile", "keyfile"), files, strict=True):
        shutil.copy(path, directory / name)
        (directory / name).chmod(0o644)
        lines.append(f"{name} {directory / name}")
    broker = Broker(directory, kind="mosquitto", lines=lines)
    broker.start()
    yield broker, {"broker": f"mqtts://localhost:{port}", "ca_file": str(authority.certificate_file)}
    broker.stop()
    shutil.rmtree(directory)


def test_the_service_works_within_the_filter(
    tls_broker: tuple[Broker, dict[str, Any]], database: Any, make_service: Callable[..., Service]
) -> None:
    """With TLS to the broker, name lookup, the database, the journal, and a reload."""
    broker, mqtt = tls_broker
    service = make_service(broker, database, mqtt=mqtt)
    service.prefix = FILTERED
    service.start()
    wait_for(lambda: service.source_state() == "connected", "the broker's session")
    publisher = Publisher(broker, "photometers")
    publisher.register("stars1", "AA:BB:CC:00:00:01")
    publisher.publish(*reading("stars1", 1))
    publisher.flush()
    publisher.close()
    assert wait_accounted(database.dsn, 2, service)["stored"] == 1
    assert filtered("-m", "tessmon", "reload", "--config", str(service.config)) == "nothing changed\n"
    assert service.stop() == 0
