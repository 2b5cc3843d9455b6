"""A pruned model saves and loads, with safetensors only."""

from __future__ import annotations

import copy
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import (
    AutoModelForImageClassification,
    BertConfig,
    BertLMHeadModel,
    Trainer,
    TrainingArguments,
    ViTConfig,
    ViTForImageClassification,
)

import earlybird as eb
from earlybird.checkpoint.inspection import inspect_model
from earlybird.exports.command import export_directory
from earlybird.models.mean_pooling import MeanPoolingViTForImageClassification
from earlybird.models.off_by_one import use_off_by_one

SIZES = {
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "intermediate_size": 96,
    "image_size": 8,
    "patch_size": 2,
    "num_labels": 10,
}
PIXELS = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def pruned():
    torch.manual_seed(0)
    model = ViTForImageClassification(ViTConfig(**SIZES)).eval()
    return eb.prune(model, eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.25, neurons=0.4)))


def test_round_trip_is_exact_and_holds_no_pickle(pruned, tmp_path):
    eb.save(pruned, tmp_path)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".md", ".safetensors"]
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
    from earlybird.models.off_by_one import off_by_one_attention

    query, key, value = (torch.randn(2, 3, 5, 4) for _ in range(3))
    scores = torch.exp(query @ key.transpose(-1, -2) / 2)
    expected = (scores / (1 + scores.sum(-1, keepdim=True))) @ value
    found, _ = off_by_one_attention(torch.nn.Module(), query, key, value, None)
    torch.testing.assert_close(found.transpose(1, 2), expected)


def in_shards(model, directory):
    """Save a model in several files; returns them."""
    eb.save(model, directory, max_shard_size=20_000)
    shards = sorted(directory.glob("model*.safetensors"))
    assert len(shards) > 2
    return shards


def test_shards_load_in_any_dtype_and_what_trains_on_loads_again(pruned, tmp_path):
    in_shards(pruned, tmp_path / "first")
    model = AutoModelForImageClassification.from_pretrained(tmp_path / "first", dtype=torch.bfloat16)
    assert model.dtype == torch.bfloat16
    model = copy.deepcopy(model).float()
    arguments = TrainingArguments(str(tmp_path / "out"), max_steps=1, report_to=[], use_cpu=True, disable_tqdm=True)
    example = {"pixel_values": PIXELS[0], "labels": torch.tensor(1)}
    trainer = Trainer(model, arguments, train_dataset=[example] * 2)
    trainer.train()
    trainer.save_model(tmp_path / "second")
    assert torch.equal(eb.load(tmp_path / "second")(PIXELS).logits, model.eval()(PIXELS).logits)


def test_shards_and_one_file_replace_each_other(pruned, tmp_path):
    other = copy.deepcopy(pruned)
    torch.nn.init.normal_(other.classifier.weight)
    in_shards(other, tmp_path)
    eb.save(pruned, tmp_path)
    assert torch.equal(eb.load(tmp_path)(PIXELS).logits, pruned(PIXELS).logits)
    in_shards(other, tmp_path)
    assert torch.equal(eb.load(tmp_path)(PIXELS).logits, other(PIXELS).logits)


def test_a_save_that_fails_leaves_the_shards_that_were_there(pruned, tmp_path, monkeypatch):
    in_shards(pruned, tmp_path)

    def full(*arguments, **named):
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(type(pruned), "save_pretrained", full)
        with pytest.raises(OSError, match="no space"):
            eb.save(copy.deepcopy(pruned), tmp_path)
    assert torch.equal(eb.load(tmp_path)(PIXELS).logits, pruned(PIXELS).logits)


