# SPDX-License-Identifier: MIT
"""tessmon gathers what an observatory's instruments say and puts it into PostgreSQL, losing and doubling nothing.

The walk of a record: source → journal → lane → decode → stages → sink. Each of these is a room of its own;
``tessmon.app`` is the only module that knows them all.
"""
