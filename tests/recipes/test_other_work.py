"""What else ran on the machine, beside the seconds of a training."""

from __future__ import annotations

import resource
import subprocess
import sys
from types import SimpleNamespace

import psutil

from earlybird.recipes.clock import CLOCK, TrainingClock
from earlybird.recipes.other_work import OtherWork
from earlybird.recipes.run_directory import write_json

BUSY = "import sys, time\nwhile time.process_time() < 1: pass\nsys.stdin.read()"
WHO = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def test_what_came_before_is_counted_in():
    seconds, core_seconds = OtherWork(100.0, 250.0).so_far()
    assert seconds >= 100.0
    assert core_seconds >= 250.0
    assert OtherWork(100.0, 0.0).mean_cores <= psutil.cpu_count()
    # Never more than there is, whatever a checkpoint says.
    assert OtherWork(1.0, 1e9).mean_cores == psutil.cpu_count()


def test_ones_own_children_are_no_others_while_they_run_and_after(monkeypatch):
    with subprocess.Popen([sys.executable, "-c", BUSY], stdin=subprocess.PIPE) as child:

        def nothing_else_works():
            """The system's clock on a machine where this test and its child are all there is."""
            worked = sum(resource.getrusage(who)[field] for who in WHO for field in (0, 1))
            if child.poll() is None:
                worked += sum(psutil.Process(child.pid).cpu_times()[:2])
            return SimpleNamespace(user=1000.0 + worked, system=0.0)

        monkeypatch.setattr(psutil, "cpu_times", nothing_else_works)
        work = OtherWork()
        before = nothing_else_works().user
        while nothing_else_works().user - before < 0.5:  # by the processor's clock, not the wall's
            pass
        assert work.so_far()[1] < 0.1
        child.stdin.close()
        child.wait()
        assert work.so_far()[1] < 0.1


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
