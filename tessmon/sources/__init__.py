# SPDX-License-Identifier: MIT
"""Sources lift frames from an instrument's side into a journal, as they came.

No decoding and no database lives here: what a frame means is for the rooms behind the journal.
"""
