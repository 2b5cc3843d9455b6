"""Slimming and the search: exactness, online against offline, resuming."""

from __future__ import annotations

import errno
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import ViTConfig, ViTForImageClassification

import earlybird as eb
from earlybird.detectors.offline import score_chunks
from earlybird.slimming.slimming import Slimming

# A CUDA device looks at steps four steps later, which a CPU can do, too.
PLACES = [("cpu", 0), ("cpu", 4), *([("cuda", 4)] if torch.cuda.is_available() else [])]
CONFIG = eb.SearchConfig(heads=0.3, neurons=0.4, detector="equivalence", threshold=0.05)
STEPS = 120


def tiny_vit():
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        image_size=8,
        patch_size=4,
        num_labels=10,
    )
    return ViTForImageClassification(config)


def batch():
    generator = torch.Generator().manual_seed(2)
    return torch.randn(16, 3, 8, 8, generator=generator), torch.randint(10, (16,), generator=generator)


def train(model, search, steps):
    optimizer = torch.optim.SGD(model.parameters(), 1e-2)
    pixels, labels = (tensor.to(model.device) for tensor in batch())
    draws = []
    for _ in range(steps):
        (model(pixels, labels=labels).loss + search.penalty()).backward()
        optimizer.step()
        optimizer.zero_grad()
        if search.step() is not None and not draws:
            draws.append(search.steps - 1)
    return draws


@pytest.mark.parametrize("slim", ["after", "before"])
@pytest.mark.parametrize("neuron_slim", ["after", "before"])
def test_folding_keeps_the_outputs_and_leaves_a_plain_model(slim, neuron_slim):
    model = tiny_vit().eval()
    names = set(model.state_dict())
    slimming = Slimming(model, eb.Anatomy.of(model), places={"heads": slim, "neurons": neuron_slim})
    for coefficients in slimming.coefficients.values():
        torch.nn.init.normal_(coefficients.values, std=0.2)
    pixels, _ = batch()
    before = model(pixels).logits
    assert set(model.state_dict()) == names
    slimming.fold()
    torch.testing.assert_close(model(pixels).logits, before, rtol=1e-4, atol=1e-5)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_coefficient_is_trained_by_the_gradient_of_the_loss():
    model = tiny_vit().eval()
    slimming = Slimming(model, eb.Anatomy.of(model))
    pixels, labels = batch()
    model(pixels, labels=labels).loss.backward()
    values = slimming.coefficients["neurons"].values
    gradient = float(slimming.coefficients["neurons"].task_gradient[1, 7])
    epsilon = 1e-2
    losses = []
    for sign in (1, -1):
        with torch.no_grad():
            values[1, 7] += sign * epsilon
            losses.append(float(model(pixels, labels=labels).loss))
            values[1, 7] -= sign * epsilon
    assert gradient == pytest.approx((losses[0] - losses[1]) / (2 * epsilon), abs=1e-4)


@pytest.mark.parametrize(("device", "delay"), PLACES)
@pytest.mark.parametrize("watched", [{}, {"criterion": "overlap", "lag": 5}])
def test_the_online_draw_is_the_offline_draw(watched, device, delay, tmp_path):
    model = tiny_vit().to(device)
    search = eb.Search(
        model, replace(CONFIG, **watched), total_steps=STEPS, delay=delay, recording=eb.Recording(tmp_path)
    )
    draws = train(model, search, 120)
    search.finish()
    trajectory = eb.Trajectory.open(tmp_path)
    offline = eb.detect(
        trajectory, eb.SearchConfig(heads=0.3, neurons=0.4, detector="equivalence", threshold=0.05, **watched)
    )
    assert draws == [offline.step + delay]
    assert search.draw.step == offline.step
    assert all((offline.masks[kind] == search.ticket.masks[kind]).all() for kind in offline.masks)


