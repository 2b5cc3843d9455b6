"""What else ran on the machine, beside the seconds of a training."""

from __future__ import annotations

import subprocess
import sys

import psutil

from earlybird.recipes.clock import CLOCK, TrainingClock
from earlybird.recipes.other_work import OtherWork
from earlybird.recipes.run_directory import write_json

BUSY = "import time\nend = time.process_time() + 0.6\nwhile time.process_time() < end: pass"


def test_what_came_before_is_counted_in():
    seconds, core_seconds = OtherWork(100.0, 250.0).so_far()
    assert seconds >= 100.0
    assert core_seconds >= 250.0
    assert OtherWork(100.0, 0.0).mean_cores <= psutil.cpu_count()
    # Never more than there is, whatever a checkpoint says.
    assert OtherWork(1.0, 1e9).mean_cores == psutil.cpu_count()


def test_ones_own_children_are_no_others():
    # By the processor's clock, so that what else this machine does makes no difference.
    before = psutil.Process().cpu_times()
    work = OtherWork()
    subprocess.run([sys.executable, "-c", BUSY], check=True)
    after = psutil.Process().cpu_times()
    worked = sum(after[2:4]) - sum(before[2:4])
    assert worked > 0.5
    seconds, others = work.so_far()
    assert others <= seconds * psutil.cpu_count() - 0.9 * worked


def test_a_training_that_goes_on_counts_what_its_checkpoint_says(tmp_path):
    checkpoint = tmp_path / "checkpoint-1"
    checkpoint.mkdir()
    for damaged in ({}, {"others": "x"}, {"others": [1]}, {"others": [1, None]}, {"others": [-1, 2]}):
        write_json(checkpoint / CLOCK, {"seconds": 50.0, **damaged})
        assert TrainingClock(checkpoint).others.so_far()[0] < 50.0
    write_json(checkpoint / CLOCK, {"seconds": 50.0, "others": [60.0, 25.0], "evaluations": []})
    clock = TrainingClock(checkpoint)
    clock.on_train_begin(None, None, None)
    seconds, core_seconds = clock.others.so_far()
    assert seconds >= 60.0
    assert core_seconds >= 25.0
