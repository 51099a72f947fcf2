# SPDX-License-Identifier: MIT
"""Loading gives a whole configuration, or one error that lists every problem with its place."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tessmon.config.load import DEFAULT, Loaded, load
from tessmon.config.model import Config, Daylight, Files, Mqtt
from tessmon.config.secrets import read_secret
from tessmon.errors import ConfigurationError

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a configuration file and give its path."""

    def written(text: str) -> Path:
        path = tmp_path / "tessmon.toml"
        path.write_text(text)
        return path

    return written


def problems(path: Path) -> list[str]:
    """What loading complains about, without the file's name."""
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    return [line.removeprefix(f"{path}:") for line in str(caught.value).splitlines()]


def test_empty_file_gives_defaults_with_the_inputs_off(write: Write) -> None:
    loaded = load(write(""))
    assert loaded.config == Config(mqtt=None)
    assert set(loaded.origins.values()) == {DEFAULT}


def test_empty_table_turns_its_input_on(write: Write) -> None:
    assert load(write("[mqtt]\n")).config == Config()
    assert load(write("[mqtt]\n[files]\n")).config == Config(files=Files())


def test_no_file_at_the_usual_place_gives_defaults_with_mqtt_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for variable in ("STATE_DIRECTORY", "RUNTIME_DIRECTORY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    loaded = load(None)
    assert (loaded.config, loaded.path) == (Config(mqtt=Mqtt()), None)


def test_named_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.toml is not there"):
        load(tmp_path / "none.toml")


def test_directory_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't be read"):
        load(tmp_path)


def test_each_value_knows_where_it_comes_from(write: Write) -> None:
    path = write(
        '# first\n[writer]\nbatch_rows = 5\n\n[mqtt]\nreading_topics = [\n  "a/+",\n  "b/#",\n]\nqos = 1\n'
    )
    loaded = load(path)
    assert loaded.config.writer.batch_rows == 5
    assert loaded.config.mqtt is not None
    assert loaded.config.mqtt.reading_topics == ("a/+", "b/#")
    written = {key: origin for key, origin in loaded.origins.items() if origin != DEFAULT}
    assert written == {
        ("writer", "batch_rows"): f"{path}:3",
        ("mqtt", "reading_topics"): f"{path}:6",
        ("mqtt", "qos"): f"{path}:10",
    }


def test_lines_are_right_with_the_line_ends_of_other_systems(tmp_path: Path) -> None:
    path = tmp_path / "tessmon.toml"
    path.write_bytes(b"[writer]\r\n\r\nbatch_rows = 5\r\n")
    assert load(path).origins["writer", "batch_rows"] == f"{path}:3"


def test_syntax_error_names_line_and_column(write: Write) -> None:
    with pytest.raises(ConfigurationError, match=r"at line 2, column 8"):
        load(write("[writer]\nbatch =\n"))


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 100_000, "[writer]\nbatch_rows = " + "9" * 5000, "[a]\n[a]\n"]
)
def test_odd_toml_is_an_error_of_the_configuration(write: Write, text: str) -> None:
    with pytest.raises(ConfigurationError):
        load(write(text))


def test_bytes_that_are_no_text_name_their_line(tmp_path: Path) -> None:
    path = tmp_path / "tessmon.toml"
    path.write_bytes(b"[log]\nlevel = '\xff'\n")
    assert problems(path) == ["2: not UTF-8 text"]


def test_all_problems_are_listed_in_the_order_of_lines(write: Write) -> None:
    path = write("""\
broker = "mqtt://a"
[mqtt]
qos = 2
retain = true
[writer]
batch_rows = 0
[writers]
[photometer]
alow = []
batch_rows = 1
""")
    found = problems(path)
    assert [line.split(":")[0] for line in found] == ["1", "3", "4", "6", "7", "9", "10"]
    assert found[0] == "1: broker stands outside of any table: it belongs below [mqtt]"
    assert "[mqtt] qos must be 1: at QoS 2" in found[1]
    assert "a kill loses it" in found[1]
    assert found[2].startswith("4: [mqtt] has no key retain, there are broker, ")
    assert found[3] == "6: [writer] batch_rows must be between 1 and 5000, 0 is not"
    assert found[4] == "7: there is no table [writers], did you mean writer?"
    assert found[5] == "9: [photometer] has no key alow, did you mean allow?"
    assert found[6] == "10: [photometer] has no key batch_rows: it belongs below [writer]"


