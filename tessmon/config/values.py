# SPDX-License-Identifier: MIT
"""How a value of the file becomes a value of the model: one small reader per kind of value.

A reader takes what TOML gave and the directory that relative paths stand in, and returns the value or raises
`ValueError` with the rest of a sentence that begins with the key's name.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo

from tessmon.config.logins import read_logins
from tessmon.config.secrets import CREDENTIAL, check_mode, is_credential

Reader = Callable[[object, Path], object]

MAX_TOPIC_BYTES = 65_535
BROKER_PORTS = {"mqtt": 1883, "mqtts": 8883}
MAX_NAME_LENGTH = 200
"""Of a station or parameter [characters]."""
LEVELS = ("debug", "info", "warn", "error", "critical")


def text(given: object, _base: Path) -> str:
    """Any text without NUL."""
    if not isinstance(given, str):
        raise ValueError(f"must be text in quotes, not {_kind(given)}")
    if "\0" in given:
        raise ValueError("holds a NUL character")
    return given


def some_text(given: object, base: Path) -> str:
    """Any text but the empty one."""
    if not (found := text(given, base)):
        raise ValueError("is empty")
    return found


def names(given: object, base: Path) -> tuple[str, ...]:
    """Photometer names, lower-cased as those in messages are."""
    return tuple(name.lower() for name in _texts(given, base))


def flag(given: object, _base: Path) -> bool:
    """true or false."""
    if not isinstance(given, bool):
        raise ValueError(f"must be true or false, not {_kind(given)}")
    return given


def whole(low: int, high: int) -> Reader:
    """A reader of whole numbers from ``low`` to ``high``."""

    def read(given: object, _base: Path) -> int:
        if not isinstance(given, int) or isinstance(given, bool):
            raise ValueError(f"must be a whole number, not {_kind(given)}")
        if not low <= given <= high:
            raise ValueError(f"must be between {low} and {high}, {given} is not")
        return given

    return read


def number(low: float, high: float) -> Reader:
    """A reader of finite numbers from ``low`` to ``high``."""

    def read(given: object, _base: Path) -> float:
        if not isinstance(given, (int, float)) or isinstance(given, bool):
            raise ValueError(f"must be a number, not {_kind(given)}")
        if not math.isfinite(given) or not low <= given <= high:
            raise ValueError(f"must be between {low:g} and {high:g}, {given} is not")
        return float(given)

    return read


def odd(low: int, high: int) -> Reader:
    """A reader of odd whole numbers from ``low`` to ``high``."""
    read_whole = whole(low, high)

    def read(given: object, base: Path) -> object:
        found = read_whole(given, base)
        if found % 2 == 0:  # type: ignore[operator]
            raise ValueError(f"must be an odd number, {found} is even")
        return found

    return read


def choice(*allowed: str | int) -> Reader:
    """A reader of one of a few values."""

    def read(given: object, _base: Path) -> str | int:
        for value in allowed:
            if given == value and type(given) is type(value):
                return value
        quoted = ", ".join(f'"{value}"' if isinstance(value, str) else str(value) for value in allowed)
        raise ValueError(f"must be one of {quoted}, not {_shown(given)}")

    return read


def qos(given: object, _base: Path) -> int:
    """1; whoever asks for 2 is told why not."""
    if given == 2 and not isinstance(given, bool):
        raise ValueError(
            "must be 1: at QoS 2 the client library answers by itself and keeps the message in memory only, "
            "so a kill loses it; at QoS 1 a message is acknowledged when it is on disk"
        )
    if given != 1 or isinstance(given, bool):
        raise ValueError("must be 1: only then does the broker keep a message until it is on disk here")
    return 1


def path(given: object, base: Path) -> Path:
    """A file or directory; ``~`` is the user's home, a relative one stands beside the configuration file."""
    return base / Path(some_text(given, base)).expanduser()


def existing_file(given: object, base: Path) -> Path:
    """A file that is there; whether it can be read, the service finds out, which may run as another user."""
    found = path(given, base)
    with suppress(PermissionError):
        if not found.is_file():
            raise ValueError(f"names {found}, which is no file")
    return found


def existing_files(given: object, base: Path) -> tuple[Path, ...]:
    """Files that are there."""
    return tuple(existing_file(each, base) for each in _texts(given, base))


