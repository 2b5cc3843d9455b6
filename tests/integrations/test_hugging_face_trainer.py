"""The search inside the Hugging Face Trainer."""

from __future__ import annotations

import copy
import functools

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_bert import tiny_bert
from transformers import (
    BertForSequenceClassification,
    EarlyStoppingCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    ViTConfig,
    ViTForImageClassification,
)

import earlybird as eb
from earlybird.detectors.base import Detector
from earlybird.integrations.hf_trainer import EarlyBirdCallback, train_early_bird
from earlybird.integrations.search_callback import SearchCallback
from earlybird.slimming import scaling

SETTINGS = {"heads": 0.5, "neurons": 0.5, "threshold": 0.5}


def tiny_vit():
    torch.manual_seed(0)
    config = ViTConfig(
        image_size=8,
        patch_size=4,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=32,
        num_labels=4,
    )
    return ViTForImageClassification(config)


def trainer_for(directory, *, steps=80, callbacks=(), model=None, **others):
    generator = torch.Generator().manual_seed(0)
    if isinstance(model, BertForSequenceClassification):
        inputs = [{"input_ids": torch.randint(30, (6,), generator=generator)} for _ in range(32)]
    else:
        inputs = [{"pixel_values": torch.randn(3, 8, 8, generator=generator)} for _ in range(32)]
    examples = [{**values, "labels": torch.tensor(i % 4)} for i, values in enumerate(inputs)]
    arguments = TrainingArguments(
        str(directory),
        max_steps=steps,
        per_device_train_batch_size=8,
        logging_steps=20,
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        **{"save_strategy": "no", "learning_rate": 1e-2, **others},
    )
    return Trainer(
        model or tiny_vit(), arguments, train_dataset=examples, eval_dataset=examples[:8], callbacks=list(callbacks)
    )


def test_the_whole_way_rewound(tmp_path):
    trainer = trainer_for(tmp_path)
    initial = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    seen = []

    class FirstWeights(TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            seen.append(kwargs["model"].classifier.weight.detach().clone())

    trainer.add_callback(FirstWeights())
    ticket = train_early_bird(trainer, eb.SearchConfig(**SETTINGS), weights="rewind")
    assert ticket.provenance["draw_step"] < 80
    assert eb.Anatomy.of(trainer.model).units == {
        kind: tuple(int(n) for n in mask.sum(-1)) for kind, mask in ticket.masks.items()
    }
    assert trainer.state.global_step == 80
    assert len(seen) == 2
    assert torch.equal(seen[1], initial["classifier.weight"])


def test_continuing_prunes_in_place_and_goes_on(tmp_path):
    trainer = trainer_for(tmp_path, gradient_accumulation_steps=2, bf16=True)
    ticket = train_early_bird(trainer, eb.SearchConfig(**SETTINGS), weights="continue")
    assert trainer.state.global_step == 80
    assert eb.Anatomy.of(trainer.model).units["neurons"] == tuple(ticket.masks["neurons"].sum(-1).tolist())
    held = {id(value) for group in trainer.optimizer.param_groups for value in group["params"]}
    assert held == {id(value) for value in trainer.model.parameters()}
    assert all(torch.isfinite(value).all() for value in trainer.model.parameters())


def test_an_optimizer_of_ones_own_starts_anew(tmp_path):
    model = tiny_vit()
    optimizer = torch.optim.SGD(model.parameters(), 1e-2, momentum=0.9)
    trainer = trainer_for(tmp_path, model=model)
    trainer.optimizer = optimizer
    train_early_bird(trainer, eb.SearchConfig(**SETTINGS))
    held = {id(value) for group in optimizer.param_groups for value in group["params"]}
    assert held == {id(value) for value in model.parameters()}
    assert trainer.state.global_step == 80


def test_logs_say_what_the_search_sees_and_one_callback_serves_several_fits(tmp_path):
    trainer = trainer_for(tmp_path)
    callback = EarlyBirdCallback(
        trainer, eb.SearchConfig(heads=0.5, neurons=0.5, detector="published-ols", score="gradient")
    )
    trainer.add_callback(callback)
    with pytest.raises(eb.InputError, match="train longer"):  # 500 steps before its first check
        trainer.train()
    callback.config = eb.SearchConfig(heads=0.5, neurons=0.5, detector="ols", threshold=0.999999, score="gradient")
    trainer.train()
    logged = {key for entry in trainer.state.log_history for key in entry}
    assert {"earlybird_nuclear-norm_heads", "earlybird_nuclear-norm_neurons", "earlybird_overlap_heads"} <= logged
    callback.config = eb.SearchConfig(heads=0.5, neurons=0.5, detector="hamming", score="gradient")
    trainer.train()
    first = callback.ticket
    trainer.train()
    assert first is not None
    assert callback.ticket is not None
    assert callback.ticket is not first
    assert eb.Anatomy.of(trainer.model).units["heads"] == (4, 4)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in trainer.model.modules())


