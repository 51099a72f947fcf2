# SPDX-License-Identifier: MIT
"""Stages filter or enrich records between a decoder and the sink.

Synchronous; the only time is what frames say; no input or output, no database.
"""
