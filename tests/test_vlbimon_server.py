# SPDX-License-Identifier: MIT
"""The vlbimon server of the tests is what is known of the true one, asked by a client that shares nothing with ours."""

from __future__ import annotations

import base64
import hashlib
import http.client
import http.cookiejar
import json
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import (
    HTTPDigestAuthHandler,
    HTTPPasswordMgrWithDefaultRealm,
    Request,
    build_opener,
    urlopen,
)

import pytest
import pytest_twisted
from treq import json_content
from treq.client import HTTPClient
from twisted.internet.task import deferLater
from twisted.web.client import Agent, HTTPConnectionPool, ResponseNeverReceived

from tessmon.demo.servers import new_directory
from tests.observatory import wait_for
from tests.vlbimon_array import PLACEHOLDER_S, Raw
from tests.vlbimon_doors import NAME, PASSWORD
from tests.vlbimon_faults import KINDS, Fault
from tests.vlbimon_server import PLAIN, VlbimonServer, vlbimon_server
from tests.vlbimon_site import Vlbimon
from tests.vlbimon_stations import BUNCHING, LATE, STATIONS, Stations, masterlist

__all__ = ["vlbimon_server"]

NOW_S = 1_712_345_600
BASIC = {"Authorization": "Basic " + base64.b64encode(f"{NAME}:{PASSWORD}".encode()).decode()}


@pytest.fixture(scope="module")
def lasting() -> Iterator[VlbimonServer]:
    """One for all tests that don't mind what others did."""
    server = VlbimonServer(new_directory("tessmon-vlbimon-"))
    yield server
    server.end()


def get(url: str, timeout_s: float = 20.0, method: str = "GET", **headers: str) -> tuple[int, Any, str]:
    """Status, body, and the new cursor."""
    request = Request(url, method=method, headers=headers)
    try:
        with urlopen(request, timeout=timeout_s) as answer:
            cookie = answer.headers.get("Set-Cookie", "")
            return answer.status, answer.read(), cookie.partition("snap_recvTime=")[2].partition(";")[0]
    except HTTPError as error:
        return error.code, error.read(), error.headers.get("Retry-After", "")


def session(server: VlbimonServer) -> str:
    status, body, _ = get(f"{server.url}/session", method="POST", **BASIC)
    assert status == 200
    return json.loads(body)["id"]


def snapshot(server: VlbimonServer, name: str, cursor: str | None = None) -> tuple[Any, str]:
    cookies = f"sessionid={name}" + ("" if cursor is None else f"; snap_recvTime={cursor}")
    status, body, told = get(f"{server.url}/data/snapshot", Cookie=cookies)
    assert status == 200, (status, body)
    return json.loads(body), told


def history(
    server: VlbimonServer, start_s: int, end_s: int, stations: Any, fields: Any, **headers: str
) -> Any:
    query = [("observatory", each) for each in stations] + [("field", each) for each in fields]
    query += [("startTime", start_s), ("endTime", end_s)]
    status, body, _ = get(f"{server.url}/data/history?{urlencode(query)}", **(headers or BASIC))
    return json.loads(body) if status == 200 else status


@pytest.mark.parametrize("form", ["float", "opaque"])
def test_a_snapshot_has_the_newest_value_that_came_after_the_cursor(
    form: str, vlbimon_server: VlbimonServer
) -> None:
    vlbimon_server.set(cursor_form=form)
    name = session(vlbimon_server)
    vlbimon_server.receive([("KP", "weather_tau225", NOW_S, 0.05), ("KP", "weather_tau225", NOW_S + 1, 0.06)])
    vlbimon_server.receive([("SMA", "maser_lock", NOW_S + 0.5, True)])
    first, cursor = snapshot(vlbimon_server, name)
    del first["vexfiles"]
    assert first == {
        "KP": {"data": {"weather_tau225": [NOW_S + 1, 0.06]}},
        "SMA": {"data": {"maser_lock": [NOW_S + 0.5, True]}},
    }
    second, cursor = snapshot(vlbimon_server, name, cursor)
    assert second == {"vexfiles": first.pop("vexfiles", second["vexfiles"])}
    vlbimon_server.receive([("KP", "weather_tau225", NOW_S - 900, 0.01)])
    vlbimon_server.set(clients={"KP": {"KP central": {"recvTime": NOW_S, "version": "2.1"}}}, vexfiles=None)
    assert snapshot(vlbimon_server, name, cursor)[0] == {
        "KP": {
            "clients": {"KP central": {"recvTime": NOW_S, "version": "2.1"}},
            "data": {"weather_tau225": [NOW_S - 900, 0.01]},  # by the clock of receiving, not the station's
        }
    }
    assert [point.number for point in vlbimon_server.served()] == [1, 2, 3]
    assert {asked.authorization for asked in vlbimon_server.asked("snapshot")} == {""}


