import json
import pickle

import pytest
import torch
from sklearn.datasets import load_digits
from transformers import AutoImageProcessor, AutoModelForImageClassification, ViTConfig, ViTForImageClassification
from transformers.modeling_outputs import ImageClassifierOutput

from earlybird.checkpoint.load import load
from earlybird.errors import InputError
from earlybird.recipes.recipe_file import read_recipe
from earlybird.recipes.tasks import task_of

DIGITS = [
    "data.format=digits",
    "data.source=''",
    "data.train_limit=600",
    "data.eval_limit=100",
    "augmentation.flip=false",
]


@pytest.fixture(scope="session")
def tiny_vit(tmp_path_factory):
    """A ViT for grey images of 16 x 16 with three classes of its own, and its image processor."""
    directory = tmp_path_factory.mktemp("models") / "tiny-vit"
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        image_size=16,
        patch_size=4,
        num_channels=1,
        num_labels=3,
    )
    ViTForImageClassification(config).save_pretrained(directory)
    write_processor(directory)
    return directory


def write_processor(directory, mean=(0.25,), std=(0.5,)):
    processor = {"image_processor_type": "ViTImageProcessor", "image_mean": mean, "image_std": std}
    (directory / "preprocessor_config.json").write_text(json.dumps(processor))


def task(pretrained, *overrides):
    return task_of(read_recipe("vit-finetune", [f"model.pretrained={pretrained}", *DIGITS, *overrides]))


def test_a_run_fine_tunes_to_the_report(tiny_vit, run_recipe):
    job, summary = run_recipe(
        "vit-finetune",
        f"model.pretrained={tiny_vit}",
        *DIGITS,
        "training.batch_size=32",
        "training.learning_rate=3e-3",
        "training.mixed_precision=bf16",
        "retraining.weights=continue",
    )
    assert summary["evaluation_examples"] == 100
    assert summary["dense"]["accuracy"] > 25  # Chance gives 10, with a standard error of 3.
    assert summary["ticket"]["start"] == "continue"
    assert summary["ticket"]["flops"] < summary["dense"]["flops"]
    # The trained model stands alone, with a processor that prepares images as the recipe did.
    evaluation = job.task.evaluation
    model = load(job.files.dense / "model")
    processor = AutoImageProcessor.from_pretrained(job.files.dense / "model")
    picture = evaluation[0]["pixel_values"]
    alone = processor(picture, input_data_format="channels_first", return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(alone, (picture[None] / 255 - 0.25) / 0.5)
    with torch.no_grad():
        predictions = job.task.predict(model, job.task.collate([evaluation[index] for index in range(100)]))
    assert job.task.metrics(predictions.numpy())["accuracy"] == pytest.approx(summary["dense"]["accuracy"], abs=2)


def test_images_take_the_models_size_and_the_processors_statistics(tiny_vit):
    read = task(tiny_vit)
    assert read.train[0]["pixel_values"].shape == (1, 16, 16)
    assert read.example_inputs()["pixel_values"].shape == (1, 1, 16, 16)
    seen = []

    def spy(pixel_values):
        seen.append(pixel_values)
        return ImageClassifierOutput(logits=torch.zeros(len(pixel_values), 10))

    batch = read.collate([read.evaluation[0]])
    read.predict(spy, batch)
    read.loss(spy, batch)
    wanted = (batch["pixel_values"] / 255 - 0.25) / 0.5
    torch.testing.assert_close(seen, [wanted, wanted])


def test_the_initial_model_is_the_pretrained_one_with_a_head_by_the_seed(tiny_vit):
    first, again, other = (task(tiny_vit, f"seed={seed}").initial_model() for seed in (0, 0, 1))
    pretrained = AutoModelForImageClassification.from_pretrained(tiny_vit)
    assert first.classifier.out_features == 10
    for model in (first, other):
        for (name, tensor), wanted in zip(
            model.vit.state_dict().items(), pretrained.vit.state_dict().values(), strict=True
        ):
            assert torch.equal(tensor, wanted), name
    assert torch.equal(first.classifier.weight, again.classifier.weight)
    assert not torch.equal(first.classifier.weight, other.classifier.weight)


def test_weights_alone_are_normalised_by_the_training_images(tiny_vit, tmp_path):
    AutoModelForImageClassification.from_pretrained(tiny_vit).save_pretrained(tmp_path)
    statistics = task(tmp_path, "data.train_limit=null")._data.statistics
    assert statistics.mean[0] == pytest.approx(load_digits().data.mean() / 16, abs=0.02)


def test_a_model_of_a_recipe_can_be_fine_tuned_again(tmp_path):
    scratch = task_of(read_recipe("digits"))
    scratch.initial_model().save_pretrained(tmp_path)
    scratch.save_companions(tmp_path)
    again = task(tmp_path)
    assert again._data.statistics == scratch._data.statistics
    assert again.train[0]["pixel_values"].shape == (1, 8, 8)


def test_the_task_travels_to_worker_processes(tiny_vit):
    read = task(tiny_vit, "augmentation.auto_augment=cifar10", "augmentation.crop_padding=1")
    batch = read.collate([read.train[0]])
    read.loss(read.initial_model(), batch)
    copied = pickle.loads(pickle.dumps(read.collate))([read.train[0]])
    assert torch.equal(copied["pixel_values"], batch["pixel_values"])


def test_bad_models_are_refused(tiny_vit, tiny_bert, tmp_path):
    with pytest.raises(InputError, match="no model for square images"):
        task(tiny_bert)
    with pytest.raises(InputError, match="neither a directory"):
        task("nobody/no-such-model")
    model = AutoModelForImageClassification.from_pretrained(tiny_vit)
    model.save_pretrained(tmp_path)
    write_processor(tmp_path, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    with pytest.raises(InputError, match="normalises 3 channels, the model takes 1"):
        _ = task(tmp_path).train
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(InputError, match="holds no image processor"):
        _ = task(tmp_path).train
    write_processor(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(InputError, match="holds no model that can be used here"):
        task(tmp_path).initial_model()


def test_a_checkpoint_that_lacks_a_layer_is_refused(tiny_vit, tmp_path):
    model = AutoModelForImageClassification.from_pretrained(tiny_vit)
    model.save_pretrained(tmp_path)
    write_processor(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(InputError, match=r"do not fit its config: .*vit"):
        task(tmp_path).initial_model()
    (tmp_path / "config.json").write_text(json.dumps({**config, "intermediate_size": 65}))
    with pytest.raises(InputError, match=r"do not fit its config: .*vit"):
        task(tmp_path).initial_model()
