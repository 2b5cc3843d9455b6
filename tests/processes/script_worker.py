"""One process of several runs a user's script, then ends as `leave` says."""

from __future__ import annotations

import runpy
import sys

from worker import end_if_stuck, leave

if __name__ == "__main__":
    end_if_stuck()
    runpy.run_path(sys.argv[1], run_name="__main__")
    leave()
