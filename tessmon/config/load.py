# SPDX-License-Identifier: MIT
"""From a TOML file to a `Config`, or to one error that lists every problem with table, key and line."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, NamedTuple

import spanned_toml

from tessmon.config.model import INPUTS, TABLES, Config, Mqtt, Vlbimon
from tessmon.config.places import default_configuration
from tessmon.errors import ConfigurationError

Key = tuple[str, ...]
DEFAULT = "default"


class Loaded(NamedTuple):
    """A configuration and where it comes from.

    Attributes:
        config: as the service takes it.
        path: the file that was read; None when there was none.
        origins: (table, key) → "FILE:LINE", or `DEFAULT`.
    """

    config: Config
    path: Path | None
    origins: Mapping[tuple[str, str], str]


def load(path: Path | None) -> Loaded:
    """Read the configuration.

    Args:
        path: the file; None takes the usual one, and all defaults when that is not there.

    Raises:
        ConfigurationError: a named file is missing, or anything in it is wrong; all problems are listed.
    """
    found = path or default_configuration()
    try:
        written = found.read_bytes()
    except FileNotFoundError:
        if path is None:
            return _Loading(None, {}, {}).loaded(Config())
        raise ConfigurationError(f"{found} is not there: run 'tessmon config init' to make one") from None
    except OSError as error:
        raise ConfigurationError(f"{found} can't be read: {error.strerror}") from error
    try:
        text = written.decode()
        document = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = written.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{found}:{line}: not UTF-8 text") from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{found}: {error}") from error
    return _Loading(found.absolute(), document, _lines(text)).load()


class _Loading:
    """One walk through a document, gathering problems."""

    def __init__(self, path: Path | None, document: dict[str, Any], lines: dict[Key, int]) -> None:
        self._path = path
        self._document = document
        self._lines = lines
        self._problems: list[tuple[int, str]] = []

    def load(self) -> Loaded:
        for name in self._document:
            if name not in TABLES:
                self._complain((name,), _unknown_table(name, self._document[name]))
            elif not isinstance(self._document[name], dict):
                self._complain((name,), f"[{name}] must be a table")
        tables: dict[str, Any] = {name.rpartition(".")[2]: self._table(name) for name in TABLES}
        config = Config(**tables)
        if not self._problems:
            for table, key, sentence in _contradictions(config):
                self._complain((table, key), f"[{table}] {sentence}")
        if self._problems:
            raise ConfigurationError("\n".join(text for _, text in sorted(self._problems)))
        return self.loaded(config)

    def loaded(self, config: Config) -> Loaded:
        origins = {}
        for name, model in TABLES.items():
            for each in fields(model):
                written = each.name in self._written(name)
                origins[name, each.name] = self._place((name, each.name)) if written else DEFAULT
        return Loaded(config, self._path, origins)

    def _table(self, name: str) -> object:
        if name in INPUTS and name not in self._document:
            return None
        known = {each.name: each for each in fields(TABLES[name])}
        found = {}
        for key, given in self._written(name).items():
            if key in known:
                found.update(self._value(name, known[key], given))
            elif f"{name}.{key}" in TABLES:
                if not isinstance(given, dict):
                    self._complain((name, key), f"[{name}.{key}] must be a table")
            else:
                self._complain((name, key), _unknown_key(name, key))
        return TABLES[name](**found)

    def _written(self, name: str) -> dict[str, Any]:
        """What stands in the document below a table's name; empty when it is no table."""
        below: Any = self._document
        for part in name.split("."):
            below = below.get(part, {}) if isinstance(below, dict) else {}
        return below if isinstance(below, dict) else {}

    def _value(self, table: str, each: Field[Any], given: object) -> dict[str, object]:
        assert self._path is not None
        try:
            return {each.name: each.metadata["read"](given, self._path.parent)}
        except ValueError as error:
            self._complain((table, each.name), f"[{table}] {each.name} {error}")
            return {}

    def _complain(self, key: Key, sentence: str) -> None:
        self._problems.append((self._lines.get(key, 0), f"{self._place(key)}: {sentence}"))

    def _place(self, key: Key) -> str:
        line = self._lines.get(key) or self._lines.get(key[:1])
        return f"{self._path}:{line}" if line else str(self._path)


def _contradictions(config: Config) -> Iterator[tuple[str, str, str]]:
    """Table, key and sentence of settings that are right alone and wrong together."""
    if config.mqtt is not None:
        yield from (("mqtt", key, sentence) for key, sentence in _in_mqtt(config.mqtt))
    if config.vlbimon is not None:
        yield from (("vlbimon", key, sentence) for key, sentence in _in_vlbimon(config.vlbimon))


def _in_vlbimon(vlbimon: Vlbimon) -> Iterator[tuple[str, str]]:
    if vlbimon.ca_file and not any(each.startswith("https:") for each in vlbimon.servers):
        yield "ca_file", "ca_file is for TLS, but no server is https://"
    if vlbimon.connect_timeout_s > vlbimon.timeout_s:
        yield "connect_timeout_s", "connect_timeout_s is longer than timeout_s, which is for all of an answer"


def _in_mqtt(mqtt: Mqtt) -> Iterator[tuple[str, str]]:
    if mqtt.password_file and not mqtt.username:
        yield "password_file", "password_file needs a username beside it"
    if mqtt.cert_file and not mqtt.key_file:
        yield "cert_file", "cert_file needs the key_file that belongs to it"
    if mqtt.key_file and not mqtt.cert_file:
        yield "key_file", "key_file needs the cert_file that belongs to it"
    for key in ("ca_file", "cert_file", "key_file"):
        if getattr(mqtt, key) and not mqtt.tls:
            yield key, f"{key} is for TLS, but the broker is not mqtts://"


def _unknown_table(name: str, given: object) -> str:
    if isinstance(given, dict):
        return f"there is no table [{name}]{_did_you_mean(name, TABLES)}"
    homes = [f"[{table}]" for table, model in TABLES.items() if name in {each.name for each in fields(model)}]
    belongs = f": it belongs below {' or '.join(homes)}" if homes else ""
    return f"{name} stands outside of any table{belongs}"


def _unknown_key(table: str, key: str) -> str:
    for other, model in TABLES.items():
        if key in {each.name for each in fields(model)}:
            return f"[{table}] has no key {key}: it belongs below [{other}]"
    return f"[{table}] has no key {key}{_did_you_mean(key, [each.name for each in fields(TABLES[table])])}"


def _did_you_mean(name: str, known: Mapping[str, object] | list[str]) -> str:
    close = difflib.get_close_matches(name, list(known), 1)
    return f", did you mean {close[0]}?" if close else f", there are {', '.join(known)}"


def _lines(text: str) -> dict[Key, int]:
    """(table,) and (table, key) → the line it is written in, counted from 1."""
    text = text.replace("\r\n", "\n")  # as the parser counts
    found: dict[Key, int] = {}
    try:
        document: Any = spanned_toml.loads(text)
    except (ValueError, RecursionError):
        return found  # tomllib is who decides; without lines a problem still names table and key
    _note_lines(document, "", text, found)
    return found


def _note_lines(spanned: Any, above: str, text: str, found: dict[Key, int]) -> None:
    """Lines of what stands in one table, by its dotted name, and of the tables in it."""
    for key, below in spanned.inner().items():
        line = text.count("\n", 0, key.span().start) + 1
        name = f"{above}.{key.inner()}" if above else key.inner()
        found[(above, key.inner()) if above else (name,)] = line
        if isinstance(below.inner(), dict):
            found[(name,)] = line
            _note_lines(below, name, text, found)