@pytest.mark.parametrize(("device", "delay"), PLACES)
@pytest.mark.parametrize("saved_at", [40, "two steps after the draw"])
@pytest.mark.parametrize("watched", [{}, {"criterion": "overlap", "lag": 5}])
def test_a_resumed_search_goes_on_as_if_nothing_had_happened(watched, saved_at, device, delay, tmp_path):
    config, others = replace(CONFIG, **watched), {"total_steps": STEPS, "delay": delay}
    whole = tiny_vit().to(device)
    undisturbed = eb.Search(whole, config, **others, recording=eb.Recording(tmp_path / "whole"))
    noticed = train(whole, undisturbed, 120)
    undisturbed.close()
    saved_at = saved_at if saved_at == 40 else undisturbed.draw.step + 3
    model = tiny_vit().to(device)
    first = eb.Search(model, config, **others, recording=eb.Recording(tmp_path / "cut"))
    train(model, first, saved_at)
    first.save_state(tmp_path / "state.safetensors")
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    train(model, first, 7)
    first.detach()
    model.load_state_dict(kept)
    second = eb.Search(
        model,
        config,
        **others,
        recording=eb.Recording(tmp_path / "cut", resume=tmp_path / "state.safetensors"),
    )
    again = train(model, second, 120 - saved_at)
    second.close()
    assert second.steps == 120
    assert again == (noticed if noticed[0] >= saved_at else [saved_at])
    assert second.draw.step == undisturbed.draw.step
    for kind in ("heads", "neurons"):
        a, b = (eb.Trajectory.open(tmp_path / n).evidence(kind, "deviation") for n in ("whole", "cut"))
        assert (a == b).all()


def test_pruning_while_coefficients_are_attached_is_refused():
    model = tiny_vit()
    eb.Search(model, CONFIG, total_steps=STEPS)
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.3))
    with pytest.raises(eb.InputError, match="finish"):
        eb.prune(model, ticket)


def test_a_corrupt_ticket_is_refused(tmp_path):
    ticket = eb.Ticket.random(eb.Anatomy.of(tiny_vit()), eb.PruningConfig(heads=0.3, neurons=0.4))
    ticket.save(tmp_path / "ticket.json")
    assert (eb.Ticket.load(tmp_path / "ticket.json").masks["neurons"] == ticket.masks["neurons"]).all()
    text = (tmp_path / "ticket.json").read_text()
    (tmp_path / "ticket.json").write_text(text.replace('"kept": 2', '"kept": 3', 1))
    with pytest.raises(eb.InputError, match="corrupt"):
        eb.Ticket.load(tmp_path / "ticket.json")


@pytest.mark.parametrize("score", ["gradient", "squared-gradient"])
def test_a_gradient_score_leaves_training_bitwise_what_it_was(score, tmp_path):
    plain, searched = tiny_vit(), tiny_vit()
    search = eb.Search(
        searched,
        eb.SearchConfig(heads=0.3, neurons=0.4, score=score, detector="split-half-capture"),
        total_steps=30,
        recording=eb.Recording(tmp_path),
    )
    pixels, labels = batch()
    losses = []
    for model, penalty in ((plain, lambda: 0.0), (searched, search.penalty)):
        optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
        for _ in range(30):
            loss = model(pixels, labels=labels).loss + penalty()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(float(loss.detach()))
            if model is searched:
                search.step()
    search.finish()
    assert losses[:30] == losses[30:]
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), searched.parameters(), strict=True))
    trajectory = eb.Trajectory.open(tmp_path)
    assert trajectory.shape.channels == ("gradient",)
    offline = eb.detect(trajectory, eb.SearchConfig(heads=0.3, neurons=0.4, score=score, detector="split-half-capture"))
    assert (offline and offline.step) == (search.draw and search.draw.step)


def test_the_recorded_gradient_is_that_of_the_task_without_the_penalty(tmp_path):
    model = tiny_vit().eval()
    pixels, labels = batch()
    slimming = Slimming(model, eb.Anatomy.of(model))
    model(pixels, labels=labels).loss.backward()
    expected = {kind: abs(values.task_gradient.numpy().copy()) for kind, values in slimming.coefficients.items()}
    slimming.detach()
    config = replace(CONFIG, l1_heads=0.5, l1_neurons=0.5)
    search = eb.Search(model, config, total_steps=STEPS, recording=eb.Recording(tmp_path, gradients=True))
    (model(pixels, labels=labels).loss + search.penalty()).backward()
    search.step()
    search.finish()
    trajectory = eb.Trajectory.open(tmp_path)
    assert trajectory.shape.channels == ("deviation", "gradient")
    for kind, gradient in expected.items():
        torch.testing.assert_close(
            torch.tensor(trajectory.evidence(kind, "gradient")[0]), torch.tensor(gradient), rtol=1e-3, atol=1e-6
        )
        (scores,) = score_chunks(trajectory, (kind,), "squared-gradient")
        torch.testing.assert_close(
            torch.tensor(scores[kind].at(0)), torch.tensor(gradient).double() ** 2, rtol=1e-2, atol=1e-9
        )


