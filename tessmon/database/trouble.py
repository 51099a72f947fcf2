# SPDX-License-Identifier: MIT
"""What an error of the database means for the one who sent the statement."""

from __future__ import annotations

import re
from enum import Enum

from tessmon.config.secrets import without_secrets
from tessmon.database.driver import psycopg2
from tessmon.errors import TessmonError

POSITION_MOVED = "TM001"
"""SQLSTATE of tessmon_advance: the lane is not where its sender believed."""
NO_SUCH_PARTITION = "TM003"
"""SQLSTATE of tessmon_ensure_partitions: no partitions are made for this table or month."""

_MAX_SENTENCE = 500
"""Characters; the column ``detail`` of rejects holds no more."""


class Trouble(Enum):
    """Who can end it."""

    DATA = "data"
    """The rows: sent again they fail again."""
    OPERATOR = "operator"
    """Somebody with rights: a missing table, role or privilege, a wrong password."""
    WEATHER = "weather"
    """Time: the server is away, busy, stopping, full."""


_DATA_CLASSES = frozenset({"22", "23", "54"})
_OPERATOR_CLASSES = frozenset({"42", "0A", "28", "3D", "3F"})
_REFUSED_LOGIN = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|not permitted to log in"
    r"|(?:role|database) \".*\" does not exist|permission denied for database|certificate verify failed"
    r"|does not support SSL|certificate file .* does not exist|not currently accepting connections"
)
"""A refused log-in comes without SQLSTATE: psycopg2 keeps only its text, English unless the server is told
otherwise."""

_ADVICE = re.compile(r"\n\s+.*|^(?:FATAL|ERROR):\s+|(?<=failed: )FATAL:\s+", re.MULTILINE)
"""What libpq adds to its sentence: indented lines with guesses, and the severity before the server's words."""


def trouble_of(error: BaseException) -> Trouble:
    """Whose trouble an error is, by its SQLSTATE where it has one."""
    if isinstance(error, psycopg2.Error):
        return _trouble_of_database(error)
    if isinstance(error, TessmonError):
        return Trouble.OPERATOR
    if isinstance(error, (ValueError, OverflowError)):
        return Trouble.DATA  # the driver refused a value before it sent anything: NUL, a lone surrogate
    return Trouble.WEATHER


def _trouble_of_database(error: psycopg2.Error) -> Trouble:
    state = error.pgcode
    if state is None:
        if isinstance(error, psycopg2.DataError):
            return Trouble.DATA
        return Trouble.OPERATOR if _REFUSED_LOGIN.search(str(error)) else Trouble.WEATHER
    if state == NO_SUCH_PARTITION or state[:2] in _OPERATOR_CLASSES:
        return Trouble.OPERATOR
    return Trouble.DATA if state[:2] in _DATA_CLASSES else Trouble.WEATHER


def is_missing_partition(error: BaseException) -> bool:
    """Whether a row found no partition of its month: the state is a violated CHECK's, but that has a name."""
    return (
        isinstance(error, psycopg2.Error)
        and error.pgcode == psycopg2.errorcodes.CHECK_VIOLATION
        and not error.diag.constraint_name
    )


def sentence_of(error: BaseException) -> str:
    """An error on one line, without values of rows and without passwords."""
    text = str(error)
    if isinstance(error, psycopg2.Error):
        text = error.diag.message_primary or text
    text = _ADVICE.sub("", without_secrets(text).strip())
    line = " ".join(text.replace("\n", "; ").replace("\0", "").split())
    return (line or type(error).__name__)[:_MAX_SENTENCE]