def test_a_save_that_fails_after_its_config_leaves_the_model_that_was_there(tmp_path):
    sizes = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 6, "intermediate_size": 96}
    first, second = (BertLMHeadModel(BertConfig(**sizes, vocab_size=50, is_decoder=True)) for _ in range(2))
    eb.save(first, tmp_path / "model")
    eb.prune(second, eb.Ticket.random(eb.Anatomy.of(second), eb.PruningConfig(heads=0.25, neurons=0.4)))
    # transformers writes the config, then refuses these, and would have written the weights last.
    second.generation_config.do_sample, second.generation_config.temperature = False, 0.5
    for directory in ("model", "new"):
        with pytest.raises(ValueError, match="temperature"):
            eb.save(second, tmp_path / directory)
    before = first.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in eb.load(tmp_path / "model").state_dict().items())
    assert not (tmp_path / "new").exists()


def test_a_save_that_fails_leaves_no_directory_that_it_made(pruned, tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(ValueError, match="no size"):
        eb.save(pruned, tmp_path / "there" / "new" / "newer", max_shard_size="no size")
    assert list(tmp_path.rglob("*")) == [tmp_path / "there"]


class WritesNoWeights(ViTForImageClassification):
    def save_pretrained(self, save_directory, **others):
        self.config.save_pretrained(save_directory)


def test_a_config_without_weights_takes_the_place_of_no_model(pruned, tmp_path):
    eb.save(pruned, tmp_path)
    with pytest.raises(eb.JobError, match="save_pretrained wrote no weights"):
        eb.save(WritesNoWeights(pruned.config), tmp_path)
    assert torch.equal(eb.load(tmp_path)(PIXELS).logits, pruned(PIXELS).logits)


class KilledWhileSaving(ViTForImageClassification):
    def save_pretrained(self, save_directory, **others):
        super().save_pretrained(save_directory, **others)
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_killed_while_it_saves_leaves_the_model_and_nothing_that_stays(pruned, tmp_path):
    eb.save(pruned, tmp_path)
    saved = {path.name for path in tmp_path.iterdir()}
    child = os.fork()
    if child == 0:
        eb.save(KilledWhileSaving(ViTConfig(**SIZES)), tmp_path)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert {path.name for path in tmp_path.iterdir()} > saved
    assert torch.equal(eb.load(tmp_path)(PIXELS).logits, pruned(PIXELS).logits)
    eb.save(pruned, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == saved


def test_how_the_model_before_generated_text_is_not_left(pruned, tmp_path):
    sizes = {"hidden_size": 48, "num_hidden_layers": 1, "num_attention_heads": 6, "intermediate_size": 96}
    eb.save(BertLMHeadModel(BertConfig(**sizes, vocab_size=50, is_decoder=True)), tmp_path)
    assert (tmp_path / "generation_config.json").is_file()
    eb.save(pruned, tmp_path)
    assert not (tmp_path / "generation_config.json").exists()


def test_nothing_is_left_of_the_model_that_was_saved_before(pruned, tmp_path):
    in_shards(pruned, tmp_path)
    (tmp_path / "adapter_model.safetensors").write_bytes((tmp_path / "model.safetensors.index.json").read_bytes())
    for save in (eb.save, in_shards, eb.save):
        save(pruned, tmp_path)
        shards = sorted(path.name for path in tmp_path.glob("model*"))
        if save is eb.save:
            assert shards == ["model.safetensors"]
        else:
            index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
            assert shards == sorted({*index["weight_map"].values(), "model.safetensors.index.json"})
        assert (tmp_path / "adapter_model.safetensors").is_file()


def test_what_a_trainer_saves_of_a_model_pruned_in_memory_loads(pruned, tmp_path):
    pruned.save_pretrained(tmp_path)
    assert torch.equal(eb.load(tmp_path)(PIXELS).logits, pruned(PIXELS).logits)


def test_tied_weights_and_generation_config_are_kept(tmp_path):
    sizes = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 6, "intermediate_size": 96}
    model = BertLMHeadModel(BertConfig(**sizes, vocab_size=50, is_decoder=True))
    model.generation_config.max_new_tokens = 7
    eb.prune(model, eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.25, neurons=0.4)))
    eb.save(model, tmp_path)
    again = eb.load(tmp_path)
    assert again.cls.predictions.decoder.weight is again.bert.embeddings.word_embeddings.weight
    assert again.generation_config.max_new_tokens == 7


