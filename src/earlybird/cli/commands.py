"""All commands, registered."""

from earlybird.cli import jobs, results, sweeps, tools
from earlybird.cli.application import app

__all__ = ["app", "jobs", "results", "sweeps", "tools"]