@pytest.mark.parametrize("name", ["replica"])
def test_tables_that_this_version_does_not_know_are_errors(write: Write, name: str) -> None:
    assert problems(write(f"[{name}]\n"))[0].startswith(f"1: there is no table [{name}]")


def test_a_table_in_a_table_is_read_and_its_mistakes_have_lines(write: Write) -> None:
    good = """\
[photometer]
deny = ["Stars9"]
[photometer.daylight]
enabled = true
depth = 5
[photometer.every]
Stars1 = 10
"""
    loaded = load(write(good))
    assert loaded.config.daylight == Daylight(enabled=True, depth=5)
    assert loaded.config.photometer.every == {"stars1": 10}
    assert loaded.origins["photometer.daylight", "depth"].endswith(":5")
    bad = good.replace("depth = 5", "depth = 4\ndept = 3").replace("= 10", "= 0")
    assert problems(write(bad)) == [
        "5: [photometer.daylight] depth must be an odd number, 4 is even",
        "6: [photometer.daylight] has no key dept, did you mean depth?",
        '7: [photometer] every has "Stars1", which must be between 1 and 1000000, 0 is not',
    ]
    assert problems(write("[photometer]\ndaylight = true\n")) == ["2: [photometer.daylight] must be a table"]
    assert "belongs below [photometer.daylight]" in problems(write("[photometer]\ndepth = 7\n"))[0]


def test_nested_tables_that_are_not_known_are_errors(write: Write) -> None:
    assert "[photometer] has no key dawn" in problems(write("[photometer.dawn]\nenabled = true\n"))[0]


def test_value_in_place_of_a_table_is_an_error(write: Write) -> None:
    assert problems(write("writer = 5\n")) == ["1: [writer] must be a table"]


