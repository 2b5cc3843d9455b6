import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kornia.augmentation.auto import AutoAugment as BatchAutoAugment

from earlybird.recipes.augmentation.auto_augment import AutoAugment
from earlybird.recipes.augmentation.crop_paste import crop_paste
from earlybird.recipes.augmentation.pipeline import Augmentation, normalise
from earlybird.recipes.augmentation.settings import AugmentationSettings

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
EVERYTHING = {"crop_padding": 2, "flip": True, "auto_augment": "cifar10"}
COMBINATIONS = [
    {},
    EVERYTHING,
    EVERYTHING | {"mixup": True},
    EVERYTHING | {"cutmix": True},
    {"crop_paste": True, "flip": True, "auto_augment": "svhn", "cutmix": True},
    {"auto_augment": "imagenet"},
]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


untimed = settings(deadline=None, max_examples=40)  # The first call of an operation can take a second.
batches = st.integers(1, 9)
seeds = st.integers(0, 2**32 - 1)


def augmentation(labels=10, label_smoothing=0.0, channels=3, **settings):
    return Augmentation(AugmentationSettings(**settings), MEAN[:channels], STD[:channels], labels, label_smoothing)


def identity(labels=10, label_smoothing=0.0, **settings):
    """An augmentation whose normalisation leaves values in [0, 1] as they are."""
    return Augmentation(AugmentationSettings(**settings), (0.0,), (1.0,), labels, label_smoothing)


def random_batch(batch=16, channels=3, size=16, labels=10):
    images = torch.randint(0, 256, (batch, channels, size, size), dtype=torch.uint8)
    return images, torch.randint(0, labels, (batch,))


@untimed
@given(batches, seeds, st.floats(0, 0.9), st.sampled_from(COMBINATIONS))
def test_shapes_types_and_targets(batch, seed, smoothing, settings):
    torch.manual_seed(seed)
    images, labels = random_batch(batch)
    before = images.clone()
    values, targets = augmentation(label_smoothing=smoothing, **settings)(images, labels)
    assert values.shape == images.shape
    assert targets.shape == (batch, 10)
    assert values.dtype == targets.dtype == torch.float32
    assert values.isfinite().all()
    assert torch.equal(images, before)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(batch))
    assert targets.min() >= smoothing / 10 - 1e-6


@pytest.mark.parametrize("settings", COMBINATIONS)
def test_the_global_generator_alone_decides(settings):
    images, labels = random_batch()
    augment, fresh = augmentation(**settings), augmentation(**settings)
    augment(images, labels)
    state = torch.get_rng_state()
    first = augment(images, labels)
    after = torch.get_rng_state()
    # A resumed process has a new module, and other generators in another state.
    torch.set_rng_state(state)
    random.seed(1)
    np.random.seed(1)
    second = fresh(images, labels)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert torch.equal(torch.get_rng_state(), after)
    if settings:
        assert not torch.equal(augment(images, labels)[0], first[0])


@pytest.mark.parametrize("settings", COMBINATIONS)
def test_grey_images_work_too(settings):
    images, labels = random_batch(channels=1)
    values, _ = augmentation(channels=1, **settings)(images, labels)
    assert values.shape == (16, 1, 16, 16)


def test_there_is_nothing_to_train_or_save():
    everything = augmentation(**EVERYTHING, cutmix=True)
    assert not list(everything.parameters())
    assert not everything.state_dict()


# Normalisation and targets


@untimed
@given(seeds)
def test_normalise_inverts(seed):
    torch.manual_seed(seed)
    images, _ = random_batch(4)
    mean, std = torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]
    back = (normalise(images, MEAN, STD) * std + mean) * 255
    assert torch.equal(back.round().to(torch.uint8), images)
    assert torch.equal(normalise(images[0], MEAN, STD), normalise(images, MEAN, STD)[0])


def test_without_steps_training_sees_what_evaluation_sees():
    images, labels = random_batch()
    values, targets = augmentation()(images, labels)
    assert torch.equal(values, normalise(images, MEAN, STD))
    assert torch.equal(targets.argmax(dim=1), labels)
    assert torch.equal(targets.max(dim=1).values, torch.ones(16))


def test_label_smoothing_spreads_its_share_evenly():
    images, labels = random_batch(labels=4)
    _, targets = augmentation(labels=4, label_smoothing=0.2)(images, labels)
    torch.testing.assert_close(targets.gather(1, labels[:, None]), torch.full((16, 1), 0.8 + 0.2 / 4))
    torch.testing.assert_close(targets.min(dim=1).values, torch.full((16,), 0.2 / 4))


def constant_images(batch, size):
    """Image i has the value i + 1 everywhere, and label i."""
    numbers = torch.arange(batch)
    return (numbers + 1).to(torch.uint8)[:, None, None, None].expand(-1, 1, size, size), numbers


