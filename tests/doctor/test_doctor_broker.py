# SPDX-License-Identifier: MIT
"""What the doctor measures at brokers whose settings are known."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tessmon.config.model import Mqtt
from tessmon.demo.guarded import free_port
from tessmon.demo.servers import Broker
from tessmon.doctor.finding import Finding, Verdict
from tessmon.doctor.patience import Patience
from tessmon.doctor.probe import Account, Probe
from tessmon.doctor.reach import UnreachableError, tcp_socket
from tests.doctor.examined import configured, examined, verdicts
from tests.sources.certificates import Identity, make_identity

MakeBroker = Callable[..., Broker]
OK, WARNING, FAULT, NOT_CHECKED = Verdict.OK, Verdict.WARNING, Verdict.FAULT, Verdict.NOT_CHECKED

GENEROUS = ("max_queued_messages 100000", "max_inflight_messages 200", "queue_qos0_messages true")
ALL_MEASURED = {
    "broker",
    "broker limits",
    "broker subscriptions",
    "broker round trip",
    "broker session",
    "broker window",
    "broker queue",
    "broker QoS 0",
}


def look(broker: Broker, directory: Path, messages: int = 0, **mqtt: Any) -> dict[str, Finding]:
    return examined("broker", configured(directory, mqtt={"broker": broker.url, **mqtt}), messages)


def known(broker: Broker, client_id: str, **mqtt: Any) -> bool:
    """Whether the broker has a session for this id."""
    with Probe(Account(Mqtt(broker=broker.url, **mqtt), None, client_id, False, 60), Patience(30)) as probe:
        return probe.session_present


def doctors(broker: Broker) -> set[str]:
    """Client ids of the doctor, by the broker's log."""
    return set(re.findall(r"as (tessmon-doctor-\w+) ", broker.log.read_text()))


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_a_well_made_broker_has_no_fault(broker_with: MakeBroker, tmp_path: Path, protocol: str) -> None:
    broker = broker_with(*GENEROUS)
    found = look(broker, tmp_path, 400, protocol=protocol, receive_maximum=150)
    assert verdicts(found) == dict.fromkeys(ALL_MEASURED, OK)
    assert "all 400 messages were kept" in found["broker queue"].found
    assert ("200" if protocol == "3.1.1" else "150") in found["broker window"].found
    assert "receive maximum 200" in found["broker limits"].found


def test_window_and_queue_are_what_the_broker_is_set_to(broker_with: MakeBroker, tmp_path: Path) -> None:
    broker = broker_with("max_queued_messages 60", "max_inflight_messages 7", "queue_qos0_messages false")
    found = look(broker, tmp_path, 200, client_id="the-service")
    assert found["broker window"].found.startswith("7 messages")
    assert "of 200 messages 60 were kept" in found["broker queue"].found
    assert "max_queued_messages" in found["broker queue"].advice
    assert found["broker QoS 0"].found.startswith("0 of 5")
    assert {found[f"broker {each}"].verdict for each in ("window", "queue", "QoS 0")} == {WARNING}
    assert "the-service" not in broker.log.read_text()
    assert doctors(broker)
    assert not any(known(broker, client_id) for client_id in doctors(broker))


def test_without_messages_nothing_is_published(broker_with: MakeBroker, tmp_path: Path) -> None:
    broker = broker_with("log_type all")
    found = look(broker, tmp_path)
    assert found["broker queue"].verdict is NOT_CHECKED
    assert found["broker subscriptions"].verdict is OK
    assert "PUBLISH" not in broker.log.read_text()


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_who_may_not_publish_learns_that(
    broker_with: MakeBroker, tmp_path: Path, readable: Path, protocol: str
) -> None:
    rules = readable / "rules"
    rules.write_text("topic read #\n")
    rules.chmod(0o644)
    found = look(broker_with(f"acl_file {rules}"), tmp_path, 10, protocol=protocol)
    assert found["broker subscriptions"].verdict is OK
    assert found["broker queue"].verdict is NOT_CHECKED
    assert "publish" in found["broker queue"].found
    assert "tessmon/doctor/#" in found["broker queue"].advice
    assert "broker window" not in found


