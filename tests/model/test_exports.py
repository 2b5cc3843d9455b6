"""Exports agree with the pruned model, and are refused where a foreign tool would compute something else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from families import build
from transformers import (
    AutoModelForImageClassification,
    BertConfig,
    BertForSequenceClassification,
    Dinov2Config,
    Dinov2Model,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    LlamaModel,
    MistralConfig,
    MistralForCausalLM,
    ViTConfig,
    ViTForImageClassification,
)
from typer.testing import CliRunner

import earlybird as eb
from earlybird.cli.commands import app
from earlybird.models.off_by_one import use_off_by_one

SIZES = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 6, "intermediate_size": 96}
PIXELS = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def strong_weights(model):
    torch.manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def tiny_vit():
    return strong_weights(ViTForImageClassification(ViTConfig(**SIZES, image_size=8, patch_size=2, num_labels=10)))


def tiny_bert():
    return strong_weights(BertForSequenceClassification(BertConfig(**SIZES, vocab_size=100)))


def pruned(model, **ratios):
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(**ratios))
    return eb.prune(model, ticket), ticket


@pytest.mark.parametrize("ratios", [{"heads": 0.25, "neurons": 0.4}, {"neurons": 0.4, "uniform": True}])
def test_the_dense_export_is_the_masked_model_where_the_ticket_is_given(ratios, tmp_path):
    original = tiny_vit()
    model, ticket = pruned(tiny_vit(), **ratios)
    eb.export(model, tmp_path / "first-units")
    eb.export(model, tmp_path / "same-units", ticket=ticket)
    for directory in ("first-units", "same-units"):
        again = AutoModelForImageClassification.from_pretrained(tmp_path / directory)
        assert again.config.to_dict().keys() == original.config.to_dict().keys() | {"architectures", "dtype"}
        assert eb.Anatomy.of(again).units == eb.Anatomy.of(original).units
        torch.testing.assert_close(again(PIXELS).logits, model(PIXELS).logits, rtol=0, atol=1e-5)
    masked = eb.apply_mask(original, ticket).state_dict()
    outputs = [name for name in masked if name.endswith(("o_proj.weight", "fc2.weight"))]
    assert len(outputs) == 4
    assert all(torch.equal(again.state_dict()[name], masked[name]) for name in outputs)
    other = ticket.shuffled(1)
    eb.export(model, tmp_path / "other", ticket=other)  # as many units elsewhere compute the same
    with pytest.raises(eb.InputError, match="not the one by which the model was pruned"):
        eb.export(
            model, tmp_path / "wrong", ticket=eb.Ticket.random(eb.Anatomy.of(original), eb.PruningConfig(neurons=0.8))
        )


@pytest.mark.parametrize("make", [tiny_vit, tiny_bert])
def test_onnx_agrees_for_other_batches_and_lengths(make, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the onnx extra and onnxruntime")
    model, _ = pruned(make(), heads=0.25, neurons=0.4)
    inputs = {"pixel_values": PIXELS}
    if make is tiny_bert:
        ids = torch.randint(5, 100, (3, 11), generator=torch.Generator().manual_seed(1))
        visible = torch.ones_like(ids)
        visible[1, 6:] = 0
        inputs = {"input_ids": ids, "attention_mask": visible, "token_type_ids": (ids > 50).long()}
    eb.export(model, tmp_path, format="onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (logits,) = session.run(["logits"], {name: value.numpy() for name, value in inputs.items()})
    torch.testing.assert_close(torch.from_numpy(logits), model(**inputs).logits.detach(), rtol=0, atol=1e-4)


DECODER = {**SIZES, "head_dim": 8, "num_key_value_heads": 2, "vocab_size": 100, "pad_token_id": 0}


UNEVEN = {"heads": 0.4, "neurons": 0.4}


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("family", "config", "ratios"),
    [
        (LlamaForCausalLM, LlamaConfig(**DECODER), UNEVEN),
        (LlamaForCausalLM, LlamaConfig(**DECODER), UNEVEN | {"uniform": True}),
        (LlamaModel, LlamaConfig(**DECODER), UNEVEN),
        (LlamaForSequenceClassification, LlamaConfig(**DECODER), UNEVEN),
        (MistralForCausalLM, MistralConfig(**DECODER, sliding_window=9), UNEVEN),  # the batch below is longer
    ],
    ids=["language model", "uniform", "without a head", "classifier", "sliding window"],
)
def test_onnx_takes_decoders(family, config, ratios, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the onnx extra and onnxruntime")
    model, _ = pruned(strong_weights(family(config)), **ratios)
    ids = torch.randint(5, 100, (3, 13), generator=torch.Generator().manual_seed(1))
    visible = torch.ones_like(ids)
    visible[0, :4] = 0
    visible[1, 9:] = 0
    ids = ids * visible
    expected = model(input_ids=ids, attention_mask=visible)[0].detach()
    eb.export(model, tmp_path, format="onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert len(session.get_outputs()) == 1  # no keys and values
    (output,) = session.run(None, {"input_ids": ids.numpy(), "attention_mask": visible.numpy()})
    output = torch.from_numpy(output)
    if output.ndim == 3:  # what stands at padding means nothing
        output, expected = output[visible.bool()], expected[visible.bool()]
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-4)
    assert model.config.use_cache


def test_onnx_refuses_what_takes_text_and_images(tmp_path):
    model, _ = pruned(build("clip"), neurons=0.4)
    with pytest.raises(eb.InputError, match="token ids alone or images alone, CLIPModel is another"):
        eb.export(model, tmp_path / "out", format="onnx")
    assert not (tmp_path / "out").exists()


@pytest.mark.thorough
def test_onnx_tells_what_torch_cannot_write_and_a_way_out(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the onnx extra and onnxruntime")
    model, _ = pruned(build("mixtral"), heads=0.4)
    with pytest.raises(
        eb.InputError, match=r'MixtralForCausalLM as ONNX: .*grouped_mm.*set_experts_implementation\("batched_mm"\)'
    ):
        eb.export(model, tmp_path, format="onnx")
    assert not (tmp_path / "model.onnx").exists()
    model.set_experts_implementation("batched_mm")
    eb.export(model, tmp_path, format="onnx")
    ids = torch.arange(5, 45)[None]
    inputs = {"input_ids": ids.numpy(), "attention_mask": torch.ones_like(ids).numpy()}
    (logits,) = onnxruntime.InferenceSession(tmp_path / "model.onnx").run(["logits"], inputs)
    torch.testing.assert_close(torch.from_numpy(logits), model(ids).logits.detach(), rtol=0, atol=1e-4)


def test_a_per_layer_config_says_each_layer(tmp_path):
    model, ticket = pruned(tiny_vit(), neurons=0.4)
    eb.export(model, tmp_path, format="per-layer-config")
    config = json.loads((tmp_path / "config.json").read_text())
    counts = [layer["intermediate_size"] for layer in config["per_layer_config"].values()]
    assert tuple(counts) == ticket.kept("neurons")
    assert config["intermediate_size"] == 96
    assert "quantization_config" not in config
    model, _ = pruned(tiny_vit(), heads=0.25)
    with pytest.raises(eb.InputError, match="has no field head_dim"):
        eb.export(model, tmp_path, format="per-layer-config")


def test_an_export_takes_the_place_of_a_model_in_several_files(tmp_path):
    model, _ = pruned(tiny_vit(), neurons=0.4)
    for format in ("dense", "per-layer-config"):
        eb.save(model, tmp_path, max_shard_size=20_000)
        eb.export(model, tmp_path, format=format)
        assert [path.name for path in tmp_path.glob("model*")] == ["model.safetensors"]


@pytest.mark.parametrize("format", ["dense", "per-layer-config"])
def test_an_export_does_not_replace_the_model_that_it_is_of(format, tmp_path):
    model, _ = pruned(tiny_vit(), neurons=0.4)
    eb.save(model, tmp_path)
    with pytest.raises(eb.InputError, match="holds the model itself; give another directory"):
        eb.export(eb.load(tmp_path), tmp_path, format=format)
    assert eb.Anatomy.of(eb.load(tmp_path)).units == eb.Anatomy.of(model).units


def test_a_model_of_no_directory_is_exported_to_the_current_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, _ = pruned(tiny_vit(), neurons=0.4)
    assert (eb.export(model, ".") / "model.safetensors").is_file()


def test_onnx_refuses_bfloat16_which_runtimes_do_not_read(tmp_path):
    model, _ = pruned(tiny_vit().to(torch.bfloat16), neurons=0.4)
    with pytest.raises(
        eb.InputError, match=r"float32 or float16, those of the model are bfloat16.*dtype=torch\.float32"
    ):
        eb.export(model, tmp_path / "out", format="onnx")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_onnx_keeps_the_type_of_the_weights(dtype, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the onnx extra and onnxruntime")
    model, _ = pruned(tiny_vit().to(getattr(torch, dtype)), neurons=0.4)
    eb.export(model, tmp_path, format="onnx")
    (logits,) = onnxruntime.InferenceSession(tmp_path / "model.onnx").get_outputs()
    assert logits.type == {"float16": "tensor(float16)", "float32": "tensor(float)"}[dtype]


def test_what_a_foreign_tool_would_compute_wrongly_is_refused(tmp_path):
    model, _ = pruned(tiny_vit(), heads=0.25)
    use_off_by_one(model)
    for format in ("dense", "per-layer-config"):
        with pytest.raises(eb.InputError, match="off-by-one"):
            eb.export(model, tmp_path / "out", format=format)
    with pytest.raises(eb.InputError, match='format must be "dense"'):
        eb.export(model, tmp_path / "out", format="tflite")
    assert not (tmp_path / "out").exists()


def test_a_uniform_shape_that_the_config_cannot_say_is_told(tmp_path, caplog):
    config = Dinov2Config(hidden_size=48, num_hidden_layers=2, num_attention_heads=6, image_size=8, patch_size=2)
    model, _ = pruned(Dinov2Model(config), neurons=0.4, uniform=True)
    eb.save(model, tmp_path)
    assert "Dinov2Config has no field for the number of neurons" in caplog.text
    assert eb.Anatomy.of(eb.load(tmp_path)).units == eb.Anatomy.of(model).units


def test_the_command_exports_and_copies_the_tokenizer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, ticket = pruned(tiny_bert(), heads=0.25, neurons=0.4)
    eb.save(model, "pruned")
    ticket.save("ticket.json")
    Path("pruned/vocab.txt").write_text("[PAD]\n")
    done = CliRunner().invoke(app, ["export", "pruned", "dense", "--ticket", "ticket.json", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"directory": "dense", "format": "dense"}
    assert Path("dense/vocab.txt").is_file()
    ids = torch.tensor([[5, 6, 7]])
    again = BertForSequenceClassification.from_pretrained("dense")
    torch.testing.assert_close(again(ids).logits, model(ids).logits, rtol=0, atol=1e-5)
    assert isinstance(CliRunner().invoke(app, ["export", "pruned", "pruned"]).exception, eb.InputError)
