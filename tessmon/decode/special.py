# SPDX-License-Identifier: MIT
"""Numbers for which JSON or ``jsonb`` has none: NaN, Infinity, -Infinity and -0.0 become these strings, which
PostgreSQL reads back with ``::float8``."""

from __future__ import annotations

from math import copysign
from typing import Any

import msgspec


def special_text(value: float) -> str | None:
    """What is stored for a number; None where it is a number in ``jsonb`` too."""
    if value != value:
        return "NaN"
    if value - value:
        return "Infinity" if value > 0 else "-Infinity"
    return "-0.0" if not value and copysign(1, value) < 0 else None


def without_special(value: Any) -> Any:
    """Values and what they are made of, with strings in place of special numbers."""
    if isinstance(value, float):
        return special_text(value) or value
    if isinstance(value, list):
        return [without_special(one) for one in value]
    if isinstance(value, msgspec.Struct):
        return type(value)(*(without_special(getattr(value, name)) for name in value.__struct_fields__))
    return value
