"""Shows the help of a setting on the reference page, from the field that declares it. An extension of griffe.

The fields of `earlybird.config` carry their help in `field(metadata={"help": ...})`, where the command line reads it.
Griffe reads source code alone and takes docstrings from it, so without this a field would be a name without a word.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import griffe

import earlybird.config as config


class FieldHelp(griffe.Extension):
    """Gives each field its help as docstring, and its default as value."""

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        """Look at the classes of the settings only."""
        if cls.module.path != config.__name__:
            return
        for field in fields(getattr(config, cls.name)):
            attribute = cls.attributes.get(field.name)
            if attribute is None:  # declared in a base class, where its help stands
                continue
            # A name with wildcards is no emphasis of Markdown.
            text = field.metadata["help"].replace("*", r"\*")
            attribute.docstring = griffe.Docstring(text, parent=attribute)
            attribute.value = repr(field.default)  # and not the whole call of field()
