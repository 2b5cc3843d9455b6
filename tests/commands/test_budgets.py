"""A budget from the command line: what it would mean, a search by it, and tickets of other budgets from one record."""

from __future__ import annotations

import json

import pytest
import yaml
from families import build
from typer.testing import CliRunner

import earlybird as eb
from earlybird.cli.commands import app
from earlybird.errors import InputError
from earlybird.recipes.recipe_file import SHIPPED, read_recipe
from earlybird.recipes.stages.job import Job
from earlybird.recipes.sweep.plan import plan_sweep, written_ratio
from earlybird.recipes.sweep.settings import sweep_settings

SMALL = [
    "training.epochs=2",
    "training.warmup_epochs=0.5",
    "data.train_limit=640",
    "model.layers=2",
    "model.hidden=32",
    "model.neurons=32",
]
BY_BUDGET = ["search.score=squared-gradient", "search.detector=recent-half-capture", "search.flops=0.6"]


def said(*arguments):
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A search by gradients that went on to its end; how much it prunes is said by ratios."""
    root = tmp_path_factory.mktemp("budgets") / "run"
    settings = [*SMALL, *BY_BUDGET[:2], "search.to_the_end=true", f"output={root}"]
    said("search", "digits", *settings)
    said("draw", root, "--at", "60%")
    return root


def counted(root):
    job = Job.open(root)
    model = job.initial_model()
    return eb.Anatomy.of(model).unit_costs("flops", 128)


def test_a_model_says_what_a_budget_would_mean(tmp_path):
    build("bert").config.save_pretrained(tmp_path)
    found = json.loads(said("inspect", tmp_path, "--flops", 0.5, "--json"))
    assert found["pruned"]["budget"] == {"flops": 0.5}
    assert found["pruned"]["flops"] < 0.55 * found["flops"]
    assert 0 < found["pruned"]["heads"] < 1
    assert "at 50.0% of the blocks' FLOPs, for example without" in said("inspect", tmp_path, "--flops", 0.5)


def test_several_budgets_give_a_ticket_each(run, tmp_path):
    told = said("draw", run, "--at", "60%", "--flops", "0.4,0.7", "--output", tmp_path / "tickets")
    costs = counted(run)
    for share in (0.4, 0.7):
        ticket = eb.Ticket.load(tmp_path / "tickets" / f"flops-{share}.json")
        assert costs.of(ticket.masks) <= share * costs.whole
        assert f"flops-{share}.json" in told
    content = json.loads(said("draw", run, "--at", "60%", "--flops", "0.4,0.7", "--output", tmp_path / "t", "--json"))
    assert [each["config"]["flops"] for each in content] == [0.4, 0.7]


def test_a_budget_takes_the_place_of_the_recipes_ratios_and_a_ratio_that_of_a_budget(run, tmp_path):
    said("draw", run, "--at", "60%", "--parameters", 0.5, "--output", tmp_path / "ticket.json")
    ticket = eb.Ticket.load(tmp_path / "ticket.json")
    assert set(ticket.masks) == {"heads", "neurons"}
    assert read_recipe("bert-glue", ["search.flops=0.5"]).search.heads is None
    changed = read_recipe("bert-glue", ["search.flops=0.5", "search.parameters=null"]).search
    assert changed.budget == ("flops", 0.5)
    with pytest.raises(InputError, match="heads is a ratio"):
        read_recipe("bert-glue", ["search.flops=0.5", "search.heads=0.3"])
    with pytest.raises(InputError, match="there is nothing to prune"):
        read_recipe("bert-glue", ["search.flops=null"])
    recipe = yaml.safe_load((SHIPPED / "bert-glue.yaml").read_text(encoding="utf-8"))
    recipe["search"] = {"flops": 0.5}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    assert read_recipe(str(tmp_path / "own.yaml"), []).search.budget == ("flops", 0.5)
    assert read_recipe(str(tmp_path / "own.yaml"), ["search.heads=0.3"]).search.budget is None


@pytest.mark.parametrize("recipe", ["bert-glue", "bert-squad", "vit-finetune"])
def test_recipes_that_fine_tune_leave_half_of_the_flops_or_prune_by_ratios_what_cannot_go_by_a_budget(recipe):
    assert read_recipe(recipe).search.budget == ("flops", 0.5)
    for override in ("score=coefficient", "detector=hamming", "heads_scope=layer"):
        search = read_recipe(recipe, [f"search.{override}"]).search
        assert (search.budget, search.heads, search.neurons) == (None, 0.4, 0.63)
        assert search.heads_scope == ("layer" if "layer" in override else "global")
    assert read_recipe(recipe, ["search.detector=fixed-time"]).search.budget == ("flops", 0.5)
    assert read_recipe(recipe, ["search.heads=0.3"]).search.neurons is None


def test_a_budget_that_a_user_has_written_does_not_give_way(tmp_path):
    recipe = yaml.safe_load((SHIPPED / "bert-glue.yaml").read_text(encoding="utf-8"))
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    with pytest.raises(InputError, match="only squared gradients add up"):
        read_recipe(str(tmp_path / "own.yaml"), ["search.score=gradient"])


def test_a_run_says_what_every_budget_keeps(run):
    told = json.loads(said("inspect", run, "--json"))
    worth = [point["worth"] for point in told["points"]]
    assert worth == sorted(worth, reverse=True)
    assert all(point["worth"] >= point["chance"] - 0.02 for point in told["points"])
    assert all(point["cost"] <= point["share"] for point in told["points"])
    assert told["ticket"]["kept"] == {
        kind: sum(eb.Ticket.load(run / "ticket.json").kept(kind)) for kind in ("heads", "neurons")
    }
    text = said("inspect", run)
    assert "kept of the evidence" in text
    assert "The run's ticket costs" in text


def test_a_random_ticket_goes_by_a_random_order_to_the_same_budget(run, tmp_path):
    said("draw", run, "--random", 3, "--flops", 0.5, "--output", tmp_path / "random.json")
    ticket, costs = eb.Ticket.load(tmp_path / "random.json"), counted(run)
    assert 0.4 * costs.whole < costs.of(ticket.masks) <= 0.5 * costs.whole


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--flops", "0.4,0.5"], "give --output DIRECTORY"),
        (["--flops", "0.4,0.5", "--parameters", "0.3", "--output", "there"], "flops and parameters are two budgets"),
        (["--flops", "half"], "flops takes a number or several"),
        (["--flops", ""], "flops takes a number or several"),
        (["--flops", "0.3,0.3", "--output", "there"], "a share is given twice"),
        (["--flops", "0.3,1.3", "--output", "there"], r"flops must lie in \(0, 1\)"),
        (["--flops", "0.3,0.5", "--detector", "all", "--output", "there"], "--detector all draws no ticket"),
        (["--flops", "0.4,0.001", "--at", "60%", "--output", "there"], "flops=0.001: .* is less than is possible"),
        (["--flops", "1.5", "--output", "ticket.json"], r"flops must lie in \(0, 1\)"),
        (["--flops", "0.5", "--score", "gradient", "--output", "ticket.json"], "only squared gradients add up"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(options, told, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=told):
        CliRunner().invoke(app, ["draw", str(run), *options], catch_exceptions=False)


def test_every_detector_is_asked_at_a_budget_without_a_record_that_was_counted_so(run):
    verdicts = json.loads(said("draw", run, "--parameters", 0.5, "--detector", "all", "--json"))
    said_of = {verdict["detector"]: verdict["reason"] for verdict in verdicts}
    assert "counts units" in said_of["hamming"]
    assert "counts units" not in said_of["recent-half-capture"]


def test_a_run_is_inspected_as_its_record_was_counted(run):
    for options in (["--tokens", "64"], ["--flops", "0.5"]):
        with pytest.raises(InputError, match="a run is inspected at every budget"):
            CliRunner().invoke(app, ["inspect", str(run), *options], catch_exceptions=False)


def test_a_run_whose_record_has_no_gradients_says_that_it_has_no_curve(tmp_path):
    said(
        "search", "digits", *SMALL, "search.score=coefficient", "search.detector=hamming", f"output={tmp_path / 'run'}"
    )
    with pytest.raises(InputError, match="does not tell what a unit costs"):
        CliRunner().invoke(app, ["inspect", str(tmp_path / "run")], catch_exceptions=False)


def test_a_whole_run_at_a_budget_leaves_a_network_that_meets_it_and_a_report_that_shows_it(tmp_path):
    said("run", "digits", *SMALL, *BY_BUDGET, "dense=false", f"output={tmp_path / 'run'}")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    job = Job.open(tmp_path / "run")
    whole = job.costs(job.initial_model())["flops"]
    assert whole - summary["ticket"]["flops"] >= 0.4 * counted(tmp_path / "run").whole - 1e-6
    assert 0 < summary["ticket"]["heads_ratio"] < 1
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "60% of the blocks&#x27; FLOPs to keep" in page or "60% of the blocks' FLOPs to keep" in page
    assert "What is kept against what it costs" in page


@pytest.mark.parametrize(
    ("asked", "axis", "amounts"),
    [
        ({}, [], [{"flops": 0.5}]),
        ({"scores": "squared-gradient,gradient"}, [], [{"heads": 0.4, "neurons": 0.63}] * 2),
        ({"detectors": "recent-half-capture,hamming"}, [], [{"heads": 0.4, "neurons": 0.63}] * 2),
        ({"ratios": "0.3,0.5"}, [], [{"heads": r, "neurons": r} for r in (0.3, 0.5)]),
        ({}, ["search.score=squared-gradient,gradient"], [{"heads": 0.4, "neurons": 0.63}] * 2),
        ({}, ["search.heads_scope=global,layer"], [{"heads": 0.4, "neurons": 0.63}] * 2),
        ({}, ["search.compensation=0,16"], [{"flops": 0.5}] * 2),
    ],
)
def test_all_cells_of_a_sweep_prune_by_the_same_amount_where_nobody_says_how_much(asked, axis, amounts, tmp_path):
    plan = plan_sweep("bert-glue", [], sweep_settings(asked, axis), tmp_path)
    assert [cell.labels["ratio"] for cell in plan.cells.values()] == amounts


def test_a_sweep_takes_budgets_as_an_axis_and_names_them(tmp_path):
    settings = sweep_settings({"also": "dense"}, ["search.flops=0.4,0.6"])
    plan = plan_sweep("bert-glue", [], settings, tmp_path)
    names = [str(cell) for cell in plan.cells.values() if cell.which == "ticket"]
    assert len(plan.searches) == 1
    assert ["flops=0.4" in name for name in names] == [True, False]
    for overrides, axis in ((["search.flops=0.5"], []), ([], ["search.flops=0.3,0.5"])):
        with pytest.raises(InputError, match=r"--ratio and search.flops both say"):
            plan_sweep("bert-glue", overrides, sweep_settings({"ratios": "0.5"}, axis), tmp_path)


def test_a_ratio_of_experts_takes_the_place_of_a_recipes_budget():
    recipe = read_recipe("causal-lm", ["search.experts=0.5"])
    assert (recipe.search.experts, recipe.search.heads, recipe.search.budget) == (0.5, None, None)


def test_the_ratios_of_a_sweep_leave_those_of_its_experts(tmp_path):
    said_of = ["search.neurons=0.25", "search.experts=0.4"]
    plan = plan_sweep("causal-lm", said_of, sweep_settings({"ratios": "0.5,0.6"}, []), tmp_path)
    assert [cell.labels["ratio"] for cell in plan.cells.values()] == [
        {"heads": 0.0, "neurons": ratio, "experts": 0.4} for ratio in (0.5, 0.6)
    ]
    assert [written_ratio(cell.labels["ratio"]) for cell in plan.cells.values()] == [
        f"{ratio}, experts=0.4" for ratio in (0.5, 0.6)
    ]
