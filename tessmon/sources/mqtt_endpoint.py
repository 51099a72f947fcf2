# SPDX-License-Identifier: MIT
"""From the configured broker to a Twisted endpoint."""

from __future__ import annotations

from typing import Any

from OpenSSL import crypto
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import PrivateCertificate

from tessmon.config.model import Mqtt
from tessmon.config.secrets import secret_path
from tessmon.sources.tls import Tls, read_pem, trust

CONNECT_TIMEOUT_S = 15
"""For name look-up and TCP."""


def broker_endpoint(reactor: Any, settings: Mqtt) -> tuple[IStreamClientEndpoint, Tls | None]:
    """Where to connect to, and who can explain a failure of TLS.

    Raises:
        ValueError: a certificate, key or authority can't be used; one sentence.
    """
    endpoint = HostnameEndpoint(reactor, settings.host, settings.port, timeout=CONNECT_TIMEOUT_S)
    if not settings.tls:
        return endpoint, None
    trusted = trust("mqtt", settings.ca_file)
    tls = Tls(settings.host, "the broker", "[mqtt] broker", trusted, _identity(settings))
    return wrapClientTLS(tls, endpoint), tls


def _identity(settings: Mqtt) -> PrivateCertificate | None:
    if settings.cert_file is None or settings.key_file is None:
        return None
    certificate = read_pem("[mqtt] cert_file", settings.cert_file)
    key = read_pem("[mqtt] key_file", secret_path(settings.key_file))
    try:
        identity: PrivateCertificate = PrivateCertificate.loadPEM(certificate + b"\n" + key)
    except (crypto.Error, ValueError, TypeError) as error:
        raise ValueError(f"[mqtt] cert_file and key_file can't be used together: {error}") from error
    return identity
