# SPDX-License-Identifier: MIT
"""The broker: whether it takes us, what it says of itself, what it grants, and what it does when we are away."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from paho.mqtt.client import topic_matches_sub
from paho.mqtt.properties import Properties

from tessmon.cli.table import duration, size
from tessmon.config.model import Mqtt
from tessmon.config.secrets import read_secret
from tessmon.doctor.broker_queue import (
    ABSENT_QOS0,
    REFUSAL,
    Measured,
    NotPermittedError,
    measure,
    remove_session,
)
from tessmon.doctor.finding import Finding, Wishes, fault, milliseconds, not_checked, ok, unreadable, warning
from tessmon.doctor.patience import Patience
from tessmon.doctor.probe import Account, LostError, Probe, RefusedError
from tessmon.doctor.reach import is_loopback

LIMIT_S = 90.0

_SESSION_S = 300
"""MQTT 5 forgets the session of a doctor that was killed after this time [s]."""
_SMALL_WINDOW = 100
"""A smaller one holds up a source whose disk takes some milliseconds for a commit."""
_SLOW_S = 0.5


def look(wishes: Wishes, patience: Patience) -> Iterator[Finding]:
    """Connects with client ids of its own, never the service's."""
    settings = wishes.loaded.config.mqtt
    if settings is None:
        yield not_checked("broker", "the configuration has no table [mqtt]: nothing is received over MQTT")
        return
    try:
        password = None if settings.password_file is None else read_secret(settings.password_file)
    except ValueError as error:
        yield unreadable("broker", str(error))
        return
    ours = Account(settings, password, _client_id("s"), settings.protocol == "5", settings.session_expiry_s)
    with Probe(ours, patience) as first:
        pass
    if first.session_present:
        yield _mistaken(ours)
        return
    ours = ours._replace(session_s=_SESSION_S)
    try:
        yield _welcome(ours, first.tls_version)
        other = ours._replace(client_id=_client_id("p"), session_s=None)
        yield _limits(other._replace(five=True), patience)
        yield from _subscriptions(other, patience)
        yield from _absence(ours, other, wishes.messages, patience)
    finally:
        remove_session(ours)


def _mistaken(ours: Account) -> Finding:
    """Our client id, which is new, has a session already: some brokers go by the user name instead.

    Then we took the service's connection, which it makes anew. One more of ours, without session, would take all
    that waits for it.
    """
    return fault(
        "broker",
        f"it gives our client id {ours.client_id} the session of another client, so nothing more was tried",
        "let it tell clients apart by their ids (mosquitto: use_username_as_clientid false)",
    )


def _welcome(ours: Account, tls_version: str) -> Finding:
    settings = ours.settings
    whom = f"user {settings.username}" if settings.username else "clients without user name"
    found = f"{settings.broker} takes {whom} by MQTT {settings.protocol}"
    if tls_version:
        return ok("broker", f"{found} over {tls_version}")
    if is_loopback(settings.host):
        return ok("broker", found)
    what = "the password and all messages travel" if settings.username else "all messages travel"
    return warning("broker", f"{found}; {what} unencrypted", "use mqtts:// in [mqtt] broker")


def _limits(account: Account, patience: Patience) -> Finding:
    """What only MQTT 5 tells; where the service speaks 3.1.1, the broker's limits are the same."""
    settings = account.settings
    try:
        with Probe(account._replace(session_s=settings.session_expiry_s), patience) as probe:
            limits = probe.limits
    except (LostError, RefusedError) as error:
        if settings.protocol == "5":
            raise
        return not_checked("broker limits", f"only MQTT 5 tells them, and by that: {error}")
    finally:
        remove_session(account)
    return judged_limits(settings, limits)


def judged_limits(settings: Mqtt, limits: Properties) -> Finding:
    """What the broker said in its CONNACK (Source: MQTT 5.0, 3.2.2.3; what is not said has its default)."""

    def said(name: str, default: int) -> int:
        return int(getattr(limits, name, default))

    filters = (settings.register_topic, *settings.reading_topics)
    session_s = said("SessionExpiryInterval", settings.session_expiry_s)
    packet_bytes = said("MaximumPacketSize", 0)
    features = [
        name
        for name, key in (
            ("retain", "RetainAvailable"),
            ("wildcards", "WildcardSubscriptionAvailable"),
            ("shared subscriptions", "SharedSubscriptionAvailable"),
        )
        if said(key, 1)
    ]
    found = (
        f"QoS up to {said('MaximumQoS', 2)}, receive maximum {said('ReceiveMaximum', 65_535)}, "
        f"packets up to {size(packet_bytes) if packet_bytes else 'any size'}, "
        f"{said('TopicAliasMaximum', 0)} topic aliases, sessions kept {duration(session_s)}; "
        f"{', '.join(features) or 'no retain, wildcards, shared subscriptions'}"
    )
    if said("MaximumQoS", 2) < 1:
        return fault("broker limits", found, "allow QoS 1 at the broker: QoS 0 loses messages")
    if not said("WildcardSubscriptionAvailable", 1) and any(set(each) & set("+#") for each in filters):
        return fault("broker limits", found, "allow wildcards at the broker, or name each topic")
    if settings.protocol == "5" and session_s < settings.session_expiry_s:
        return warning(
            "broker limits",
            f"{found}; we ask for {duration(settings.session_expiry_s)}",
            "let the broker keep sessions longer, or lower [mqtt] session_expiry_s",
        )
    return ok("broker limits", found)


