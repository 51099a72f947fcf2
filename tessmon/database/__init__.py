# SPDX-License-Identifier: MIT
"""The database: its connection, its schema and who may do what there. Nothing here knows what a frame is."""
