# SPDX-License-Identifier: MIT
"""Writes to PostgreSQL: rows, rejects, tallies, events and the position that produced them, in one transaction.

This is the only room that speaks SQL about instruments. It never reads a journal and never decodes a payload.
"""
