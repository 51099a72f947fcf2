# SPDX-License-Identifier: MIT
"""What an array has said before: asked of a server's history or read from CSV files, stored as the service does it.

Nothing here runs in the service, and nothing here knows how points are decoded or rows are made.
"""
