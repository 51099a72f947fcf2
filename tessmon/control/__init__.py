# SPDX-License-Identifier: MIT
"""How a running service is steered: signals, and HTTP over a UNIX socket, both calling one coordinator.

Nothing here decides: what pause, resume and reload *do* is the coordinator's (`ServiceFace`).
"""