@untimed
@given(batches, seeds, st.integers(2, 12))
def test_cutmix_targets_are_shares_of_the_area(batch, seed, size):
    torch.manual_seed(seed)
    images, labels = constant_images(batch, size)
    values, targets = identity(labels=batch, cutmix=True)(images, labels)
    shown = (values * 255).round().long() - 1
    shares = torch.nn.functional.one_hot(shown, batch).float().mean(dim=(1, 2, 3))
    torch.testing.assert_close(targets, shares)


@untimed
@given(batches, seeds)
def test_mixup_targets_are_the_weights(batch, seed):
    torch.manual_seed(seed)
    images, labels = constant_images(batch, 3)
    values, targets = identity(labels=batch, mixup=True)(images, labels)
    torch.testing.assert_close(values[:, 0, 1, 1] * 255, targets @ (labels + 1.0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mixing", ["mixup", "cutmix"])
def test_every_image_mixes_with_its_own_weight(mixing):
    images, labels = constant_images(64, 16)
    _, targets = identity(labels=64, **{mixing: True})(images, labels)
    assert len(targets.gather(1, labels[:, None]).unique()) > 8


# Crop, flip, AutoAugment, crop paste


def test_crop_reaches_every_offset_and_pads_with_black():
    images = torch.full((2000, 1, 4, 4), 255, dtype=torch.uint8)
    values, _ = identity(crop_padding=2)(images, torch.zeros(2000, dtype=torch.long))
    assert set(values.unique().tolist()) == {0.0, 1.0}
    assert len(values.unique(dim=0)) == 5 * 5


def test_flip_mirrors_half_of_the_images():
    images = torch.arange(4, dtype=torch.uint8).expand(1000, 1, 4, 4)
    values, _ = identity(flip=True)(images, torch.zeros(1000, dtype=torch.long))
    mirrored = values[:, 0, 0, 0] > 0
    assert 400 < mirrored.sum() < 600
    torch.testing.assert_close(values[mirrored], images[mirrored].flip(-1) / 255)
    torch.testing.assert_close(values[~mirrored], images[~mirrored] / 255)


@pytest.mark.parametrize("policy", ["cifar10", "svhn", "imagenet"])
def test_auto_augment_draws_per_image(policy):
    image = torch.rand(3, 16, 16)
    output = AutoAugment(policy)(image.expand(64, -1, -1, -1))
    assert len(output.unique(dim=0)) > 15
    assert output.min() >= 0
    assert output.max() <= 1


def test_auto_augment_gives_each_image_its_own_pair(monkeypatch):
    # Pairs that only mark: pair p adds p hundredths to what it gets.
    augment = AutoAugment("cifar10")
    assert len(augment._pairs) == len(list(BatchAutoAugment("cifar10").children())) == 25
    augment._pairs = tuple(lambda images, mark=mark: images + mark / 100 for mark in range(25))
    images = torch.rand(50, 3, 2, 2) / 2
    added = (augment(images) - images) * 100
    torch.testing.assert_close(added, added.mean(dim=(1, 2, 3), keepdim=True).round().expand_as(added))
    assert len(added.round().unique()) > 10


@untimed
@given(seeds, st.integers(1, 6), st.integers(1, 6))
def test_crop_paste_blends_a_moved_box_with_one_weight(seed, height, width):
    torch.manual_seed(seed)
    images = torch.rand(8, 2, height, width)
    before = images.clone()
    output = crop_paste(images)
    assert torch.equal(images, before)
    for image, result in zip(images, output, strict=True):
        rows, columns = (result != image).any(dim=0).nonzero(as_tuple=True)
        if not len(rows):
            continue
        box = (slice(int(rows.min()), int(rows.max()) + 1), slice(int(columns.min()), int(columns.max()) + 1))
        assert _is_a_blend(image, result[:, *box], image[:, *box])


def _is_a_blend(image, result, under):
    """Whether one weight and one (mirrored) box of the image explain the result."""
    height, width = result.shape[-2:]
    for top in range(image.shape[1] - height + 1):
        for left in range(image.shape[2] - width + 1):
            box = image[:, top : top + height, left : left + width]
            for source in (box, box.flip(-1)):
                difference = (source - under).flatten()
                weight = (result - under).flatten() @ difference / difference.square().sum().clamp(min=1e-12)
                if 0 <= weight <= 1 and torch.allclose(torch.lerp(under, source, weight), result, atol=1e-4):
                    return True
    return False


def test_crop_paste_reaches_every_pixel_and_sometimes_mirrors():
    ramp = torch.arange(8.0).expand(500, 1, 8, 8)
    output = crop_paste(ramp)
    changed = output != ramp
    assert changed.flatten(1).any(dim=1).float().mean() > 0.5
    assert changed.any(dim=0).all()
    # A moved box keeps the ramp's slope of 1; a mirrored one, blended, lowers it.
    slope = output.diff(dim=-1)[changed[..., 1:] & changed[..., :-1]]
    mirrored = (slope < 0.999).float().mean()
    assert 0.3 < mirrored < 0.7
