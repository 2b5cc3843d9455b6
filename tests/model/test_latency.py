"""Milliseconds of a forward pass: measured once for a shape, kept, and what a budget of them prunes."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
import torch
import transformers as hf
from compressed_parts import plots
from families import GROUPED, TEXT, build, inputs
from typer.testing import CliRunner

import earlybird as eb
from earlybird.anatomy import MlpPattern
from earlybird.cli.commands import app
from earlybird.latency import unit_costs
from earlybird.latency.table import write_table
from earlybird.masks import UnitCosts, WidthCurve

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


def steadily(path):
    """Put into a table what a machine would measure on which nothing else runs: half of a pass is in even steps."""
    told = json.loads(path.read_text())
    measured = UnitCosts.from_plain(told["costs"])
    blocks = sum(len(curves) for curves in measured.curves.values())
    curves = {
        kind: tuple(
            WidthCurve(curve.counts, tuple(count / curve.counts[-1] / blocks for count in curve.counts))
            for curve in measured.curves[kind]
        )
        for kind in measured.curves
    }
    units = {kind: tuple(1 / blocks / curve.counts[-1] for curve in curves[kind]) for kind in curves}
    costs = replace(measured, fixed=1.0, whole=2.0, curves=curves, units=units)
    write_table(path, told["machine"], told["model"], costs)
    return costs


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
    model, anatomy, _ = timed
    (kept,) = tables()
    costs = steadily(kept)
    config = eb.PruningConfig(milliseconds=1.7, **SHAPE)
    assert unit_costs(model, anatomy, config) == costs
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
    """In whole groups that share keys and values or equally many of each, and down to the head that must stay."""
    config = eb.PruningConfig(milliseconds=1, examples=1, tokens=8)
    for how, counts in (("whole", (0, 2, 4, 6, 8)), ("within", (0, 4, 8))):
        settings = {**GROUPED, "num_hidden_layers": 1, "num_key_value_heads": 4}
        llama = hf.LlamaForCausalLM(hf.LlamaConfig(**settings)).eval()
        found = unit_costs(llama, eb.Anatomy.of(llama), replace(config, kv_groups=how))
        assert found.curves["heads"][0].counts == counts
    albert = build("albert")
    kept = unit_costs(albert, eb.Anatomy.of(albert), config)
    assert kept.curves["heads"][0].counts == tuple(range(1, 9))
    assert kept.curves["neurons"][0].counts[0] == 0


def test_blocks_that_read_other_numbers_of_positions_have_curves_of_their_own():
    """Towers of equal width: the text's blocks read 3 tokens, the image's 16 patches."""
    model = build("siglip")
    costs = unit_costs(model, eb.Anatomy.of(model), eb.PruningConfig(milliseconds=1, examples=1, tokens=3))
    for kind in ("heads", "neurons"):
        by_tower = {}
        for name, curve in zip(eb.Anatomy.of(model).names[kind], costs.curves[kind], strict=True):
            by_tower.setdefault(name.partition(".")[0], set()).add(curve)
        assert by_tower["text_model"].isdisjoint(by_tower["vision_model"])


def test_images_of_another_size_have_a_table_of_their_own():
    settings = {"embed_dim": 16, "depths": [1], "num_heads": [2], "window_size": 4, "patch_size": 2}
    before = len(tables())
    for size in (16, 32):
        model = hf.SwinModel(hf.SwinConfig(image_size=size, **settings)).eval()
        unit_costs(model, eb.Anatomy.of(model), eb.PruningConfig(milliseconds=1, examples=1))
    assert len(tables()) == before + 2


def test_a_family_of_ones_own_is_measured_by_its_patterns():
    class Mlp(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.widen, self.narrow = torch.nn.Linear(32, 24), torch.nn.Linear(24, 32)

        def forward(self, features):
            return self.narrow(self.widen(features).relu())

    model = build("bert")
    model.pooler = torch.nn.Sequential(Mlp())
    model.pooler.forward = lambda features: model.pooler[0](features[:, 0])
    patterns = [MlpPattern(("widen",), "narrow")]
    anatomy = eb.Anatomy.of(model, patterns=patterns)
    costs = unit_costs(model, anatomy, eb.PruningConfig(milliseconds=1, **SHAPE))
    assert costs.curves["neurons"][-1].counts[-1] == 24


def test_a_cache_that_cannot_be_written_to_is_told_before_anything_is_measured(monkeypatch, timed):
    model, anatomy, _ = timed
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    with pytest.raises(eb.InputError, match=r"milliseconds cannot be kept in /proc/nowhere.*XDG_CACHE"):
        unit_costs(model, anatomy, eb.PruningConfig(milliseconds=1, **SHAPE))


def test_a_run_and_several_draws_go_by_milliseconds(tmp_path):
    small = ["data.train_limit=256", "data.eval_limit=64", "training.epochs=3", "model.layers=2"]
    settings = [*small, "search.examples=8", "dense=false", "random=false", "search.heads=null", "search.neurons=null"]
    settings += ["search.score=squared-gradient", "search.detector=fixed-time", "retraining.weights=continue"]
    run = CliRunner().invoke(app, ["run", "digits", *settings, "search.milliseconds=1e9", f"output={tmp_path / 'no'}"])
    assert "a forward pass takes" in str(run.exception)
    steadily(next(path for path in tables() if json.loads(path.read_text())["model"]["examples"] == 8))
    run = CliRunner().invoke(app, ["run", "digits", *settings, "search.milliseconds=1.6", f"output={tmp_path / 'run'}"])
    assert run.exit_code == 0, (run.output, run.exception)
    asked = ["--milliseconds", "1.5,1.7", "--examples", "8", "--at", "2"]
    run = CliRunner().invoke(app, ["draw", str(tmp_path / "run"), *asked, "--output", str(tmp_path / "tickets")])
    assert run.exit_code == 0, (run.output, run.exception)
    assert len(list((tmp_path / "tickets").iterdir())) == 2
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "milliseconds for a forward pass" in page
    assert "What is kept against what it costs" in page
    axes = [spec["layout"]["xaxis"]["title"]["text"] for spec in plots(page).values()]
    assert "left of the milliseconds of a forward pass" in axes
    inspected = CliRunner().invoke(app, ["inspect", str(tmp_path / "run")]).output
    assert re.search(r"--milliseconds [\d.]+ --examples 8 --output TICKET", inspected)


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
    asked = ["inspect", str(tmp_path), "--examples", "1", "--tokens", "64", "--milliseconds"]
    run = CliRunner().invoke(app, [*asked, "1e9"])
    assert "is met as it is: a forward pass takes" in str(run.exception)
    steadily(next(path for path in tables() if json.loads(path.read_text())["model"]["tokens"] == 64))
    run = CliRunner().invoke(app, [*asked, "1.7", "--json"])
    assert run.exit_code == 0, run.output
    told = json.loads(run.output)
    assert told["pruned"]["budget"]["milliseconds"] == 1.7
    assert told["milliseconds"][1] <= 1.7 < told["milliseconds"][0]
