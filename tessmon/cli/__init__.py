# SPDX-License-Identifier: MIT
"""The ``tessmon`` command: one module per noun, each with ``add_parser`` and ``run``.

A command's module imports what it needs to describe itself and no more: the reactor, the database driver and
the rooms come in when it runs. Whatever can be expected to go wrong is one sentence on standard error.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from tessmon.control.held import hold_back, let_through
from tessmon.errors import TessmonError

DONE, FAILED, USAGE = 0, 1, 2
"""Exit codes."""

COMMANDS = {
    "run": "tessmon.cli.run",
    "demo": "tessmon.cli.demo",
    "status": "tessmon.cli.status",
    "pause": "tessmon.cli.steer",
    "resume": "tessmon.cli.steer",
    "reload": "tessmon.cli.steer",
    "flush": "tessmon.cli.steer",
    "stop": "tessmon.cli.ending",
    "restart": "tessmon.cli.ending",
    "photometer": "tessmon.cli.photometer",
    "location": "tessmon.cli.location",
    "observer": "tessmon.cli.observer",
    "telemetry": "tessmon.cli.telemetry",
    "files": "tessmon.cli.files",
    "vlbimon": "tessmon.cli.vlbimon",
    "rejects": "tessmon.cli.rejects",
    "journal": "tessmon.cli.journal",
    "db": "tessmon.cli.db",
    "config": "tessmon.cli.config",
    "doctor": "tessmon.cli.doctor",
}
"""Subcommand → the module that describes and runs it, in the order of the help."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments; None takes the process' own.

    Returns:
        0 when it is done, 1 when it failed. Wrong usage, ``--help`` and ``--version`` leave through
        SystemExit, as argparse does it: 2, 0 and 0.
    """
    hold_back()
    arguments = None
    try:
        _survive_any_terminal()
        arguments = parser().parse_args(argv)
    except BrokenPipeError:  # as below, while a completion script is printed
        return _with_output(FAILED)
    finally:
        if arguments is None or arguments.command != "run":  # which lets through when it can take them
            let_through()
    try:
        code = int(import_module(COMMANDS[arguments.command]).run(arguments))
    except TessmonError as error:
        code = _fail(str(error))
    except KeyboardInterrupt:
        code = _fail("interrupted")
    except BrokenPipeError:  # who reads our output has seen enough
        code = FAILED
    except OSError as error:
        code = _fail(
            f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)
        )
    return _with_output(code)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    import shtab

    from tessmon.cli.arguments import CONFIG_HELP
    from tessmon.cli.completion import complete_paths

    top = argparse.ArgumentParser(
        prog="tessmon",
        description="Gathers what an observatory's instruments say and puts it into PostgreSQL.",
        allow_abbrev=False,
    )
    top.add_argument("--config", type=Path, metavar="PATH", help=CONFIG_HELP)
    top.add_argument("--version", action=_Version)
    shtab.add_argument_to(top, ["--print-completion"], help="print a shell's completion script and exit")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in dict.fromkeys(COMMANDS.values()):
        import_module(module).add_parser(commands)
    complete_paths(top)
    return top


class _Version(argparse.Action):
    """Looks the version up when it is asked for, and not at each start."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="print the version and exit")

    def __call__(self, parser: argparse.ArgumentParser, *unused: object) -> None:
        from importlib import metadata

        try:
            version = metadata.version("tessmon")
        except metadata.PackageNotFoundError:
            version = "(run from a directory of sources)"
        print(f"tessmon {version}")
        parser.exit()


def _survive_any_terminal() -> None:
    """A terminal that can't show a letter gets its escape, not a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _with_output(code: int) -> int:
    """The exit code, after the output is out. Python would flush once more at exit, and complain there."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if code == DONE and not isinstance(error, BrokenPipeError):
            _fail(f"the output can't be written: {error.strerror}")
        return FAILED
    return code


def _fail(sentence: str) -> int:
    print(f"tessmon: {sentence}", file=sys.stderr)
    return FAILED