def test_whole_cursors_bring_points_of_their_second_again(vlbimon_server: VlbimonServer) -> None:
    vlbimon_server.set(cursor_form="whole", vexfiles=None)
    name = session(vlbimon_server)
    vlbimon_server.receive([("KP", "a", NOW_S, 1)])
    _, cursor = snapshot(vlbimon_server, name)
    assert cursor.isdigit()
    vlbimon_server.receive([("KP", "b", NOW_S, 2)])
    found, _ = snapshot(vlbimon_server, name, cursor)
    assert found["KP"]["data"].items() >= {"b": [NOW_S, 2]}.items()


def test_cursors_may_be_missing_or_strange(vlbimon_server: VlbimonServer) -> None:
    name = session(vlbimon_server)
    vlbimon_server.set(cursor_form="none")
    assert snapshot(vlbimon_server, name)[1] == ""
    vlbimon_server.set(cursor_form="garbage")
    garbage = snapshot(vlbimon_server, name)[1]
    cookies = f"sessionid={name}; snap_recvTime={garbage}"
    assert get(f"{vlbimon_server.url}/data/snapshot", Cookie=cookies)[0] == 400
    vlbimon_server.set(strange_cursor=0)
    assert snapshot(vlbimon_server, name, garbage)


def test_a_history_has_all_of_the_window_and_its_oddities(vlbimon_server: VlbimonServer) -> None:
    times = [NOW_S - 10, NOW_S, NOW_S + 1.25, NOW_S + 5, NOW_S + 5, NOW_S + 6]
    vlbimon_server.receive([("SMA", "maser_lock", stamp, n) for n, stamp in enumerate(times)])
    vlbimon_server.receive([("KP", "weather_tau225", NOW_S, Raw("NaN")), ("KP", "odd", None, 1)])
    vlbimon_server.set(placeholder_every=2)
    stations, fields = ("KP", "SMA", "NOWHERE"), ("weather_tau225", "maser_lock", "odd")
    text = json.dumps(history(vlbimon_server, NOW_S, NOW_S + 5, stations, fields))
    assert json.loads(text.replace("NaN", "null")) == {
        "KP": {"weather_tau225": [[NOW_S, None]]},
        "SMA": {
            "maser_lock": [
                [NOW_S - 10, 0],
                [NOW_S, 1],
                [NOW_S + 1.25, 2],
                [NOW_S + 5, 3],
                [NOW_S + 5, 4],
                [PLACEHOLDER_S, 4],
            ]
        },
    }
    [asked] = vlbimon_server.asked("history")
    assert (asked.numbers, asked.pairs) == ([6, 1, 2, 3, 4], {"KP": 1, "SMA": 6})
    assert history(vlbimon_server, NOW_S + 100, NOW_S + 200, stations, fields) == {}
    assert history(vlbimon_server, NOW_S, NOW_S, stations, ["f" * 9000]) == 414
    assert history(vlbimon_server, NOW_S, NOW_S, stations, fields, Cookie="sessionid=unknown") == 401
    by_cookie = f"sessionid={session(vlbimon_server)}"
    assert history(vlbimon_server, NOW_S, NOW_S, ["KP"], fields, Cookie=by_cookie)


