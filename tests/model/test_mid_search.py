"""Copying, saving, evaluating and checkpointing a model in mid-search: no trace in what is recorded."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification

import earlybird as eb
from earlybird.slimming.scaling import fold


def bert():
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=40,
        num_labels=3,
    )
    model = BertForSequenceClassification(config).train()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2)
    return model


def batch(step):
    generator = torch.Generator().manual_seed(step)
    return {
        "input_ids": torch.randint(60, (4, 7), generator=generator),
        "labels": torch.randint(3, (4,), generator=generator),
    }


def searched(path, disturb, score, steps=6):
    """What a search recorded, with dropout on, disturbed between the backward pass and the step."""
    model = bert()
    search = eb.Search(
        model,
        eb.SearchConfig(heads=0.5, neurons=0.4, score=score, detector="hamming", learning_rate=0.1),
        total_steps=steps,
        recording=eb.Recording(path),
    )
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    torch.manual_seed(7)
    for step in range(steps):
        (model(**batch(step)).loss + search.penalty()).backward()
        disturb(model, search)
        optimizer.step()
        optimizer.zero_grad()
        search.step()
    search.close()
    trajectory = eb.Trajectory.open(path)
    return {kind: trajectory.evidence(kind, trajectory.shape.channels[0]) for kind in ("heads", "neurons")}


def logits(model):
    model.eval()
    with torch.no_grad():
        found = model(**batch(99)).logits
    model.train()
    return found


@pytest.mark.parametrize("score", ["coefficient", "gradient", "squared-gradient"])
def test_nothing_leaves_a_trace(tmp_path, score):
    def disturb(model, search):
        before = logits(model)
        copied = copy.deepcopy(model)
        assert (logits(copied) == before).all()
        copied.eval()(**batch(50)).loss.backward()
        fold(copied)
        torch.testing.assert_close(logits(copied), before, rtol=1e-4, atol=1e-5)
        eb.prune(copied, eb.Ticket.random(eb.Anatomy.of(copied), eb.PruningConfig(heads=0.5), seed=0))
        torch.save(model.state_dict(), tmp_path / "weights.pt")
        torch.save(model, tmp_path / "whole.pt")
        again = torch.load(tmp_path / "whole.pt", weights_only=False)
        assert (logits(again) == before).all()
        model.save_pretrained(tmp_path / "saved")
        search.save_state(tmp_path / "state.safetensors")
        with pytest.raises(eb.InputError, match=r"finish\(\)"):
            eb.save(model, tmp_path / "result")
        ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.5), seed=0)
        if score == "coefficient":
            with pytest.raises(eb.InputError, match=r"earlybird\.slimming\.scaling\.fold\(copy\)"):
                eb.prune(copy.deepcopy(model), ticket)
        else:
            eb.prune(copy.deepcopy(model), ticket)  # nothing acts on it

    expected = searched(tmp_path / "undisturbed", lambda *_: None, score)
    found = searched(tmp_path / "disturbed", disturb, score)
    for kind, values in expected.items():
        assert values.any()
        assert (found[kind] == values).all()


def test_what_is_saved_in_mid_search_loads_with_the_plain_weights(tmp_path):
    model = bert()
    names = set(model.state_dict())
    search = eb.Search(
        model, eb.SearchConfig(heads=0.5, neurons=0.4, detector="hamming", learning_rate=0.1), total_steps=6
    )
    (model(**batch(0)).loss + search.penalty()).backward()
    search.step()
    model.save_pretrained(tmp_path)
    assert set(model.state_dict()) == names
    loaded, report = AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    scaled = logits(model)
    search.detach()
    assert (logits(loaded) == logits(model)).all()
    assert (logits(model) - scaled).abs().max() > 1e-3


@pytest.mark.parametrize("end", ["finish", "detach"])
def test_an_interrupt_within_a_projection_leaves_no_scaled_weight(end, monkeypatch):
    """Torch calls the hook that takes it away after an `Exception`, of which an interrupt is none."""
    model = bert().eval()
    search = eb.Search(model, eb.SearchConfig(heads=0.5, neurons=0.4, detector="hamming"), total_steps=6)
    for coefficients in search.slimming.coefficients.values():
        coefficients.values.data.normal_(std=0.2)
    tokens = {"input_ids": torch.randint(60, (32, 7))}
    with torch.no_grad():
        scaled = model(**tokens).logits
    projection = model.bert.encoder.layer[1].output.dense

    def interrupted(_):
        assert "weight" in projection.__dict__
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(projection, "forward", interrupted)
        with pytest.raises(KeyboardInterrupt):
            model(**tokens)
    getattr(search, end)()
    saved = bert().eval()
    saved.load_state_dict(model.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(model(**tokens).logits, saved(**tokens).logits, rtol=0, atol=0)
        assert torch.allclose(model(**tokens).logits, scaled, atol=1e-4) == (end == "finish")
    eb.prune(model, eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.5, neurons=0.4)))


def test_a_search_copied_with_its_model_goes_on_as_the_original():
    model = bert().eval()
    config = eb.SearchConfig(heads=0.5, neurons=0.4, learning_rate=0.1)
    search = eb.Search(model, config, total_steps=6)

    def train(model, search, steps):
        for step in range(steps):
            (model(**batch(step)).loss + search.penalty()).backward()
            model.zero_grad()
            search.step()
        return {kind: own.values.detach().clone() for kind, own in search.slimming.coefficients.items()}

    train(model, search, 2)
    for copied in (copy.deepcopy((model, search)), copy.deepcopy((search, model))[::-1]):
        before = train(model, search, 0)
        found = train(*copied, 2)
        # The original has seen nothing of it.
        assert all(torch.equal(value, before[kind]) for kind, value in train(model, search, 0).items())
        assert all((found[kind] - value).abs().max() > 1e-3 for kind, value in before.items())
    expected = train(model, search, 2)
    assert all(torch.equal(found[kind], value) for kind, value in expected.items())
    copied_model, copied_search = copied
    assert (copied_search.draw_now().masks["heads"] == search.draw_now().masks["heads"]).all()
    copied_search.finish()
    eb.prune(copied_model, copied_search.ticket)
    with pytest.raises(eb.InputError, match="slimming coefficients are still attached"):
        eb.prune(model, search.ticket)


def test_a_search_that_keeps_a_record_is_not_copied(tmp_path):
    model = bert()
    search = eb.Search(model, eb.SearchConfig(heads=0.5), total_steps=6, recording=eb.Recording(tmp_path))
    with pytest.raises(eb.InputError, match="two searches cannot write one record"):
        copy.deepcopy((model, search))
