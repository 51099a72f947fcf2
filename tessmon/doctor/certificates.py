# SPDX-License-Identifier: MIT
"""How long certificates are good still: those of broker, vlbimon servers and database, ours, and the authorities'."""

from __future__ import annotations

import os
import socket
import ssl
import struct
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from OpenSSL import crypto

from tessmon.config.model import Mqtt, Vlbimon
from tessmon.config.secrets import secret_path
from tessmon.database.parameters import Host, hosts_of, read_dsn
from tessmon.doctor.finding import Finding, Verdict, Wishes, fault, not_checked, ok, warning
from tessmon.doctor.patience import Patience
from tessmon.doctor.reach import STEP_S, UnreachableError, is_loopback, tcp_socket

LIMIT_S = 40.0

_SOON_DAYS = 30
_SSL_REQUEST = struct.pack(">ii", 8, 80877103)
"""Source: "Message Formats" of the protocol chapter in PostgreSQL's documentation, SSLRequest."""
_POSTGRES_PORT = 5432
_HTTPS_PORT = 443


def look(wishes: Wishes, patience: Patience) -> Iterator[Finding]:
    """Looks at certificates and trusts none: whether they are good for the service, the other checks tell."""
    config = wishes.loaded.config
    if config.mqtt is not None:
        yield _broker(config.mqtt, patience)
        for key in ("ca_file", "cert_file"):
            file = getattr(config.mqtt, key)
            if file is not None:
                yield from _in_file("mqtt", key, file)
    if config.vlbimon is not None:
        yield from _vlbimon(config.vlbimon, patience)
    yield from _databases(config.database.dsn, patience)


def _broker(settings: Mqtt, patience: Patience) -> Finding:
    subject = "certificate broker"
    if not settings.tls:
        return not_checked(subject, f"{settings.broker} is not TLS")
    try:
        with closing(tcp_socket(settings.host, settings.port, patience)) as opened:
            return judged(
                subject, _shown(opened, settings.host, patience, settings), "renew it at the broker"
            )
    except UnreachableError as error:
        return not_checked(subject, str(error))
    except OSError as error:
        return not_checked(subject, f"the broker shows none ({error})")


def _vlbimon(settings: Vlbimon, patience: Patience) -> Iterator[Finding]:
    for server in settings.servers:
        parts = urlsplit(server)
        subject = f"certificate vlbimon {parts.netloc}"
        if parts.scheme != "https":
            yield not_checked(subject, f"{server} is not TLS")
            continue
        host = parts.hostname or ""
        try:
            with closing(tcp_socket(host, parts.port or _HTTPS_PORT, patience)) as opened:
                yield judged(subject, _shown(opened, host, patience), "have it renewed at the server")
        except UnreachableError as error:
            yield not_checked(subject, str(error))
        except OSError as error:
            yield not_checked(subject, f"the server shows none ({error})")
    if settings.ca_file is not None:
        yield from _in_file("vlbimon", "ca_file", settings.ca_file)


def _shown(opened: socket.socket, host: str, patience: Patience, mqtt: Mqtt | None = None) -> crypto.X509:
    """The certificate that a server shows, whatever it is worth.

    Raises:
        OSError: there is no TLS.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if mqtt and mqtt.cert_file and mqtt.key_file:
        with suppress(OSError, ValueError):
            context.load_cert_chain(mqtt.cert_file, secret_path(mqtt.key_file), password=lambda: "")
    opened.settimeout(patience.left_s(STEP_S))
    with context.wrap_socket(opened, server_hostname=host) as tls:
        shown = tls.getpeercert(binary_form=True)
    if shown is None:
        raise OSError("the handshake has none")
    return crypto.load_certificate(crypto.FILETYPE_ASN1, shown)


def judged(subject: str, certificate: crypto.X509, advice: str) -> Finding:
    """By the time that is left."""
    until, since = _moment(certificate.get_notAfter()), _moment(certificate.get_notBefore())
    now = datetime.now(UTC)
    days = (until - now).days
    if since > now:
        return fault(
            subject, f"is good from {since:%Y-%m-%d %H:%M} UTC on only", "look at the clocks, or renew it"
        )
    if until <= now:
        return fault(subject, f"has expired on {until:%Y-%m-%d}", advice)
    found = f"{days} days left, until {until:%Y-%m-%d}"
    return warning(subject, found, advice) if days < _SOON_DAYS else ok(subject, found)


def _moment(asn1: bytes | None) -> datetime:
    return datetime.strptime((asn1 or b"").decode(), "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _in_file(table: str, key: str, file: Path) -> Iterator[Finding]:
    """The certificate in a file that ends first."""
    subject = f"certificate {key}" if table == "mqtt" else f"certificate {table} {key}"
    try:
        pieces = file.read_bytes().split(b"-----BEGIN CERTIFICATE-----")[1:]
        found = [
            crypto.load_certificate(crypto.FILETYPE_PEM, b"-----BEGIN CERTIFICATE-----" + piece)
            for piece in pieces
        ]
    except (OSError, crypto.Error) as error:
        yield fault(subject, f"{file} can't be read: {error}", f"correct [{table}] {key}")
        return
    if not found:
        yield fault(subject, f"{file} holds no certificate", f"correct [{table}] {key}")
        return
    first = min(found, key=lambda each: each.get_notAfter() or b"")
    yield judged(subject, first, f"renew it in {file}")


def _databases(dsn: str, patience: Patience) -> Iterator[Finding]:
    parameters = read_dsn(dsn)
    address = parameters.get("hostaddr") or os.environ.get("PGHOSTADDR")
    hosts = [Host(address, parameters.get("port", ""))] if address else hosts_of(parameters)
    remote = [host for host in hosts if host.needs_address]
    if not remote:
        yield not_checked(
            "certificate database", "it is reached through a socket of this machine, without TLS"
        )
    for host in remote:
        yield _database(host, parameters, patience)


def _database(host: Host, parameters: Mapping[str, str], patience: Patience) -> Finding:
    subject = "certificate database"
    mode = parameters.get("sslmode") or os.environ.get("PGSSLMODE") or "prefer"
    try:
        with closing(tcp_socket(host.name, int(host.port or _POSTGRES_PORT), patience)) as opened:
            opened.settimeout(patience.left_s(STEP_S))
            opened.sendall(_SSL_REQUEST)
            has_tls = opened.recv(1) == b"S"
            if not has_tls or mode == "disable":
                return _plain(subject, host, has_tls)
            found = judged(subject, _shown(opened, host.name, patience), "renew it at the database")
    except UnreachableError as error:
        return not_checked(subject, str(error))
    except OSError as error:
        return not_checked(subject, f"{host.name} shows none ({error})")
    if mode in ("verify-ca", "verify-full"):
        return found
    if found.verdict is Verdict.FAULT:
        return warning(subject, f"{found.found}; sslmode {mode} does not look at it", found.advice)
    if not is_loopback(host.name):
        advice = "write sslmode=verify-full and sslrootcert in [database] dsn"
        return warning(subject, f"{found.found}; sslmode {mode} does not look at it", advice)
    return found


def _plain(subject: str, host: Host, has_tls: bool) -> Finding:
    if is_loopback(host.name):
        return ok(subject, f"none, and none is needed: {host.name} is this machine")
    return warning(
        subject,
        f"the connection to {host.name} is not encrypted",
        "write sslmode=verify-full in [database] dsn" if has_tls else "switch ssl on in postgresql.conf",
    )
