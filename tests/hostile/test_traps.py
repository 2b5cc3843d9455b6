"""Files that were made to do harm, not damaged by chance."""

from __future__ import annotations

import base64
import copy
import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    BertConfig,
    BertModel,
    CLIPTextConfig,
    CLIPTextModel,
    Gemma3nForCausalLM,
    Gemma3nTextConfig,
    SwinConfig,
    SwinModel,
    ViTConfig,
    ViTModel,
)

import earlybird as eb
from earlybird.checkpoint.inspection import inspect_model
from earlybird.cli import main
from earlybird.errors import InputError
from earlybird.integrations.hf_checkpoints import load_older_names
from earlybird.recipes.recipe_file import read_recipe
from earlybird.recipes.tasks.pretrained import pretrained_config, with_new_head
from earlybird.report.run import read_run
from earlybird.ticket import Ticket

# Each list is nine times the one before: together 9 to the ninth texts.
BOMB = "a0: &a0 [laugh, laugh]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))


@pytest.mark.parametrize("key", ["name", "version", "search", "training"])
def test_a_recipe_of_aliases_is_refused_before_it_unfolds(key, tmp_path):
    (tmp_path / "recipe.yaml").write_text(f"{BOMB}{key}: *a9\n")
    with pytest.raises(InputError, match=r"an alias \(\*name\) is not taken"):
        read_recipe(str(tmp_path / "recipe.yaml"))


