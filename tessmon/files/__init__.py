# SPDX-License-Identifier: MIT
"""Files of instruments as they lie on disk: their names, the trees they stand in, and reading them in pieces.

`naming`, `tree`, `reading` and `unpacking` know no database and no decoding, and sources import them. The rest is for
commands and knows all rooms: taking stock, back-fill, how far each device is, comparison. No room imports that.
"""
