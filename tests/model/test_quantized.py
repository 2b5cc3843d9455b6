"""Quantized weights are refused with the way out; those of bitsandbytes and torchao where these are installed."""

from __future__ import annotations

import pytest
import torch
import transformers as hf
from families import build, inputs
from transformers.integrations.bitnet import BitLinear
from transformers.integrations.finegrained_fp8 import FP8Linear

import earlybird as eb

WAY_OUT = "before it was quantized, or after model.dequantize() where its method can, then quantize it anew"


def with_linears(model, make):
    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            model.set_submodule(name, make(module.in_features, module.out_features))
    return model


@pytest.mark.parametrize(
    ("make", "stored"),
    [
        (lambda inputs, outputs: FP8Linear(inputs, outputs), "torch.float8_e4m3fn"),
        (lambda inputs, outputs: BitLinear(inputs, outputs, bias=False, dtype=torch.float32), "torch.uint8"),
    ],
)
def test_a_quantized_model_is_refused_with_the_way_out(make, stored):
    model = with_linears(build("llama"), make)
    with pytest.raises(eb.InputError, match=f"q_proj .* is quantized, stored as {stored}") as refused:
        eb.Anatomy.of(model)
    assert str(refused.value).endswith(WAY_OUT)


def test_a_block_that_is_quantized_is_left_out_and_the_others_are_pruned():
    model = build("llama")
    model.model.layers[0].mlp.up_proj = FP8Linear(32, 40)
    anatomy = eb.Anatomy.of(model)
    assert [block.name for block in anatomy.mlp] == ["model.layers.1.mlp"]
    (left,) = anatomy.left_out
    assert left.name == "model.layers.0.mlp"
    assert left.reason.endswith(WAY_OUT)


def test_experts_of_eight_bits_are_left_out():
    model = build("mixtral")
    experts = model.model.layers[0].mlp.experts
    experts.down_proj = torch.nn.Parameter(experts.down_proj.to(torch.float8_e4m3fn), requires_grad=False)
    anatomy = eb.Anatomy.of(model)
    assert [left.reason for left in anatomy.left_out if "experts" in left.name] == [
        f"its experts are quantized: prune the model as it was {WAY_OUT}"
    ]


def quantization(library):
    if library == "bitsandbytes":
        pytest.importorskip("bitsandbytes")
        return hf.BitsAndBytesConfig(load_in_4bit=True)
    quantize = pytest.importorskip("torchao.quantization")
    return hf.TorchAoConfig(quantize.Int8WeightOnlyConfig())


@pytest.mark.parametrize("library", ["bitsandbytes", "torchao"])
def test_so_is_what_a_library_has_quantized(library, tmp_path):
    config = quantization(library)
    build("llama").save_pretrained(tmp_path)
    model = hf.LlamaForCausalLM.from_pretrained(tmp_path, quantization_config=config, device_map="cpu")
    with pytest.raises(eb.InputError, match=r"q_proj .* is quantized"):
        eb.Anatomy.of(model)
    if library == "bitsandbytes":
        plain = model.dequantize().float()
        eb.prune(plain, eb.Ticket.random(eb.Anatomy.of(plain), eb.PruningConfig(neurons=0.4)))
        assert plain(**inputs("llama")).logits.isfinite().all()