def _subscriptions(account: Account, patience: Patience) -> Iterator[Finding]:
    settings = account.settings
    filters = [each for each in (settings.register_topic, *settings.reading_topics) if each]
    with Probe(account, patience) as probe:
        granted = dict(zip(filters, probe.subscribe(filters), strict=True))
    refused = [each for each, qos in granted.items() if qos >= REFUSAL]
    low = [each for each, qos in granted.items() if qos == 0]
    if refused:
        yield fault(
            "broker subscriptions",
            f"not granted: {', '.join(refused)}",
            "allow this user to subscribe to them in the broker's access list",
        )
    if low:
        yield fault(
            "broker subscriptions",
            f"granted at QoS 0 only: {', '.join(low)}",
            "allow QoS 1 at the broker: QoS 0 loses messages",
        )
    if not refused and not low:
        yield ok("broker subscriptions", f"granted at QoS 1: {', '.join(filters)}")


def _absence(ours: Account, other: Account, messages: int, patience: Patience) -> Iterator[Finding]:
    if not messages:
        yield not_checked("broker queue", "it takes messages to measure it, and --messages is 0")
        return
    try:
        measured = measure(ours, other, _topic(ours.settings), messages, patience)
    except NotPermittedError as error:
        yield not_checked(
            "broker queue",
            f"{error}, so window and queue can't be measured",
            "let this user write and read tessmon/doctor/#, or look at the broker's settings yourself",
        )
        return
    yield from judged_absence(measured)


def judged_absence(measured: Measured) -> Iterator[Finding]:
    """What the figures mean."""
    trip = f"a message is back after {milliseconds(measured.round_trip_s)}"
    if measured.round_trip_s < _SLOW_S:
        yield ok("broker round trip", trip)
    else:
        yield warning("broker round trip", trip, "look at the line and the broker's load")
    if not measured.session_kept:
        yield fault(
            "broker session",
            "it does not keep the session of a client that leaves: each absence loses what is published meanwhile",
            "allow persistent sessions at the broker",
        )
        return
    yield ok("broker session", "kept while we were away")
    yield _window(measured)
    yield _queue(measured)
    yield _queue_qos0(measured)


def _window(measured: Measured) -> Finding:
    if measured.window >= measured.kept:
        return ok("broker window", f"{measured.window} messages came unacknowledged, no limit was seen")
    found = f"{measured.window} messages may be unacknowledged"
    if measured.window >= _SMALL_WINDOW:
        return ok("broker window", found)
    return warning(
        "broker window",
        f"{found}: each waits for our disk, so more would come faster",
        "raise it (mosquitto: max_inflight_messages 1000)",
    )


def _queue(measured: Measured) -> Finding:
    if measured.kept >= measured.sent:
        return ok("broker queue", f"all {measured.sent} messages were kept while we were away")
    return warning(
        "broker queue",
        f"of {measured.sent} messages {measured.kept} were kept while we were away, the others are lost",
        "raise it (mosquitto: max_queued_messages 1000000)",
    )


def _queue_qos0(measured: Measured) -> Finding:
    if measured.kept_qos0 >= ABSENT_QOS0:
        return ok("broker QoS 0", "kept too while we are away")
    return warning(
        "broker QoS 0",
        f"{measured.kept_qos0} of {ABSENT_QOS0} messages were kept while we were away; "
        "TESS photometers publish at QoS 0",
        "have it queue them (mosquitto: queue_qos0_messages true)",
    )


def _client_id(suffix: str) -> str:
    """A new one; 23 letters, which every broker must take (Source: MQTT 3.1.1, 3.1.3.1)."""
    return f"tessmon-doctor-{secrets.token_hex(4)[:7]}{suffix}"


def _topic(settings: Mqtt) -> str:
    """One of our own that a running service does not take: a wildcard in front doesn't match what begins with $."""
    topic = f"tessmon/doctor/{secrets.token_hex(4)}"
    taken = any(topic_matches_sub(each, topic) for each in settings.reading_topics)
    return f"${topic}" if taken else topic