@pytest.mark.parametrize("make", [tiny_bert, tiny_vit])
def test_a_resumed_training_resumes_its_search(make, tmp_path):
    def run(directory):
        trainer = trainer_for(directory, steps=30, model=make(), save_strategy="steps", save_steps=10)
        callback = EarlyBirdCallback(
            trainer, eb.SearchConfig(heads=0.5, neurons=0.5, detector="half-time-capture", threshold=0.999)
        )
        trainer.add_callback(callback)
        return trainer, callback

    whole, _ = run(tmp_path / "whole")
    whole.train()
    cut, _ = run(tmp_path / "cut")
    cut.add_callback(StopAt(15))
    cut.train()
    again, _ = run(tmp_path / "cut")
    again.train(resume_from_checkpoint=str(tmp_path / "cut/checkpoint-10"))
    a, b = (eb.Trajectory.open(tmp_path / name / "trajectory") for name in ("whole", "cut"))
    for kind in ("heads", "neurons"):
        assert (a.evidence(kind, "deviation") == b.evidence(kind, "deviation")).all()


@pytest.mark.parametrize("kinds", [{"heads": 0.5}, {"neurons": 0.5}])
def test_an_optimizer_that_cannot_be_sliced_is_refused_before_the_first_step(kinds, tmp_path):
    trainer = trainer_for(tmp_path, optim="adafactor")
    with pytest.raises(eb.InputError, match=r"cannot be sliced.*AdamW or SGD"):
        train_early_bird(trainer, eb.SearchConfig(**kinds), weights="continue")
    assert trainer.state.global_step == 0


def test_misspelt_weights_are_refused_before_training(tmp_path):
    trainer = trainer_for(tmp_path)
    with pytest.raises(eb.InputError, match='weights must be "rewind" or "continue"'):
        train_early_bird(trainer, eb.SearchConfig(**SETTINGS), weights="rewound")
    assert trainer.state.global_step == 0


class InterruptAt(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise KeyboardInterrupt


def test_an_interrupted_training_leaves_no_coefficients_and_can_be_begun_anew(tmp_path):
    trainer = trainer_for(tmp_path)
    interrupt = InterruptAt(3)
    trainer.add_callback(interrupt)
    with pytest.raises(KeyboardInterrupt):
        train_early_bird(trainer, eb.SearchConfig(**SETTINGS))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in trainer.model.modules())
    trainer.remove_callback(interrupt)
    assert train_early_bird(trainer, eb.SearchConfig(**SETTINGS)).provenance["draw_step"] > 3


