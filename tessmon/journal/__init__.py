# SPDX-License-Identifier: MIT
"""The durable log of frames: appended before a source acknowledges, read by one lane.

SQLite lives here only for the journal's own files and only in the journal's own thread; nothing here decodes a frame.
"""