def directories(given: object, base: Path) -> tuple[Path, ...]:
    """At least one directory, which need not exist; none is another's or below it."""
    found = [Path(os.path.normpath(path(each, base))) for each in _texts(given, base)]
    if not found:
        raise ValueError("is empty: name at least one directory")
    for place, each in enumerate(found):
        for other in found[:place]:
            if each.is_relative_to(other) or other.is_relative_to(each):
                raise ValueError(f"has {each} and {other}: what is in both would be read twice")
    return tuple(found)


def patterns(given: object, base: Path) -> tuple[str, ...]:
    """Patterns of plain names, as a shell has them."""
    found = _texts(given, base)
    for each in found:
        if "/" in each:
            raise ValueError(f"has {_shown(each)}: a pattern is for a name, without /")
    return found


def host_name(given: object, base: Path) -> str:
    """The name of a machine: one word, without a slash."""
    found = some_text(given, base)
    if "/" in found or not found.isprintable() or any(map(str.isspace, found)):
        raise ValueError(f"must be a name without blanks and slashes, {_shown(found)} is not")
    return found


def time_zone(given: object, base: Path) -> str:
    """The name of a time zone that this machine knows (Source: IANA time zone database)."""
    found = some_text(given, base)
    try:
        if found != "UTC":  # known without the machine's files
            ZoneInfo(found)
    except (OSError, LookupError, ValueError):
        raise ValueError(f'must be a time zone like "America/Santiago", {_shown(found)} is none') from None
    return found


def secret_file(given: object, base: Path) -> Path:
    """A file with a secret, refused when others can get at it; or ``credential:NAME``."""
    written = some_text(given, base)
    if written.startswith(CREDENTIAL):
        name = written.removeprefix(CREDENTIAL)
        if not name or "/" in name or name in (".", ".."):
            raise ValueError(f'must be "{CREDENTIAL}NAME" with a plain file name')
        return Path(written)
    found = path(given, base)
    if not _hidden(found):
        try:
            check_mode(found)
        except ValueError as error:
            raise ValueError(f"is refused: {error}") from error
    return found


def login_file(given: object, base: Path) -> Path:
    """A file with names and passwords by host, which is looked through when this user may."""
    found = secret_file(given, base)
    if not is_credential(found) and not _hidden(found) and os.access(found, os.R_OK):
        try:
            read_logins(found)
        except ValueError as error:
            raise ValueError(f"is refused: {error}") from error
    return found


def station_names(given: object, base: Path) -> tuple[str, ...]:
    """Names of stations, as they are."""
    found = _texts(given, base)
    for each in found:
        if len(each) > MAX_NAME_LENGTH or not each.isprintable():
            raise ValueError(f"has {_shown(each)}, which is no station's name")
    return found


def web_servers(given: object, base: Path) -> tuple[str, ...]:
    """At least one URL of a web server, without user and query; all differ."""
    found = tuple(web_server(each, base) for each in _texts(given, base))
    if not found:
        raise ValueError("is empty: name at least one server")
    if len(set(found)) < len(found):
        raise ValueError("names a server twice")
    return found


def web_server(given: object, base: Path) -> str:
    """``https://host[:port][/path]``, or the same with http; without a slash at the end."""
    written = text(given, base)
    parts = _url(written, "has something that is no URL")
    shown = _shown(_bare(parts))
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError(f'must have URLs like "https://host", {shown} is none')
    if "@" in parts.netloc:
        raise ValueError(f"has a user in {shown}: name and password belong into an auth_file")
    if parts.query or parts.fragment or not written.isascii() or not written.isprintable() or " " in written:
        raise ValueError(f"has {shown}: a URL is plain here, with nothing behind its path")
    return parts._replace(netloc=parts.netloc.lower()).geturl().rstrip("/")


def broker(given: object, base: Path) -> str:
    """``mqtt://host[:port]`` or ``mqtts://host[:port]``."""
    written = text(given, base)
    parts = _url(written, "is no URL")
    if parts.scheme not in BROKER_PORTS or not parts.hostname or parts.port == 0:
        raise ValueError(
            f'must look like "mqtt://host:1883" or "mqtts://host:8883", {_shown(_bare(parts))} does not'
        )
    if "@" in parts.netloc:
        raise ValueError("holds a user: write it as username, and the password into a password_file")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("has something behind the port: topics are keys of their own")
    return written


