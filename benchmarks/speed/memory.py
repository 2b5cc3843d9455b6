"""What analysing a recorded run adds to the process: memory of its own, and mapped pages of the files.

    OMP_NUM_THREADS=1 python benchmarks/speed/memory.py DIRECTORY > benchmarks/results/speed/memory.json

DIRECTORY holds the trajectory that `adam.py` writes. Figures come from /proc/self/status (Linux): VmHWM, the process's
peak, counts mapped pages too, though the kernel takes those back whenever it wants; a thread looks at the two parts,
RssAnon and RssFile, every 5 ms. The peak is taken less what the process held before the trajectory was opened, the
package and numpy imported; so what the detector imports (scipy, statsmodels) counts as added.
"""

from __future__ import annotations

import argparse
import threading
from pathlib import Path

import earlybird as eb

# With thresholds that are not passed, so that the whole run is read.
RUNS = {"published-adf": 1e-300, "half-time-capture": 1 - 1e-15}


def held() -> dict[str, float]:
    """Megabytes by /proc/self/status."""
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    wanted = ("VmHWM:", "RssAnon:", "RssFile:")
    return {words[0][:-1]: int(words[1]) / 1024 for words in lines if words and words[0] in wanted}


class Peak(threading.Thread):
    """The largest RssAnon and RssFile seen."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = held()
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.005):
            now = held()
            self.most = {name: max(self.most[name], now[name]) for name in now}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    given = parser.parse_args()
    _ = eb.detect, eb.Trajectory
    before = held()
    peak = Peak()
    peak.start()
    trajectory = eb.Trajectory.open(given.directory)
    for detector, threshold in RUNS.items():
        eb.detect(trajectory, eb.SearchConfig(heads=0.5, neurons=0.5, detector=detector, threshold=threshold))
    peak.over.set()
    peak.join()
    after = held()
    from measured import report  # brings scipy and statsmodels, which count as added where a detector wants them

    report(
        {
            "figure": "memory that an analysis adds, MB",
            "steps": trajectory.steps,
            "files_mb": round(sum(file.stat().st_size for file in given.directory.glob("*.f32")) / 2**20),
            "detectors": list(RUNS),
            "before": {name: round(value, 1) for name, value in before.items()},
            "added": {
                "peak": round(after["VmHWM"] - before["VmHWM"], 1),
                "own_memory": round(peak.most["RssAnon"] - before["RssAnon"], 1),
                "mapped_pages": round(peak.most["RssFile"] - before["RssFile"], 1),
            },
        }
    )


if __name__ == "__main__":
    main()
