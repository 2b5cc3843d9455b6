"""A search beside a loss that is scaled for float16: the same evidence as without, none of skipped steps."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from families import build, inputs
from transformers import TrainingArguments

import earlybird as eb

STEPS = 12


class LossOf(torch.nn.Module):
    """A gradient that is not finite at some steps, as it overflows in float16."""

    def __init__(self, overflow):
        super().__init__()
        self.overflow, self.step = overflow, 0

    def forward(self, model):
        batch = inputs("bert")
        loss = model(**batch).last_hidden_state.float().square().mean()
        self.step += 1
        return loss * torch.inf if self.step - 1 in self.overflow else loss


def recorded(path, *, scaled, overflow=(), autocast=None, steps=STEPS):
    model = build("bert").train()
    optimizer = torch.optim.SGD(model.parameters(), 1e-2)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=3, enabled=scaled)
    search = eb.Search(
        model,
        eb.SearchConfig(heads=0.4, neurons=0.4, detector="hamming", score="squared-gradient"),
        total_steps=steps,
        recording=eb.Recording(path),
        scaler=scaler,
    )
    loss_of = LossOf(overflow)
    for _ in range(steps):
        optimizer.zero_grad()
        with torch.autocast("cpu", autocast or torch.bfloat16, enabled=autocast is not None):
            loss = loss_of(model)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        search.step()
    search.close()
    trajectory = eb.Trajectory.open(path)
    return {kind: np.array(trajectory.evidence(kind, "gradient")) for kind in trajectory.kinds}, scaler.get_scale()


def test_the_evidence_is_that_of_the_loss_whatever_it_is_scaled_by(tmp_path):
    plain, _ = recorded(tmp_path / "plain", scaled=False)
    scaled, scale = recorded(tmp_path / "scaled", scaled=True)
    assert scale > 2.0**12  # it has grown on the way
    for kind, values in plain.items():
        assert np.allclose(scaled[kind], values, rtol=1e-4, atol=1e-6 * values.max())


def test_a_step_that_the_scaler_skips_is_no_evidence(tmp_path):
    skipped = (0, 5, 6)
    plain, _ = recorded(tmp_path / "plain", scaled=False, steps=STEPS - len(skipped))
    scaled, _ = recorded(tmp_path / "scaled", scaled=True, overflow=skipped)
    for kind, values in plain.items():
        assert scaled[kind].shape == values.shape
        assert np.isfinite(scaled[kind]).all()
        assert np.allclose(scaled[kind], values, rtol=1e-4, atol=1e-6 * values.max())


def test_float16_is_searched_with_its_scaler(tmp_path):
    plain, _ = recorded(tmp_path / "plain", scaled=False)
    scaled, _ = recorded(tmp_path / "scaled", scaled=True, autocast=torch.float16)
    for kind, values in plain.items():
        assert np.allclose(scaled[kind], values, rtol=0.1, atol=0.02 * values.max())


def test_beside_adapters_it_is_scaled_and_divided_as_well(tmp_path):
    from peft import LoraConfig, get_peft_model

    found = []
    for enabled in (False, True):
        model = get_peft_model(build("bert"), LoraConfig(r=4, target_modules="all-linear")).train()
        optimizer = torch.optim.SGD(model.parameters(), 1e-2)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, enabled=enabled)
        config = eb.SearchConfig(heads=0.4, neurons=0.4, detector="hamming", score="gradient")
        path = tmp_path / str(enabled)
        search = eb.Search(model, config, total_steps=6, recording=eb.Recording(path), scaler=scaler)
        torch.manual_seed(0)
        for _ in range(6):
            optimizer.zero_grad()
            scaler.scale(LossOf(())(model)).backward()
            scaler.step(optimizer)
            scaler.update()
            search.step()
        search.close()
        found.append(np.array(eb.Trajectory.open(path).evidence("neurons", "gradient")))
    assert np.allclose(found[1], found[0], rtol=1e-4, atol=1e-6 * found[0].max())


def test_the_scaler_of_accelerate_is_followed(tmp_path):
    plain, _ = recorded(tmp_path / "plain", scaled=False, steps=STEPS - 1)
    # All Accelerators of a process share a precision; a Trainer's arguments forget that of an earlier test.
    assert TrainingArguments(output_dir=str(tmp_path), use_cpu=True).device.type == "cpu"
    accelerator = Accelerator(cpu=True)
    accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=3)
    model = build("bert").train()
    model, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), 1e-2))
    search = eb.Search(
        model,
        eb.SearchConfig(heads=0.4, neurons=0.4, detector="hamming", score="squared-gradient"),
        total_steps=STEPS,
        recording=eb.Recording(tmp_path / "scaled"),
        scaler=accelerator.scaler,
    )
    loss_of = LossOf((5,))
    for _ in range(STEPS):
        accelerator.backward(loss_of(model))
        optimizer.step()
        optimizer.zero_grad()
        search.step()
    search.close()
    assert accelerator.scaler.get_scale() > 2.0**10
    for kind, values in plain.items():
        found = eb.Trajectory.open(tmp_path / "scaled").evidence(kind, "gradient")
        assert np.allclose(found, values, rtol=1e-4, atol=1e-6 * values.max())


def test_a_scaler_that_is_switched_off_leaves_the_coefficients_to_train():
    model = build("bert").train()
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    config = eb.SearchConfig(heads=0.4, score="coefficient", learning_rate=0.1)
    search = eb.Search(model, config, total_steps=STEPS, scaler=scaler)
    scaler.scale(LossOf(())(model) + search.penalty()).backward()
    search.step()
    assert search.slimming.coefficients["heads"].values.abs().min() > 1e-3


# Bad input


def test_a_scaler_that_never_finds_a_scale_ends_the_search(tmp_path):
    with pytest.raises(eb.InputError, match=r"has skipped 40 steps in a row.*use bfloat16"):
        recorded(tmp_path, scaled=True, overflow=range(60), steps=60)


def test_a_scale_that_somebody_else_has_set_is_told():
    model = build("bert").train()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    search = eb.Search(model, eb.SearchConfig(heads=0.4, neurons=0.4), total_steps=20, scaler=scaler)
    scaler.load_state_dict({**scaler.state_dict(), "scale": 2.0**10})
    optimizer = torch.optim.SGD(model.parameters(), 1e-2)
    scaler.scale(LossOf(())(model)).backward()
    scaler.step(optimizer)
    scaler.update()
    with pytest.raises(eb.InputError, match="load its state before the search begins"):
        search.step()


def test_trained_coefficients_take_no_scaler():
    with pytest.raises(eb.InputError, match=r'with a scaler give score="squared-gradient"'):
        eb.Search(
            build("bert"),
            eb.SearchConfig(heads=0.4, score="coefficient"),
            total_steps=20,
            scaler=torch.amp.GradScaler("cpu"),
        )


def test_without_its_scaler_float16_is_refused_with_the_way_out():
    model = build("bert").train()
    eb.Search(model, eb.SearchConfig(heads=0.4, neurons=0.4), total_steps=20)
    with torch.autocast("cpu", torch.float16), pytest.raises(eb.InputError, match="give the search its GradScaler"):
        model(**inputs("bert"))


@pytest.mark.parametrize("score", ["coefficient", "squared-gradient"])
def test_a_search_copied_with_its_model_refuses_float16_as_well(score):
    model = build("bert").train()
    search = eb.Search(model, eb.SearchConfig(heads=0.4, score=score), total_steps=20)
    copied, _ = copy.deepcopy((model, search))
    with torch.autocast("cpu", torch.float16), pytest.raises(eb.InputError, match="give the search its GradScaler"):
        copied(**inputs("bert"))