def test_sessions_live_and_expire(vlbimon_server: VlbimonServer) -> None:
    url = vlbimon_server.url
    assert get(f"{url}/session", method="POST")[0] == 401
    name = session(vlbimon_server)
    for headers in (BASIC, {"Cookie": f"sessionid={name}"}):
        assert get(f"{url}/session/{name}", method="PATCH", **headers)[0] == 200
    assert get(f"{url}/session/{name}", method="PATCH")[0] == 401
    assert get(f"{url}/session/other", method="PATCH", **BASIC)[0] == 404
    assert get(f"{url}/data/snapshot", **BASIC)[0] == 401
    vlbimon_server.expire_sessions()
    assert get(f"{url}/session/{name}", method="PATCH", **BASIC)[0] == 404
    assert get(f"{url}/data/snapshot", Cookie=f"sessionid={name}")[0] == 401
    vlbimon_server.set_keys(password="other")
    assert get(f"{url}/session", method="POST", **BASIC)[0] == 401
    vlbimon_server.set_keys(forbidden=True)
    assert get(f"{url}/session", method="POST", **BASIC)[0] == 403
    assert get(f"{url}/nothing")[0] == 404


def challenge(server: VlbimonServer, authorization: str = "") -> str:
    """How the server wants to be told who it is."""
    headers = {"Authorization": authorization}
    with pytest.raises(HTTPError) as refused:
        urlopen(Request(f"{server.url}/session", method="POST", headers=headers))
    return str(refused.value.headers["WWW-Authenticate"])


@pytest.mark.parametrize("scheme", ["digest", "digest-2069"])
def test_digest_is_taken_from_a_client_of_the_standard_library(scheme: Any, lasting: VlbimonServer) -> None:
    passwords = HTTPPasswordMgrWithDefaultRealm()
    passwords.add_password(None, lasting.url, NAME, "ascii only")
    lasting.set_keys(scheme, "ascii only")
    try:
        opener = build_opener(HTTPDigestAuthHandler(passwords))
        for _ in range(2):
            with opener.open(Request(f"{lasting.url}/session", method="POST"), timeout=20) as answer:
                assert json.load(answer)["id"]
        first = challenge(lasting)
        assert "stale" not in challenge(lasting, first)
        lasting.forget_nonces()
        assert challenge(lasting, first).endswith("stale=true")
        passwords.add_password(None, lasting.url, NAME, "wrong")
        with pytest.raises((HTTPError, ValueError)):
            opener.open(Request(f"{lasting.url}/session", method="POST"), timeout=20)
    finally:
        lasting.set_keys()


def test_digest_with_sha_256_is_taken_once_for_each_count(lasting: VlbimonServer) -> None:
    def hashed(*parts: str) -> str:
        return hashlib.sha256(":".join(parts).encode()).hexdigest()

    lasting.set_keys("digest-sha256")
    try:
        asked = challenge(lasting)
        assert "algorithm=SHA-256" in asked
        nonce = asked.partition('nonce="')[2].partition('"')[0]
        secret, place = hashed(NAME, "vlbimon", PASSWORD), hashed("POST", "/session")
        response = hashed(secret, nonce, "00000001", "ab", "auth", place)
        said = (
            f'Digest username="{NAME}", realm="vlbimon", nonce="{nonce}", uri="/session", qop=auth, '
            f'nc=00000001, cnonce="ab", response="{response}"'
        )
        statuses = [get(f"{lasting.url}/session", method="POST", Authorization=said)[0] for _ in range(2)]
        assert statuses == [200, 401]
    finally:
        lasting.set_keys()


def test_the_masterlist_is_the_same_in_another_order(lasting: VlbimonServer) -> None:
    texts = [get(f"{lasting.url}/static/masterlist.json")[1] for _ in range(2)]
    assert texts[0] != texts[1]
    assert json.loads(texts[0]) == json.loads(texts[1]) == masterlist()
    assert get(f"{lasting.url}/img/plots/tau225.txt")[1].startswith(b"time ")


