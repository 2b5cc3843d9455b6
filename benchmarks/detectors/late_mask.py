"""What the mask of a whole training is worth, cut at an early draw: is a better choice of units what is lacking?

    python benchmarks/detectors/late_mask.py RUN RECORD --steps 200,1000 --output DIRECTORY

RUN is a finished `earlybird run` that continued from its draw; RECORD the trajectory of a training to the end with the
same seed and settings, by gradients. The units are ranked by the mean squared gradient of those steps of the record,
which nobody knows at the draw. They are cut from the weights at RUN's draw, refitted and trained on as RUN's own ticket
was. Prints both results.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np

from earlybird.detectors.detection import Detection
from earlybird.recipes.metric_names import deciding_metric
from earlybird.recipes.run_directory import RESULT, read_json
from earlybird.recipes.stages.job import Job
from earlybird.recipes.stages.prune import prune_run
from earlybird.recipes.stages.retrain import retrain
from earlybird.ticket import Ticket
from earlybird.trajectory import Trajectory


def main() -> None:
    """Cut, train, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("record", type=Path)
    parser.add_argument("--steps", default="200,1000", help="of the record: from, to")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    first, last = (int(step) for step in arguments.steps.split(","))
    own = Job.open(arguments.run)
    if not arguments.output.exists():
        shutil.copytree(arguments.run, arguments.output, ignore=shutil.ignore_patterns("pruned", "trained", "figures"))
    job, trajectory = Job.open(arguments.output), Trajectory.open(arguments.record)
    anatomy = job.anatomy()
    detection = Detection(job.recipe.search_config, anatomy, total_steps=trajectory.total_steps)
    squares = {
        kind: np.square(trajectory.evidence(kind, "gradient")[first:last], dtype=np.float64) for kind in detection.kinds
    }
    masks = detection.masks({kind: values.mean(0) for kind, values in squares.items()})
    drawn = Ticket.load(own.files.ticket("ticket"))
    step = drawn.provenance["draw_step"]
    Ticket.of(anatomy, masks, how="given", chosen_by="a whole training", draw_step=step).save(
        job.files.ticket("ticket")
    )
    prune_run(job, "continue", "ticket")
    retrain(job, "continue", "ticket")
    for name, files in (("drawn", own.files), ("of the whole training", job.files)):
        result = read_json(files.trained("continue", "ticket") / RESULT)
        print(f"{name}: {result[deciding_metric(result)]:.2f}")
    print({kind: f"{(masks[kind] & drawn.masks[kind]).sum()} of {masks[kind].sum()} in common" for kind in masks})


if __name__ == "__main__":
    main()
