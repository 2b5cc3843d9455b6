"""The commands: parse, call, print."""

from __future__ import annotations

import sys

from earlybird.extras import lacking

# What every command imports, and most need; the extra of the reports comes along, which a run ends with.
_PACKAGES = ("typer", "rich", "pydantic", "yaml", "datasets", "pyarrow", "PIL", "kornia", "sklearn")


def main() -> None:
    """The entry point; says what to install where the commands' packages are not there."""
    if sentence := lacking(_PACKAGES, extra="recipes,report", what="the command line"):
        print(f"earlybird: {sentence}", file=sys.stderr)
        sys.exit(2)
    from earlybird.cli.exit_status import run

    run()
