# SPDX-License-Identifier: MIT
"""The directive ``.. settings::`` writes every table, key, default and meaning out of the configuration's model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from tessmon.config.model import TABLES, settings
from tessmon.config.places import ADMIN_SOCKET, SERVICE_RUNTIME, SERVICE_STATE
from tessmon.config.render import shown

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DEPENDS = {
    ("journal", "directory"): f'"{SERVICE_STATE}"',
    ("mqtt", "client_id"): '"tessmon-" and the name of the machine',
    ("files", "host"): "the name of the machine",
    ("vlbimon", "directory"): f'"{SERVICE_STATE}"',
    ("admin", "socket"): f'"{SERVICE_RUNTIME / ADMIN_SOCKET}"',
}
"""Defaults that differ between machines and users, as a service has them."""


class Settings(SphinxDirective):
    """One section per table of the file."""

    def run(self) -> list[nodes.Node]:
        lines = StringList(list(_page()), "the configuration's model")
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def _page() -> Iterator[str]:
    for table, model in TABLES.items():
        title = f"``[{table}]``"
        yield from (title, "~" * len(title), "", " ".join((model.__doc__ or "").split()), "")
        yield from (
            ".. list-table::",
            "   :header-rows: 1",
            "   :widths: 22 24 44 10",
            f"   :name: table-{_id(table)}",
        )
        yield ""
        yield from _row("key", "default", "meaning", "taken up")
        defaults = model()
        for of_table, each in settings():
            if of_table == table:
                default = DEPENDS.get((table, each.name)) or shown(getattr(defaults, each.name))
                taken_up = "live" if each.metadata["live"] else "restart"
                yield from _row(f"``{each.name}``", _literal(default), each.metadata["doc"], taken_up)
        yield ""


def _id(table: str) -> str:
    return table.replace(".", "-")


def _literal(default: str) -> str:
    return default if default == "not set" or " the name of " in f" {default}" else f"``{default}``"


def _row(*cells: str) -> Iterator[str]:
    for place, cell in enumerate(cells):
        yield f"   {'* -' if place == 0 else '  -'} {cell}"


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("settings", Settings)
    return {"parallel_read_safe": True}
