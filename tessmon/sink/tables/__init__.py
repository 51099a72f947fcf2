# SPDX-License-Identifier: MIT
"""One module per instrument: which columns its fact tables have and how a row fills them."""