def test_a_training_that_goes_on_without_its_search_is_refused(tmp_path):
    plain = trainer_for(tmp_path, steps=20, model=tiny_bert(), save_strategy="steps", save_steps=10)
    plain.train()
    trainer = trainer_for(tmp_path, steps=20, model=tiny_bert())
    trainer.add_callback(EarlyBirdCallback(trainer, eb.SearchConfig(heads=0.5)))
    with pytest.raises(eb.InputError, match=r"no search to go on in .*checkpoint-10: no checkpoint in .* holds one"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-10"))


def searched(directory, *, seed=0, resume=None, callbacks=()):
    trainer = trainer_for(
        directory,
        steps=30,
        model=tiny_bert(),
        callbacks=[*callbacks, StopAt(25)],
        save_strategy="steps",
        save_steps=10,
        seed=seed,
    )
    callback = EarlyBirdCallback(
        trainer, eb.SearchConfig(heads=0.5, neurons=0.5, detector="half-time-capture", threshold=0.999)
    )
    trainer.add_callback(callback)
    trainer.train(resume_from_checkpoint=resume)


def test_a_checkpoint_whose_search_was_not_written_yet_names_the_newest_with_one(tmp_path):
    class Killed(TrainerCallback):
        def on_save(self, args, state, control, **kwargs):
            if state.global_step == 20:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path, callbacks=[Killed()])
    with pytest.raises(eb.InputError, match=r"the newest checkpoint with one is .*checkpoint-10, resume from that"):
        searched(tmp_path, resume=True)


def test_a_checkpoint_from_elsewhere_does_not_go_on_with_the_search_of_this_output_dir(tmp_path):
    searched(tmp_path / "here")
    searched(tmp_path / "elsewhere", seed=1)
    with pytest.raises(eb.InputError, match=r"other weights than those of .*here/checkpoint-10"):
        searched(tmp_path / "here", resume=str(tmp_path / "elsewhere/checkpoint-10"))


def test_a_checkpoint_that_lacks_weights_is_refused(tmp_path):
    searched(tmp_path)
    path = tmp_path / "checkpoint-10/model.safetensors"
    tensors = load_file(path)
    del tensors["classifier.weight"]
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(eb.InputError, match=r"lacks classifier\.weight"):
        searched(tmp_path, resume=str(tmp_path / "checkpoint-10"))


@pytest.mark.parametrize("make", [tiny_bert, tiny_vit])
def test_the_best_checkpoint_is_folded_with_its_own_coefficients(make, tmp_path):
    best = {}

    class Keep(TrainerCallback):
        def on_save(self, args, state, control, **kwargs):
            if state.global_step == 10:
                model = copy.deepcopy(kwargs["model"])
                scaling.fold(model)
                best.update(model.state_dict())

    trainer = trainer_for(
        tmp_path,
        steps=30,
        model=make(),
        callbacks=[Keep()],
        save_strategy="steps",
        save_steps=10,
        eval_strategy="steps",
        eval_steps=10,
        load_best_model_at_end=True,
        metric_for_best_model="earliness",
        greater_is_better=True,
    )
    trainer.compute_metrics = lambda _: {"earliness": -trainer.state.global_step}
    trainer.add_callback(
        EarlyBirdCallback(trainer, eb.SearchConfig(heads=0.5, neurons=0.5, detector="ols", threshold=1e-9))
    )
    trainer.train()
    found = trainer.model.state_dict()
    assert len(best) == len(found)
    assert all(torch.equal(best[name], value) for name, value in found.items())