@pytest.mark.parametrize(
    ("table", "line", "words"),
    [
        ("database", "dsn = 5", "dsn must be text in quotes, not a whole number"),
        ("database", 'dsn = ""', "dsn is empty"),
        ("database", 'dsn = "a\\u0000"', "dsn holds a NUL character"),
        ("journal", "max_bytes = 1.5", "max_bytes must be a whole number, not a number"),
        ("journal", "max_bytes = true", "max_bytes must be a whole number, not true or false"),
        ("journal", "retention_s = -1", "retention_s must be between 0 and"),
        ("journal", "directory = []", "directory must be text in quotes, not a list"),
        ("mqtt", 'broker = "tcp://host"', 'must look like "mqtt://host:1883"'),
        ("mqtt", 'broker = "mqtt://"', "must look like"),
        ("mqtt", 'broker = "mqtt://host:99999"', "broker is no URL"),
        ("mqtt", 'broker = "mqtt://host/topic"', "has something behind the port"),
        ("mqtt", 'broker = "mqtts://me:secret@host"', "broker holds a user"),
        ("mqtt", "protocol = 5", 'protocol must be one of "3.1.1", "5", not 5'),
        ("mqtt", "qos = 0", "qos must be 1: only then"),
        ("mqtt", "qos = true", "qos must be 1"),
        ("mqtt", 'client_id = ""', "client_id is empty"),
        ("mqtt", 'register_topic = "a/+"', "register_topic is one topic"),
        ("mqtt", "reading_topics = []", "reading_topics is empty"),
        ("mqtt", 'reading_topics = "a"', "reading_topics must be a list of texts in brackets, not text"),
        ("mqtt", 'reading_topics = ["a/#/b"]', 'reading_topics has "a/#/b"'),
        ("mqtt", 'reading_topics = ["a+"]', 'reading_topics has "a+"'),
        ("mqtt", 'reading_topics = ["$share/g/a"]', "a shared subscription"),
        ("mqtt", "reading_topics = [5]", "reading_topics has an element that must be text"),
        ("mqtt", "receive_maximum = 65536", "receive_maximum must be between 1 and 65535"),
        ("mqtt", "max_payload_bytes = 1000", "max_payload_bytes must be between 1024 and"),
        ("mqtt", 'ca_file = "none.pem"', "which is no file"),
        ("mqtt", 'password_file = "none"\nusername = "u"', "No such file"),
        ("mqtt", 'password_file = "credential:../x"\nusername = "u"', "plain file name"),
        ("photometer", "allow = [1]", "allow has an element that must be text"),
        ("photometer", 'require_authorised = "yes"', "require_authorised must be true or false, not text"),
        ("photometer", "zero_point_min_mag = nan", "zero_point_min_mag must be between"),
        ("photometer", "seconds_resolution = 7", "seconds_resolution must be one of 1, 2, 3"),
        ("photometer", "seconds_resolution = true", "seconds_resolution must be one of"),
        ("files", 'host = ""', "host is empty"),
        ("files", 'host = "a/b"', "host must be a name without blanks and slashes"),
        ("files", 'host = "a b"', "host must be a name without blanks and slashes"),
        ("files", "directories = []", "directories is empty: name at least one"),
        ("files", 'directories = "/telem"', "directories must be a list of texts in brackets, not text"),
        ("files", 'directories = ["/a", "/b/../a"]', "directories has /a and /a: what is in both"),
        ("files", 'directories = ["/a/b", "/a"]', "directories has /a and /a/b: what is in both"),
        ("files", 'ignore = ["a/*"]', 'ignore has "a/*": a pattern is for a name'),
        ("files", 'timezone = "Chile"', 'must be a time zone like "America/Santiago", "Chile" is none'),
        ("files", 'timezone = "America"', "must be a time zone"),
        ("files", 'timezone = "../etc/passwd"', "must be a time zone"),
        ("files", 'timezone = "zone.tab"', "must be a time zone"),
        ("files", "poll_s = -1", "poll_s must be between 0 and 3600"),
        ("files", 'schemas = ["none.toml"]', "which is no file"),
        ("files", "max_record_bytes = 1", "max_record_bytes must be between 65536 and"),
        ("files", "directory = 1", "has no key directory"),
        ("writer", "batch_delay_s = 2026-11-23", "batch_delay_s must be a number, not a date or time"),
        ("web", 'listen = "8270"', 'listen must look like "127.0.0.1:8270"'),
        ("web", 'listen = "localhost:70000"', "listen is no address"),
        ("log", 'level = "loud"', 'level must be one of "debug"'),
        ("log", 'levels = { "tessmon.lane" = "loud" }', "levels has tessmon.lane, which must be one of"),
        ("log", 'levels = "debug"', "levels must be a table"),
    ],
)
def test_bad_value_is_named_with_table_key_and_line(write: Write, table: str, line: str, words: str) -> None:
    (found,) = problems(write(f"[{table}]\n{line}\n"))
    assert found.startswith(f"2: [{table}] ")
    assert words in found
    assert "secret" not in found


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('password_file = "key"', "password_file needs a username"),
        ('broker = "mqtts://host"\ncert_file = "cert"', "cert_file needs the key_file"),
        ('broker = "mqtts://host"\nkey_file = "key"', "key_file needs the cert_file"),
        ('ca_file = "cert"', "ca_file is for TLS"),
    ],
)
def test_settings_that_contradict_each_other_are_named(
    write: Write, tmp_path: Path, lines: str, words: str
) -> None:
    for name in ("key", "cert"):
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(0o600)
    (found,) = problems(write(f"[mqtt]\n{lines}\n"))
    assert words in found


