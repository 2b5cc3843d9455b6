"""A pruned model saves and loads, with safetensors only."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoModelForImageClassification, ViTConfig, ViTForImageClassification

import earlybird as eb
from earlybird.off_by_one import use_off_by_one

PIXELS = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def pruned():
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=6,
        intermediate_size=96,
        image_size=8,
        patch_size=2,
        num_labels=10,
    )
    model = ViTForImageClassification(config).eval()
    return eb.prune(model, eb.Ticket.random(eb.Anatomy.of(model), heads=0.25, neurons=0.4))


def test_round_trip_is_exact_and_holds_no_pickle(pruned, tmp_path):
    eb.save(pruned, tmp_path)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".safetensors"]
    assert torch.equal(eb.load(tmp_path)(PIXELS).logits, pruned(PIXELS).logits)


def test_from_pretrained_takes_it_and_what_it_saves_again(pruned, tmp_path):
    eb.save(pruned, tmp_path / "first")
    model = AutoModelForImageClassification.from_pretrained(tmp_path / "first")
    model.half()
    model.float().save_pretrained(tmp_path / "second")
    assert eb.Anatomy.of(eb.load(tmp_path / "second")).units == eb.Anatomy.of(pruned).units


def test_the_off_by_one_softmax_survives(pruned, tmp_path):
    use_off_by_one(pruned)
    eb.save(pruned, tmp_path)
    torch.testing.assert_close(eb.load(tmp_path)(PIXELS).logits, pruned(PIXELS).logits)


def test_off_by_one_equals_its_formula():
    from earlybird.off_by_one import off_by_one_attention

    query, key, value = (torch.randn(2, 3, 5, 4) for _ in range(3))
    scores = torch.exp(query @ key.transpose(-1, -2) / 2)
    expected = (scores / (1 + scores.sum(-1, keepdim=True))) @ value
    found, _ = off_by_one_attention(torch.nn.Module(), query, key, value, None)
    torch.testing.assert_close(found.transpose(1, 2), expected)


def test_damaged_directories_are_named(pruned, tmp_path):
    with pytest.raises(eb.InputError, match=r"there is no config\.json"):
        eb.load(tmp_path)
    eb.save(pruned, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["quantization_config"]["kept"]["heads"][0] = 1
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(eb.InputError):
        eb.load(tmp_path)