def trusting(server: VlbimonServer) -> ssl.SSLContext:
    """With OpenSSL's own strictness: the certificate has none of what newer versions of Python want more."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(server.ca_file)
    return context


def test_tls_is_that_of_its_authority(lasting: VlbimonServer) -> None:
    url = f"{lasting.secure_url}/static/masterlist.json"
    with urlopen(url, context=trusting(lasting)) as answer:
        assert json.load(answer) == masterlist()
    with pytest.raises(URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urlopen(url)


SYMPTOMS = {
    "status": "503 2",
    "reset": "ConnectionResetError",
    "reset_halfway": "ConnectionResetError",
    "closed": "RemoteDisconnected",
    "html": "200 html",
    "empty": "200 empty",
    "no_json": "200 no json",
    "not_whole": "200 no json",
    "cut": "IncompleteRead",
    "cut_chunked": "IncompleteRead",
    "drip": "TimeoutError",
    "silence": "TimeoutError",
    "silence_halfway": "TimeoutError",
    "endless": "200 endless",
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_fault_is_what_its_name_says_once_and_then_all_is_well(
    kind: str, lasting: VlbimonServer
) -> None:
    url = f"{lasting.url}/static/masterlist.json"
    lasting.fail(kind, count=1, calls=("masterlist",), retry_after="2", pace_s=0.3)
    assert symptom(url) == SYMPTOMS[kind]
    assert json.loads(get(url)[1]) == masterlist()
    [failed, well] = lasting.asked("masterlist")[-2:]
    assert (failed.fault, failed.numbers, well.fault, well.status) == (kind, [], "", 200)
    assert failed.status == {"status": 503, "reset": 0, "closed": 0, "silence": 0}.get(kind, 200)


def symptom(url: str) -> str:
    """What a client sees."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=1)
    try:
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        if answer.status != 200:
            return f"{answer.status} {answer.headers['Retry-After']}"
        began, body = time.monotonic(), b""
        while piece := answer.read1(1 << 20):
            body += piece
            if not body.strip() and len(body) > 1 << 20:
                return "200 endless"
            if time.monotonic() > began + 1:
                return "TimeoutError"
        if answer.length:
            return "IncompleteRead"
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()
    if not body:
        return "200 empty"
    try:
        json.loads(body)
    except ValueError:
        return "200 html" if b"<html>" in body else "200 no json"
    return "200"


def test_a_date_of_retry_after_lies_ahead(lasting: VlbimonServer) -> None:
    lasting.fail("status", count=1, status=429, retry_after="date+90")
    status, _, when = get(f"{lasting.url}/static/masterlist.json")
    assert status == 429
    assert 80 < http.cookiejar.http2time(when) - time.time() <= 91


def test_a_shut_door_refuses_and_opens_on_the_same_port(lasting: VlbimonServer) -> None:
    url = f"{lasting.url}/static/masterlist.json"
    lasting.shut(PLAIN)
    with pytest.raises(URLError, match="refused"):
        get(url)
    lasting.reopen(PLAIN)
    assert get(url)[0] == 200
    lasting.freeze()
    with pytest.raises(TimeoutError):
        get(url, timeout_s=0.3)
    lasting.thaw()
    assert get(url)[0] == 200


@pytest.mark.parametrize("secure", [False, True])
def test_connections_that_stay_are_dropped(secure: bool, lasting: VlbimonServer) -> None:
    parts = urlsplit(lasting.secure_url if secure else lasting.url)
    assert parts.hostname is not None
    if secure:
        trusted = trusting(lasting)
        connection: Any = http.client.HTTPSConnection(parts.hostname, parts.port, context=trusted)
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port)
    for _ in range(2):
        connection.request("GET", "/static/masterlist.json")
        assert connection.getresponse().read()
        assert connection.sock is not None
    lasting.drop_connections()
    with pytest.raises(OSError, match=r"reset|RemoteDisconnected|closed|EOF"):  # noqa: PT012 - either may notice
        connection.request("GET", "/static/masterlist.json")
        connection.getresponse()
    connection.close()


