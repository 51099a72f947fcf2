# SPDX-License-Identifier: MIT
"""What walks: frames, readings, registrations, rejects. Frozen values; nothing here imports another room."""