def test_topics_that_are_not_granted_are_a_fault(
    broker_with: MakeBroker, tmp_path: Path, readable: Path
) -> None:
    """mosquitto's access file refuses no subscription, its plugin does."""
    [plugin] = Path("/usr/lib").glob("*/mosquitto_dynamic_security.so")
    rules = readable / "rules.json"
    allowed = {
        "publishClientSend": True,
        "publishClientReceive": True,
        "subscribe": False,
        "unsubscribe": True,
    }
    rules.write_text(json.dumps({"defaultACLAccess": allowed, "clients": [], "groups": [], "roles": []}))
    rules.chmod(0o644)
    found = look(
        broker_with(f"plugin {plugin}", f"plugin_opt_config_file {rules}"),
        tmp_path,
        10,
        reading_topics=["a/+/b"],
    )
    assert found["broker subscriptions"].verdict is FAULT
    assert found["broker subscriptions"].found == "not granted: STARS4ALL/register, a/+/b"
    assert "not let this user subscribe" in found["broker queue"].found


def test_a_wrong_password_is_named(broker_with: MakeBroker, tmp_path: Path, readable: Path) -> None:
    passwords = readable / "passwords"
    subprocess.run(
        ["mosquitto_passwd", "-b", "-c", passwords, "ana", "right"], check=True, capture_output=True
    )
    passwords.chmod(0o644)
    broker = broker_with("allow_anonymous false", f"password_file {passwords}")
    secret = tmp_path / "password"
    for text, verdict in (("right", OK), ("wrong", FAULT)):
        secret.write_text(text)
        secret.chmod(0o600)
        found = look(broker, tmp_path, username="ana", password_file=str(secret))
        assert found["broker"].verdict is verdict
    assert "correct [mqtt] username" in found["broker"].found
    assert set(found) == {"broker"}


def test_a_secret_that_systemd_keeps_is_not_guessed(broker_with: MakeBroker, tmp_path: Path) -> None:
    found = look(broker_with(), tmp_path, username="ana", password_file="credential:mqtt")
    assert found["broker"].verdict is NOT_CHECKED
    assert "CREDENTIALS_DIRECTORY" in found["broker"].advice


def test_nobody_at_the_port_is_a_fault(tmp_path: Path) -> None:
    loaded = configured(tmp_path, mqtt={"broker": f"mqtt://127.0.0.1:{free_port()}"})
    found = examined("broker", loaded)
    assert verdicts(found) == {"broker": FAULT}
    assert "Connection refused" in found["broker"].found


def test_a_name_that_nobody_knows_is_told() -> None:
    with pytest.raises(UnreachableError, match="can't be looked up"):
        tcp_socket(f"{'x' * 64}.test", 1883, Patience(30))


def test_something_else_at_the_port_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            connection.recv(100)
            connection.close()

        thread = Thread(target=answer)
        thread.start()
        found = examined(
            "broker", configured(tmp_path, mqtt={"broker": f"mqtt://127.0.0.1:{server.getsockname()[1]}"})
        )
        thread.join()
    assert found["broker"].verdict is FAULT
    assert "at our first packet" in found["broker"].found


def test_a_broker_that_goes_by_the_user_name_keeps_its_session(
    broker_with: MakeBroker, tmp_path: Path
) -> None:
    """Else the doctor would take all that waits for the service."""
    broker = broker_with("use_username_as_clientid true")
    service = {"username": "ana"}
    assert not known(broker, "tessmon-x", **service)
    found = look(broker, tmp_path, 10, **service)
    assert verdicts(found) == {"broker": FAULT}
    assert "use_username_as_clientid" in found["broker"].advice
    assert known(broker, "tessmon-x", **service)


def test_a_service_that_takes_every_topic_sees_no_message_of_the_doctor(
    broker_with: MakeBroker, tmp_path: Path
) -> None:
    broker = broker_with(*GENEROUS)
    with Probe(Account(Mqtt(broker=broker.url), None, "the-service", False, None), Patience(60)) as service:
        service.subscribe(["#"])
        found = look(broker, tmp_path, 50, reading_topics=["#"], register_topic="r")
        service.fence("$x")
        assert service.arrived == []
    assert "all 50 messages were kept" in found["broker queue"].found


