# SPDX-License-Identifier: MIT
"""``python -m tessmon`` is the ``tessmon`` command."""

import sys

from tessmon.cli import main

if __name__ == "__main__":
    sys.exit(main())
