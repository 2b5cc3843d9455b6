"""Run a command, and say an error in one sentence and with an exit status."""

from __future__ import annotations

import sys

import typer

from earlybird.cli.commands import app
from earlybird.errors import InputError, JobError

_INTERRUPTED = 130


def run() -> None:
    """Run what the arguments say: exit status 0, 1 (the job failed) or 2 (bad arguments or input)."""
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        status = app(arguments, standalone_mode=False)
    except typer.TyperException as error:
        # Errors of use can say more than their message alone: which argument is missing.
        describe = getattr(error, "format_message", error.__str__)
        _fail(f"{describe()} See earlybird --help.", 2)
    except (typer.Abort, KeyboardInterrupt):
        status = _INTERRUPTED
    except InputError as error:
        if debug:
            raise
        _fail(str(error), 2)
    except JobError as error:
        if debug:
            raise
        _fail(str(error), 1)
    except Exception as error:
        if debug:
            raise
        if _is_of_the_file_system(error):
            _fail(f"the job failed: {error}; what was written before it is kept", 1)
        _fail(f"unexpected {type(error).__name__}: {error}; --debug shows where", 1)
    # Typer may have taken the interrupt for itself.
    if status == _INTERRUPTED:
        _fail("interrupted; the same command, without --force, goes on from the last checkpoint", _INTERRUPTED)
    sys.exit(status if isinstance(status, int) else 0)


def _is_of_the_file_system(error: Exception) -> bool:
    """Whether a file could not be read or written: the libraries that write in other languages have own errors."""
    return isinstance(error, OSError) or "os error" in str(error) or "inline_container" in str(error)


def _fail(message: str, status: int) -> None:
    print(f"earlybird: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(status)
