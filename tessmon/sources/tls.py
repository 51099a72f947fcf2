# SPDX-License-Identifier: MIT
"""TLS towards a server, and why a connection could not be made, in the operator's words."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from OpenSSL import SSL, crypto
from service_identity import VerificationError
from twisted.internet.error import ConnectError, DNSLookupError, TimeoutError
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
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

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@implementer(IOpenSSLClientConnectionCreator)
class Tls:
    """Makes TLS connections to one host; after a failed one it can tell what was wrong.

    Args:
        host: name or address that its certificate must be for.
        peer: what the operator calls it: "the broker".
        setting: where it is configured: "[mqtt] broker".
        trusted: `trust`.
        identity: a certificate of our own.
    """

    def __init__(
        self, host: str, peer: str, setting: str, trusted: Any, identity: PrivateCertificate | None = None
    ) -> None:
        self._host = host
        self._peer = peer
        self._setting = setting
        self._inner = optionsForClientTLS(host, trustRoot=trusted, clientCertificate=identity)
        self._connection: SSL.Connection | None = None

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """A new TLS connection, which checks the host's name."""
        self._connection = self._inner.clientConnectionForTLS(tlsProtocol)
        return self._connection

    def why(self, failure: Failure) -> str | None:
        """The sentence for a failure of TLS, None for another one."""
        if failure.check(VerificationError):
            return f"{self._peer}'s certificate is not for {self._host}: correct {self._setting} or the certificate"
        if not isinstance(failure.value, SSL.Error):
            return None
        reasons = ", ".join(str(entry[-1]) for errors in failure.value.args[:1] for entry in errors)
        if "certificate verify failed" in reasons:
            return f"{self._peer}'s certificate can't be trusted: {self._doubt() or reasons}"
        return f"{self._peer} and tessmon can't agree on TLS: {reasons or 'no reason was given'}"

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


def trust(table: str, ca_file: Path | None) -> Any:
    """Whom to trust: the authorities in a file, else the system's.

    Raises:
        ValueError: the file can't be used; one sentence with the name of its table.
    """
    if ca_file is None:
        return platformTrust()
    found = _CERTIFICATE.findall(read_pem(f"[{table}] ca_file", ca_file))
    if not found:
        raise ValueError(f"[{table}] ca_file {ca_file} holds no certificate in PEM form")
    try:
        return trustRootFromCertificates([Certificate.loadPEM(each) for each in found])
    except (crypto.Error, ValueError) as error:
        raise ValueError(f"[{table}] ca_file {ca_file} can't be used: {error}") from error


def read_pem(setting: str, path: Path) -> bytes:
    """What is in a configured file.

    Raises:
        ValueError: it can't be read; one sentence.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{setting} {path} can't be read: {error.strerror}") from error


def unreachable(failure: Failure, timeout_s: float) -> str:
    """Why no connection was made: the rest of a sentence that begins with the server's name."""
    if failure.check(DNSLookupError):
        return "has a name that can't be looked up"
    if failure.check(TimeoutError):
        return f"doesn't answer within {timeout_s:g} s"
    if isinstance(failure.value, ConnectError) and failure.value.osError:
        number = failure.value.osError
        return f"can't be reached: {os.strerror(number) if isinstance(number, int) else number}"
    return f"can't be reached: {failure.getErrorMessage()}"
