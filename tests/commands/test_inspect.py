"""`earlybird inspect` on a directory, a directory without weights and a config.json alone."""

from __future__ import annotations

import json

import pytest
import torch
from families import build
from typer.testing import CliRunner

import earlybird as eb
from earlybird.anatomy.flops import forward_flops, parameter_count
from earlybird.cli.commands import app
from earlybird.errors import InputError


def inspected(*arguments):
    result = CliRunner().invoke(app, ["inspect", *map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    return json.loads(result.stdout)


@pytest.mark.parametrize("name", ["bert", "llama", "clip", "vit", "t5", "whisper"])
def test_a_config_alone_says_what_pruning_saves(name, tmp_path):
    model = build(name)
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(tmp_path)
    for place in (tmp_path, tmp_path / "config.json"):
        found = inspected(place, "--heads", 0.3, "--neurons", 0.4)
        assert found["model"] == type(model).__name__
        assert found["parameters"] == parameter_count(model)
        ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.3, neurons=0.4))
        pruned = eb.prune(build(name), ticket)
        assert found["pruned"]["parameters"] == parameter_count(pruned)
        assert 0 < found["pruned"]["flops"] < found["flops"]


def test_flops_are_those_of_the_example(tmp_path):
    model = build("vit")
    eb.save(model, tmp_path)
    assert inspected(tmp_path)["flops"] == forward_flops(model, {"pixel_values": torch.zeros(1, 3, 16, 16)})
    longer, shorter = (inspected_text(tmp_path / "text", length) for length in (20, 10))
    assert longer > 2 * shorter


def inspected_text(directory, length):
    build("bert").config.save_pretrained(directory)
    return inspected(directory, "--tokens", length)["flops"]


def test_it_prints_blocks_and_costs(tmp_path):
    build("llama").config.save_pretrained(tmp_path)
    result = CliRunner().invoke(app, ["inspect", str(tmp_path), "--heads", "0.5"])
    assert "8 heads of 4 features in 4 key/value groups" in result.stdout
    assert "without 50% of the heads: " in result.stdout
    assert "FLOPs" in result.stdout


@pytest.mark.parametrize("place", ["nothing/here", "empty"])
def test_a_place_without_a_model_is_named(place, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(eb.InputError, match=place) as said:
        CliRunner().invoke(app, ["inspect", str(tmp_path / place)], catch_exceptions=False)
    assert "\n" not in str(said.value)


@pytest.mark.parametrize(
    "lie",
    [
        {"architectures": [5]},
        {"architectures": ["AutoModel"]},
        {"architectures": ["BertConfig"]},
        {"architectures": "x"},
        {"hidden_size": "x"},
        {"hidden_size": -8},
        {"hidden_size": [1]},
        {"num_attention_heads": 0},
        {"num_hidden_layers": 100_000},
        {"num_hidden_layers": 10**12},
        {"model_type": "swin", "depths": [1, 3001]},
        {"model_type": "clip", "vision_config": {"num_hidden_layers": 3001}},
        {"model_type": "musicgen"},
        {"model_type": "vit", "image_size": [1, 2, 3]},
        {"model_type": "vit", "image_size": -4},
    ],
    ids=str,
)
def test_a_config_that_lies_is_one_sentence_or_the_plain_model(lie, tmp_path):
    config = {"model_type": "bert", "hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1} | lie
    (tmp_path / "config.json").write_text(json.dumps(config))
    if "architectures" in lie:
        assert inspected(tmp_path)["model"] == "BertModel"
        return
    with pytest.raises(InputError) as said:
        CliRunner().invoke(app, ["inspect", str(tmp_path)], catch_exceptions=False)
    assert "\n" not in str(said.value)


def test_what_is_wrong_with_a_field_is_told(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", "hidden_size": "x"}))
    with pytest.raises(InputError, match="'hidden_size' expected int, got str"):
        CliRunner().invoke(app, ["inspect", str(tmp_path)], catch_exceptions=False)


def test_parts_are_counted_whatever_the_config_calls_them(tmp_path, monkeypatch):
    monkeypatch.setattr("earlybird.checkpoint.inspection.MOST_PARTS", 200)
    config = {"model_type": "nllb-moe", "d_model": 8, "encoder_layers": 1, "decoder_layers": 1, "vocab_size": 9}
    config |= {"encoder_sparse_step": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2, "num_experts": 2}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert inspected(tmp_path)["model"] == "NllbMoeModel"
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_experts": 10**6}))
    with pytest.raises(InputError, match="more than 200 modules and parameters"):
        CliRunner().invoke(app, ["inspect", str(tmp_path)], catch_exceptions=False)
