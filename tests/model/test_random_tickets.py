"""A random ticket by every combination of the settings: each holds, or is refused."""

from __future__ import annotations

import math
from functools import cache

import pytest
from families import build
from hypothesis import assume, given
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM, ViTConfig, ViTModel

import earlybird as eb


@cache
def anatomy():
    """Two blocks of 8 heads and 40 neurons."""
    return eb.Anatomy.of(build("vit"))


def pruned(ratio, units):
    """As docs/mathematics.md defines it."""
    return math.floor(ratio * (units - 1)) + 1 if ratio else 0


def nearest_multiple(count, multiple, most):
    """Of two as near the larger; at least one multiple."""
    return min(range(multiple, most + 1, multiple), key=lambda kept: (abs(kept - count), -kept), default=most)


RATIO = st.floats(0, 0.95)


@given(first=RATIO, second=RATIO, multiple=st.sampled_from([1, 2, 8, 16]), seed=st.integers(0, 99))
def test_every_block_has_the_ratio_of_the_first_pattern_that_fits_rounded(first, second, multiple, seed):
    config = eb.PruningConfig(neurons={"*.0.*": first, "*": second}, round_to=multiple)
    wanted = [max(1, 40 - pruned(ratio, 40)) for ratio in (first, second)]
    expected = [
        nearest_multiple(kept, multiple, 40) if ratio else 40
        for kept, ratio in zip(wanted, (first, second), strict=True)
    ]
    if any(ratio and kept == 40 for ratio, kept in zip((first, second), expected, strict=True)):
        with pytest.raises(eb.InputError, match=r"'\*.*': ratio .* prunes nothing"):
            eb.Ticket.random(anatomy(), config, seed=seed)
        return
    ticket = eb.Ticket.random(anatomy(), config, seed=seed)
    assert list(ticket.kept("neurons")) == expected


@given(ratio=st.floats(0.05, 0.9), seed=st.integers(0, 99))
def test_a_global_threshold_is_that_of_all_blocks_of_a_pattern(ratio, seed):
    config = eb.PruningConfig(neurons={"*": ratio}, neurons_scope="global")
    whole = eb.PruningConfig(neurons=ratio, neurons_scope="global")
    by_name, plain = (eb.Ticket.random(anatomy(), each, seed=seed) for each in (config, whole))
    assert sum(by_name.kept("neurons")) == 80 - pruned(ratio, 80)
    assert (by_name.masks["neurons"] == plain.masks["neurons"]).all()


@given(ratio=RATIO, seed=st.integers(0, 99))
def test_what_is_excluded_is_no_part_of_it(ratio, seed):
    config = eb.PruningConfig(heads={"*": ratio}, neurons={"*": ratio}, exclude=["*.0.*"])
    ticket = eb.Ticket.random(anatomy(), config, seed=seed)
    assert all(".1." in name for kind in ("heads", "neurons") for name in ticket.blocks[kind])
    assert ticket.kept("heads") == (8 - pruned(ratio, 8),)


@given(ratio=st.floats(0.01, 0.95), multiple=st.sampled_from([1, 8, 16]), seed=st.integers(0, 99))
def test_a_uniform_ticket_keeps_as_many_everywhere(ratio, multiple, seed):
    assume(nearest_multiple(40 - pruned(ratio, 40), multiple, 40) < 40)  # otherwise it is refused
    ticket = eb.Ticket.random(anatomy(), eb.PruningConfig(neurons=ratio, uniform=True, round_to=multiple), seed=seed)
    assert len(set(ticket.kept("neurons"))) == 1
    assert ticket.kept("neurons")[0] % multiple == 0


def test_shared_keys_and_values_stay_together_by_name_too():
    grouped = eb.Anatomy.of(build("llama"))
    config = eb.PruningConfig(heads={"*": 0.5}, kv_groups="whole")
    mask = eb.Ticket.random(grouped, config).masks["heads"]
    groups = grouped.attention[0].groups
    assert set(mask.reshape(len(mask), groups, -1).mean(-1).flatten()) == {0.0, 1.0}


def test_what_was_excluded_before_may_be_named_again():
    config = eb.PruningConfig(heads=0.5, exclude=["*.0.*"])
    once, twice = (eb.Ticket.random(each, config) for each in (anatomy(), anatomy().excluding(["*.0.*"])))
    assert (once.masks["heads"] == twice.masks["heads"]).all()
    assert once.provenance["left_out"] == twice.provenance["left_out"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"neurons": {"*": 0.5}, "uniform": True}, "leave out uniform"),
        ({"neurons": {"*": 0.5}, "neurons_scope": "nonsense"}, "neurons_scope must be one of layer, global"),
        ({"neurons": {"nowhere.*": 0.5}}, "fits no block"),
        ({"neurons": 0.5, "exclude": ["nowhere"]}, "fits no block"),
    ],
)
def test_what_cannot_hold_is_refused(fields, said):
    with pytest.raises(eb.InputError, match=said):
        eb.Ticket.random(anatomy(), eb.PruningConfig(**fields))


@cache
def llama(groups=8):
    """Two blocks of 32 heads, of which the config accepts the divisors of its hidden size of 64."""
    sizes = {"vocab_size": 10, "hidden_size": 64, "intermediate_size": 16, "num_hidden_layers": 2, "head_dim": 2}
    return LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=32, num_key_value_heads=groups))


NOTHING = pytest.mark.parametrize(
    ("groups", "fields", "said"),
    [
        (
            8,
            {"heads": 0.25, "uniform": True},
            "heads: ratio 0.25 prunes nothing.*1, 2, 4, 8 key/value groups.* is 0.286",
        ),
        (1, {"heads": 0.25, "kv_groups": "whole"}, 'heads: ratio 0.25 prunes nothing.*kv_groups="within"'),
        (8, {"neurons": 0.1, "round_to": 16}, "neurons: ratio 0.1 prunes nothing.*no ratio prunes"),
    ],
)


@NOTHING
def test_a_ratio_that_would_prune_nothing_is_refused_before_anything_trains(groups, fields, said):
    model = llama(groups)
    with pytest.raises(eb.InputError, match=said):
        eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(**fields))
    with pytest.raises(eb.InputError, match=said):
        eb.Search(model, eb.SearchConfig(**fields), total_steps=1000)


def test_the_named_ratio_prunes():
    ticket = eb.Ticket.random(eb.Anatomy.of(llama()), eb.PruningConfig(heads=0.286, uniform=True))
    assert ticket.kept("heads") == (16, 16)


@pytest.mark.parametrize("ratio", [0.5, {"*.0.*": 0.5}, {"*": 0.5}])
def test_where_there_is_nothing_left_to_prune_a_random_ticket_says_so_and_a_search_does_not_begin(ratio, caplog):
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 1, "intermediate_size": 8}
    model = ViTModel(ViTConfig(**sizes, image_size=4, patch_size=2))
    assert eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=ratio)).kept("heads") == (1, 1)
    assert "prunes nothing of ViTModel" in caplog.text
    if not isinstance(ratio, dict):
        with pytest.raises(eb.InputError, match=r"heads: ratio 0\.5 prunes nothing: a block keeps at least one unit"):
            eb.Search(model, eb.SearchConfig(heads=ratio), total_steps=9)
