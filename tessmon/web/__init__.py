# SPDX-License-Identifier: MIT
"""The face to the network: metrics and health, read-only. Nothing that steers the service ever lives here."""

from tessmon.web.site import site

__all__ = ["site"]