def test_another_class_than_the_mean_pooling_one_is_refused(tmp_path):
    config = ViTConfig(hidden_size=24, num_hidden_layers=1, num_attention_heads=2, image_size=8, patch_size=4)
    eb.save(MeanPoolingViTForImageClassification(config), tmp_path)
    assert type(eb.load(tmp_path)) is MeanPoolingViTForImageClassification
    with pytest.raises(eb.InputError, match=r"earlybird\.load"):
        AutoModelForImageClassification.from_pretrained(tmp_path)


def test_the_card_says_what_was_pruned_and_how_to_load(pruned, tmp_path):
    anatomy = eb.Anatomy.of(pruned)
    hostile = "x\n---\nlicense: [\n# `|` <b>"
    ticket = eb.Ticket.of(anatomy, {"heads": np.ones((3, 4), dtype=bool)}, how=hostile, draw_step=12)
    pruned.config._name_or_path = "some/model: [\n---"
    eb.save(pruned, tmp_path, ticket=ticket, accuracy=88.25)
    card = ModelCard.load(tmp_path / "README.md")
    assert card.data.to_dict() == {"library_name": "transformers", "tags": ["pruned", "earlybird"]}
    assert "| vit.layers.0.attention | heads | 4 | 6 |" in card.text
    assert "12 of 18 heads kept (33% pruned)" in card.text
    assert "draw_step: 12" in card.text
    assert "88.25%" in card.text
    assert "import earlybird" in card.text
    assert "\n---\n" not in card.text
    with pytest.raises(eb.InputError, match=r"accuracy must be a percentage in \[0, 100\], got 101"):
        eb.save(pruned, tmp_path, accuracy=101)


