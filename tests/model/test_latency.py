"""Milliseconds of a forward pass: measured once for a shape, kept, and what a budget of them prunes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import transformers as hf
from families import TEXT, build, inputs
from typer.testing import CliRunner

import earlybird as eb
from earlybird.cli.commands import app
from earlybird.latency import unit_costs

# So low that every budget below needs it, whatever the machine.
SHAPE = {"examples": 2, "tokens": 16}


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def tables():
    from platformdirs import user_cache_path

    return sorted((user_cache_path("earlybird") / "milliseconds").glob("*.json"))


@pytest.fixture(scope="module")
def timed(_own_cache):
    model = build("bert")
    anatomy = eb.Anatomy.of(model)
    return model, anatomy, unit_costs(model, anatomy, eb.PruningConfig(milliseconds=1, **SHAPE))


def test_every_head_and_a_grid_of_neurons_is_measured(timed):
    model, anatomy, costs = timed
    heads, neurons = costs.curves["heads"], costs.curves["neurons"]
    assert heads[0].counts == tuple(range(9))
    assert (neurons[0].counts[0], neurons[0].counts[-1]) == (0, 40)
    assert heads[0] == heads[1]
    for curve in (*heads, *neurons):
        assert curve.costs[0] == 0
        assert list(curve.costs) == sorted(curve.costs)
    assert anatomy.units == eb.Anatomy.of(model).units
    assert costs.whole > 0
    assert (
        costs.of({kind: np.ones((2, n), dtype=bool) for kind, n in (("heads", 8), ("neurons", 40))}) <= costs.whole * 2
    )


def test_it_is_measured_once_and_kept(timed):
    model, anatomy, costs = timed
    (kept,) = tables()
    written = kept.read_bytes()
    assert unit_costs(model, anatomy, eb.PruningConfig(milliseconds=2, **SHAPE)) == costs
    assert kept.read_bytes() == written
    told = json.loads(written)
    assert told["model"]["tokens"] == 16
    assert told["machine"]["torch"] == torch.__version__


def test_a_random_ticket_and_a_search_keep_to_it(timed):
    model, anatomy, costs = timed
    config = eb.PruningConfig(milliseconds=costs.whole - 0.3 * (costs.whole - costs.fixed), **SHAPE)
    ticket = eb.Ticket.random(anatomy, config, costs=costs)
    assert float(costs.of(ticket.masks)) <= config.milliseconds
    search = eb.Search(model.train(), eb.SearchConfig(milliseconds=config.milliseconds, **SHAPE), total_steps=40)
    for _ in range(3):
        model.zero_grad()
        model(**inputs("bert")).last_hidden_state.square().mean().backward()
        search.step()
    drawn = search.draw_now()
    search.finish()
    model.eval()
    assert float(costs.of(drawn.masks)) <= config.milliseconds
    assert sum(drawn.kept("heads")) + sum(drawn.kept("neurons")) < 96


def test_without_its_table_a_random_ticket_is_refused(timed):
    _, anatomy, _ = timed
    with pytest.raises(eb.InputError, match=r"milliseconds are measured, not counted: give costs=earlybird\.latency"):
        eb.Ticket.random(anatomy, eb.PruningConfig(milliseconds=1, **SHAPE))


def test_heads_are_measured_as_they_are_pruned():
    """In whole groups that share keys and values; and down to the one head that an attention must keep."""
    llama, albert = build("llama"), build("albert")
    config = eb.PruningConfig(milliseconds=1, examples=1, tokens=8)
    grouped = unit_costs(llama, eb.Anatomy.of(llama), config)
    groups = eb.Anatomy.of(llama).attention[0].groups
    assert grouped.curves["heads"][0].counts == tuple(range(0, 9, 8 // groups))
    kept = unit_costs(albert, eb.Anatomy.of(albert), config)
    assert kept.curves["heads"][0].counts == tuple(range(1, 9))
    assert kept.curves["neurons"][0].counts[0] == 0


def test_shapes_alone_take_no_time():
    with torch.device("meta"):
        model = hf.BertModel(hf.BertConfig(**TEXT))
    with pytest.raises(eb.InputError, match="a model on the meta device takes no time"):
        unit_costs(model, eb.Anatomy.of(model), eb.PruningConfig(milliseconds=1, **SHAPE))


def test_a_module_of_the_users_own_has_no_known_example():
    model = torch.nn.Sequential(build("bert").encoder.layer[0])
    with pytest.raises(eb.InputError, match="nothing says what an example of Sequential looks like"):
        unit_costs(model, eb.Anatomy.of(model), eb.PruningConfig(milliseconds=1, **SHAPE))


def test_inspect_tells_what_it_would_mean(tmp_path):
    hf.BertConfig(**TEXT).save_pretrained(tmp_path)
    asked = ["inspect", str(tmp_path), "--examples", "1", "--length", "64", "--milliseconds"]
    run = CliRunner().invoke(app, [*asked, "1e9"])
    assert "is met as it is: a forward pass takes" in str(run.exception)
    found = [json.loads(path.read_text()) for path in tables()]
    costs = next(told["costs"] for told in found if told["model"]["examples"] == 1 and told["model"]["tokens"] == 64)
    wanted = costs["whole"] - 0.3 * (costs["whole"] - costs["fixed"])
    run = CliRunner().invoke(app, [*asked, str(wanted), "--json"])
    assert run.exit_code == 0, run.output
    told = json.loads(run.output)
    assert told["pruned"]["budget"]["milliseconds"] == pytest.approx(wanted)
    assert told["milliseconds"][1] <= wanted < told["milliseconds"][0]
