# SPDX-License-Identifier: MIT
"""What the operator asks for: the model of the configuration, loading, reload, rendering.

Nothing here opens a connection, and no other room is imported.
"""