def test_a_record_that_is_there_is_neither_mixed_up_nor_lost(tmp_path):
    model = tiny_vit()
    search = eb.Search(model, CONFIG, total_steps=STEPS, recording=eb.Recording(tmp_path))
    train(model, search, 5)
    search.finish()
    with pytest.raises(eb.InputError, match="holds a trajectory already"):
        eb.Search(model, CONFIG, total_steps=STEPS, recording=eb.Recording(tmp_path))
    assert eb.Trajectory.open(tmp_path).steps == 5
    eb.Search(model, CONFIG, total_steps=STEPS)  # the model was left without coefficients


def test_a_search_that_cannot_be_resumed_leaves_the_model_as_it_was(tmp_path):
    model = tiny_vit()
    (tmp_path / "state").write_bytes(b"no state")
    with pytest.raises(eb.InputError, match="cannot be read as the state"):
        eb.Search(
            model, CONFIG, total_steps=STEPS, recording=eb.Recording(tmp_path / "record", resume=tmp_path / "state")
        )
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_drawing_now_gives_the_ticket_that_is_drawn_already():
    model = tiny_vit()
    search = eb.Search(model, CONFIG, total_steps=STEPS)
    with pytest.raises(eb.InputError, match="no step was observed"):
        search.draw_now()
    train(model, search, 120)
    step = search.draw.step
    assert search.draw_now() is search.ticket
    assert search.draw.step == step


def test_one_process_may_save_its_state_without_seeing_the_draw_before_the_others(tmp_path):
    model = tiny_vit()
    undisturbed = eb.Search(model, CONFIG, total_steps=STEPS, delay=4)
    (noticed,) = train(model, undisturbed, 120)
    undisturbed.detach()
    model = tiny_vit()
    search = eb.Search(model, CONFIG, total_steps=STEPS, delay=4, recording=eb.Recording(tmp_path / "record"))
    train(model, search, noticed - 1)
    search.save_state(tmp_path / "state")
    assert eb.Trajectory.open(tmp_path / "record").steps == noticed - 1
    assert search.ticket is None
    assert train(model, search, 2) == [noticed]


@pytest.mark.parametrize("delay", [0, 4])
def test_the_step_at_which_the_loss_diverged_is_named_and_not_recorded(delay, tmp_path):
    model = tiny_vit()
    search = eb.Search(model, CONFIG, total_steps=STEPS, delay=delay, recording=eb.Recording(tmp_path))
    train(model, search, 7)
    with torch.no_grad():
        search.slimming.coefficients["heads"].task_gradient.fill_(float("nan"))
    with pytest.raises(eb.JobError, match="not finite at step 7"):
        train(model, search, 1 + delay)
    search.detach()
    assert eb.Trajectory.open(tmp_path).steps == 7


def test_a_draw_after_the_loss_diverged_is_of_the_last_step_that_had_not():
    model = tiny_vit()
    search = eb.Search(model, CONFIG, total_steps=STEPS)
    train(model, search, 4)
    with torch.no_grad():
        search.slimming.coefficients["heads"].task_gradient.fill_(float("nan"))
    with pytest.raises(eb.JobError):
        train(model, search, 1)
    assert search.draw_now().provenance["draw_step"] == 3


def test_the_last_planned_step_is_looked_at_at_once():
    model = tiny_vit()
    search = eb.Search(model, replace(CONFIG, threshold=1e-9), total_steps=60, delay=100)
    train(model, search, 59)
    assert search.masks() == {}
    train(model, search, 1)
    assert (search.masks()["heads"] == search.draw_now().masks["heads"]).all()
    assert search.draw.step == 59


