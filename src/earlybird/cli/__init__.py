"""The commands: parse, call, print."""

from earlybird.cli import jobs, sweeps, tools
from earlybird.cli.application import app
from earlybird.cli.exit_status import main

__all__ = ["app", "jobs", "main", "sweeps", "tools"]
