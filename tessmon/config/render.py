# SPDX-License-Identifier: MIT
"""The configuration as text: a commented sample, and the effective values with their origins."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

from tessmon.config.load import Loaded
from tessmon.config.model import INPUTS, TABLES, Config, settings, table_of
from tessmon.config.places import ADMIN_SOCKET, SERVICE_RUNTIME, SERVICE_STATE
from tessmon.config.secrets import without_secrets

_HEAD = """\
# Configuration of tessmon. Lines that begin with # show the defaults.
# Live values are taken up by "tessmon reload", the others by a restart.
# A table with a # before its head is off.
"""


class Effective(NamedTuple):
    """One setting: table, key, value as JSON knows it (secrets masked), origin, live or restart."""

    table: str
    key: str
    value: object
    origin: str
    live: bool


def sample() -> str:
    """A TOML file with every setting, its default and its meaning; loaded, it gives the defaults."""
    return _sample({})


def packaged() -> str:
    """`sample` as it is for a system's service on any machine; etc/tessmon.toml is this text."""
    return _sample(
        {
            ("journal", "directory"): SERVICE_STATE,
            ("mqtt", "client_id"): "tessmon-HOSTNAME",
            ("files", "host"): "HOSTNAME",
            ("vlbimon", "directory"): SERVICE_STATE,
            ("admin", "socket"): SERVICE_RUNTIME / ADMIN_SOCKET,
        }
    )


def _sample(instead: Mapping[tuple[str, str], object]) -> str:
    """Some defaults are those of this user and machine: what is shown instead of them."""
    lines = [_HEAD]
    for table, model in TABLES.items():
        off = "" if table_of(Config(), table) else "# "  # an input that is off until somebody asks for it
        lines += [f"# {(model.__doc__ or '').strip()}", f"{off}[{table}]"]
        defaults = model()
        for each in fields(model):
            value = _plain(instead.get((table, each.name), getattr(defaults, each.name)))
            shown = '"..."' if value is None else toml_value(value)
            lines += [
                f"# {each.metadata['doc']} ({_taken_up(each.metadata['live'])})",
                f"# {each.name} = {shown}",
            ]
        lines.append("")
    return "\n".join(lines)


def effective(loaded: Loaded) -> Iterator[Effective]:
    """Every setting of the tables that are on."""
    for table, each in settings():
        holder = table_of(loaded.config, table)
        if holder is not None:
            value = _plain(getattr(holder, each.name))
            if isinstance(value, str):
                value = without_secrets(value)
            origin = loaded.origins[table, each.name]
            yield Effective(table, each.name, value, origin, each.metadata["live"])


def show(loaded: Loaded) -> str:
    """The effective configuration as TOML; behind each value, where it comes from."""
    lines = [f"# from {loaded.path}" if loaded.path else "# no file was found, all values are defaults"]
    table = ""
    for each in effective(loaded):
        if each.table != table:
            table = each.table
            lines += ["", f"[{table}]"]
        setting = (
            f"# {each.key} is not set" if each.value is None else f"{each.key} = {toml_value(each.value)}"
        )
        lines.append(f"{setting:<50}  # {each.origin}, {_taken_up(each.live)}")
    off = [name for name in INPUTS if table_of(loaded.config, name) is None]
    lines += ["", *(f"# [{name}] is not in the file: off" for name in off)] if off else []
    return "\n".join(lines) + "\n"


def shown(value: object) -> str:
    """A value of the model for people: TOML's notation, secrets masked."""
    plain = _plain(value)
    if plain is None:
        return "not set"
    return toml_value(without_secrets(plain) if isinstance(plain, str) else plain)


def toml_value(value: object) -> str:
    """A plain value in TOML's notation."""
    if isinstance(value, Mapping):
        inside = ", ".join(f"{toml_value(key)} = {toml_value(each)}" for key, each in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml_value, value))}]"
    # TOML writes texts and numbers as JSON does, but wants DEL escaped and knows no surrogate pairs.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _plain(value: object) -> object:
    """A value of the model as JSON knows it."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return list(map(_plain, value))
    if isinstance(value, Mapping):
        return dict(value)
    return value


def _taken_up(live: bool) -> str:
    return "live" if live else "restart"
