"""What a model consists of: blocks, units, parameters."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel

from earlybird.anatomy import Anatomy
from earlybird.checkpoint import load
from earlybird.errors import InputError
from earlybird.flops import parameter_count


@dataclass(frozen=True)
class Inspection:
    """A model's anatomy and its number of parameters."""

    anatomy: Anatomy
    parameters: int

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self.anatomy), "parameters": self.parameters}

    def __str__(self) -> str:
        return f"{self.anatomy}\n{self.parameters:,} parameters"


def inspect_model(name: str) -> Inspection:
    """Look at a model in a directory (pruned or not) or, by its config alone, on the hub.

    Raises:
        InputError: there is no such model, or none whose blocks earlybird knows.
    """
    if Path(name).exists():
        model = load(name)
    else:
        try:
            config = AutoConfig.from_pretrained(name)
        except (OSError, ValueError) as error:
            raise InputError(f"there is no directory {name}, and no model of that name on the hub: {error}") from error
        with torch.device("meta"):
            model = AutoModel.from_config(config)
    return Inspection(Anatomy.of(model), parameter_count(model))
