"""A process whose client of the hub speaks to an address of one's own, which it has to be told before it is imported.

As a program: for each line of JSON, what a command says, or whether a ticket loads.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import AbstractContextManager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple


class Said(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


class HubClient(AbstractContextManager["HubClient"]):
    """The commands and `Ticket.load` in a process of their own; it ends with the context."""

    def __init__(self, address: str, home: Path) -> None:
        own = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        own |= {"HF_ENDPOINT": address, "HF_HOME": str(home)}
        self._process = subprocess.Popen(
            [sys.executable, __file__], env=own, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def command(self, *arguments: str, token: str | None) -> Said:
        """What `python -m earlybird ARGUMENTS` does."""
        return Said(*self._asked({"arguments": ["earlybird", *arguments], "token": token}))

    def load(self, name: str, copy: Path) -> str:
        """Load a ticket and save it again; the error, or ""."""
        return str(self._asked({"name": name, "copy": str(copy)}))

    def _asked(self, question: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(question), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())


def _command(arguments: list[str], token: str | None) -> tuple[Any, str, str]:
    from earlybird.cli import main

    os.environ.pop("HF_TOKEN", None)
    if token is not None:
        os.environ["HF_TOKEN"] = token
    sys.argv, status = arguments, None
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        try:
            main()
        except SystemExit as end:
            status = end.code
    return status, out.getvalue(), err.getvalue()


def _load(name: str, copy: str) -> str:
    import earlybird

    try:
        earlybird.Ticket.load(name).save(copy)
    except earlybird.InputError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    for line in sys.stdin:
        question = json.loads(line)
        answer = _load(**question) if "name" in question else _command(**question)
        print(json.dumps(answer), flush=True)
