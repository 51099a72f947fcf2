# SPDX-License-Identifier: MIT
"""``tessmon config check|show|init``: the configuration before the service takes it."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from tessmon.cli.arguments import configuration, group, leaf, print_json
from tessmon.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from tessmon.cli.arguments import Subparsers


def add_parser(commands: Subparsers) -> None:
    verbs = group(commands, "config", "check, show or make the configuration")
    leaf(verbs, "check", "tell every mistake in the configuration", listing=True)
    leaf(verbs, "show", "print the configuration in effect, and where each value comes from", listing=True)
    init = leaf(verbs, "init", "write a configuration with all settings, their defaults and their meaning")
    init.add_argument("--force", action="store_true", help="overwrite the file that is there")
    init.add_argument("--stdout", action="store_true", help="print it instead")


def run(arguments: Namespace) -> int:
    return {"check": _check, "show": _show, "init": _init}[arguments.verb](arguments)


def _check(arguments: Namespace) -> int:
    if not arguments.json:
        path = _checked(arguments)
        print(f"{path} is good" if path else "there is no configuration file, all values are defaults")
        return 0
    try:
        path, problems = _checked(arguments), []
    except ConfigurationError as error:
        path, problems = arguments.config, str(error).splitlines()
    print_json({"path": None if path is None else str(path), "problems": problems})
    return 1 if problems else 0


def _checked(arguments: Namespace) -> Path | None:
    """The configuration's file, when it is good and so are the schemas that it names."""
    from tessmon.decode.schemas import Schemas

    loaded = configuration(arguments)
    if loaded.config.files is not None:
        Schemas.load(loaded.config.files.schemas)
    return loaded.path


def _show(arguments: Namespace) -> int:
    from tessmon.config.render import effective, show

    loaded = configuration(arguments)
    if arguments.json:
        print_json([each._asdict() for each in effective(loaded)])
    else:
        print(show(loaded), end="")
    return 0


def _init(arguments: Namespace) -> int:
    from tessmon.config.places import default_configuration
    from tessmon.config.render import sample

    if arguments.stdout:
        print(sample(), end="")
        return 0
    path = arguments.config or default_configuration()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("w" if arguments.force else "x", encoding="utf-8") as file:
            file.write(sample())
    except FileExistsError as error:
        raise ConfigurationError(f"{path} is there already: --force overwrites it") from error
    print(f"{path} is written: look through it, then run 'tessmon config check'")
    return 0
