# SPDX-License-Identifier: MIT
"""The web site: ``/metrics``, ``/livez``, ``/readyz``, and an index in plain text."""

from __future__ import annotations

from typing import Any

from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import CollectorRegistry

from tessmon.control.bounded import REQUEST_TIMEOUT_S, Answer, BoundedRequest, BoundedSite, Routes
from tessmon.control.face import ServiceFace
from tessmon.metrics import registry_of

_INDEX = b"""tessmon

/metrics  what is counted, for Prometheus
/livez    200 while reactor and journals work
/readyz   200 while what is accepted reaches the database
"""


def site(face: ServiceFace, reactor: Any = None, timeout_s: float = REQUEST_TIMEOUT_S) -> BoundedSite:
    """A factory for connections; whom it listens to is the caller's choice.

    Args:
        face: asked in the reactor's thread, at each request.
        reactor: for time-outs; None takes the global one, as Twisted's own sites do.
        timeout_s: for a request to come and for its answer to be taken [s].
    """
    registry = registry_of(face)

    async def index(request: BoundedRequest) -> Answer:
        return Answer(_INDEX)

    async def metrics(request: BoundedRequest) -> Answer:
        return _exposition(registry, request.getHeader("accept") or "")

    async def livez(request: BoundedRequest) -> Answer:
        return _health(*face.live())

    async def readyz(request: BoundedRequest) -> Answer:
        return _health(*face.ready())

    return BoundedSite(
        Routes(
            {
                b"/": {b"GET": index},
                b"/metrics": {b"GET": metrics},
                b"/livez": {b"GET": livez},
                b"/readyz": {b"GET": readyz},
            },
            lambda code, sentence: Answer(f"{sentence}\n".encode(), code),
        ),
        reactor,
        timeout_s,
    )


def _exposition(registry: CollectorRegistry, accept: str) -> Answer:
    encode, content_type = choose_encoder(accept)
    return Answer(encode(registry), 200, content_type.encode())


def _health(well: bool, sentence: str) -> Answer:
    return Answer(f"{sentence}\n".encode(errors="replace"), 200 if well else 503)
