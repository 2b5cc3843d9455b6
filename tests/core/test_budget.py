"""Masks at a budget, against every choice that there is on small cases, and what holds of them on all."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from earlybird import PruningConfig, SearchConfig, Trajectory, detect
from earlybird.config import replaced_pruning
from earlybird.criteria import captured_by
from earlybird.detectors.comparison import detect_each, every_detector
from earlybird.detectors.defaults import with_defaults
from earlybird.detectors.detection import Detection
from earlybird.detectors.offline import score_chunks
from earlybird.detectors.presets import DETECTORS
from earlybird.errors import InputError
from earlybird.masks import BudgetRule, MaskRule, UnitCosts
from earlybird.masks.cheapest_first import cheapest_first
from earlybird.trajectory import Shape, TrajectoryWriter

HEAD, NEURON, GROUP = 7.0, 2.0, 3.0


def costs(units, groups=None, fixed=0.0, head=HEAD, neuron=NEURON):
    each = {kind: tuple((head if kind == "heads" else neuron) for _ in counts) for kind, counts in units.items()}
    shared = tuple(GROUP if groups else 0.0 for _ in units.get("heads", ()))
    whole = sum(cost * count for kind in units for cost, count in zip(each[kind], units[kind], strict=True))
    whole += sum(GROUP * count for count in groups or ())
    return UnitCosts("parameters", 128, each, shared, fixed, whole + fixed)


def rule(budget, units, groups=None, fixed=0.0, **settings):
    of_kind = {"heads": {"groups": groups}, "neurons": {"round_to": settings.pop("round_to", 1)}}
    counts = settings.pop("valid_counts", None)
    rules = {
        kind: MaskRule(
            0.0,
            "global",
            units[kind],
            **of_kind[kind],
            **settings,
            valid_counts=counts if kind == "heads" else None,
        )
        for kind in units
    }
    return BudgetRule(budget, costs(units, groups, fixed), rules)


def spent(budgeted, mask):
    return budgeted.cost(mask) * budgeted.costs.whole


def scored(seed, budgeted):
    return np.random.default_rng(seed).exponential(size=(len(budgeted.units), max(budgeted.units)))


def every_mask(budgeted):
    """All masks of single units that keep what every block must, and meet the budget."""
    whole = all(rule.whole_blocks for rule in budgeted.rules.values())
    places = [(row, unit) for row, count in enumerate(budgeted.units) for unit in range(count)]
    for choice in itertools.product([False, True], repeat=len(places)):
        mask = np.zeros((len(budgeted.units), max(budgeted.units)), dtype=bool)
        mask[tuple(np.transpose(places))] = choice
        if (whole or mask.any(-1).all()) and spent(budgeted, mask) <= budgeted.budget * budgeted.costs.whole:
            yield mask


UNITS = st.fixed_dictionaries(
    {"heads": st.lists(st.integers(1, 5), min_size=1, max_size=3), "neurons": st.lists(st.integers(1, 9), min_size=1)}
)
SEEDS = st.integers(0, 999)


@given(units=UNITS, budget=st.floats(0.05, 0.99), seed=SEEDS, fixed=st.sampled_from([0.0, 5.0]), whole=st.booleans())
def test_the_budget_is_met_and_nothing_that_was_pruned_would_still_fit(units, budget, seed, fixed, whole):
    try:
        budgeted = rule(budget, units, fixed=fixed, whole_blocks=whole)
    except InputError:
        assume(False)
    mask = budgeted.masks(scored(seed, budgeted))
    left = budget * budgeted.costs.whole - spent(budgeted, mask)
    assert left >= -1e-6
    assert whole or mask.any(-1).all()
    pruned = {kind: (~kept).sum() > 0 for kind, kept in budgeted.by_kind(mask).items()}
    for kind, cost in (("heads", HEAD), ("neurons", NEURON)):
        counts = np.asarray(units[kind])
        if (budgeted.by_kind(mask)[kind].sum(-1) < counts).any() and pruned[kind]:
            assert left < cost


@settings(max_examples=30)
@given(budget=st.floats(0.4, 0.95), seed=SEEDS, whole=st.booleans())
def test_no_choice_is_worth_more_by_the_score_of_one_unit(budget, seed, whole):
    budgeted = rule(budget, {"heads": [2, 3], "neurons": [4, 2]}, whole_blocks=whole)
    scores = np.where(budgeted.valid(4), scored(seed, budgeted), 0.0)
    worth = (scores * budgeted.masks(scores)).sum()
    best = max((scores * mask).sum() for mask in every_mask(budgeted))
    assert worth <= best + 1e-9
    assert best - worth <= scores.max()


@given(seed=SEEDS)
def test_units_go_by_what_they_are_worth_for_what_they_cost(seed):
    budgeted = rule(0.5, {"heads": [40], "neurons": [300]})
    scores = scored(seed, budgeted)
    kept = budgeted.by_kind(budgeted.masks(scores))
    density = {"heads": scores[0, :40] / HEAD, "neurons": scores[1] / NEURON}
    best_pruned = max(density[kind][~kept[kind][0]].max() for kind in kept)
    # What was given back costs less than a head.
    below = sum(int((density[kind][kept[kind][0]] < best_pruned).sum()) for kind in kept)
    assert below <= HEAD / NEURON


@given(seed=SEEDS, budget=st.floats(0.12, 0.4))
def test_a_block_goes_whole_where_its_best_unit_is_worth_least_and_is_spared_otherwise(seed, budget):
    units = {"heads": [4, 4], "neurons": [30, 30]}
    scores = scored(seed, rule(0.9, units))
    scores[[1, 3]] *= 1e-6
    whole, spared = (rule(budget, units, whole_blocks=allowed) for allowed in (True, False))
    kept = whole.masks(scores)
    assert not kept[1].any()
    # What is left of the budget may be given back.
    assert kept[3].sum() <= HEAD / NEURON
    assert spared.masks(scores).any(-1).all()
    assert not any(whole.kept_by_minimum(scores, kept).values())
    named = spared.kept_by_minimum(scores, spared.masks(scores))
    assert all(1 in blocks for blocks in named.values())


def test_with_whole_blocks_any_budget_is_possible():
    units = {"heads": [4], "neurons": [10]}
    with pytest.raises(InputError, match="is less than is possible: with the least that every block keeps"):
        rule(0.05, units)
    assert not rule(0.01, units, whole_blocks=True).masks(np.ones((2, 10))).any()


@given(first=st.floats(0.3, 0.9), second=st.floats(0.3, 0.9), seed=SEEDS)
def test_a_larger_budget_keeps_what_is_worth_more_but_for_one_unit(first, second, seed):
    small, large = sorted((first, second))
    units = {"heads": [5, 5], "neurons": [30, 30]}
    scores = scored(seed, rule(0.5, units))
    worth = [
        (np.where(budgeted.valid(30), scores, 0) * budgeted.masks(scores)).sum()
        for budgeted in (rule(small, units), rule(large, units))
    ]
    assert worth[0] <= worth[1] + scores.max()


@given(budget=st.floats(0.4, 0.9), seed=SEEDS, how=st.sampled_from(["whole", "within"]))
def test_heads_that_share_keys_and_values_go_as_their_groups_allow(budget, seed, how):
    budgeted = rule(budget, {"heads": [8, 8], "neurons": [20, 20]}, groups=[4, 4], kv_groups=how)
    mask = budgeted.masks(scored(seed, budgeted))
    by_group = budgeted.by_kind(mask)["heads"].reshape(2, 4, 2).sum(-1)
    if how == "whole":
        assert set(by_group.ravel().tolist()) <= {0, 2}
    else:
        assert all(len(set(row)) == 1 for row in by_group.tolist())
    assert spent(budgeted, mask) <= budget * budgeted.costs.whole + 1e-6


@given(budget=st.floats(0.5, 0.95), seed=SEEDS, multiple=st.sampled_from([2, 8, 16]))
def test_blocks_keep_multiples_of_neurons_the_best_of_each(budget, seed, multiple):
    budgeted = rule(budget, {"heads": [4, 4], "neurons": [40, 20, 5]}, round_to=multiple)
    scores = scored(seed, budgeted)
    mask = budgeted.masks(scores)
    for row, values, units in zip(budgeted.by_kind(mask)["neurons"], scores[2:], (40, 20, 5), strict=True):
        count = int(row.sum())
        assert count == units or count % multiple == 0
        assert set(np.flatnonzero(row)) == set(np.argsort(values[:units])[units - count :])
    assert spent(budgeted, mask) <= budget * budgeted.costs.whole + 1e-6


@given(budget=st.floats(0.4, 0.95), seed=SEEDS, valid=st.sampled_from([None, (1, 2, 4)]))
def test_equal_counts_are_the_pair_that_is_worth_most(budget, seed, valid):
    budgeted = rule(budget, {"heads": [4, 4], "neurons": [6, 6]}, uniform=True, valid_counts=valid)
    scores = scored(seed, budgeted)
    kept = budgeted.by_kind(budgeted.masks(scores))
    counts = [set(kept[kind].sum(-1).tolist()) for kind in ("heads", "neurons")]
    assert all(len(count) == 1 for count in counts)
    ranked = {"heads": np.sort(scores[:2, :4])[:, ::-1], "neurons": np.sort(scores[2:])[:, ::-1]}
    possible = {
        (h, n): ranked["heads"][:, :h].sum() + ranked["neurons"][:, :n].sum()
        for h in valid or range(1, 5)
        for n in range(1, 7)
        if 2 * (h * HEAD + n * NEURON) <= budget * budgeted.costs.whole + 1e-6
    }
    assert (counts[0].pop(), counts[1].pop()) == max(possible, key=possible.get)


def test_a_random_order_asks_nobody_what_a_unit_costs():
    budgeted = rule(0.5, {"heads": [12] * 4, "neurons": [200] * 4})
    generator = np.random.default_rng(0)
    shares = np.array(
        [[kept.mean() for kept in budgeted.by_kind(budgeted.random_masks(generator)).values()] for _ in range(300)]
    )
    heads, neurons = shares.mean(0)
    # A kept last unit of each block, and what is given back, shift it by less than that.
    assert abs(heads - neurons) < 0.03


@given(seed=SEEDS, other=SEEDS, budget=st.floats(0.3, 0.9))
def test_captured_is_one_for_the_own_mask_and_adds_both_kinds_up(seed, other, budget):
    budgeted = rule(budget, {"heads": [6, 6], "neurons": [40, 40]})
    reference = np.where(budgeted.valid(40), scored(seed, budgeted), 0.0)
    own, mask = budgeted.masks(reference), budgeted.masks(scored(other, budgeted))
    assert captured_by(budgeted, own, reference) == pytest.approx(1)
    chance = reference.sum() * budgeted.cost(mask)
    best = (reference * own).sum()
    expected = ((reference * mask).sum() - chance) / (best - chance)
    assert captured_by(budgeted, mask, reference) == pytest.approx(expected)
    # What one unit decides is left open by the greedy choice.
    assert expected <= 1 + reference.max() / (best - chance)


def test_captured_of_a_random_order_is_nothing_on_average_whatever_the_units_cost():
    units = {"heads": [4, 4], "neurons": [60, 60, 60, 60]}
    each = costs(units)
    dear = replace(each, units={**each.units, "neurons": (8.0, 4.0, 2.0, 1.0)}, whole=8 * HEAD + 60 * 15)
    budgeted = replace(rule(0.5, units), costs=dear)
    generator = np.random.default_rng(0)
    reference = np.where(budgeted.valid(60), scored(0, budgeted), 0.0)
    reference[2:] *= np.array([3.0, 2.0, 1.0, 0.3])[:, None]
    random = [captured_by(budgeted, budgeted.random_masks(generator), reference) for _ in range(200)]
    assert abs(np.mean(random)) < 0.1
    # All the cheap ones are many, and worth little.
    many = np.zeros(reference.shape, dtype=bool)
    many[:, 0] = True
    many[4:, :60] = True
    assert captured_by(budgeted, many, reference) < 0.3


def test_where_nothing_is_ranked_any_mask_is_as_good():
    budgeted = rule(0.5, {"heads": [6, 6], "neurons": [40, 40]})
    mask = budgeted.masks(scored(0, budgeted))
    assert captured_by(budgeted, mask, np.zeros((4, 40))) == 1


def test_a_mask_that_equal_units_decide_says_nothing():
    budgeted = rule(0.5, {"heads": [6, 6], "neurons": [40, 40]})
    _, tied = budgeted.masks_and_ties(np.ones((4, 40)))
    assert tied
    _, tied = budgeted.masks_and_ties(scored(0, budgeted))
    assert not tied


def test_equal_units_decide_also_where_all_blocks_keep_equally_many():
    budgeted = rule(0.5, {"heads": [6, 6], "neurons": [40, 40]}, uniform=True)
    mask, tied = budgeted.masks_and_ties(np.zeros((4, 40)))
    assert tied
    assert spent(budgeted, mask) > 0.4 * budgeted.costs.whole
    _, tied = budgeted.masks_and_ties(scored(0, budgeted))
    assert not tied


@given(seed=SEEDS)
def test_blocks_of_different_heads_and_groups_meet_the_budget(seed):
    budgeted = rule(0.6, {"heads": [8, 4], "neurons": [20, 20]}, groups=[4, 2], kv_groups="whole")
    assert spent(budgeted, budgeted.valid(20)) == budgeted.costs.whole
    assert spent(budgeted, budgeted.masks(scored(seed, budgeted))) <= 0.6 * budgeted.costs.whole + 1e-6


@given(seed=SEEDS, budget=st.floats(0.4, 0.9), multiple=st.sampled_from([3, 4, 8]), random=st.booleans())
def test_multiples_are_kept_of_random_and_of_equal_units_too(seed, budget, multiple, random):
    budgeted = rule(budget, {"heads": [4, 4], "neurons": [10, 50]}, round_to=multiple)
    if random:
        mask = budgeted.random_masks(np.random.default_rng(seed))
    else:
        mask = budgeted.masks(np.full((4, 50), 0.1 + seed / 7))
    for count, units in zip(budgeted.by_kind(mask)["neurons"].sum(-1).tolist(), (10, 50), strict=True):
        assert count == units or count % multiple == 0


def test_the_least_that_is_possible_is_told_and_possible():
    units = {"heads": [4], "neurons": [10]}
    with pytest.raises(InputError, match=r"parameters=0.1 is less than is possible: .* cost 0.1875 of what"):
        rule(0.1, units)
    mask = rule(0.1875, units).masks(scored(0, rule(0.5, units)))
    assert mask.sum() == 2


def test_blocks_that_keep_a_unit_only_because_none_may_lose_its_last_are_named():
    budgeted = rule(0.5, {"heads": [4, 4], "neurons": [10, 10]})
    scores = np.ones((4, 10))
    scores[0], scores[1] = 10, 1e-6
    scores += np.arange(40).reshape(10, 4).T * 1e-9
    assert budgeted.kept_by_minimum(scores, budgeted.masks(scores)) == {"heads": (1,), "neurons": ()}


# A search at a budget.

UNITS_OF_RECORD = {"heads": (4, 4), "neurons": (30, 30)}


def record(tmp_path, steps=120, told=True):
    """Gradients whose ranking settles."""
    generator = np.random.default_rng(3)
    worth = {kind: generator.exponential(size=(2, counts[0])) for kind, counts in UNITS_OF_RECORD.items()}
    units = {kind: list(counts) for kind, counts in UNITS_OF_RECORD.items()}
    shape = Shape(UNITS_OF_RECORD, ("gradient",), steps, costs=costs(units) if told else None)
    with TrajectoryWriter(tmp_path, shape, chunk_steps=steps) as writer:
        for _ in range(steps):
            writer.append(
                {
                    (kind, "gradient"): np.abs(generator.normal(size=values.shape) * np.sqrt(values)).astype(np.float32)
                    for kind, values in worth.items()
                }
            )
    return Trajectory.open(tmp_path)


ALLOWED = ["recent-half-capture", "split-half-capture", "half-time-capture", "fixed-time", "random-start"]


@pytest.mark.parametrize(
    "detector", [*ALLOWED, "all(recent-half-capture, fixed-time)", "any(half-time-capture, fixed-time)"]
)
def test_offline_draws_as_online_whatever_detects(detector, tmp_path):
    trajectory = record(tmp_path)
    config = SearchConfig(parameters=0.5, score="squared-gradient", detector=detector)
    online = Detection(config, trajectory.shape, total_steps=trajectory.total_steps)
    drawn = None
    for scores in score_chunks(trajectory, online.kinds, online.score):
        for step in range(trajectory.steps):
            drawn = drawn or online.update({kind: one.part(slice(step, step + 1)) for kind, one in scores.items()})
    offline = detect(trajectory, config)
    assert drawn.step == offline.step
    assert all((drawn.masks[kind] == offline.masks[kind]).all() for kind in offline.masks)
    assert set(offline.kinds) == set(offline.masks) == {"heads", "neurons"}


@pytest.mark.parametrize("detector", [*sorted(set(DETECTORS) - set(ALLOWED)), "all(recent-half-capture, hamming)"])
def test_what_counts_units_is_refused_since_it_would_not_see_the_heads(detector, tmp_path):
    with pytest.raises(InputError, match=r"counts units.*recent-half-capture|needs .* install"):
        detect(record(tmp_path), SearchConfig(parameters=0.5, detector=detector))


def test_every_detector_is_compared_or_says_why_not(tmp_path):
    trajectory = record(tmp_path)
    verdicts = detect_each(trajectory, every_detector(SearchConfig(parameters=0.5)))
    assert {name for name, verdict in verdicts.items() if verdict.draw is not None} == set(ALLOWED)


def test_of_random_units_none_is_said_to_be_kept_because_it_is_the_last(tmp_path):
    draw = detect(record(tmp_path), SearchConfig(parameters=0.5, detector="random-start"))
    assert draw.kept_by_minimum == {"heads": (), "neurons": ()}


def test_a_score_that_is_not_finite_is_told_by_its_kind_and_layer(tmp_path):
    trajectory = record(tmp_path)
    broken = Trajectory(
        trajectory.shape,
        {(kind, "gradient"): np.array(trajectory.evidence(kind, "gradient")) for kind in trajectory.kinds},
    )
    broken.evidence("neurons", "gradient")[5, 1, 3] = np.nan
    with pytest.raises(InputError, match="got nan for neurons at step 5, layer 1, unit 3"):
        detect(broken, SearchConfig(parameters=0.5))


def test_the_draw_of_a_budget_meets_it_and_says_what_it_pruned(tmp_path):
    trajectory = record(tmp_path)
    draw = detect(trajectory, SearchConfig(parameters=0.5))
    counted = trajectory.shape.costs
    assert counted.of(draw.masks) <= 0.5 * counted.whole
    told = draw.description()
    assert told["config"]["parameters"] == 0.5
    assert told["neurons_ratio"] == pytest.approx(1 - draw.masks["neurons"].mean())


def test_a_record_that_does_not_tell_what_units_cost_says_where_to_draw(tmp_path):
    with pytest.raises(InputError, match="does not tell what a unit costs in parameters, it holds nothing of it"):
        detect(record(tmp_path, told=False), SearchConfig(parameters=0.5))


def test_a_record_counted_in_another_measure_says_so(tmp_path):
    with pytest.raises(InputError, match="in flops of 128 tokens, it holds its parameters"):
        detect(record(tmp_path), SearchConfig(flops=0.5))


# What a config takes.


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"flops": 1.2}, r"flops must lie in \(0, 1\), .* got 1.2"),
        ({"flops": 0}, r"flops must lie in \(0, 1\)"),
        ({"parameters": True}, r"parameters must lie in \(0, 1\)"),
        ({"flops": 0.5, "parameters": 0.5}, "flops and parameters are two budgets"),
        ({"flops": 0.5, "heads": 0.3}, "heads is a ratio: give one or the other"),
        ({"flops": 0.5, "heads_scope": "layer"}, "heads_scope asks for a threshold in each layer"),
        ({"flops": 0.5, "tokens": 0}, "tokens must be a whole number of at least 1"),
    ],
)
def test_what_contradicts_a_budget_is_one_sentence(settings, said):
    for config in (PruningConfig, SearchConfig):
        with pytest.raises(InputError, match=said):
            config(**settings)


@pytest.mark.parametrize("score", ["coefficient", "gradient"])
def test_scores_that_do_not_add_up_are_refused(score):
    with pytest.raises(InputError, match="only squared gradients add up to a loss"):
        SearchConfig(flops=0.5, score=score)


def test_a_budget_takes_the_place_of_ratios_and_ratios_that_of_a_budget():
    ratios, budget = SearchConfig(heads=0.3, neurons=0.4), SearchConfig(flops=0.5)
    assert replaced_pruning(ratios, {"neurons": 0.5}) == {"neurons": 0.5}
    told = replaced_pruning(ratios, {"parameters": 0.4})
    assert (told["parameters"], told["heads"], told["flops"]) == (0.4, None, None)
    told = replaced_pruning(budget, {"heads": 0.2})
    assert (told["heads"], told["flops"], told["heads_scope"]) == (0.2, None, None)


def test_the_score_of_a_budget_is_the_one_that_adds_up_whatever_detects():
    for others in ({}, {"detector": "fixed-time"}, {"learning_rate": 1e-3}):
        assert with_defaults(SearchConfig(flops=0.5, **others)).score == "squared-gradient"


@given(seed=SEEDS, share=st.floats(0.001, 0.999), tied=st.booleans(), count=st.sampled_from([5, 3000, 20000]))
def test_what_is_sorted_only_near_the_threshold_is_the_order_of_all(seed, share, tied, count):
    generator = np.random.default_rng(seed)
    density = generator.exponential(size=count).round(2 if tied else 12)
    cost = generator.choice([1.0, 140.0], p=[0.95, 0.05], size=count)
    enough = share * cost.sum()
    order = cheapest_first(density, cost, enough)
    whole = np.argsort(density, kind="stable")
    spent = np.cumsum(cost[whole])
    assert order.count == np.searchsorted(spent, enough) + 1
    assert order.spent == pytest.approx(spent[order.count - 1])
    assert set(order.items[: order.count]) == set(whole[: order.count])
    assert (order.items[order.first : order.count] == whole[order.first : order.count]).all()
    assert sorted(order.items) == list(range(count))


@pytest.mark.parametrize(
    "damage",
    [
        {"measure": "joules"},
        {"units": {"heads": [1.0, 1.0]}},
        {"units": {"heads": [1.0], "neurons": [1.0, 1.0]}},
        {"groups": [0.0]},
        {"whole": 0},
        {"whole": "much"},
        {"fixed": -1.0},
        {"tokens": None},
        {"tokens": -5},
        {"whole": 10**400},
        {"whole": 1e20},
        {"units": {"heads": [0.0, 7.0], "neurons": [2.0, 2.0]}},
        {"units": {"heads": [10**400, 7.0], "neurons": [2.0, 2.0]}},
        {"units": []},
    ],
)
def test_costs_that_no_search_has_written_are_damage(damage, tmp_path):
    record(tmp_path)
    description = tmp_path / "trajectory.json"
    told = json.loads(description.read_text(encoding="utf-8"))
    told["costs"] |= damage
    description.write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(InputError, match="is damaged"):
        Trajectory.open(tmp_path)


def test_a_record_that_knows_nothing_of_costs_opens_as_before(tmp_path):
    assert record(tmp_path, told=False).shape.costs is None


def test_of_equal_units_the_earlier_go_first_also_where_all_blocks_keep_equally_many():
    budgeted = rule(0.5, {"heads": [4, 4], "neurons": [6, 6]}, uniform=True)
    scores = np.ones((4, 6))
    scores[2:] *= NEURON / HEAD
    mask = budgeted.masks(scores)
    assert all((np.diff(row[:units].astype(int)) >= 0).all() for row, units in zip(mask, budgeted.units, strict=True))
    assert mask.any()
