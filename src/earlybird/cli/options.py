"""Options that several commands have: those of their own, and one for every setting of a config class."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from dataclasses import Field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer

from earlybird.vocabulary import Weights, Which

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Force = Annotated[bool, typer.Option("--force", help="Do again what was done before, replacing it.")]
RecipeName = Annotated[str, typer.Argument(help="A YAML file, or the name of a recipe that ships with earlybird.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="key=value, e.g. search.heads=0.3", metavar="[KEY=VALUE]...")
]
RunPath = Annotated[Path, typer.Argument(help="A run's directory.", metavar="RUN")]
WhichOption = Annotated[Which, typer.Option(help="The drawn ticket, or the random one.")]
WeightsOption = Annotated[
    Weights | None,
    typer.Option(help="From the initial weights, or from those at the draw; by default as the recipe says."),
]

Command = Callable[..., None]


def with_settings(
    *configs: type[Any], leaving: Collection[str] = (), several: Collection[str] = ()
) -> Callable[[Command], Command]:
    """Give a command an option for every field of some config classes, with the help that stands beside the field.

    The command's parameter `settings` gets those that the user gave, by the names of their fields.

    Args:
        configs: dataclasses; their fields have a `help` in their metadata.
        leaving: fields without an option.
        several: fields that may be given several values, separated by commas; these come as text.
    """

    def decorate(command: Command) -> Command:
        options = [
            _option(config, each, as_text=each.name in several)
            for config in configs
            for each in fields(config)
            if each.name not in leaving
        ]
        names = [option.name for option in options]

        @functools.wraps(command)
        def run(**arguments: Any) -> None:
            given = {name: arguments.pop(name) for name in names}
            command(**arguments, settings={name: value for name, value in given.items() if value not in (None, [])})

        own = inspect.signature(command, eval_str=True).parameters.values()
        parameters: list[inspect.Parameter] = []
        for parameter in own:
            parameters += options if parameter.name == "settings" else [parameter]
        parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]
        # What typer reads a command's options from.
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return run

    return decorate


def _option(config: type[Any], field: Field[Any], *, as_text: bool) -> inspect.Parameter:
    """The option of a field; None where it is not given."""
    annotation: Any = str if as_text else _typed(get_type_hints(config)[field.name])
    option = typer.Option(help=field.metadata["help"])
    return inspect.Parameter(
        field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[annotation | None, option]
    )


def _typed(annotation: Any) -> Any:
    """What a shell can give of a field's type: of ratios one number, spans and detectors as text, names one by one."""
    if get_origin(annotation) is Literal or annotation in (bool, int, float, str):
        return annotation
    if get_origin(annotation) is tuple:
        return list[str]
    choices = [part for part in get_args(annotation) if part is not type(None)]
    if str in choices or not choices:
        return str
    return _typed(float if float in choices else choices[0])