def test_settings_that_are_no_config_are_refused():
    with pytest.raises(eb.InputError, match="config must be a SearchConfig, got "):
        eb.Search(tiny_vit(), {"heads": 0.3}, total_steps=STEPS)


@pytest.mark.parametrize(
    "length",
    [
        *({"total_steps": steps} for steps in (0, -1, 10.0, "10", True, None)),
        *({"total_steps": 10, "steps_per_epoch": steps} for steps in (0, -2, "2", float("nan"), float("inf"))),
    ],
    ids=repr,
)
def test_a_length_that_no_run_has_is_refused(length):
    name = list(length)[-1]
    with pytest.raises(eb.InputError, match=f"{name} must be a .*number .*, got {length[name]!r}"):
        eb.Search(tiny_vit(), CONFIG, **length)
    if length["total_steps"] is not None:
        with pytest.raises(eb.InputError, match=f"{name} must be a .*number .*, got {length[name]!r}"):
            eb.Trajectory.from_arrays(heads=np.ones((3, 2, 4)), **length)


def test_steps_beyond_those_planned_are_told_once(caplog):
    model = tiny_vit()
    search = eb.Search(model, eb.SearchConfig(heads=0.5, detector="hamming", threshold=0.001), total_steps=6)
    train(model, search, 9)
    assert caplog.text.count("was planned for total_steps=6 and is taken further") == 1


def test_what_is_no_recording_is_told_so():
    with pytest.raises(eb.InputError, match=r"trajectory must be a Trajectory, got 'run'; .*Trajectory\.open\(path\)"):
        eb.detect("run", CONFIG)
    with pytest.raises(eb.InputError, match=r"config must be a SearchConfig, got 0\.3"):
        eb.detect(eb.Trajectory.from_arrays(heads=np.ones((3, 2, 4))), 0.3)


def test_a_delay_that_is_none_is_refused():
    with pytest.raises(eb.InputError, match="delay must be at least 0"):
        eb.Search(tiny_vit(), CONFIG, total_steps=STEPS, delay=-1)


@pytest.mark.parametrize("weight", [-1e-4, float("nan"), float("inf")])
def test_a_penalty_that_is_none_is_refused(weight):
    with pytest.raises(eb.InputError, match="l1_neurons must be a number of at least 0"):
        eb.SearchConfig(l1_neurons=weight)


@pytest.mark.parametrize("accumulated", ["(loss + penalty) / 4", "loss / 4 + penalty", "apply_penalty"])
def test_however_the_penalty_is_accumulated_the_recorded_gradient_is_the_tasks(accumulated, tmp_path):
    model = tiny_vit().eval()
    pixels, labels = batch()
    slimming = Slimming(model, eb.Anatomy.of(model))
    model(pixels, labels=labels).loss.backward()
    expected = {kind: values.task_gradient.abs() for kind, values in slimming.coefficients.items()}
    slimming.detach()
    search = eb.Search(
        model,
        replace(CONFIG, l1_heads=0.5, l1_neurons=0.5),
        total_steps=STEPS,
        recording=eb.Recording(tmp_path, gradients=True),
    )
    for part in range(4):
        loss = model(pixels[part::4], labels=labels[part::4]).loss
        if accumulated == "(loss + penalty) / 4":
            loss = (loss + search.penalty()) / 4
        else:
            loss = loss / 4 + (search.penalty() if accumulated == "loss / 4 + penalty" else 0)
        loss.backward()
    if accumulated == "apply_penalty":
        search.apply_penalty()
    search.step()
    search.finish()
    trajectory = eb.Trajectory.open(tmp_path)
    for kind, gradient in expected.items():
        recorded = torch.tensor(trajectory.evidence(kind, "gradient")[0])
        torch.testing.assert_close(recorded, gradient, rtol=1e-4, atol=1e-7)


class WithoutGradient(torch.nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, *arguments, **named):
        with torch.no_grad():
            return self.layer(*arguments, **named)


