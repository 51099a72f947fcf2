# SPDX-License-Identifier: MIT
"""Names and passwords in files of YAML or TOML, and the table that names them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tessmon.config.load import load
from tessmon.config.logins import BASIC, DIGEST, Login, login_for, read_logins
from tessmon.config.model import Vlbimon
from tessmon.errors import ConfigurationError

Write = Callable[..., Path]

SEED = """\
vlbimon1.science.ru.nl:
  basicauth:
  - Your Name
  - Yourpw
vlbimon2.science.ru.nl:
  digestauth:
    - Your Name
    - "0123: #ü"
"""
TOML = """\
["vlbimon1.science.ru.nl"]
basicauth = ["Your Name", "Yourpw"]
["vlbimon2.science.ru.nl"]
digestauth = ["Your Name", "0123: #ü"]
"""
EXPECTED = {
    "vlbimon1.science.ru.nl": Login(BASIC, "Your Name", "Yourpw"),
    "vlbimon2.science.ru.nl": Login(DIGEST, "Your Name", "0123: #ü"),
}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a secret and give its path."""

    def written(text: str, name: str = "secrets.yaml", mode: int = 0o600) -> Path:
        path = tmp_path / name
        path.write_text(text)
        path.chmod(mode)
        return path

    return written


@pytest.mark.parametrize(("text", "name"), [(SEED, "s.yaml"), (SEED, "s"), (TOML, "s.toml"), (TOML, "s")])
def test_yaml_of_the_bridge_and_toml_say_the_same(write: Write, text: str, name: str) -> None:
    assert read_logins(write(text, name)) == EXPECTED


def test_a_server_is_known_by_its_host_or_by_host_and_port() -> None:
    one, two = Login(BASIC, "a", "1"), Login(BASIC, "b", "2")
    logins = {"example.org": one, "example.org:8443": two, "::1": two}
    assert login_for(logins, "https://Example.org/x") == one
    assert login_for(logins, "https://example.org:8443") == two
    assert login_for(logins, "https://example.org:9") == one
    assert login_for(logins, "https://[::1]:9") == two
    assert login_for(logins, "https://example.com") is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("- a\n- b\n", "must name hosts"),
        ("just words", "must name hosts"),
        ("host: [a, geheim]\n", "must have basicauth or digestauth for host, and nothing else"),
        ("host:\n  basicauth: [a, geheim]\n  other: 1\n", "and nothing else"),
        ("host:\n  basic: [a, geheim]\n", "must have basicauth or digestauth"),
        ("host:\n  basicauth: [a, geheim, c]\n", "must have a name and a password"),
        ("host:\n  basicauth: geheim\n", "must have a name and a password"),
        ("host:\n  basicauth: [a, 12345678]\n", "that is no text: put it in quotes"),
        ("host:\n  basicauth: [a, ]\n", "must have a name and a password"),
        ('host:\n  basicauth: [a, ""]\n', "that is no text"),
        ('host:\n  basicauth: [a, "gehe\\nim"]\n', "a control character"),
        ("host:\n  basicauth: ['a:b', geheim]\n", "a colon in the name"),
        ("host:\n  digestauth: [José, geheim]\n", "not ASCII"),
        ("host:\n  basicauth:\n  - a\n - geheim: [\n", "is neither YAML nor TOML, see line 4"),
        ("host: !!python/object:os.system [geheim]\n", "is neither YAML nor TOML, see line 1"),
        ("[" * 5000, "is neither YAML nor TOML"),
    ],
)
def test_what_is_wrong_is_named_and_no_secret_is(write: Write, text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=r"secrets\.yaml") as caught:
        read_logins(write(text))
    assert sentence in str(caught.value)
    assert "geheim" not in str(caught.value)
    assert "12345678" not in str(caught.value)
    assert "geheim" not in repr(Login(BASIC, "a", "geheim"))


def test_a_mistake_in_toml_has_its_line(write: Write) -> None:
    with pytest.raises(ValueError, match=r"is no TOML: .*line 2"):
        read_logins(write("[host]\nbasicauth = geheim\n", "s.toml"))


def test_without_pyyaml_the_sentence_says_what_to_do(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert read_logins(write(TOML)) == EXPECTED
    with pytest.raises(ValueError, match=r"needs PyYAML: install it .python3-yaml. or write TOML"):
        read_logins(write(SEED))


def test_a_file_that_others_can_read_is_refused_with_its_table(write: Write, tmp_path: Path) -> None:
    configuration = tmp_path / "tessmon.toml"
    configuration.write_text('[vlbimon]\nauth_file = "secrets.yaml"\n')
    write(SEED, mode=0o644)
    with pytest.raises(ConfigurationError, match=r":2: \[vlbimon\] auth_file is refused: .*chmod 600"):
        load(configuration)
    write("host: 5\n")
    with pytest.raises(ConfigurationError, match=r":2: \[vlbimon\] auth_file is refused: .* for host"):
        load(configuration)
    write(SEED)
    assert load(configuration).config.vlbimon == Vlbimon(auth_file=tmp_path / "secrets.yaml")


def test_servers_are_urls_in_order(write: Write) -> None:
    given = write(
        '[vlbimon]\nservers = ["https://B.example.org:8443/x/", "http://127.0.0.1:80"]\nstations = ["KP", "SMA"]\n',
        "tessmon.toml",
    )
    vlbimon = load(given).config.vlbimon
    assert vlbimon is not None
    assert vlbimon.servers == ("https://b.example.org:8443/x", "http://127.0.0.1:80")
    assert vlbimon.stations == ("KP", "SMA")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("servers = []", "servers is empty: name at least one server"),
        ('servers = "https://a"', "servers must be a list of texts"),
        ('servers = ["vlbimon1.science.ru.nl"]', 'must have URLs like "https://host"'),
        ('servers = ["ftp://a"]', 'must have URLs like "https://host"'),
        ('servers = ["https://me:geheim@a"]', "has a user in"),
        ('servers = ["https://a/?b"]', "with nothing behind its path"),
        ('servers = ["https://a b"]', "a URL is plain here"),
        ('servers = ["https://a", "https://A/"]', "names a server twice"),
        ('servers = ["https://a:99999"]', "no URL"),
        ("period_s = 0.01", "period_s must be between 0.05 and 3600"),
        ('stations = ["a\\nb"]', "no station's name"),
        ("connect_timeout_s = 61", "connect_timeout_s is longer than timeout_s"),
        (
            'servers = ["http://127.0.0.1"]\nca_file = "tessmon.toml"',
            "ca_file is for TLS, but no server is https",
        ),
    ],
)
def test_a_wrong_setting_is_named(write: Write, line: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(write(f"[vlbimon]\n{line}\n", "tessmon.toml"))
    assert sentence in str(caught.value)
    assert "[vlbimon] " in str(caught.value)
    assert "geheim" not in str(caught.value)
