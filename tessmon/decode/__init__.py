# SPDX-License-Identifier: MIT
"""From frames to records: one module per kind of instrument.

Synchronous and without memory; no clock, no input or output, no database.
"""