@pytest.mark.parametrize("score", ["coefficient", "gradient"])
def test_a_block_that_no_gradient_reaches_is_named_and_may_be_left_out(score):
    model = tiny_vit()
    model.vit.layers[0] = WithoutGradient(model.vit.layers[0])
    search = eb.Search(model, replace(CONFIG, score=score), total_steps=STEPS)
    train(model, search, 29)
    with pytest.raises(eb.InputError, match=r"coefficients of \S*layers\.0\.layer\S* in 30 steps"):
        train(model, search, 1)
    search.detach()
    anatomy = eb.Anatomy.of(model, exclude=["*layers.0*"])
    train(model, eb.Search(model, replace(CONFIG, score=score), total_steps=STEPS, anatomy=anatomy), 31)


def test_a_replaced_gradient_is_refused():
    model = tiny_vit()
    search = eb.Search(model, CONFIG, total_steps=STEPS)
    pixels, labels = batch()
    with pytest.warns(UserWarning, match="create_graph"):
        (model(pixels, labels=labels).loss + search.penalty()).backward(create_graph=True)
    with pytest.raises(eb.InputError, match=r"create_graph=True"):
        search.step()


@pytest.mark.parametrize("end", ["finish", "detach"])
def test_a_search_that_is_over_takes_no_further_step(end):
    model = tiny_vit()
    search = eb.Search(model, CONFIG, total_steps=STEPS)
    train(model, search, 2)
    getattr(search, end)()
    with pytest.raises(eb.InputError, match="the search is over"):
        search.step()


def test_what_diverged_unseen_is_not_folded_and_hides_no_other_error(tmp_path):
    model = tiny_vit()
    search = eb.Search(model, CONFIG, total_steps=STEPS, delay=4, recording=eb.Recording(tmp_path))
    train(model, search, 5)
    with torch.no_grad():
        search.slimming.coefficients["neurons"].task_gradient.fill_(float("nan"))
    search.step()
    with pytest.raises(eb.JobError, match="not finite at step 5"):
        search.finish()
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    search.detach()
    assert eb.Trajectory.open(tmp_path).steps == 5
    again = eb.Search(model, CONFIG, total_steps=STEPS, delay=4)
    train(model, again, 5)
    with torch.no_grad():
        again.slimming.coefficients["neurons"].task_gradient.fill_(float("nan"))
    again.step()
    again.detach()


@pytest.mark.parametrize("projection", ["fc1", "fc2"])
def test_a_weight_in_two_places_is_refused_before_anything_is_trained(projection):
    model = tiny_vit()
    first, second = (layer.mlp.get_submodule(projection) for layer in model.vit.layers)
    second.weight = first.weight
    with pytest.raises(eb.InputError, match="is shared with another module"):
        eb.Search(model, CONFIG, total_steps=STEPS)
    assert not any(module._forward_pre_hooks for module in model.modules())


def interrupted(directory, steps):
    """A model after so many steps of a search, and what resumes that."""
    model, recording = tiny_vit(), eb.Recording(directory / "record", resume=directory / "state")
    search = eb.Search(model, CONFIG, total_steps=STEPS, recording=replace(recording, resume=None))
    train(model, search, steps)
    search.save_state(recording.resume)
    search.detach()
    return model, recording


def test_a_training_may_be_made_longer_when_it_is_resumed(tmp_path):
    model, recording = interrupted(tmp_path, 20)
    longer = eb.Search(model, CONFIG, total_steps=300, recording=recording)
    train(model, longer, 10)
    longer.detach()
    trajectory = eb.Trajectory.open(recording.path)
    assert (trajectory.total_steps, trajectory.steps) == (300, 30)


def test_a_resumed_search_does_not_look_at_its_record_again(tmp_path):
    model, recording = interrupted(tmp_path, 20)
    resumed = eb.Search(model, CONFIG, total_steps=STEPS, recording=recording)
    masks = resumed.masks()
    for file in recording.path.glob("*.f32"):
        with file.open("r+b") as opened:
            opened.write(bytes(file.stat().st_size))
    assert {kind: mask.tolist() for kind, mask in resumed.masks().items()} == {
        kind: mask.tolist() for kind, mask in masks.items()
    }


