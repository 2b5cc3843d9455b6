"""The application that the commands belong to, and how all of them print."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="earlybird",
    help="Find the part of a Transformer worth keeping early in training, and train only that.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere.")] = False,
) -> None:
    """Options of all commands; `main` has taken --debug off before they are parsed."""


def show(content: Any, text: str, as_json: bool) -> None:
    """Print what a command has to say, as text or as JSON."""
    print(json.dumps(content, indent=1) if as_json else text)


def quieten_libraries() -> None:
    """Our own progress bars speak; those of the libraries are silent."""
    import datasets
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()