def test_a_failed_answer_tells_a_new_cursor_all_the_same(vlbimon_server: VlbimonServer) -> None:
    name = session(vlbimon_server)
    vlbimon_server.receive([("KP", "weather_tau225", NOW_S, 0.05)])
    vlbimon_server.fail("html", calls=("snapshot",), count=1)
    status, body, told = get(f"{vlbimon_server.url}/data/snapshot", Cookie=f"sessionid={name}")
    assert (status, body[:5]) == (200, b"<!DOC")
    assert float(told) > 0
    assert vlbimon_server.served() == []
    vlbimon_server.say("snapshot", '{"KP": []}', "")
    assert snapshot(vlbimon_server, name) == ({"KP": []}, "")


def test_stations_send_what_the_list_says_with_their_habits() -> None:
    stations = Stations(NOW_S)
    points = [*stations.until(NOW_S + 600), *stations.rest()]
    again = Stations(NOW_S)
    halves = [*again.until(NOW_S + 300), *again.until(NOW_S + 600), *again.rest()]
    assert halves == points
    assert len(points) > 5000
    assert {point[1] for point in points} == set(STATIONS)
    kinds = {station: {type(point[3]) for point in points if point[1] == station} for station in STATIONS}
    assert kinds["KP"] == {int}
    assert kinds["SMA"] == {float}
    on_source = {(point[1], type(point[4])) for point in points if point[2] == "telescope_onSource"}
    assert {("KP", bool), ("ALMA", str), ("SMA", bool)} <= on_source
    assert not [point for point in points if point[1:3] == ("PICO", "if_1_systemTemp")]
    late = [arrival - stamp for arrival, station, _, stamp, _ in points if station == LATE]
    assert min(late) > 100
    bunches = Counter(arrival for arrival, station, *_ in points if station == BUNCHING)
    assert max(bunches.values()) > 50
    seconds = Counter((station, name, int(stamp)) for _, station, name, stamp, _ in points)
    assert {station for (station, _, _), count in seconds.items() if count > 1} == {"LMT"}
    azimuths = [point[4] for point in points if point[1:3] == ("SMA", "telescope_azimuthElevation")]
    assert all("+" in azimuth for azimuth in azimuths)


def test_a_run_ends_now_with_everything_received(vlbimon_server: VlbimonServer) -> None:
    names = ["weather_tau225", "telescope_onSource"]
    vlbimon_server.run(600, 600, parameters=names)
    wait_for(lambda: not vlbimon_server.running(), "the end of the run")
    received = vlbimon_server.received()
    assert len(received) > 300
    assert {point.parameter for point in received} == set(names)
    newest = max(point.stamp for point in received if point.station == "KP")
    assert time.time() - 120 < newest < time.time() + 1
    assert vlbimon_server.receive_set(2000, NOW_S) == len(received) + 2000


@pytest_twisted.ensureDeferred
async def test_a_test_may_have_it_in_its_own_reactor() -> None:
    from twisted.internet import reactor

    vlbimon = Vlbimon(reactor)
    vlbimon.array.receive([("KP", "weather_tau225", NOW_S, 0.05)])
    url = f"http://127.0.0.1:{vlbimon.listen()}"
    client = HTTPClient(Agent(reactor, pool=HTTPConnectionPool(reactor, persistent=False)))
    cookie = f"sessionid={(await json_content(await client.post(f'{url}/session', headers=BASIC)))['id']}"
    vlbimon.faults.add(Fault("silence", calls=("snapshot",), count=1))
    silent = client.get(f"{url}/data/snapshot", headers={"Cookie": cookie})
    while not any(
        asked.call == "snapshot" for asked in vlbimon.asked
    ):  # or the second request may be the one that meets the silence
        await deferLater(reactor, 0.01)
    found = await json_content(await client.get(f"{url}/data/snapshot", headers={"Cookie": cookie}))
    assert found["KP"] == {"data": {"weather_tau225": [NOW_S, 0.05]}}
    assert vlbimon.served() == {0}
    await vlbimon.close()
    with pytest.raises(ResponseNeverReceived):
        await silent


def test_the_secrets_file_is_ours_alone(lasting: VlbimonServer, tmp_path: Path) -> None:
    path = lasting.auth_file(tmp_path / "secrets.yaml")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().startswith('127.0.0.1:\n  basicauth:\n  - "Your Name"\n')