def test_after_the_draw_a_pruned_model_goes_on_without_the_search(tmp_path):
    def run(model, *, search, resume=None, steps_until=30):
        trainer = trainer_for(
            tmp_path, steps=30, model=model, callbacks=[StopAt(steps_until)], save_strategy="steps", save_steps=10
        )
        callback = EarlyBirdCallback(
            trainer, eb.SearchConfig(heads=0.5, neurons=0.5, detector="hamming"), then="continue"
        )
        if search:
            trainer.add_callback(callback)
        trainer.train(resume_from_checkpoint=resume)
        return trainer, callback.ticket

    _, ticket = run(tiny_bert(), search=True, steps_until=25)
    assert 10 < ticket.provenance["draw_step"] < 20
    with pytest.raises(
        eb.InputError, match=r"the checkpoint has .*query.weight in the shape \(8, 16\).*earlybird.load"
    ):
        run(tiny_bert(), search=True, resume=True)
    checkpoint = str(tmp_path / "checkpoint-20")
    with pytest.raises(eb.InputError, match=r"no search to go on in .*checkpoint-20.*earlybird.load"):
        run(eb.load(checkpoint), search=True, resume=checkpoint)
    trainer, _ = run(eb.load(checkpoint), search=False, resume=checkpoint)
    assert trainer.state.global_step == 30
    assert eb.Anatomy.of(trainer.model).units["heads"] == (2, 2)


class Rates(TrainerCallback):
    """What the coefficients train at, step by step."""

    def __init__(self, callback):
        self.callback, self.rates = callback, []

    def on_step_end(self, args, state, control, **kwargs):
        self.rates.append(self.callback.search.learning_rate)


@pytest.mark.parametrize(("asked", "first"), [(2e-3, 2e-3), (None, 1e-3)])
def test_the_coefficients_rate_follows_that_of_an_optimizer_of_the_users_own(asked, first, tmp_path):
    trainer = trainer_for(tmp_path, steps=10)
    trainer.optimizer = torch.optim.AdamW(trainer.model.parameters(), lr=1e-3)
    callback = EarlyBirdCallback(
        trainer, eb.SearchConfig(heads=0.5, neurons=0.5, score="coefficient", learning_rate=asked)
    )
    rates = Rates(callback)
    trainer.add_callback(callback)
    trainer.add_callback(rates)
    trainer.train()
    assert len(rates.rates) > 2
    assert rates.rates == pytest.approx([first * (1 - step / 10) for step in range(len(rates.rates))])


class StopAt(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = control.should_training_stop or state.global_step >= self.step


@pytest.mark.parametrize("then", ["stop", "continue"])
def test_a_ticket_drawn_in_the_last_steps_is_not_lost(then, tmp_path, monkeypatch):
    def run(directory, *callbacks, **others):
        trainer = trainer_for(directory, steps=60, model=tiny_bert(), callbacks=callbacks)
        callback = EarlyBirdCallback(
            trainer,
            eb.SearchConfig(heads=0.5, neurons=0.5, detector="half-time-capture", threshold=0.5),
            **others,
        )
        trainer.add_callback(callback)
        trainer.train()
        return trainer, callback.ticket

    _, ticket = run(tmp_path / "at-once")
    drawn = ticket.provenance["draw_step"]
    monkeypatch.setattr("earlybird.integrations.driver.Search", functools.partial(eb.Search, delay=4))
    trainer, ticket = run(tmp_path / "late", StopAt(drawn + 2), then=then)
    assert trainer.state.global_step == drawn + 2
    assert ticket.provenance["draw_step"] == drawn
    assert eb.Anatomy.of(trainer.model).units["heads"] == ((2, 2) if then == "continue" else (4, 4))


def test_a_search_that_cannot_be_finished_leaves_no_coefficients(tmp_path, monkeypatch):
    class Poison(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, **kwargs):
            if state.global_step == 9:
                callback.search.slimming.coefficients["heads"].task_gradient.fill_(torch.nan)

    monkeypatch.setattr("earlybird.integrations.driver.Search", functools.partial(eb.Search, delay=4))
    trainer = trainer_for(tmp_path, steps=20, callbacks=[Poison(), StopAt(10)])
    callback = EarlyBirdCallback(trainer, eb.SearchConfig(heads=0.5))
    trainer.add_callback(callback)
    with pytest.raises(eb.JobError, match="not finite at step 9"):
        trainer.train()
    assert callback.search is None
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in trainer.model.modules())


