"""Lightning's callbacks that average the weights, beside a search: which of it is right, and what is refused."""

from __future__ import annotations

import copy

import lightning.pytorch as pl
import numpy as np
import pytest
from lightning.pytorch.callbacks import EMAWeightAveraging, StochasticWeightAveraging, WeightAveraging
from test_either_callback import Classifier, examples
from torch.utils.data import DataLoader

import earlybird as eb
from earlybird.integrations.lightning import EarlyBirdCallback

EPOCHS, STEPS_PER_EPOCH = 5, 4
# Drawn in the last epoch, after which Lightning hands the stochastic average over.
CONFIG = eb.SearchConfig(heads=0.5, neurons=0.5, score="squared-gradient", detector="fixed-time", threshold=0.9)

AVERAGES = {
    "stochastic": lambda: StochasticWeightAveraging(swa_lrs=1e-2, swa_epoch_start=2),
    "all steps": WeightAveraging,
    "exponential": lambda: EMAWeightAveraging(decay=0.5),
}
average = pytest.mark.parametrize("average", AVERAGES)


class StopAndSave(pl.Callback):
    def __init__(self, stop_at=None, save_at=None, path=None):
        self.stop_at, self.save_at, self.path = stop_at, save_at, path

    def on_train_batch_end(self, trainer, *_):
        trainer.should_stop = trainer.should_stop or trainer.global_step == self.stop_at
        if trainer.global_step == self.save_at:
            trainer.save_checkpoint(self.path)


def fit(*callbacks, module=None, ckpt_path=None):
    module = module or Classifier()
    trainer = pl.Trainer(
        max_epochs=EPOCHS,
        callbacks=list(callbacks),
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(examples(), batch_size=8), ckpt_path=ckpt_path)
    return trainer, module


def difference(module, other):
    state = other.state_dict()
    return max(float((value - state[name]).abs().max()) for name, value in module.state_dict().items())


@average
@pytest.mark.parametrize("first", [True, False])
def test_a_fit_that_stops_at_the_draw_leaves_the_average_up_to_there(average, first):
    search, averaging = EarlyBirdCallback("model", CONFIG), AVERAGES[average]()
    trainer, module = fit(*((search, averaging) if first else (averaging, search)))
    steps = search.ticket.provenance["draw_step"] + 1
    assert trainer.global_step == steps > (EPOCHS - 1) * STEPS_PER_EPOCH
    _, expected = fit(AVERAGES[average](), StopAndSave(stop_at=steps))
    _, newest = fit(StopAndSave(stop_at=steps))
    assert difference(module, expected) == 0
    assert difference(module, newest) > 1e-3
    eb.prune(module.model, search.ticket)
    assert eb.Anatomy.of(module.model).units["heads"] == (2, 2)


@pytest.mark.parametrize("average", ["all steps", "exponential"])
def test_an_average_that_the_training_does_not_see_leaves_the_ticket(average):
    plain, beside = EarlyBirdCallback("model", CONFIG), EarlyBirdCallback("model", CONFIG)
    fit(plain)
    fit(beside, AVERAGES[average]())
    for kind, mask in plain.ticket.masks.items():
        np.testing.assert_array_equal(beside.ticket.masks[kind], mask)


@average
def test_a_fit_that_goes_on_from_a_checkpoint_goes_on_with_search_and_average(average, tmp_path):
    whole = EarlyBirdCallback("model", CONFIG, record=tmp_path / "whole")
    fit(whole, AVERAGES[average]())
    saved, plain = tmp_path / "searched.ckpt", tmp_path / "plain.ckpt"
    fit(
        EarlyBirdCallback("model", CONFIG, record=tmp_path / "record"),
        AVERAGES[average](),
        StopAndSave(stop_at=14, save_at=12, path=saved),
    )
    again = EarlyBirdCallback("model", CONFIG, record=tmp_path / "record")
    trainer, module = fit(again, AVERAGES[average](), ckpt_path=saved)
    for kind, mask in whole.ticket.masks.items():
        np.testing.assert_array_equal(again.ticket.masks[kind], mask)
    # Against a fit that went on without a search: Lightning does not take up a stochastic average to the bit.
    fit(AVERAGES[average](), StopAndSave(stop_at=14, save_at=12, path=plain))
    _, expected = fit(AVERAGES[average](), StopAndSave(stop_at=trainer.global_step), ckpt_path=plain)
    assert difference(module, expected) == 0


def test_a_model_that_was_pruned_before_is_averaged_in_a_further_fit():
    search, module = EarlyBirdCallback("model", CONFIG, then="continue"), Classifier()
    fit(search, module=module)
    pruned = eb.Anatomy.of(module.model).units
    fit(search, WeightAveraging(), module=module)
    assert eb.Anatomy.of(module.model).units == pruned
    assert pruned["heads"] == (2, 2)


# Bad input


@average
def test_to_continue_beside_an_average_is_refused_before_the_first_step(average):
    search, module = EarlyBirdCallback("model", CONFIG, then="continue"), Classifier()
    before = copy.deepcopy(module)
    with pytest.raises(eb.InputError, match=r'cannot prune along: use then="stop", prune, and average in a fit of'):
        fit(search, AVERAGES[average](), module=module)
    assert difference(module, before) == 0
    assert not any(part._forward_pre_hooks for part in module.modules())


@average
def test_trained_coefficients_beside_an_average_are_refused(average):
    config = eb.SearchConfig(heads=0.5, score="coefficient")
    with pytest.raises(eb.InputError, match=r'without the coefficients .*: give score="squared-gradient"'):
        fit(EarlyBirdCallback("model", config), AVERAGES[average]())
