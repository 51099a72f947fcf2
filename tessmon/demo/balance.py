# SPDX-License-Identifier: MIT
"""Whether every message that was sent is accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tessmon.demo.figures import Counts
from tessmon.demo.publisher import Ledger


def differences(ledger: Ledger, counts: Counts, received: int | None = None) -> list[str]:
    """What does not add up, a sentence each; empty when all does.

    Args:
        ledger: what was sent, readings and registrations and nonsense alike.
        counts: what the database has, when nothing waits any more.
        received: how many messages reached the service, when it said so.
    """
    found = []
    missing = ledger.sent - counts.accounted
    if missing:
        found.append(f"{ledger.sent} messages were sent and {counts.accounted} are accounted for")
    if missing and received is not None and received < ledger.sent:
        found.append(
            f"{ledger.sent - received} messages never reached the service "
            f"({ledger.by_qos[0]} were sent at QoS 0, which nobody acknowledges)"
        )
    if counts.rows != counts.readings:
        found.append(f"the tallies say {counts.readings} readings, the tables have {counts.rows} rows")
    if counts.reject_rows != counts.rejected.total():
        found.append(f"the tallies say {counts.rejected.total()} rejects, the table has {counts.reject_rows}")
    return found


def summary(ledger: Ledger, counts: Counts) -> Iterator[str]:
    """The equation, line by line, as the operator reads it."""
    quality = ", ".join(f"{count} at QoS {qos}" for qos, count in sorted(ledger.by_qos.items()))
    yield f"{ledger.sent:>8} messages sent ({quality}), registrations and nonsense among them:"
    for kind, count in ledger.kinds.most_common():
        yield f"{count:>16} {kind}"
    yield "What became of them, each counted once:"
    yield f"{counts.readings:>8} readings stored as rows"
    yield f"{counts.registrations.total():>8} registrations stored{_by(counts.registrations)}"
    yield f"{counts.duplicates:>8} duplicates of rows that were there"
    yield f"{counts.filtered.total():>8} filtered on purpose{_by(counts.filtered)}"
    yield f"{counts.rejected.total():>8} rejected, kept with their reason{_by(counts.rejected)}"
    yield f"{counts.accounted:>8} accounted for"


def _by(counted: Counter[str]) -> str:
    return f" ({', '.join(f'{cause} {count}' for cause, count in counted.most_common())})" if counted else ""