@pytest.mark.parametrize("draw_at_end", [True, False])
def test_a_training_stopped_early_ends_with_a_draw_where_that_is_wanted(draw_at_end, tmp_path):
    trainer = trainer_for(tmp_path, steps=80, callbacks=[StopAt(10)])
    callback = EarlyBirdCallback(trainer, eb.SearchConfig(heads=0.5), draw_at_end=draw_at_end)
    trainer.add_callback(callback)
    trainer.train()
    assert trainer.state.global_step == 10
    assert (callback.ticket is not None) == draw_at_end


def test_without_a_config_half_of_the_flops_go_early_and_the_training_goes_on(tmp_path):
    begun = []

    class Begun(TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            begun.append(state.global_step)

    trainer = trainer_for(tmp_path, steps=120, learning_rate=1e-4, callbacks=[Begun()])
    costs = eb.Anatomy.of(trainer.model).unit_costs("flops", 128)
    ticket = train_early_bird(trainer)
    provenance = ticket.provenance
    assert (provenance["score"], provenance["detector"]) == ("squared-gradient", "recent-half-capture")
    assert provenance["how"] == "detector"
    assert provenance["draw_step"] < 100
    assert 0.45 < float(costs.of(ticket.masks)) / costs.whole <= 0.5
    units = eb.Anatomy.of(trainer.model).units
    assert {kind: tuple(ticket.kept(kind)) for kind in units} == units
    assert trainer.state.global_step == 120
    assert begun == [0]


@pytest.mark.parametrize("weights", [None, "continue"])
def test_what_only_the_end_has_drawn_is_trained_unless_continuing_is_asked_for(weights, tmp_path, caplog):
    trainer = trainer_for(tmp_path, steps=24)
    before = trainer.model.classifier.weight.detach().clone()
    begun = []

    class FirstWeights(TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            begun.append(kwargs["model"].classifier.weight.detach().clone())

    trainer.add_callback(FirstWeights())
    config = eb.SearchConfig(detector="half-time-capture", score="gradient", threshold=0.99999)
    ticket = train_early_bird(trainer, config, weights=weights)
    assert ticket.provenance["how"] == "end"
    kept = tuple(ticket.masks["neurons"].sum(-1).tolist())
    assert eb.Anatomy.of(trainer.model).units["neurons"] == kept
    assert trainer.state.global_step == 24
    assert len(begun) == (2 if weights is None else 1)
    assert ("did not settle within the 24 steps" in caplog.text) == (weights is None)
    assert all(torch.equal(weight, before) for weight in begun)


def test_by_coefficients_the_training_begins_again_and_is_drawn_by_their_default(tmp_path):
    trained = StopAt(1000)
    begun = []
    trained.on_train_begin = lambda *_, **__: begun.append(True)
    trainer = trainer_for(tmp_path, steps=40, callbacks=[trained])
    ticket = train_early_bird(trainer, eb.SearchConfig(heads=0.5, score="coefficient"))
    assert ticket.provenance["detector"] == "rank-correlation"
    assert len(begun) == 2


def best_is_earliest(directory, *, every, **others):
    """A Trainer that saves and judges every so many steps, by a metric that falls, and loads the best in the end."""
    trainer = trainer_for(
        directory,
        load_best_model_at_end=True,
        metric_for_best_model="earliness",
        greater_is_better=True,
        eval_strategy="steps",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        **others,
    )
    trainer.compute_metrics = lambda _: {"earliness": -trainer.state.global_step}
    return trainer


@pytest.mark.parametrize("make", [tiny_bert, tiny_vit])
def test_the_best_checkpoint_is_the_best_of_those_after_the_cut(make, tmp_path):
    """By a metric that falls with every step: the best of all is from before the cut."""
    best = {}

    class Keep(TrainerCallback):
        def on_save(self, args, state, control, **kwargs):
            best.setdefault(
                eb.Anatomy.of(kwargs["model"]).units["neurons"], copy.deepcopy(kwargs["model"].state_dict())
            )

    trainer = best_is_earliest(tmp_path, model=make(), steps=40, every=5, save_total_limit=2, callbacks=[Keep()])
    ticket = train_early_bird(trainer, eb.SearchConfig(heads=0.5, neurons=0.5, detector="fixed-time"))
    assert 10 > ticket.provenance["draw_step"] + 1 > 5
    assert trainer.state.best_global_step == 10
    found = trainer.model.state_dict()
    expected = best[eb.Anatomy.of(trainer.model).units["neurons"]]
    assert len(best) == 2
    assert all(torch.equal(expected[name], value) for name, value in found.items())
    loaded = type(trainer.model).from_pretrained(trainer.state.best_model_checkpoint)
    assert all(torch.equal(expected[name], value) for name, value in loaded.state_dict().items())


class Restless(Detector):
    def check(self, observation):
        return None, False


def test_what_only_the_end_has_drawn_is_cut_from_the_best_checkpoint(tmp_path):
    trainer = best_is_earliest(tmp_path, model=tiny_bert(), steps=30, every=10)
    config = eb.SearchConfig(neurons=0.5, score="gradient", detector=Restless(), compensation=0)
    callback = EarlyBirdCallback(trainer, config, then="continue", draw_at_end=True)
    trainer.add_callback(callback)
    trainer.train()
    assert callback.ticket.provenance["how"] == "end"
    whole = BertForSequenceClassification.from_pretrained(tmp_path / "checkpoint-10")
    expected = eb.prune(whole, callback.ticket).state_dict()
    found = trainer.model.state_dict()
    assert [name for name, value in found.items() if not torch.equal(expected[name], value)] == []


@pytest.mark.parametrize("weights", ["continue", "rewind"])
def test_the_best_of_a_vit_is_loaded_after_every_training(weights, tmp_path):
    """Whose weights the Trainer does not find under the names that it has written."""
    trainer = best_is_earliest(tmp_path, model=tiny_vit(), steps=20, every=5)
    config = eb.SearchConfig(heads=0.5, neurons=0.5, detector="fixed-time", compensation=0)
    if weights == "rewind":
        train_early_bird(trainer, config, weights=weights)
    else:
        trainer.add_callback(EarlyBirdCallback(trainer, config, then="continue"))
        trainer.train()
        trainer.train()
    assert trainer.state.best_global_step == 5
    loaded = ViTForImageClassification.from_pretrained(trainer.state.best_model_checkpoint).state_dict()
    found = trainer.model.state_dict()
    assert [name for name, value in found.items() if not torch.equal(loaded[name], value)] == []


def test_a_driven_search_is_drawn_at_the_end_where_the_best_is_loaded(tmp_path):
    trainer = best_is_earliest(tmp_path, model=tiny_bert(), steps=20, every=10)
    search = eb.Search(trainer.model, eb.SearchConfig(heads=0.5, detector=Restless()), total_steps=20)
    trainer.add_callback(SearchCallback(search, learning_rate=1e-2, draw_at_end=True))
    trainer.train()
    assert search.ticket is not None


def test_early_stopping_counts_anew_after_the_cut(tmp_path):
    """Patience is of checkpoints that are no better than the best of the small network's."""
    trainer = best_is_earliest(
        tmp_path, model=tiny_bert(), steps=40, every=5, callbacks=[EarlyStoppingCallback(early_stopping_patience=2)]
    )
    train_early_bird(trainer, eb.SearchConfig(heads=0.5, neurons=0.5, detector="fixed-time"))
    assert (trainer.state.best_global_step, trainer.state.global_step) == (10, 20)


def test_what_continues_by_coefficients_is_drawn_at_a_fifth_where_no_detector_is_named(tmp_path):
    config = eb.SearchConfig(heads=0.5, score="coefficient")
    ticket = train_early_bird(trainer_for(tmp_path, steps=40), config, weights="continue")
    assert (ticket.provenance["detector"], ticket.provenance["draw_step"]) == ("fixed-time", 7)


def test_a_run_too_short_to_look_at_is_drawn_and_trained_all_the_same(tmp_path):
    trainer = trainer_for(tmp_path, steps=6)
    ticket = train_early_bird(trainer)
    assert ticket.provenance["draw_step"] == 5
    assert trainer.state.global_step == 6


def test_a_search_finished_at_its_draw_lets_the_training_go_on(tmp_path):
    trainer = trainer_for(tmp_path, steps=40)
    search = eb.Search(trainer.model, eb.SearchConfig(heads=0.5, detector="fixed-time"), total_steps=40)

    def draw(optimizer):
        search.finish()
        eb.prune(trainer.model, search.ticket, optimizer=getattr(optimizer, "optimizer", optimizer))

    trainer.add_callback(SearchCallback(search, learning_rate=1e-2, on_draw=draw, stop_at_draw=False, penalise=True))
    trainer.train()
    assert trainer.state.global_step == 40
    assert eb.Anatomy.of(trainer.model).units["heads"] == (2, 2)


def test_a_training_that_never_begins_leaves_no_hook_on_the_model(tmp_path):
    trainer = trainer_for(tmp_path, steps=4)
    trainer.train_dataset = None
    with pytest.raises(ValueError, match="train_dataset"):
        train_early_bird(trainer, eb.SearchConfig(heads=0.5), weights="continue")
    assert not trainer.model._load_state_dict_pre_hooks


@pytest.mark.parametrize("strategy", [{"save_strategy": "steps", "save_steps": 4}, {"save_strategy": "epoch"}])
def test_what_has_diverged_does_not_take_the_place_of_the_last_good_checkpoint(strategy, tmp_path, monkeypatch):
    # As on a CUDA device, where steps are looked at four later: the checkpoint at step 8 comes before that.
    monkeypatch.setattr("earlybird.integrations.driver.Search", functools.partial(eb.Search, delay=4))
    trainer = trainer_for(tmp_path, **strategy, save_total_limit=1)
    plain = trainer.compute_loss

    def diverging(*arguments, **named):
        return plain(*arguments, **named) * (float("nan") if trainer.state.global_step >= 6 else 1)

    monkeypatch.setattr(trainer, "compute_loss", diverging)
    with pytest.raises(eb.JobError, match="not finite at step 6"):
        train_early_bird(trainer, eb.SearchConfig(**SETTINGS))
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-4"]
    weights = load_file(tmp_path / "checkpoint-4" / "model.safetensors")
    assert all(weight.isfinite().all() for weight in weights.values())
    assert (tmp_path / "checkpoint-4" / "earlybird-search.safetensors").is_file()


def test_settings_that_are_refused_leave_the_record_of_the_search_before(tmp_path):
    train_early_bird(trainer_for(tmp_path), eb.SearchConfig(**SETTINGS))
    steps = eb.Trajectory.open(tmp_path / "trajectory").steps
    with pytest.raises(eb.InputError):
        train_early_bird(trainer_for(tmp_path), eb.SearchConfig(heads=0.5, neurons=0.5, detector="published-adf"))
    assert eb.Trajectory.open(tmp_path / "trajectory").steps == steps > 0


def test_checkpoints_of_a_search_without_a_record_hold_the_model_alone(tmp_path):
    trainer = trainer_for(tmp_path, steps=4, save_strategy="steps", save_steps=2)
    search = eb.Search(trainer.model, eb.SearchConfig(heads=0.5), total_steps=4)
    trainer.add_callback(SearchCallback(search, learning_rate=1e-2, penalise=True))
    trainer.train()
    assert (tmp_path / "checkpoint-2" / "model.safetensors").is_file()
    assert not list(tmp_path.glob("checkpoint-*/earlybird*"))
