# SPDX-License-Identifier: MIT
"""How Sphinx builds the manual: ``sphinx-build -W -n docs OUTPUT``. Nothing is fetched from anywhere."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

project = "tessmon"
author = "the authors of tessmon"
project_copyright = author
extensions = ["settings_page"]
exclude_patterns = ["queries"]
nitpicky = True
smartquotes = False
highlight_language = "none"
html_theme = "alabaster"
html_theme_options = {
    "description": "From an observatory's instruments to PostgreSQL",
    "page_width": "1120px",
    "sidebar_width": "210px",
    "fixed_sidebar": True,
    "show_powered_by": False,
}
html_sidebars = {"**": ["about.html", "navigation.html", "searchbox.html"]}
html_static_path = ["static"]
html_css_files = ["manual.css"]
html_copy_source = False
html_show_sourcelink = False
