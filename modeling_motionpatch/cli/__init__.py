"""The `motionpatch` command: arguments in, exit code out; results on stdout, everything else on stderr.

Exit codes: 0 done, 1 something unexpected (`--debug` shows where), 2 arguments, files or data that cannot be used, 130
stopped with Ctrl-C, 141 nobody reads the output any more. Commands are grouped by files: `data` (prepare, index),
`search` (search, classify), `files` (render, skeleton), `models` (train, evaluate, convert-official, push, demo).
"""

import os
import sys
import traceback
import warnings

import typer

from ..console import raised_by_package
from .common import (
    EXIT_BROKEN_PIPE,
    EXIT_FAILURE,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    PACKAGE,
    drop_stdout,
    one_line,
    tell,
)


PROGRAM = "motionpatch"
DEBUG = "--debug"


def build_app() -> typer.Typer:
    """All commands, under their names."""
    from . import data, files, models, search

    app = typer.Typer(
        name=PROGRAM,
        help="Find human motions by text, texts by motion and motions like this one; train and evaluate such models.",
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog="\b\nExample:\n  motionpatch index my_bvh_files --output gallery\n"
        '  motionpatch search gallery "a person waves" --html hits.html',
    )

    @app.callback(invoke_without_command=True)
    def root(
        context: typer.Context,
        version: bool = typer.Option(False, "--version", help="Print the version and exit."),
        debug: bool = typer.Option(False, DEBUG, help="Show the traceback of an error; allowed anywhere."),
    ):
        if version:
            print(f"{PROGRAM} {_version()}")
            raise typer.Exit()
        if context.invoked_subcommand is None:
            print(context.get_help())
            raise typer.Exit(EXIT_USAGE)

    for module in (data, search, files, models):
        module.register(app)
    return app


def main(argv: list[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv (`list[str]`, *optional*): Arguments after the program's name; those of the process when not given.

    Returns:
        `int`: the exit code.

    Example:

    ```python
    >>> from modeling_motionpatch.cli import main
    >>> main(["--version"])  # doctest: +SKIP
    0
    ```
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    debug = DEBUG in options
    if debug:
        arguments.remove(DEBUG)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # else a warning when reader processes are started
    command = typer.main.get_command(build_app())
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            code = int(command.main(args=arguments, prog_name=PROGRAM, standalone_mode=False) or 0)
            sys.stdout.flush()
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        except BrokenPipeError:
            drop_stdout()
            code = EXIT_BROKEN_PIPE
        except (KeyboardInterrupt, typer.Abort):
            code = EXIT_INTERRUPTED
        except Exception as error:
            if debug:
                traceback.print_exc()
            code = _report(error)
    if code == EXIT_INTERRUPTED:
        tell(f"{PROGRAM}: interrupted")
    return code


def _report(error: Exception) -> int:
    """One line on stderr, and the exit code."""
    if hasattr(error, "format_message"):  # of typer: an unknown command or option, a missing argument, a wrong type
        context = getattr(error, "ctx", None)
        help_of = f"{context.command_path} --help" if context is not None else f"{PROGRAM} --help"
        tell(f"{PROGRAM}: error: {one_line(error.format_message()).rstrip('.')}; see `{help_of}`")
        return getattr(error, "exit_code", EXIT_USAGE)
    if isinstance(error, (ValueError, ImportError)) and raised_by_package(error):
        tell(f"{PROGRAM}: error: {one_line(error)}")
        return EXIT_USAGE
    what = one_line(error) if isinstance(error, OSError) else f"{type(error).__name__}: {one_line(error)}"
    tell(f"{PROGRAM}: failed: {what} ({DEBUG} shows where)")
    return EXIT_FAILURE


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    """A warning on one line, without the line of code that gave it; those for programmers are not shown."""
    if not issubclass(category, (DeprecationWarning, PendingDeprecationWarning, FutureWarning)):
        tell(f"{PROGRAM}: warning: {one_line(message)}")


def _version() -> str:
    import importlib.metadata as metadata

    loaded = vars(sys.modules[PACKAGE]).get("__version__")
    if loaded is None:
        try:
            loaded = metadata.version("modeling-motionpatch")
        except metadata.PackageNotFoundError:
            from .common import package

            loaded = package().__version__
    return loaded


__all__ = ["main"]
