# SPDX-License-Identifier: MIT
"""What the doctor finds at vlbimon servers, and how little it asks of them."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest

from tessmon.doctor.finding import Finding, Verdict
from tests.doctor.examined import configured, examined
from tests.sources.certificates import make_identity
from tests.vlbimon_doors import Scheme
from tests.vlbimon_server import VlbimonServer, vlbimon_server

__all__ = ["vlbimon_server"]

OK, WARNING, FAULT, NOT_CHECKED = Verdict.OK, Verdict.WARNING, Verdict.FAULT, Verdict.NOT_CHECKED


def looked(directory: Path, *urls: str, check: str = "vlbimon", **keys: Any) -> dict[str, Finding]:
    """Findings, by what follows the server's name where there is one server."""
    keys = {key: str(value) if isinstance(value, Path) else value for key, value in keys.items()}
    found = examined(check, configured(directory, vlbimon={"servers": urls, **keys}))
    place = f"vlbimon {urlsplit(urls[0]).netloc}"
    return {
        subject.removeprefix(place).strip() if len(urls) == 1 else subject: one
        for subject, one in found.items()
    }


def said(found: dict[str, Finding]) -> dict[str, Verdict]:
    return {subject: one.verdict for subject, one in found.items()}


@pytest.fixture
def dead_url() -> Iterator[str]:
    """Where nobody answers."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


def test_without_the_table_nothing_is_looked_at(tmp_path: Path) -> None:
    [finding] = examined("vlbimon", configured(tmp_path)).values()
    assert finding.verdict is NOT_CHECKED


def test_a_good_server_is_asked_twice_and_makes_no_session(
    vlbimon_server: VlbimonServer, tmp_path: Path
) -> None:
    auth_file = vlbimon_server.auth_file(tmp_path / "secrets.yaml")
    found = looked(tmp_path, vlbimon_server.url, auth_file=auth_file, stations=["KP", "SMA"])
    assert said(found) == dict.fromkeys(("vlbimon auth_file", "", "masterlist", "clock", "login"), OK)
    assert "11 stations, " in found["masterlist"].found
    assert "history is given as user Your Name with basicauth" in found["login"].found
    assert [each.call for each in vlbimon_server.asked()] == ["masterlist", "history"]
    [history] = vlbimon_server.asked("history")
    assert (len(history.query["observatory"]), len(history.query["field"])) == (1, 1)
    assert int(history.query["endTime"][0]) - int(history.query["startTime"][0]) == 1
    assert history.session is None


@pytest.mark.parametrize("scheme", ["digest", "digest-sha256"])
def test_digest_is_spoken_over_tls(vlbimon_server: VlbimonServer, tmp_path: Path, scheme: Scheme) -> None:
    vlbimon_server.set_keys(scheme)
    auth_file = vlbimon_server.auth_file(tmp_path / "secrets.yaml", scheme="digestauth")
    keys = {"auth_file": auth_file, "ca_file": vlbimon_server.ca_file}
    found = looked(tmp_path, vlbimon_server.secure_url, **keys)
    assert set(said(found).values()) == {OK}
    assert "over TLSv1" in found[""].found
    assert [each.call for each in vlbimon_server.asked()] == ["masterlist", "history", "history"]
    wrong = vlbimon_server.auth_file(tmp_path / "wrong.yaml", "wrong", "digestauth")
    found = looked(tmp_path, vlbimon_server.secure_url, **{**keys, "auth_file": wrong})
    assert found["login"].verdict is FAULT
    assert "does not take the name and password" in found["login"].found


def test_a_login_that_is_not_taken_is_told_as_such(vlbimon_server: VlbimonServer, tmp_path: Path) -> None:
    wrong = vlbimon_server.auth_file(tmp_path / "wrong.yaml", "wrong")
    found = looked(tmp_path, vlbimon_server.url, auth_file=wrong)
    assert (found["login"].verdict, found[""].verdict) == (FAULT, OK)
    url = vlbimon_server.url
    assert found["login"].found == f"{url} does not take the name and password: correct [vlbimon] auth_file"
    vlbimon_server.set_keys("digest")
    right = vlbimon_server.auth_file(tmp_path / "right.yaml")
    assert "write digestauth" in looked(tmp_path, url, auth_file=right)["login"].found
    vlbimon_server.set_keys("basic", forbidden=True)
    found = looked(tmp_path, url, auth_file=right)
    assert (found["login"].verdict, "forbids Your Name" in found["login"].found) == (FAULT, True)
    assert vlbimon_server.asked("session", "restore", "snapshot") == []


def test_a_server_that_wants_a_login_and_a_file_that_names_none(
    vlbimon_server: VlbimonServer, tmp_path: Path
) -> None:
    found = looked(tmp_path, vlbimon_server.url)
    assert (found["vlbimon auth_file"].verdict, found["login"].verdict) == (NOT_CHECKED, FAULT)
    assert "wants a name and password, and [vlbimon] auth_file is not set" in found["login"].found
    other = tmp_path / "other.toml"
    other.touch(0o600)
    other.write_text('["elsewhere.example"]\nbasicauth = ["me", "secret"]\n')
    found = looked(tmp_path, vlbimon_server.url, auth_file=other)
    assert (found["vlbimon auth_file"].verdict, found["login"].verdict) == (WARNING, FAULT)
    assert "auth_file names nobody for it" in found["login"].found


def test_a_login_that_others_can_read_is_no_login(vlbimon_server: VlbimonServer, tmp_path: Path) -> None:
    """The service would not start with it, so it may have become so since."""
    auth_file = vlbimon_server.auth_file(tmp_path / "secrets.yaml")
    loaded = configured(tmp_path, vlbimon={"servers": [vlbimon_server.url], "auth_file": str(auth_file)})
    auth_file.chmod(0o644)
    found = {subject.split()[-1]: one for subject, one in examined("vlbimon", loaded).items()}
    assert (found["auth_file"].verdict, found["login"].verdict) == (FAULT, NOT_CHECKED)
    assert "chmod 600" in found["auth_file"].found
    assert all(each.authorization == "" for each in vlbimon_server.asked())


def test_a_certificate_that_is_not_trusted_is_told(vlbimon_server: VlbimonServer, tmp_path: Path) -> None:
    url = vlbimon_server.secure_url
    [_, reached] = looked(tmp_path, url).values()
    assert reached.verdict is FAULT
    assert "the server's certificate can't be trusted" in reached.found
    assert "[vlbimon] ca_file" in reached.found
    stranger = make_identity(tmp_path, "stranger")
    found = looked(tmp_path, url, ca_file=stranger.certificate_file)
    assert found[""].verdict is FAULT
    assert vlbimon_server.asked() == []


def test_certificates_of_servers_have_their_days(vlbimon_server: VlbimonServer, tmp_path: Path) -> None:
    urls = vlbimon_server.secure_url, vlbimon_server.url
    found = looked(tmp_path, *urls, check="certificates", ca_file=vlbimon_server.ca_file)
    of_secure = found[f"certificate vlbimon {urlsplit(urls[0]).netloc}"]
    assert (of_secure.verdict, of_secure.found[:14]) == (WARNING, "29 days left, ")
    assert found[f"certificate vlbimon {urlsplit(urls[1]).netloc}"].verdict is NOT_CHECKED
    assert found["certificate vlbimon ca_file"].verdict is WARNING


def test_a_dead_server_is_a_fault_unless_there_is_another(
    vlbimon_server: VlbimonServer, tmp_path: Path, dead_url: str
) -> None:
    found = looked(tmp_path, dead_url)
    assert said(found) == {"vlbimon auth_file": NOT_CHECKED, "": FAULT}
    assert "nobody answers at 127.0.0.1:" in found[""].found
    auth_file = vlbimon_server.auth_file(tmp_path / "secrets.yaml")
    found = looked(tmp_path, dead_url, vlbimon_server.url, auth_file=auth_file)
    dead, alive = (f"vlbimon {urlsplit(url).netloc}" for url in (dead_url, vlbimon_server.url))
    assert (found[dead].verdict, found[alive].verdict, found[f"{alive} login"].verdict) == (WARNING, OK, OK)
    found = looked(tmp_path, dead_url, "http://localhost:1")
    assert found["vlbimon"].verdict is FAULT


def test_a_masterlist_is_judged(vlbimon_server: VlbimonServer, tmp_path: Path) -> None:
    url, auth_file = vlbimon_server.url, vlbimon_server.auth_file(tmp_path / "secrets.yaml")

    def masterlist(**keys: Any) -> Finding:
        found = looked(tmp_path, url, auth_file=auth_file, **keys)
        assert found["login"].verdict is OK
        return found["masterlist"]

    assert "not in it: XX" in masterlist(stations=["KP", "XX"]).found
    vlbimon_server.fail("status", calls=("masterlist",), count=1, status=404)
    assert (masterlist().verdict, vlbimon_server.asked("history")[-1].status) == (WARNING, 200)
    vlbimon_server.fail("html", calls=("masterlist",), count=1)
    assert "no JSON" in masterlist().found
    vlbimon_server.say("masterlist", json.dumps({"default": {}}))
    assert "names no station" in masterlist().found
    vlbimon_server.fail("status", calls=("masterlist",), count=1, status=302)
    assert masterlist().verdict is FAULT


@pytest.mark.parametrize("fault", ["closed", "reset", "cut", "reset_halfway"])
def test_half_an_answer_is_none(vlbimon_server: VlbimonServer, tmp_path: Path, fault: str) -> None:
    vlbimon_server.fail(fault)
    found = looked(tmp_path, vlbimon_server.url)
    assert found[""].verdict is FAULT
    assert "gives no whole answer (" in found[""].found


@pytest.mark.parametrize(
    ("ahead_s", "verdict"),
    [(0.0, OK), (30.0, WARNING), (-30.0, WARNING), (7200.0, FAULT), (None, NOT_CHECKED)],
)
def test_the_server_s_clock_is_compared(tmp_path: Path, ahead_s: float | None, verdict: Verdict) -> None:
    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(200)
            if ahead_s is not None:
                self.send_header("Date", self.date_time_string(int(time.time() + ahead_s)))
            self.end_headers()
            self.wfile.write(b'{"default": {"a": {}}, "KP": {}}')

        def log_message(self, *_arguments: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answering)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        found = looked(tmp_path, f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert found["clock"].verdict is verdict
    assert found["login"].found == "history is given without name and password"
