# SPDX-License-Identifier: MIT
"""What a connection string becomes, without any server."""

from __future__ import annotations

import pytest

from tessmon.config.model import Database
from tessmon.database.parameters import Host, hosts_of, session_parameters, where_of, with_addresses
from tessmon.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGHOST", "PGHOSTADDR", "PGPORT", "PGOPTIONS", "PGDATABASE"):
        monkeypatch.delenv(name, raising=False)


def parameters(dsn: str) -> dict[str, str]:
    return session_parameters(Database(dsn=dsn), application_name="tessmon", statement_timeout_s=30.0)


def test_both_forms_of_connection_strings_are_read() -> None:
    for dsn in ("host=db port=5433 user=me dbname=sky", "postgresql://me@db:5433/sky"):
        found = parameters(dsn)
        assert {key: found[key] for key in ("host", "port", "user", "dbname")} == {
            "host": "db",
            "port": "5433",
            "user": "me",
            "dbname": "sky",
        }


def test_a_connection_string_wins_where_no_promise_rests_on_it() -> None:
    found = parameters(
        "keepalives_idle=60 application_name=mine target_session_attrs=any client_encoding=LATIN1"
    )
    assert found["keepalives_idle"] == "60"
    assert found["application_name"] == "mine"
    assert found["target_session_attrs"] == "any"
    assert found["client_encoding"] == "UTF8"


def test_options_of_the_string_or_the_environment_stand_between_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c work_mem=1GB")
    assert "-c work_mem=1GB -c timezone=UTC" in parameters("dbname=x")["options"]
    options = parameters("options='-c work_mem=2GB'")["options"]
    assert (
        options.index("statement_timeout=30000") < options.index("work_mem=2GB") < options.index("timezone")
    )


def test_hosts_are_found_in_the_string_and_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hosts_of({}) == []
    assert hosts_of({"host": "db", "hostaddr": "10.0.0.1"}) == []
    assert hosts_of({"host": "a,b", "port": "1"}) == [Host("a", "1"), Host("b", "1")]
    assert hosts_of({"host": "a,b", "port": "1,2"}) == [Host("a", "1"), Host("b", "2")]
    with pytest.raises(ConfigurationError, match="3 hosts and 2 ports"):
        hosts_of({"host": "a,b,c", "port": "1,2"})
    monkeypatch.setenv("PGHOST", "c")
    monkeypatch.setenv("PGPORT", "3")
    assert hosts_of({}) == [Host("c", "3")]


def test_only_names_of_the_network_need_an_address() -> None:
    found = {name: Host(name, "").needs_address for name in ("db", "10.0.0.1", "::1", "/run", "@name", "")}
    assert found == {"db": True, "10.0.0.1": True, "::1": True, "/run": False, "@name": False, "": False}


def test_a_host_is_repeated_for_each_of_its_addresses() -> None:
    hosts = [(Host("a", "1"), ["10.0.0.1", "::1"]), (Host("gone", "2"), []), (Host("/run", ""), [""])]
    found = with_addresses({"host": "a,gone,/run", "dbname": "x"}, hosts)
    assert found == {"host": "a,a,/run", "port": "1,1,", "hostaddr": "10.0.0.1,::1,", "dbname": "x"}


def test_the_place_is_named_without_secrets() -> None:
    assert where_of("postgresql://me:hush@db:5433/sky") == "sky at db:5433"
    assert where_of("dbname=sky") == "sky at the local socket"
