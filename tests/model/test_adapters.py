"""PEFT's LoRA: folding and pruning with it on a model, and on a model that is pruned already."""

from __future__ import annotations

import copy

import pytest
import torch
from families import build, inputs
from peft import LoraConfig, PeftModel, get_peft_model, inject_adapter_in_model
from transformers import AutoModelForCausalLM

import earlybird as eb
from earlybird.slimming.slimming import Slimming
from earlybird.surgery.outputs import largest_difference, output_tensors

TARGETS = {
    "bert": ["query", "value", "dense"],
    "llama": ["q_proj", "v_proj", "o_proj", "up_proj", "down_proj"],
    "phi3": ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"],
    "olmo2": ["q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj"],
    "gpt2": ["c_attn", "c_proj", "c_fc"],
}


def adapted(model, name, **settings):
    result = get_peft_model(model, LoraConfig(r=4, target_modules=TARGETS[name], **settings))
    torch.manual_seed(1)
    with torch.no_grad():
        for path, parameter in result.named_parameters():
            if "lora_B" in path:
                parameter.normal_(std=0.2)
    return result.eval()


def run(model, name):
    with torch.no_grad():
        return output_tensors(model(**inputs(name)))


@pytest.mark.parametrize("place", ["after", "before"])
@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_folding_scales_the_weight_and_the_matrices_beside_it(name, place):
    model = adapted(build(name), name, lora_bias=True)
    slimming = Slimming(model, eb.Anatomy.of(model), places=dict.fromkeys(("heads", "neurons"), place))
    before = run(model, name)
    for coefficients in slimming.coefficients.values():
        torch.nn.init.uniform_(coefficients.values, -0.5, 0.5)
    scaled = run(model, name)
    size = max(float(tensor.abs().max()) for tensor in scaled)
    assert largest_difference(before, scaled) > 1e-2 * size
    slimming.fold()
    assert largest_difference(run(model, name), scaled) < 1e-5 * size
    merged = model.merge_and_unload()
    assert largest_difference(run(merged, name), scaled) < 1e-5 * size


@pytest.mark.parametrize("name", TARGETS)
def test_pruning_cuts_the_matrices_along(name):
    model = adapted(build(name), name)
    plain = build(name)
    assert eb.Anatomy.of(model).fingerprint == eb.Anatomy.of(plain).fingerprint
    ticket = eb.Ticket.random(eb.Anatomy.of(plain), eb.PruningConfig(heads=0.5, neurons=0.4), seed=0)
    masked = run(eb.apply_mask(copy.deepcopy(model), ticket), name)
    size = max(float(tensor.abs().max()) for tensor in masked)
    assert largest_difference(run(model, name), masked) > 1e-2 * size
    eb.prune(model, ticket)
    assert largest_difference(run(model, name), masked) < 1e-5 * size
    # A new adapter fits the pruned sizes, and merging adds up what was cut.
    model.add_adapter("second", LoraConfig(r=2, target_modules=TARGETS[name]))
    assert largest_difference(run(model.merge_and_unload(), name), masked) < 1e-5 * size


@pytest.mark.parametrize("name", ["llama", "phi3", "olmo2"])
def test_the_optimizer_of_the_adapter_follows(name):
    model = adapted(build(name), name).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-3)
    output_tensors(model(**inputs(name)))[0].square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()
    eb.prune(
        model,
        eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.5, neurons=0.4), seed=0),
        optimizer=optimizer,
    )
    trained = [p for p in model.parameters() if p.requires_grad]
    assert {id(p) for p in optimizer.param_groups[0]["params"]} == {id(p) for p in trained}
    assert all(optimizer.state[p]["exp_avg"].shape == p.shape for p in trained)
    output_tensors(model(**inputs(name)))[0].square().mean().backward()
    optimizer.step()


def test_an_optimizer_whose_adapter_loses_nothing_stays_as_it_is():
    model = get_peft_model(build("llama"), LoraConfig(r=4, target_modules=["q_proj"]))
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, 1e-3)
    eb.prune(model, eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(neurons=0.4), seed=0), optimizer=optimizer)
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == [id(p) for p in trained]


def test_an_adapter_trained_on_a_pruned_model_reloads_with_the_same_logits(tmp_path):
    pruned = build("llama")
    eb.prune(pruned, eb.Ticket.random(eb.Anatomy.of(pruned), eb.PruningConfig(heads=0.5, neurons=0.4), seed=0))
    eb.save(pruned, tmp_path / "small")
    model = get_peft_model(eb.load(tmp_path / "small"), LoraConfig(r=4, target_modules=TARGETS["llama"])).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-2)
    for _ in range(3):
        model(**inputs("llama"), labels=inputs("llama")["input_ids"]).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(tmp_path / "adapter")
    logits = run(model.eval(), "llama")
    assert largest_difference(logits, run(pruned, "llama")) > 1e-3
    for small in (eb.load(tmp_path / "small"), AutoModelForCausalLM.from_pretrained(tmp_path / "small")):
        again = PeftModel.from_pretrained(small, tmp_path / "adapter").eval()
        assert largest_difference(logits, run(again, "llama")) == 0


def test_search_prune_train_save_and_load_with_an_adapter_all_along(tmp_path):
    # Without padding: of tokens that see nothing, each attention kernel makes something else.
    tokens = inputs("llama", masked=False)
    model = adapted(build("llama"), "llama").train()
    search = eb.Search(model, eb.SearchConfig(heads=0.5, neurons=0.4, detector="hamming"), total_steps=40)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-3)
    for _ in range(40):
        (model(**tokens, labels=tokens["input_ids"]).loss + search.penalty()).backward()
        optimizer.step()
        optimizer.zero_grad()
        if search.step():
            break
    search.finish()
    eb.prune(model, search.ticket, optimizer=optimizer)
    model(**tokens, labels=tokens["input_ids"]).loss.backward()
    optimizer.step()
    with torch.no_grad():
        logits = model.eval()(**tokens).logits
    with pytest.raises(eb.InputError, match=r"there is an adapter on .*merge_and_unload"):
        eb.save(model, tmp_path / "small")
    model.save_pretrained(tmp_path / "adapter")
    eb.save(model.unload(), tmp_path / "small")
    again = PeftModel.from_pretrained(eb.load(tmp_path / "small"), tmp_path / "adapter").eval()
    with torch.no_grad():
        assert largest_difference([logits], [again(**tokens).logits]) < 1e-6


def test_an_injected_adapter_is_refused_by_save(tmp_path):
    model = inject_adapter_in_model(LoraConfig(r=4, target_modules=["q_proj"]), build("llama"))
    assert eb.Anatomy.of(model).fingerprint == eb.Anatomy.of(build("llama")).fingerprint
    with pytest.raises(eb.InputError, match="there is an adapter on"):
        eb.save(model, tmp_path / "small")
    assert not (tmp_path / "small").exists()


def test_merging_in_the_middle_of_a_search_is_refused_at_its_end():
    model = adapted(build("bert"), "bert").train()
    search = eb.Search(model, eb.SearchConfig(neurons=0.4), total_steps=50)
    (output_tensors(model(**inputs("bert")))[0].square().mean() + search.penalty()).backward()
    search.step()
    merged = model.merge_and_unload()
    with pytest.raises(eb.InputError, match=r"merge them after its finish\(\)"):
        search.finish()
    search.detach()
    eb.Search(merged, eb.SearchConfig(neurons=0.4), total_steps=50)