@pytest.mark.parametrize("damage", ["missing", "truncated", "a byte changed", "a tensor taken out"])
def test_a_damaged_shard_is_named(pruned, tmp_path, damage):
    shard = in_shards(pruned, tmp_path)[1]
    content = shard.read_bytes()
    if damage == "missing":
        shard.unlink()
    elif damage == "truncated":
        shard.write_bytes(content[: len(content) // 2])
    elif damage == "a byte changed":
        shard.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
    else:
        with safe_open(shard, "pt") as file:
            tensors, metadata = {name: file.get_tensor(name) for name in list(file.keys())[1:]}, file.metadata()
        save_file(tensors, shard, metadata)
    with pytest.raises(eb.InputError, match=shard.name):
        eb.load(tmp_path)


def test_a_shard_outside_of_the_directory_is_not_read(pruned, tmp_path):
    inside = tmp_path / "model"
    shard = in_shards(pruned, inside)[1]
    index = inside / "model.safetensors.index.json"
    index.write_text(index.read_text().replace(shard.name, f"../{shard.name}"))
    shard.rename(tmp_path / shard.name)
    with pytest.raises(eb.InputError, match="no file of its directory"):
        eb.load(inside)


@pytest.mark.parametrize(
    "change",
    [
        {"kept": {"heads": [1, 4, 4], "neurons": [57, 57, 57]}},
        {"kept": {"heads": [4, 4, 4, 4]}},
        {"kept": {"heads": [7, 4, 4]}},
        {"kept": {"heads": ["4", 4, 4]}},
        {"kept": {"heads": [True, 4, 4]}},
        {"kept": [4, 4, 4]},
        {"version": 99},
        {"softmax": "hard"},
        {"surprise": 1},
        {"quant_method": "gptq"},
    ],
)
def test_a_config_that_disagrees_with_the_weights_is_refused(pruned, tmp_path, change):
    eb.save(pruned, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["quantization_config"] |= change
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(eb.InputError) as refusal:
        eb.load(tmp_path)
    assert len(str(refusal.value).splitlines()) == 1


def test_from_pretrained_refuses_weights_of_another_shape(pruned, tmp_path):
    eb.save(pruned, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["quantization_config"]["kept"]["heads"] = [1, 4, 4]
    (tmp_path / "config.json").write_text(json.dumps(config))
    # transformers 5.24 refuses by itself, 5.20 does not.
    with pytest.raises((eb.InputError, RuntimeError), match=r"ignore_mismatched_sizes|do not fit the config"):
        ViTForImageClassification.from_pretrained(tmp_path)


def test_damaged_directories_are_named(pruned, tmp_path):
    with pytest.raises(eb.InputError, match=r"there is no config\.json"):
        eb.load(tmp_path)
    eb.save(pruned, tmp_path)
    for content in ("{", "[]", '{"architectures": ["Nonsense"]}', '{"architectures": ["ViTForImageClassification"]}'):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(eb.InputError):
            eb.load(tmp_path)


@pytest.mark.parametrize("name", ["owner/name", "bert-base-uncased", "meta-llama/Llama-3.2-1B"])
@pytest.mark.parametrize("read", [eb.load, lambda name: export_directory(Path(name), Path("out"), "dense")])
def test_a_name_on_the_hub_is_sent_to_from_pretrained(name, read, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(eb.InputError) as refusal:
        read(name)
    said = str(refusal.value)
    assert f"there is no directory {name}" in said
    assert f'import earlybird, then AutoModel.from_pretrained("{name}")' in said


@pytest.mark.parametrize("place", ["", None, 5, b"name"])
@pytest.mark.parametrize("read", [eb.load, inspect_model])
def test_what_names_no_place_is_refused_and_not_taken_for_the_current_directory(
    read, place, pruned, tmp_path, monkeypatch
):
    eb.save(pruned, tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(eb.InputError, match=f"must be the path of a directory.*, got {place!r}"):
        read(place)


@pytest.mark.parametrize("name", ["./name", "a/b/c", "owner/name/", "/owner/name", "../name"])
def test_a_path_is_not_taken_for_a_name_on_the_hub(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(eb.InputError, match="there is no directory") as refusal:
        eb.load(name)
    assert "from_pretrained" not in str(refusal.value)


@pytest.mark.parametrize(
    "read", [eb.load, inspect_model, lambda place: export_directory(Path(place), Path("x"), "dense")]
)
@pytest.mark.parametrize(
    ("files", "place", "said"),
    [
        (["model.safetensors"], "model.safetensors", "is a file; give the directory"),
        (["adapter_config.json", "adapter_model.safetensors"], ".", r"holds an adapter.*merge_and_unload"),
        (
            ["tokenizer.json", "tokenizer_config.json"],
            ".",
            r"holds no model: there is no config\.json in it, only a tokenizer",
        ),
        (["preprocessor_config.json"], ".", r"holds no model: there is no config\.json in it, only a processor"),
        (
            ["checkpoint-20/config.json", "checkpoint-3/config.json"],
            ".",
            r"no config\.json in it, but in .*checkpoint-3, .*checkpoint-20$",
        ),
        ([], ".", r"there is no config\.json in it$"),
    ],
    ids=["file", "adapter", "tokenizer", "processor", "checkpoints", "empty"],
)
def test_what_a_place_without_a_model_holds_is_told(read, files, place, said, tmp_path):
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    with pytest.raises(eb.InputError, match=said):
        read(str(tmp_path / place))


def test_a_config_without_an_architecture_is_no_damage(pruned, tmp_path):
    eb.save(pruned, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for none in ({}, {"architectures": None}, {"architectures": []}):
        rest = {key: value for key, value in config.items() if key != "architectures"}
        (tmp_path / "config.json").write_text(json.dumps(rest | none))
        with pytest.raises(eb.InputError, match=r"names no architecture.*from_pretrained"):
            eb.load(tmp_path)


def test_a_pickle_is_not_loaded(pruned, tmp_path):
    eb.save(pruned, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(pruned.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(eb.InputError):
        eb.load(tmp_path)
