# SPDX-License-Identifier: MIT
"""The way to a server in three steps (name, TCP, TLS), each failure one sentence. Blocking sockets."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tessmon.config.model import Mqtt
from tessmon.config.secrets import secret_path
from tessmon.doctor.patience import Patience
from tessmon.errors import TessmonError

STEP_S = 5.0
"""For TCP and for TLS, each [s]."""


class UnreachableError(TessmonError):
    """No connection is made; the text says at which step, why, and what to look at."""


class Peer(NamedTuple):
    """Whom TLS is spoken with: what the operator calls it, host and port, and where it and its authorities are
    configured."""

    name: str
    host: str
    port: int
    setting: str
    authorities: str


def broker_socket(settings: Mqtt, patience: Patience) -> socket.socket:
    """A connected socket, through TLS where the broker is mqtts://.

    Raises:
        UnreachableError: there is none.
        OutOfTimeError: no time is left.
    """
    if not settings.tls:
        return tcp_socket(settings.host, settings.port, patience)
    peer = Peer("the broker", settings.host, settings.port, "[mqtt] broker", "[mqtt] ca_file")
    return tls_socket(peer, client_context(settings), patience)


def tls_socket(peer: Peer, context: ssl.SSLContext, patience: Patience) -> ssl.SSLSocket:
    """A socket whose other end has shown a certificate that is trusted.

    Raises:
        UnreachableError: there is none.
        OutOfTimeError: no time is left.
    """
    opened = tcp_socket(peer.host, peer.port, patience)
    try:
        opened.settimeout(patience.left_s(STEP_S))
        return context.wrap_socket(opened, server_hostname=peer.host)
    except BaseException as error:
        opened.close()
        if isinstance(error, OSError):
            raise UnreachableError(_tls_sentence(peer, error)) from error
        raise


def tcp_socket(host: str, port: int, patience: Patience) -> socket.socket:
    """A socket connected to the first address of a host that answers.

    Raises:
        UnreachableError: none does.
        OutOfTimeError: no time is left.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UnreachableError(
            f"the name {host} can't be looked up ({reason}): correct it, or look at the resolver"
        ) from error
    last = ""
    for family, kind, protocol, _, address in found:
        opened = socket.socket(family, kind, protocol)
        try:
            opened.settimeout(patience.left_s(STEP_S))
            opened.connect(address)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return opened
        except OSError as error:
            opened.close()
            last = f"{address[0]} {why(error)}"
    raise UnreachableError(
        f"nobody answers at {host}:{port} ({last}): start it, or look at address, port and firewall"
    )


def trusting(ca_file: Path | None) -> ssl.SSLContext:
    """TLS that judges certificates as the service does, whatever Python's version.

    From 3.13 on, Python's own defaults refuse a certificate without an authority key identifier, as many self-made
    ones are, and let an intermediate authority end the chain. OpenSSL's defaults, which are the service's, do neither.

    Args:
        ca_file: authorities; None: the system's.

    Raises:
        OSError: the file can't be read.
        ValueError: the file is none of certificates.
    """
    context = ssl.create_default_context(cafile=ca_file and str(ca_file))
    context.verify_flags &= ~(ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN)
    return context


def client_context(settings: Mqtt) -> ssl.SSLContext:
    """TLS as the service does it: the same authorities, the same client certificate, names checked.

    Raises:
        UnreachableError: a file of these can't be used.
    """
    try:
        context = trusting(settings.ca_file)
        if settings.cert_file is not None and settings.key_file is not None:
            context.load_cert_chain(settings.cert_file, secret_path(settings.key_file), password=lambda: "")
    except (OSError, ValueError) as error:
        raise UnreachableError(
            f"[mqtt] ca_file, cert_file or key_file can't be used: {why(error)}"
        ) from error
    return context


def is_loopback(host: str) -> bool:
    """Whether a host is this machine under its loopback name or address."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _tls_sentence(peer: Peer, error: OSError) -> str:
    if not isinstance(error, ssl.SSLCertVerificationError):
        return f"{peer.name} and tessmon can't agree on TLS ({why(error)}): is {peer.port} its port for TLS?"
    if "mismatch" in error.verify_message or "not valid for" in error.verify_message:
        return f"{peer.name}'s certificate is not for {peer.host}: correct {peer.setting} or the certificate"
    return (
        f"{peer.name}'s certificate can't be trusted ({error.verify_message}): "
        f"renew it, or correct {peer.authorities}"
    )


def why(error: Exception) -> str:
    """A few words for what a socket or TLS says."""
    if isinstance(error, TimeoutError):
        return f"gave no answer in {STEP_S:g} s"
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return getattr(error, "strerror", None) or str(error)
