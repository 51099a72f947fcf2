# SPDX-License-Identifier: MIT
"""Host names to addresses, by the reactor's resolver: libpq would block the whole process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IAddress, IHostResolution, IResolutionReceiver
from zope.interface import implementer


@implementer(IResolutionReceiver)
class _Addresses:
    """Gathers what the resolver finds.

    Attributes:
        found: a Deferred of the list of addresses as text; empty when the name is unknown.
    """

    def __init__(self) -> None:
        self._addresses: list[str] = []
        self.found: Deferred[list[str]] = Deferred(self._give_up)

    def _give_up(self, found: Deferred[list[str]]) -> None:
        found.errback(CancelledError())

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        pass

    def addressResolved(self, address: IAddress) -> None:
        self._addresses.append(cast("IPv4Address | IPv6Address", address).host)

    def resolutionComplete(self) -> None:
        if not self.found.called:
            self.found.callback(list(dict.fromkeys(self._addresses)))


async def addresses_of(reactor: Any, name: str) -> Sequence[str]:
    """All addresses of a host, in the resolver's order; empty when it has none.

    Args:
        reactor: an IReactorPluggableNameResolver.
        name: a host name, or an address, which is its own.
    """
    if isIPAddress(name) or isIPv6Address(name):
        return [name]
    receiver = _Addresses()
    reactor.nameResolver.resolveHostName(receiver, name)
    return await receiver.found