def _url(written: str, wrong: str) -> SplitResult:
    """The parts of a URL, its port among them.

    Raises:
        ValueError: it is none; ``wrong`` is the sentence, for urlsplit's own may quote a password.
    """
    try:
        parts = urlsplit(written)
        _ = parts.port
    except ValueError:
        raise ValueError(wrong) from None
    return parts


def listen(given: object, base: Path) -> str:
    """``host:port`` with ``[…]`` around an IPv6 address, or empty for off."""
    written = text(given, base)
    if written:
        host_and_port(written)
    return written


def host_and_port(written: str) -> tuple[str, int]:
    """The parts of ``host:port``.

    Raises:
        ValueError: it does not have this form.
    """
    try:
        parts = urlsplit(f"//{written}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"is no address: {error}") from error
    if not host or port is None or parts.netloc != written or "@" in written:
        raise ValueError(f'must look like "127.0.0.1:8270" or "[::1]:8270", {_shown(written)} does not')
    return host, port


def topic(given: object, base: Path) -> str:
    """The name of a topic, without wildcards; empty for none."""
    written = text(given, base)
    if "+" in written or "#" in written:
        raise ValueError("is one topic: + and # are not allowed here")
    _check_topic_length(written)
    return written


def topic_filters(given: object, base: Path) -> tuple[str, ...]:
    """At least one topic filter of MQTT (Source: MQTT 3.1.1, 4.7)."""
    found = _texts(given, base)
    if not found:
        raise ValueError("is empty: name at least one topic")
    for each in found:
        levels = each.split("/")
        if (
            not each
            or "#" in levels[:-1]
            or any(len(level) > 1 and set(level) & {"+", "#"} for level in levels)
        ):
            raise ValueError(f"has {_shown(each)}: + stands for one whole level, # for all the last ones")
        if levels[0] == "$share":
            raise ValueError(f"has {_shown(each)}: a shared subscription would give this service a part only")
        _check_topic_length(each)
    return found


def divisor_table(given: object, base: Path) -> dict[str, int]:
    """Whole numbers from 1 by photometer name, lower-cased."""
    if not isinstance(given, dict):
        raise ValueError(f'must be a table like {{ "stars1" = 10 }}, not {_kind(given)}')
    one_in = whole(1, 1_000_000)
    found = {}
    for name, number in given.items():
        try:
            found[some_text(name, base).lower()] = int(str(one_in(number, base)))
        except ValueError as error:
            raise ValueError(f"has {_shown(name)}, which {error}") from error
    return found


def level_table(given: object, base: Path) -> dict[str, str]:
    """Log levels by namespace."""
    if not isinstance(given, dict):
        raise ValueError(f'must be a table like {{ "tessmon.lane" = "debug" }}, not {_kind(given)}')
    one_of = choice(*LEVELS)
    found = {}
    for namespace, level in given.items():
        try:
            found[namespace] = str(one_of(level, base))
        except ValueError as error:
            raise ValueError(f"has {namespace}, which {error}") from error
    return found


def _texts(given: object, base: Path) -> tuple[str, ...]:
    if not isinstance(given, list):
        raise ValueError(f"must be a list of texts in brackets, not {_kind(given)}")
    try:
        return tuple(some_text(each, base) for each in given)
    except ValueError as error:
        raise ValueError(f"has an element that {error}") from error


def _check_topic_length(written: str) -> None:
    if len(written.encode()) > MAX_TOPIC_BYTES:
        raise ValueError(f"is longer than {MAX_TOPIC_BYTES} bytes")


def _hidden(path: Path) -> bool:
    """Whether this user may not even look at the file."""
    try:
        path.stat()
    except PermissionError:
        return True
    except OSError:
        pass
    return False


def _bare(parts: SplitResult) -> str:
    """A URL without the user and password that may stand in it."""
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _kind(given: object) -> str:
    """What TOML calls a value's type."""
    kinds = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "a table",
    }
    return kinds.get(type(given), "a date or time")


def _shown(given: object) -> str:
    shown = f'"{given}"' if isinstance(given, str) else str(given)
    return shown if len(shown) <= 80 else shown[:79] + "…"
