# SPDX-License-Identifier: MIT
"""``twistd -n tessmon``."""

from twisted.application.service import ServiceMaker

tessmon = ServiceMaker("tessmon", "tessmon.tap", "Gather what instruments say into PostgreSQL.", "tessmon")
