# SPDX-License-Identifier: MIT
"""``tessmon doctor``: looks at everything the service needs, by measuring it."""

from __future__ import annotations

import argparse
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tessmon.cli.arguments import configuration, leaf, print_json
from tessmon.cli.table import paragraph
from tessmon.doctor import SUBJECTS
from tessmon.errors import ConfigurationError

if TYPE_CHECKING:
    from tessmon.cli.arguments import Subparsers
    from tessmon.doctor.finding import Finding

_ALL = "all"
_INDENT = 13
_MESSAGES = 3000
_MOST_MESSAGES = 100_000


def add_parser(commands: Subparsers) -> None:
    parser = leaf(
        commands,
        "doctor",
        "measure what the service needs, and tell what to do; exit code 1 if there is a fault",
        True,
    )
    parser.add_argument(
        "subjects",
        nargs="*",
        choices=[*SUBJECTS, _ALL],
        default=_ALL,  # a list would be looked up among the choices itself
        metavar="SUBJECT",
        help=f"what to look at: {', '.join(SUBJECTS)} (default: {_ALL})",
    )
    parser.add_argument(
        "--messages",
        type=_messages,
        default=_MESSAGES,
        metavar="N",
        help="publish so many, to tessmon/doctor/..., to measure the broker's queue; 0: none (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    from tessmon.doctor.examination import check_of, examine
    from tessmon.doctor.finding import Verdict, Wishes, fault

    findings: list[Finding] = []

    def tell(finding: Finding) -> None:
        findings.append(finding)
        if not arguments.json:
            print("\n".join(_lines(finding)), flush=True)

    try:
        wishes = Wishes(configuration(arguments), arguments.messages)
    except ConfigurationError as error:
        for sentence in str(error).splitlines():
            tell(fault("configuration", sentence, "correct it; nothing else was looked at"))
    else:
        for subject in SUBJECTS:
            if subject in arguments.subjects or _ALL in arguments.subjects:
                with _put_right():
                    examine(check_of(subject), wishes, tell)
    counts = Counter(finding.verdict for finding in findings)
    if arguments.json:
        print_json([finding._asdict() for finding in findings])
    else:
        print("\n" + ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict]))
    return 1 if counts[Verdict.FAULT] else 0


@contextmanager
def _put_right() -> Iterator[None]:
    """SIGTERM ends as Ctrl-C does, so that what was begun at the broker is put right."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are not ours to take
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _lines(finding: Finding) -> list[str]:
    lines = [paragraph(finding.verdict, f"{finding.subject}: {finding.found}", _INDENT)]
    if finding.advice:
        lines.append(paragraph("", f"to do: {finding.advice}", _INDENT))
    return lines


def _messages(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= _MOST_MESSAGES):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 to {_MOST_MESSAGES}")
    return int(text)
