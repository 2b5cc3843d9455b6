"""A budget of milliseconds: costs that are curves of a block's width, and the file that they are kept in."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from earlybird import PruningConfig, SearchConfig
from earlybird.config import replaced_pruning
from earlybird.errors import InputError
from earlybird.latency.table import prepare_directory, read_table, table_path, write_table
from earlybird.masks import BudgetRule, MaskRule, UnitCosts, WidthCurve, budget_rule
from earlybird.trajectory import Shape, Trajectory, TrajectoryWriter

UNITS = {"heads": (4, 4), "neurons": (40, 40, 40)}


def curved(seed, fixed=2.0):
    """Costs of two attention blocks and three MLPs that grow with their widths, at random."""
    chance = np.random.default_rng(seed)
    heads = WidthCurve((0, 1, 2, 4), (0.0, *np.cumsum(chance.uniform(0.1, 2, 3)).tolist()))
    neurons = WidthCurve((0, 5, 11, 40), (0.0, *np.cumsum(chance.uniform(0.1, 2, 3)).tolist()))
    curves = {"heads": (heads,) * 2, "neurons": (neurons,) * 3}
    each = {kind: tuple(curve.costs[-1] / curve.counts[-1] for curve in some) for kind, some in curves.items()}
    whole = fixed + 2 * heads.costs[-1] + 3 * neurons.costs[-1]
    return UnitCosts("milliseconds", 128, each, (0.0, 0.0), fixed, whole, curves, 1)


def rule(seed, budget, **settings):
    costs = curved(seed)
    return BudgetRule(
        budget, costs, {kind: MaskRule(0.0, "global", units, **settings) for kind, units in UNITS.items()}
    )


@given(counts=st.lists(st.integers(0, 40), min_size=1, max_size=5))
def test_a_curve_is_linear_between_what_was_measured(counts):
    curve = WidthCurve((1, 5, 40), (0.0, 2.0, 9.0))
    expected = [0.0 if n <= 1 else (n - 1) / 2 if n <= 5 else 2 + (n - 5) / 5 for n in counts]
    np.testing.assert_allclose(curve.at(np.array(counts)), expected)


@given(seed=st.integers(0, 999), budget=st.floats(0.45, 0.95), whole=st.booleans())
def test_the_budget_is_met_by_the_curves_and_spent_to_a_few_units(seed, budget, whole):
    try:
        budgeted = rule(seed, budget, whole_blocks=whole)
    except InputError:
        assume(False)
    scores = np.random.default_rng(seed).exponential(size=(5, 40))
    for mask in (budgeted.masks(scores), budgeted.random_masks(np.random.default_rng(seed))):
        assert budgeted.cost(mask) <= budget
        assert whole or mask.any(-1).all()
        # A step of the curves, two units of a kind with what is lost to halving.
        curves = budgeted.costs.curves
        steps = [np.diff(curves[kind][0].at(np.arange(n + 1))).max() for kind, n in (("heads", 4), ("neurons", 40))]
        assert budgeted.cost(mask) >= budget - (2 * max(steps) + 0.02 * budgeted.costs.whole) / budgeted.costs.whole


@given(seed=st.integers(0, 999), budget=st.floats(0.6, 0.95))
def test_equal_counts_in_every_block_meet_it_too(seed, budget):
    try:
        budgeted = rule(seed, budget, uniform=True)
    except InputError:
        assume(False)
    kept = budgeted.by_kind(budgeted.masks(np.random.default_rng(seed).exponential(size=(5, 40))))
    assert all(len(set(each.sum(-1).tolist())) == 1 for each in kept.values())
    assert budgeted.cost(budgeted.stacked(kept)) <= budget


class Source:
    units = UNITS
    key_value_groups = None
    valid_head_counts = None
    expert_groups = None

    def unit_costs(self, measure, tokens):
        return curved(0)


def test_milliseconds_are_taken_from_the_whole_forward_pass():
    whole = curved(0).whole
    budgeted = budget_rule(PruningConfig(milliseconds=0.7 * whole, examples=1), Source())
    assert budgeted.budget == pytest.approx(0.7)
    with pytest.raises(
        InputError, match=r"milliseconds=\d+ is met as it is: a forward pass takes [\d.]+; to prune noth"
    ):
        budget_rule(PruningConfig(milliseconds=int(whole) + 1, examples=1), Source())
    with pytest.raises(
        InputError, match=r"milliseconds=0.1 is less than is possible: .* a forward pass takes [\d.]+ of"
    ):
        budget_rule(PruningConfig(milliseconds=0.1, examples=1), Source())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"milliseconds": 12}, "milliseconds=12 are those of a forward pass of a stated shape: give examples=1"),
        ({"milliseconds": 0, "examples": 1}, "milliseconds must be a number above 0, got 0"),
        ({"milliseconds": float("inf"), "examples": 1}, "milliseconds must be a number above 0, got inf"),
        ({"milliseconds": "12", "examples": 1}, "milliseconds must be a number above 0, got '12'"),
        ({"milliseconds": 12, "examples": 0}, "examples must be a whole number of at least 1, got 0"),
        ({"milliseconds": 12, "examples": 1, "flops": 0.5}, "flops and milliseconds are two budgets"),
        ({"milliseconds": 12, "examples": 1, "heads": 0.5}, "and heads is a ratio"),
    ],
)
def test_what_says_too_little_or_too_much_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        PruningConfig(**settings)


def test_one_budget_takes_the_place_of_another():
    config = SearchConfig(milliseconds=12, examples=1)
    assert replaced_pruning(config, {"flops": 0.5})["milliseconds"] is None
    assert replaced_pruning(SearchConfig(flops=0.5), {"milliseconds": 12, "examples": 1})["flops"] is None


def test_a_bare_record_does_not_tell_milliseconds():
    with pytest.raises(InputError, match=r"does not tell what a unit costs in milliseconds.*draw from the run"):
        budget_rule(PruningConfig(milliseconds=12, examples=1), Shape(UNITS, ("gradient",), 10))


def recorded(path, costs):
    shape = Shape(UNITS, ("gradient",), 10, costs=costs)
    with TrajectoryWriter(path, shape, chunk_steps=4) as writer:
        writer.append({(kind, "gradient"): np.ones(shape.record(kind), dtype=np.float32) for kind in UNITS})


def test_a_record_holds_the_table_of_its_search(tmp_path):
    recorded(tmp_path, curved(3))
    assert Trajectory.open(tmp_path).shape.costs == curved(3)


@pytest.mark.parametrize(
    ("counts", "costs"),
    [
        ((0, 3), (0.0, 1.0)),
        ((0, 4), (0.0, -1.0)),
        ((4, 0), (0.0, 1.0)),
        ((0, 2, 4), (0.0, 2.0, 1.0)),
        ((0, 4), (0.0,)),
        ((), ()),
        ((0, 4.0), (0.0, 1.0)),
    ],
)
def test_a_record_whose_table_makes_no_sense_is_damaged(counts, costs, tmp_path):
    good = curved(3)
    heads = (WidthCurve(counts, costs), good.curves["heads"][1])
    recorded(tmp_path, replace(good, curves={**good.curves, "heads": heads}))
    with pytest.raises(InputError, match="is damaged: its sizes make no sense"):
        Trajectory.open(tmp_path)


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    machine, what = {"name": "one"}, {"model": "Bert", "tokens": 128}
    path = table_path(machine, what)
    prepare_directory(path)
    write_table(path, machine, what, curved(3))
    return path, machine, what


def test_a_table_is_read_as_it_was_written(table):
    path, machine, what = table
    assert read_table(path, machine, what) == curved(3)
    assert path != table_path({"name": "another"}, what)
    assert path != table_path(machine, {**what, "tokens": 64})


@pytest.mark.parametrize("damage", ["cut", "changed", "no JSON", "a list"])
def test_a_damaged_table_is_refused_with_what_to_do(table, damage):
    path, machine, what = table
    text = path.read_text()
    changed = json.loads(text)
    changed["costs"]["whole"] *= 2
    path.write_text(
        {"cut": text[:99], "changed": json.dumps(changed), "no JSON": "milliseconds", "a list": "[1]"}[damage]
    )
    with pytest.raises(
        InputError, match=rf"the table of milliseconds is damaged .*: delete {path}, and it is measured"
    ):
        read_table(path, machine, what)


def test_a_table_of_another_machine_is_refused(table):
    path, _, what = table
    with pytest.raises(InputError, match=f"that of another machine or model: delete {path}"):
        read_table(path, {"name": "another"}, what)
