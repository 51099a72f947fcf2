# SPDX-License-Identifier: MIT
"""The demo: a PostgreSQL and a broker of its own, simulated photometers, and a table of what arrives.

What it shows is the service as an operator would run it, in a process of its own; the service imports nothing
of this.
"""
