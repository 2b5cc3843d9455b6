"""What a training took on the CPU, and what else ran on the machine meanwhile."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from types import SimpleNamespace

import psutil

from earlybird.recipes.clock import CLOCK, TrainingClock
from earlybird.recipes.machine_work import MachineWork
from earlybird.recipes.run_directory import write_json

BUSY = "import sys, time\nwhile time.process_time() < 1: pass\nsys.stdin.read()"
WHO = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def test_what_came_before_is_counted_in():
    seconds, own, others = MachineWork(100.0, 150.0, 250.0).so_far()
    assert seconds >= 100.0
    assert own >= 150.0
    assert others >= 250.0
    assert MachineWork(100.0).other_cores <= psutil.cpu_count()
    # Never more than there is, whatever a checkpoint says.
    assert MachineWork(1.0, 0.0, 1e9).other_cores == psutil.cpu_count()


def test_ones_own_children_count_as_ones_own_while_they_run_and_after(monkeypatch):
    with subprocess.Popen([sys.executable, "-c", BUSY], stdin=subprocess.PIPE) as child:

        def nothing_else_works():
            """The system's clock on a machine where this test and its child are all there is."""
            worked = sum(resource.getrusage(who)[field] for who in WHO for field in (0, 1))
            if child.poll() is None:
                worked += sum(psutil.Process(child.pid).cpu_times()[:2])
            return SimpleNamespace(user=1000.0 + worked, system=0.0)

        monkeypatch.setattr(psutil, "cpu_times", nothing_else_works)
        work = MachineWork()
        before = nothing_else_works().user
        while nothing_else_works().user - before < 0.5:  # by the processor's clock, not the wall's
            pass
        own, others = work.so_far()[1:]
        assert own >= 0.4
        assert others < 0.1
        child.stdin.close()
        child.wait()
        assert work.so_far()[1] >= own
        assert work.so_far()[2] < 0.1


def test_a_training_that_goes_on_counts_what_its_checkpoint_says(tmp_path):
    checkpoint = tmp_path / "checkpoint-1"
    checkpoint.mkdir()
    for damaged in ({}, {"work": "x"}, {"work": [1]}, {"work": [1, None, 2]}, {"work": [-1, 2, 3]}):
        write_json(checkpoint / CLOCK, {"seconds": 50.0, **damaged})
        clock = TrainingClock(checkpoint)
        assert clock.work.so_far()[0] < 50.0
        # What came before is not known, so neither is the whole.
        assert clock.cpu_seconds is None
    write_json(checkpoint / CLOCK, {"seconds": 50.0, "work": [60.0, 40.0, 25.0], "evaluations": []})
    clock = TrainingClock(checkpoint)
    clock.on_train_begin(None, None, None)
    seconds, _, others = clock.work.so_far()
    assert seconds >= 60.0
    assert others >= 25.0
    assert clock.cpu_seconds >= 40.0


def test_an_evaluation_on_the_way_costs_a_training_nothing():
    clock = TrainingClock()
    with clock.evaluating(3) as metrics:
        before, begun = clock.work.so_far()[1], time.process_time()
        while time.process_time() - begun < 0.3:
            pass
        metrics["accuracy"] = 50.0
    assert clock.cpu_seconds < before + 0.2
