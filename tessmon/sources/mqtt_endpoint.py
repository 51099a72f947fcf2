# SPDX-License-Identifier: MIT
"""From the configured broker to a Twisted endpoint, and from a failed connection to a sentence."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from OpenSSL import SSL, crypto
from service_identity import VerificationError
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError, DNSLookupError, TimeoutError
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IStreamClientEndpoint
from twisted.internet.ssl import (
    Certificate,
    PrivateCertificate,
    optionsForClientTLS,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from tessmon.config.model import Mqtt
from tessmon.config.secrets import secret_path

CONNECT_TIMEOUT_S = 15
"""For name look-up and TCP."""

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@implementer(IOpenSSLClientConnectionCreator)
class BrokerTls:
    """Makes TLS connections to one broker; after a failed one it can tell what was wrong."""

    def __init__(self, settings: Mqtt) -> None:
        """Raises: ValueError: a certificate or key can't be used."""
        self._host = settings.host
        self._inner = optionsForClientTLS(
            settings.host, trustRoot=_trust(settings.ca_file), clientCertificate=_identity(settings)
        )
        self._connection: SSL.Connection | None = None

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """A new TLS connection, which checks the host's name."""
        self._connection = self._inner.clientConnectionForTLS(tlsProtocol)
        return self._connection

    def why(self, failure: Failure) -> str | None:
        """The sentence for a failure of TLS, None for another one."""
        if failure.check(VerificationError):
            return (
                f"the broker's certificate is not for {self._host}: correct [mqtt] broker or the certificate"
            )
        if not isinstance(failure.value, SSL.Error):
            return None
        reasons = ", ".join(str(entry[-1]) for errors in failure.value.args[:1] for entry in errors)
        if "certificate verify failed" in reasons:
            return f"the broker's certificate can't be trusted: {self._doubt() or reasons}"
        return f"the broker and tessmon can't agree on TLS: {reasons or 'no reason was given'}"

    def _doubt(self) -> str | None:
        """What OpenSSL says of the certificates shown; the failed handshake itself doesn't tell."""
        chain = self._connection and self._connection.get_peer_cert_chain()
        if not self._connection or not chain:
            return None
        store = self._connection.get_context().get_cert_store()
        try:
            crypto.X509StoreContext(store, chain[0], chain).verify_certificate()  # type: ignore[arg-type]
        except crypto.X509StoreContextError as error:
            return str(error)
        return None


def broker_endpoint(reactor: Any, settings: Mqtt) -> tuple[IStreamClientEndpoint, BrokerTls | None]:
    """Where to connect to, and who can explain a failure of TLS.

    Raises:
        ValueError: a certificate, key or authority can't be used; one sentence.
    """
    endpoint = HostnameEndpoint(reactor, settings.host, settings.port, timeout=CONNECT_TIMEOUT_S)
    if not settings.tls:
        return endpoint, None
    tls = BrokerTls(settings)
    return wrapClientTLS(tls, endpoint), tls


def unreachable(failure: Failure) -> str:
    """Why no connection was made: the rest of a sentence that begins with the broker's name."""
    if failure.check(DNSLookupError):
        return "has a name that can't be looked up"
    if failure.check(TimeoutError):
        return f"doesn't answer within {CONNECT_TIMEOUT_S} s"
    if isinstance(failure.value, ConnectError) and failure.value.osError:
        number = failure.value.osError
        return f"can't be reached: {os.strerror(number) if isinstance(number, int) else number}"
    return f"can't be reached: {failure.getErrorMessage()}"


def _trust(ca_file: Path | None) -> Any:
    if ca_file is None:
        return platformTrust()
    found = _CERTIFICATE.findall(_read("ca_file", ca_file))
    if not found:
        raise ValueError(f"[mqtt] ca_file {ca_file} holds no certificate in PEM form")
    try:
        return trustRootFromCertificates([Certificate.loadPEM(each) for each in found])
    except (crypto.Error, ValueError) as error:
        raise ValueError(f"[mqtt] ca_file {ca_file} can't be used: {error}") from error


def _identity(settings: Mqtt) -> PrivateCertificate | None:
    if settings.cert_file is None or settings.key_file is None:
        return None
    pem = _read("cert_file", settings.cert_file) + b"\n" + _read("key_file", secret_path(settings.key_file))
    try:
        identity: PrivateCertificate = PrivateCertificate.loadPEM(pem)
    except (crypto.Error, ValueError, TypeError) as error:
        raise ValueError(f"[mqtt] cert_file and key_file can't be used together: {error}") from error
    return identity


def _read(key: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"[mqtt] {key} {path} can't be read: {error.strerror}") from error