@pytest.mark.parametrize(
    "value",
    [
        *("2020-13-45", "[" * 5000, "9" * 5000, "&a [*a]", ".inf", ".nan", "1.0e+308"),
        *("0x" + "f" * 5000, ":".join("1" * 300) + ".5", '"\\UFFFFFFFF"'),
        *("!!int ''", "!!bool x", "!!timestamp x", "!!timestamp {=: 1}"),
    ],
)
@pytest.mark.parametrize("place", ["override", "file"])
def test_a_value_that_cannot_be_is_status_2(value, place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    recipe = f"training.epochs={value}"
    if place == "file":
        recipe = "mine.yaml"
        (tmp_path / recipe).write_text(f"version: 1\ntask: image-classification\ntraining: {{epochs: {value}}}\n")
    arguments = ["run", "digits", recipe] if place == "override" else ["run", recipe]
    monkeypatch.setattr("sys.argv", ["earlybird", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert len(capsys.readouterr().err) < 1000
    assert not list(tmp_path.glob("runs"))


def test_a_large_value_is_not_repeated_whole():
    for key in ("task", "version", "seed", "search.window", "training.epochs"):
        with pytest.raises(InputError) as said:
            read_recipe("digits", [f"{key}=[{'long, ' * 10_000}]"])
        assert len(str(said.value)) < 500


def test_a_report_shows_no_recipe_of_any_size(tmp_path):
    (tmp_path / "recipe.yaml").write_text("#" * (1 << 20) + "\nversion: 1\n")
    run = read_run(tmp_path)
    assert run.recipe_text is None
    assert "larger than 1 MiB" in run.missing["recipe"]


@pytest.mark.parametrize(("narrow", "wide"), [(1 << 12, 1 << 19), (60, 1 << 22)])
def test_a_ticket_of_one_wide_block_and_many_narrow_ones_is_refused(narrow, wide, tmp_path):
    rows = [{"block": f"b{n}", "units": 1, "mask": "gA=="} for n in range(narrow)]
    rows.append({"block": "wide", "units": wide, "mask": base64.b64encode(bytes(wide // 8)).decode()})
    sealed = {"masks": {"neurons": rows}, "provenance": {}}
    digest = hashlib.sha256(json.dumps(sealed, sort_keys=True).encode()).hexdigest()
    (tmp_path / "ticket.json").write_text(
        json.dumps({"format": "earlybird-ticket", "version": 1, "sha256": digest, **sealed})
    )
    with pytest.raises(InputError, match="too unlike to be those of one model"):
        Ticket.load(tmp_path / "ticket.json")


def test_no_code_of_a_models_directory_is_run_whatever_is_answered(tmp_path, monkeypatch):
    model = BertModel(BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8))
    eb.save(model, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"model_type": "unheard-of", "auto_map": {"AutoConfig": "evil.Evil"}}
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    (tmp_path / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    for read in (eb.load, lambda path: inspect_model(str(path)), lambda path: inspect_model(str(path / "config.json"))):
        with pytest.raises(InputError):
            read(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_number_of_layers_that_no_weights_can_be_of_is_not_built(tmp_path):
    config = SwinConfig(image_size=16, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=2)
    eb.save(SwinModel(config), tmp_path)
    said = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(said | {"depths": [1, 5000]}))
    with pytest.raises(InputError, match=r"more than \d+ modules and parameters"):
        eb.load(tmp_path)


def tiny_bert_in(directory):
    """A saved BERT; returns what its config.json says."""
    eb.save(
        BertModel(BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)), directory
    )
    return json.loads((directory / "config.json").read_text())


def with_new_text_head(path):
    with_new_head(AutoModelForSequenceClassification, path, pretrained_config(path, 2), seed=0)


@pytest.mark.parametrize("name", ["adapter_model.bin", "elsewhere/model.safetensors", "/tmp/model.safetensors", 5])
def test_a_config_does_not_choose_the_file_of_the_weights(name, tmp_path):
    said = tiny_bert_in(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "model.safetensors").write_bytes((tmp_path / "model.safetensors").read_bytes())
    torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / "adapter_model.bin")
    (tmp_path / "config.json").write_text(json.dumps(said | {"transformers_weights": name}))
    with pytest.raises(InputError, match="names the file of the weights"):
        eb.load(tmp_path)
    with pytest.raises(InputError, match="names the file of the weights"):
        with_new_text_head(str(tmp_path))


def test_nor_does_a_config_inside_that_of_a_part(tmp_path):
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    text = CLIPTextConfig(**sizes, vocab_size=60, eos_token_id=59)
    eb.save(CLIPTextModel(text), tmp_path)
    torch.save({}, tmp_path / "adapter_model.bin")
    said = json.loads((tmp_path / "config.json").read_text())
    inside = {**said, "transformers_weights": "adapter_model.bin"}
    (tmp_path / "config.json").write_text(
        json.dumps({"architectures": ["CLIPTextModel"], "model_type": "clip", "text_config": inside})
    )
    with pytest.raises(InputError, match="names the file of the weights"):
        eb.load(tmp_path)


@pytest.mark.parametrize("index", ['{"weight_map": {"x": "missing.safetensors"}}', "[]", "{"])
def test_an_index_that_is_not_read_hides_no_false_size(index, tmp_path):
    said = tiny_bert_in(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text(index)
    assert eb.load(tmp_path).config.num_hidden_layers == 1
    (tmp_path / "config.json").write_text(json.dumps(said | {"hidden_size": 1024, "intermediate_size": 1 << 20}))
    with pytest.raises(InputError, match="claims a model of"):
        eb.load(tmp_path)


def test_a_checkpoint_of_older_names_is_read_from_safetensors_alone(tmp_path):
    config = ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, image_size=8, patch_size=4)
    model = ViTModel(config)
    model.save_pretrained(tmp_path)
    before = copy.deepcopy(model.state_dict())
    # Seen beside the others, but of another variant: what from_pretrained would take is the pickle.
    (tmp_path / "model.safetensors").rename(tmp_path / "model.other.safetensors")
    torch.save({name: torch.zeros_like(value) for name, value in before.items()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"no file named model\.safetensors"):
        load_older_names(model, tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


KERNELS = [
    {"attn_implementation": "owner/kernel"},
    {"_attn_implementation": "owner/kernel@main:function"},
    {"attn_implementation": "paged|owner/kernel"},
    {"attn_implementation": {"": "sdpa", "text_config": "owner/kernel"}},
    {"text_config": {"attn_implementation": "owner/kernel"}},
    {"experts_implementation": "owner/kernel"},
]


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_no_kernel_that_a_config_names_is_fetched(kernel, tmp_path):
    said = tiny_bert_in(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(said | kernel))
    for read in (eb.load, inspect_model):
        with pytest.raises(InputError, match=r"names the kernel '(paged\|)?owner/kernel.*take the key out"):
            read(str(tmp_path))
    with pytest.raises(InputError, match="names the kernel"):
        inspect_model(str(tmp_path / "config.json"))
    with pytest.raises(InputError, match="names the kernel"):
        with_new_text_head(str(tmp_path))


@pytest.mark.parametrize("kind", ["eager", "sdpa"])
def test_an_attention_of_transformers_itself_may_be_named(kind, tmp_path):
    said = tiny_bert_in(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(said | {"attn_implementation": kind}))
    assert eb.load(tmp_path).config._attn_implementation == kind


def with_new_image_head(path):
    with_new_head(AutoModelForImageClassification, path, pretrained_config(path, 2), seed=0)


# Of both, transformers has a config of its own, and no such model.
@pytest.mark.parametrize(
    ("model_type", "auto_class", "read"),
    [
        ("aimv2_text_model", "AutoModel", inspect_model),
        ("bert", "AutoModelForImageClassification", with_new_image_head),
    ],
)
def test_no_code_is_run_for_a_config_that_transformers_knows_either(
    model_type, auto_class, read, tmp_path, monkeypatch
):
    config = {"model_type": model_type, "num_hidden_layers": 1, "auto_map": {auto_class: "evil.Evil"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: ...\n")
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(InputError, match="contains custom code"):
        read(str(tmp_path))
    assert not (tmp_path / "ran").exists()


def test_a_key_that_only_sounds_like_a_count_of_layers_is_none(tmp_path):
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = Gemma3nTextConfig(
        **sizes,
        head_dim=8,
        intermediate_size=40,
        vocab_size=60,
        vocab_size_per_layer_input=500,
        hidden_size_per_layer_input=8,
        layer_types=["full_attention"] * 2,
        num_kv_shared_layers=0,
    )
    eb.save(Gemma3nForCausalLM(config), tmp_path)
    assert eb.load(tmp_path).config.vocab_size_per_layer_input == 500


def interrupted_save(directory):
    """A directory as a save leaves it that was killed before its files moved; returns where they are."""
    tiny_bert_in(directory)
    files = directory / ".earlybird-moving"
    files.mkdir()
    for path in list(directory.iterdir()):
        if path != files:
            path.rename(files / path.name)
    return files


def test_an_interrupted_save_is_not_finished_out_of_another_directory(tmp_path):
    files = interrupted_save(tmp_path / "model")
    files.rename(tmp_path / "mine")
    files.symlink_to(tmp_path / "mine")
    mine = sorted((tmp_path / "mine").iterdir())
    for read in (eb.load, inspect_model):
        with pytest.raises(InputError, match=r"there is no config\.json in it$"):
            read(str(tmp_path / "model"))
    assert sorted((tmp_path / "mine").iterdir()) == mine


def test_an_interrupted_save_is_not_finished_into_another_directory(tmp_path):
    files = interrupted_save(tmp_path / "model")
    (files / "templates").mkdir()
    (files / "templates" / "file").write_text("theirs")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    (tmp_path / "model" / "templates").symlink_to(tmp_path / "mine")
    eb.load(tmp_path / "model")
    assert (tmp_path / "mine" / "file").read_text() == "mine"
    assert (tmp_path / "model" / "templates" / "file").read_text() == "theirs"