def load_mqtt(write: Write, lines: str) -> Mqtt:
    mqtt = load(write(f"[mqtt]\n{lines}\n")).config.mqtt
    assert mqtt is not None
    return mqtt


@pytest.mark.parametrize(
    ("broker", "parts"),
    [
        ("mqtt://broker.example", (False, "broker.example", 1883)),
        ("mqtts://broker.example", (True, "broker.example", 8883)),
        ("mqtts://[::1]:18883", (True, "::1", 18883)),
    ],
)
def test_broker_is_taken_apart(write: Write, broker: str, parts: tuple[bool, str, int]) -> None:
    mqtt = load_mqtt(write, f'broker = "{broker}"')
    assert (mqtt.tls, mqtt.host, mqtt.port) == parts


@pytest.mark.parametrize(
    ("listen", "address"), [("", None), ("localhost:0", ("localhost", 0)), ("[::1]:8270", ("::1", 8270))]
)
def test_web_address_is_taken_apart(write: Write, listen: str, address: tuple[str, int] | None) -> None:
    assert load(write(f'[web]\nlisten = "{listen}"\n')).config.web.address == address


def test_files_are_described(write: Write, tmp_path: Path) -> None:
    (tmp_path / "own.toml").touch()
    path = write(
        "[files]\n"
        'host = "exao1"\ndirectories = ["telem", "/data/logs/"]\nignore = ["*.part"]\n'
        'timezone = "America/Santiago"\npoll_s = 2\nschemas = ["own.toml"]\nmax_record_bytes = 65536\n'
    )
    files = load(path).config.files
    assert files == Files(
        "exao1",
        (tmp_path / "telem", Path("/data/logs")),
        ("*.part",),
        "America/Santiago",
        2.0,
        (tmp_path / "own.toml",),
        65_536,
    )
    assert datetime(2024, 1, 1, tzinfo=files.zone).utcoffset() == timedelta(hours=-3)
    assert Files().zone is UTC


def test_names_are_lower_cased(write: Write) -> None:
    photometer = load(
        write('[photometer]\nallow = ["STARS1", "Ñandú"]\ndeny = ["TESS-OAM"]\n')
    ).config.photometer
    assert (photometer.allow, photometer.deny) == (("stars1", "ñandú"), ("tess-oam",))


def test_relative_paths_stand_beside_the_file(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/observer")
    config = load(write('[journal]\ndirectory = "journals"\n[admin]\nsocket = "~/admin.sock"\n')).config
    assert config.journal.directory == tmp_path / "journals"
    assert config.admin.socket == Path("/home/observer/admin.sock")


def test_path_of_the_file_may_be_relative_itself(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write('[journal]\ndirectory = "journals"\n')
    monkeypatch.chdir(tmp_path)
    loaded: Loaded = load(Path("tessmon.toml"))
    assert loaded.config.journal.directory == tmp_path / "journals"


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A configuration that all may read, its password in a directory that is closed."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        closed = directory / "closed"
        closed.mkdir()
        (closed / "password").write_text("x")
        (directory / "tessmon.toml").write_text('[mqtt]\nusername = "u"\npassword_file = "closed/password"\n')
        closed.chmod(0)
        directory.chmod(0o755)
        yield directory
        closed.chmod(0o700)


@pytest.fixture
def as_nobody() -> Iterator[None]:
    """Root may look at everything: be someone else for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    yield
    os.seteuid(0)


def test_secret_that_this_user_may_not_look_at_is_left_to_the_service(
    open_directory: Path, as_nobody: None
) -> None:
    loaded = load(open_directory / "tessmon.toml")
    assert loaded.config.mqtt is not None
    assert loaded.config.mqtt.password_file == open_directory / "closed" / "password"
    with pytest.raises(ValueError, match="Permission denied"):
        read_secret(loaded.config.mqtt.password_file)