def test_a_training_cannot_be_resumed_beyond_its_end(tmp_path):
    model, recording = interrupted(tmp_path, 70)
    with pytest.raises(eb.InputError, match="has taken 70 steps, more than 60 planned"):
        eb.Search(model, CONFIG, total_steps=60, recording=recording)
    assert eb.Trajectory.open(recording.path).total_steps == STEPS


def test_resuming_with_other_channels_says_so(tmp_path):
    model, recording = interrupted(tmp_path, 2)
    with pytest.raises(eb.InputError, match="channels deviation, to go on with deviation, gradient"):
        eb.Search(model, CONFIG, total_steps=STEPS, recording=replace(recording, gradients=True))


def test_a_state_does_not_go_on_with_the_record_of_another_search(tmp_path):
    model, recording = interrupted(tmp_path, 20)
    other = eb.Search(model, CONFIG, total_steps=STEPS, recording=eb.Recording(recording.directory, overwrite=True))
    train(model, other, 30)
    other.detach()
    with pytest.raises(eb.InputError, match="holds another search"):
        eb.Search(model, CONFIG, total_steps=STEPS, recording=recording)
    assert eb.Trajectory.open(recording.path).steps == 30
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_a_record_is_overwritten_only_where_that_is_said_and_all_else_is_in_order(tmp_path):
    model, recording = interrupted(tmp_path, 20)
    with pytest.raises(eb.InputError, match="overwrite=True"):
        eb.Search(model, CONFIG, total_steps=STEPS, recording=replace(recording, resume=None))
    for wrong in ({"heads": 1.2}, {"window": 100_000}, {"detector": "olss"}):
        with pytest.raises(eb.InputError):
            eb.Search(
                model,
                replace(CONFIG, **wrong),
                total_steps=STEPS,
                recording=eb.Recording(recording.directory, overwrite=True),
            )
    assert eb.Trajectory.open(recording.path).steps == 20
    eb.Search(model, CONFIG, total_steps=STEPS, recording=recording).detach()


def test_a_state_that_nothing_could_go_on_from_is_not_saved(tmp_path):
    model = tiny_vit()
    search = eb.Search(model, CONFIG, total_steps=STEPS)
    train(model, search, 3)
    with pytest.raises(eb.InputError, match="give the search a directory to record in"):
        search.save_state(tmp_path / "state")
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        ({"heads": torch.zeros(4)}, "heads has shape (4,)"),
        ({"neurons.exp_avg": torch.zeros(1)}, "neurons.exp_avg has shape (1,)"),
        ({}, "-3 steps"),
    ],
)
def test_a_state_that_lies_about_itself_is_refused(lie, told, tmp_path):
    model, recording = interrupted(tmp_path, 20)
    with safe_open(recording.resume, "pt") as file:
        metadata = file.metadata()
    save_file(
        {**load_file(recording.resume), **lie}, recording.resume, metadata if lie else {**metadata, "steps": "-3"}
    )
    with pytest.raises(eb.InputError, match=re.escape(told)):
        eb.Search(model, CONFIG, total_steps=STEPS, recording=recording)


@pytest.mark.parametrize("delay", [0, 4])
def test_a_search_whose_record_could_not_be_written_once_goes_on(delay, tmp_path, monkeypatch):
    undisturbed = eb.Search(
        model := tiny_vit(), CONFIG, total_steps=STEPS, delay=delay, recording=eb.Recording(tmp_path / "whole")
    )
    (noticed,) = train(model, undisturbed, 120)
    undisturbed.close()
    search = eb.Search(
        model := tiny_vit(), CONFIG, total_steps=STEPS, delay=delay, recording=eb.Recording(tmp_path / "record")
    )
    train(model, search, 10)
    with monkeypatch.context() as patch:
        patch.setattr("earlybird.trajectory.writer.os.fsync", full_disk)
        with pytest.raises(OSError, match="no space"):
            train(model, search, 1)
    assert train(model, search, 109) == [noticed]
    search.close()
    assert search.draw.step == undisturbed.draw.step
    for kind in ("heads", "neurons"):
        whole, cut = (eb.Trajectory.open(tmp_path / name).evidence(kind, "deviation") for name in ("whole", "record"))
        assert len(cut) == 120
        assert (whole == cut).all()


def full_disk(descriptor):
    raise OSError(errno.ENOSPC, "no space left on device")
