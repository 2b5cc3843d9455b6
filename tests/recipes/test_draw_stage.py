"""The draw as a stage of a recipe, and by hand."""

from __future__ import annotations

import pytest

from earlybird.errors import InputError
from earlybird.recipes.recipe_file import read_recipe
from earlybird.recipes.run_directory import RESULT, read_json, write_json
from earlybird.recipes.stages.draw import draw, draw_ticket
from earlybird.recipes.stages.job import Job
from earlybird.recipes.stages.run import run_stages
from earlybird.recipes.stages.search import search
from earlybird.recipes.stages.summary import summarise
from earlybird.ticket import Ticket

SETTINGS = ["training.epochs=3", "training.batch_size=128", "search.detector=hamming", "search.to_the_end=true"]
NOTHING = {"at": None, "random_seed": None, "output": None, "force": False}


@pytest.fixture
def job(tmp_path):
    job = Job.begin(read_recipe("digits", [f"output={tmp_path / 'run'}", *SETTINGS]))
    search(job)
    draw(job)
    return job


def drawn_steps(job):
    ticket = Ticket.load(job.files.ticket("ticket"))
    return ticket.provenance["draw_step"], read_json(job.files.draw)["step"]


def test_a_forced_draw_that_is_killed_leaves_no_ticket_beside_the_draw_of_another(job, monkeypatch):
    before = drawn_steps(job)

    def killed(self, *arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Ticket, "shuffled", killed)
        with pytest.raises(KeyboardInterrupt):
            draw_ticket(job, {"heads": 0.7}, **NOTHING | {"at": "90%", "force": True})
    assert Ticket.load(job.files.ticket("ticket")).provenance["draw_step"] not in before
    assert draw(job)
    assert drawn_steps(job) == before


def test_a_draw_written_to_the_runs_own_ticket_is_the_runs_own(job):
    own = job.files.root / ".." / "run" / "ticket.json"
    with pytest.raises(InputError, match="was drawn before"):
        draw_ticket(job, {}, **NOTHING | {"at": "90%", "output": own})
    ticket, _ = draw_ticket(job, {}, **NOTHING | {"at": "90%", "output": own, "force": True})
    assert set(drawn_steps(job)) == {ticket.provenance["draw_step"]}
    assert {kind: mask.sum() for kind, mask in Ticket.load(job.files.ticket("random")).masks.items()} == {
        kind: mask.sum() for kind, mask in ticket.masks.items()
    }


@pytest.mark.thorough
def test_an_output_is_not_replaced_without_force(job, tmp_path):
    other = {"at": "90%", "output": tmp_path / "other.json"}
    draw_ticket(job, {}, **NOTHING | other)
    with pytest.raises(InputError, match="is there already"):
        draw_ticket(job, {}, **NOTHING | other)
    draw_ticket(job, {}, **NOTHING | other | {"force": True})
    with pytest.raises(InputError, match="is a directory"):
        draw_ticket(job, {}, **NOTHING | other | {"output": tmp_path})
    with pytest.raises(InputError, match="random ticket"):
        draw_ticket(job, {}, **NOTHING | other | {"output": job.files.ticket("random"), "force": True})
    with pytest.raises(InputError, match="only one of them"):
        draw_ticket(job, {}, **NOTHING | other | {"random_seed": 3, "force": True})


def test_a_random_ticket_has_the_kinds_and_blocks_of_a_drawn_one(tmp_path):
    settings = [*SETTINGS[:3], "search.heads=0", "search.exclude=['*.0.*']"]
    job = Job.begin(read_recipe("digits", [f"output={tmp_path / 'run'}", *settings]))
    ticket, _ = draw_ticket(job, {}, **NOTHING | {"random_seed": 3, "output": tmp_path / "random.json"})
    assert set(ticket.masks) == {"neurons"}
    assert len(ticket.blocks["neurons"]) == 3


def test_a_random_ticket_of_nothing_is_refused(tmp_path):
    job = Job.begin(read_recipe("digits", [f"output={tmp_path / 'run'}", *SETTINGS[:3]]))
    with pytest.raises(InputError, match="nothing to prune"):
        draw_ticket(
            job, {"heads": 0.0, "neurons": 0.0}, **NOTHING | {"random_seed": 3, "output": tmp_path / "random.json"}
        )


@pytest.mark.thorough
def test_what_is_drawn_at_the_end_of_a_search_trains_from_the_initial_weights(tmp_path, caplog):
    early = ["search.score=squared-gradient", "search.detector=recent-half-capture", "retraining.weights=continue"]
    short = ["training.epochs=1", "training.warmup_epochs=0", "training.batch_size=128", "search.threshold=0.9999"]
    job = Job.begin(read_recipe("digits", [f"output={tmp_path / 'run'}", *short, *early, "dense=false"]))
    stages = [name for name, _ in run_stages(job)]
    assert stages[-1] == "train random, rewind"
    assert read_json(job.files.draw)["how"] == "end"
    summary = read_json(job.files.summary) if job.files.summary.is_file() else summarise(job.files)
    assert summary["ticket"]["start"] == "rewind"
    assert summary["ticket"]["train_steps"] == 11
    assert "leaves nothing to continue" in caplog.text


@pytest.mark.thorough
def test_a_refit_that_cannot_be_is_left_out_and_that_is_told(tmp_path, caplog):
    few = ["training.epochs=1", "training.warmup_epochs=0", "training.batch_size=4", "data.train_limit=40"]
    job = Job.begin(read_recipe("digits", [f"output={tmp_path / 'run'}", *few, "search.compensation=1", "dense=false"]))
    dict(run_stages(job))
    assert job.files.trained("rewind", "ticket").is_dir()
    assert "pruned without compensation (compensation=1)" in caplog.text


def test_masks_that_never_settle_are_drawn_at_the_end_and_said_to_be(tmp_path):
    never = ["search.detector=half-time-capture", "search.threshold=0.9999999"]
    job = Job.begin(read_recipe("digits", [f"output={tmp_path / 'run'}", *SETTINGS[:2], *never]))
    search(job)
    draw(job)
    assert read_json(job.files.draw)["how"] == "end"


@pytest.mark.thorough
@pytest.mark.parametrize(
    "said", [{}, {"settled": "yes"}, {"settled": True, "draw_step": "5"}, {"settled": True, "total_steps": None}]
)
def test_a_damaged_result_of_the_search_is_told(said, job):
    result = job.files.search / RESULT
    whole = {name: value for name, value in read_json(result).items() if name not in ("settled", "draw_step")}
    write_json(result, whole | said)
    job.files.draw.unlink()
    for stage in (search, draw):
        with pytest.raises(InputError, match=r"result\.json is damaged"):
            stage(job)