def tls(
    broker_with: MakeBroker, readable: Path, authority: Identity, *lines: str, **identity: Any
) -> tuple[Broker, dict[str, Any]]:
    """A broker with a certificate, and the configuration to reach it."""
    number = len(list(readable.iterdir()))
    server = make_identity(readable, f"server{number}", authority, **identity)
    for file in (server.key_file, server.certificate_file):
        file.chmod(0o644)
    copy = readable / "authority.crt"
    copy.write_bytes(authority.certificate_file.read_bytes())
    broker = broker_with(
        f"cafile {copy}", f"certfile {server.certificate_file}", f"keyfile {server.key_file}", *lines
    )
    given = {"broker": f"mqtts://localhost:{broker.port}", "ca_file": str(authority.certificate_file)}
    return broker, given


def look_at_tls(directory: Path, mqtt: dict[str, Any]) -> tuple[Finding, Finding]:
    """(of the broker, of its certificate)"""
    loaded = configured(directory, mqtt=mqtt, database={"dsn": "host=/nowhere"})
    return examined("broker", loaded)["broker"], examined("certificates", loaded)["certificate broker"]


def test_certificates_are_judged_by_their_days(
    broker_with: MakeBroker, tmp_path: Path, readable: Path
) -> None:
    authority = make_identity(tmp_path, "authority")
    _, soon = tls(broker_with, readable, authority, days=(-1, 5))
    connected, certificate = look_at_tls(tmp_path, soon)
    assert (connected.verdict, certificate.verdict) == (OK, WARNING)
    assert "TLSv1." in connected.found
    assert certificate.found.startswith("4 days left")
    _, expired = tls(broker_with, readable, authority, days=(-30, -1))
    connected, certificate = look_at_tls(tmp_path, expired)
    assert (connected.verdict, certificate.verdict) == (FAULT, FAULT)
    assert "certificate has expired" in connected.found
    assert "has expired on" in certificate.found


def test_a_certificate_of_somebody_else_is_refused(
    broker_with: MakeBroker, tmp_path: Path, readable: Path
) -> None:
    authority = make_identity(tmp_path, "authority", days=(-1, 400))
    _, other_name = tls(broker_with, readable, authority, hosts=("example.test",), days=(-1, 200))
    connected, certificate = look_at_tls(tmp_path, other_name)
    assert (connected.verdict, certificate.verdict) == (FAULT, OK)
    assert "not for localhost" in connected.found
    stranger = make_identity(tmp_path, "stranger")
    connected, _ = look_at_tls(tmp_path, {**other_name, "ca_file": str(stranger.certificate_file)})
    assert "can't be trusted" in connected.found


def test_a_broker_that_wants_a_certificate_of_ours(
    broker_with: MakeBroker, tmp_path: Path, readable: Path
) -> None:
    authority = make_identity(tmp_path, "authority", days=(-1, 400))
    _, given = tls(broker_with, readable, authority, "require_certificate true", days=(-1, 200))
    connected, _ = look_at_tls(tmp_path, given)
    assert connected.verdict is FAULT
    client = make_identity(tmp_path, "client", authority, days=(-1, 3))
    client.key_file.chmod(0o600)
    given |= {"cert_file": str(client.certificate_file), "key_file": str(client.key_file)}
    loaded = configured(tmp_path, mqtt=given, database={"dsn": "host=/nowhere"})
    assert examined("broker", loaded)["broker"].verdict is OK
    found = examined("certificates", loaded)
    assert found["certificate cert_file"].verdict is WARNING
    assert found["certificate ca_file"].verdict is OK


def test_plain_mqtt_to_a_tls_port_is_told(broker_with: MakeBroker, tmp_path: Path) -> None:
    plain = broker_with()
    connected, certificate = look_at_tls(tmp_path, {"broker": f"mqtts://localhost:{plain.port}"})
    assert (connected.verdict, certificate.verdict) == (FAULT, NOT_CHECKED)
    assert "port for TLS" in connected.found


def test_a_configuration_without_mqtt_has_nothing_to_look_at(tmp_path: Path) -> None:
    assert verdicts(examined("broker", configured(tmp_path))) == {"broker": NOT_CHECKED}
