"""What a place holds that was taken for the directory of a model, in one sentence with the way out."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from earlybird.errors import InputError

_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


def refuse_no_place(place: Any) -> None:
    """Refuse what is no path, and "", which would stand for the current directory.

    Raises:
        InputError: it is that.
    """
    if not isinstance(place, (str, os.PathLike)) or not os.fspath(place):
        raise InputError(f"the place of a model must be the path of a directory, got {place!r}")


def why_no_model(place: str | os.PathLike[str]) -> str:
    """Why there is no model to read, or "" where a directory holds a config.json.

    Raises:
        InputError: it is no path.
    """
    refuse_no_place(place)
    name, path = os.fspath(place), Path(place)
    if not path.exists():
        way_out = (
            ""
            if not _HUB_NAME.fullmatch(name)
            else f"; where it is a name on the hub: import earlybird, then"
            f' AutoModel.from_pretrained("{name}"), or another class of transformers'
        )
        return f"there is no directory {name}{way_out}"
    if not path.is_dir():
        return f"{name} is a file; give the directory that holds it and a config.json"
    if (path / "config.json").is_file():
        return ""
    if (path / "adapter_config.json").is_file():
        return (
            f"{name} holds an adapter and no model: put it on its model, PeftModel.from_pretrained(model, {name!r}),"
            " and save that after merge_and_unload()"
        )
    within = sorted(path.glob("[!.]*/config.json"), key=lambda found: (len(found.parent.name), found.parent.name))
    if within:
        rest = f", but in {', '.join(str(found.parent) for found in within[-4:])}"
    elif list(path.glob("tokenizer*.json")):
        rest = ", only a tokenizer"
    elif (path / "preprocessor_config.json").is_file() or (path / "processor_config.json").is_file():
        rest = ", only a processor"
    else:
        rest = ""
    return f"{name} holds no model: there is no config.json in it{rest}"
