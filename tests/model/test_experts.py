"""Mixtures whose experts are stored as one tensor: every expert keeps equally many neurons, each its own."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
import transformers as hf
from families import GROUPED, MIXTURES, build, inputs, without_head_size
from peft import LoraConfig, get_peft_model

import earlybird as eb
from earlybird.latency import unit_costs
from earlybird.slimming.slimming import Slimming

# OLMoE normalises over all heads; queries and keys of DeepSeek are of low rank.
OTHERS = {
    "olmoe": (hf.OlmoeForCausalLM, hf.OlmoeConfig, {"intermediate_size": 24, "num_experts": 8}),
    "deepseek_v3": (
        hf.DeepseekV3ForCausalLM,
        hf.DeepseekV3Config,
        {
            "num_key_value_heads": 8,
            "moe_intermediate_size": 24,
            "n_routed_experts": 8,
            "n_group": 2,
            "topk_group": 1,
            "first_k_dense_replace": 1,
            "q_lora_rank": 16,
            "kv_lora_rank": 16,
            "qk_rope_head_dim": 8,
            "qk_nope_head_dim": 8,
            "v_head_dim": 8,
        },
    ),
}
ALL = (*MIXTURES, *OTHERS)
IDS = torch.randint(5, 60, (2, 9), generator=torch.Generator().manual_seed(2))


def mixture(name):
    if name in MIXTURES:
        return build(name)
    model_class, config_class, settings = OTHERS[name]
    torch.manual_seed(0)
    model = model_class(config_class(**{**without_head_size(GROUPED), "num_experts_per_tok": 2, **settings}))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2)
    return model.eval()


def logits(model):
    with torch.no_grad():
        return model(input_ids=IDS).logits


def per_expert(anatomy, masks):
    """Neurons kept of every expert, of each block that holds some."""
    return [
        mask[: block.units].reshape(block.experts, -1).sum(1)
        for block, mask in zip(anatomy.mlp, masks, strict=True)
        if block.experts
    ]


@pytest.mark.parametrize("kernel", ["eager", "batched_mm", "grouped_mm"])
@pytest.mark.parametrize("name", ALL)
def test_removed_equals_masked_by_every_kernel(name, kernel):
    model = mixture(name)
    model.set_experts_implementation(kernel)
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(neurons=0.5), seed=0)
    masked, before = eb.apply_mask(copy.deepcopy(model), ticket), logits(model)
    small = eb.prune(model, ticket)
    size = float(logits(masked).abs().max())
    assert float((logits(masked) - logits(small)).abs().max()) < 1e-5 * size
    assert float((before - logits(small)).abs().max()) > 1e-3 * size


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("settings", [{"neurons": 0.5}, {"neurons": 0.5, "round_to": 16}, {"parameters": 0.8}])
def test_every_expert_keeps_a_multiple_of_eight_of_its_own(name, settings):
    model = mixture(name)
    anatomy = eb.Anatomy.of(model)
    masks = eb.Ticket.random(anatomy, eb.PruningConfig(**settings), seed=1).masks["neurons"]
    found = per_expert(anatomy, masks)
    assert found
    for counts in found:
        assert len(set(counts.tolist())) == 1
        assert counts[0] % 8 == 0 < counts[0]
    first = masks[[block.experts > 0 for block in anatomy.mlp].index(True)]
    experts = next(block.experts for block in anatomy.mlp if block.experts)
    own = first[: first.size // experts * experts].reshape(experts, -1)
    assert len({row.tobytes() for row in own}) > 1 or own.all()


@pytest.mark.parametrize("name", ALL)
def test_it_saves_and_loads_by_every_way(name, tmp_path):
    model = mixture(name)
    small = eb.prune(model, eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(neurons=0.5), seed=0))
    expected = logits(small)
    eb.save(small, tmp_path / "saved")
    plain = type(model).from_pretrained(tmp_path / "saved")
    plain.save_pretrained(tmp_path / "again")
    eb.export(small, tmp_path / "dense", format="dense")
    dense = type(model).from_pretrained(tmp_path / "dense")
    for loaded in (eb.load(tmp_path / "saved"), plain, type(model).from_pretrained(tmp_path / "again"), dense):
        assert torch.allclose(logits(loaded), expected, atol=1e-5 * float(expected.abs().max()))
    assert eb.Anatomy.of(dense).units == eb.Anatomy.of(mixture(name)).units


def test_a_mixture_of_equal_layers_says_its_shape_plainly(tmp_path):
    for name, field in (("mixtral", "intermediate_size"), ("qwen3_moe", "moe_intermediate_size")):
        model = mixture(name)
        config = eb.PruningConfig(neurons=0.5, uniform=True)
        eb.save(eb.prune(model, eb.Ticket.random(eb.Anatomy.of(model), config, seed=0)), tmp_path / name)
        said = hf.AutoConfig.from_pretrained(tmp_path / name)
        assert getattr(said, field) == eb.Anatomy.of(model).mlp[0].units // 4
        assert getattr(said, "quantization_config", None) is None


@pytest.mark.parametrize("name", ALL)
def test_a_coefficient_is_what_its_neuron_gives(name):
    """The loss changes with a coefficient as its gradient says."""
    model = mixture(name).double()
    model.set_experts_implementation("eager")
    slimming = Slimming(model, eb.Anatomy.of(model), kinds=["neurons"])
    coefficients = slimming.coefficients["neurons"]

    def loss():
        return model(input_ids=IDS).logits.square().mean()

    loss().backward()
    block = [each.experts > 0 for each in eb.Anatomy.of(model).mlp].index(True)
    leaf = coefficients.leaves[block]
    step, unit = 1e-2, int(leaf.grad.abs().argmax())
    values = []
    with torch.no_grad():
        for change in (step, -2 * step):
            leaf[unit] += change
            values.append(float(loss()))
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(float(leaf.grad[unit]), rel=2e-2)


@pytest.mark.parametrize("score", ["coefficient", "gradient", "squared-gradient"])
@pytest.mark.parametrize("name", ALL)
def test_a_search_draws_what_is_removed_with_its_optimizer(name, score):
    model = mixture(name).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    heads = 0.3 if eb.Anatomy.of(model).attention else None
    search = eb.Search(model, eb.SearchConfig(score=score, heads=heads, neurons=0.5), total_steps=20)
    for _ in range(3):
        optimizer.zero_grad()
        (model(input_ids=IDS, labels=IDS).loss + search.penalty()).backward()
        optimizer.step()
        search.step()
    ticket = search.draw_now()
    search.finish()
    masked = logits(eb.apply_mask(copy.deepcopy(model).eval(), ticket))
    eb.prune(model, ticket, optimizer=optimizer)
    assert float((logits(model.eval()) - masked).abs().max()) < 1e-5 * float(masked.abs().max())
    anatomy = eb.Anatomy.of(model)
    assert sum(anatomy.units["neurons"]) == ticket.masks["neurons"].sum()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    model.train()(input_ids=IDS, labels=IDS).loss.backward()
    optimizer.step()
    assert all(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


def test_a_record_is_drawn_from_as_the_search_drew(tmp_path):
    model = mixture("mixtral").train()
    config = eb.SearchConfig(heads=0.3, neurons=0.5, detector="fixed-time", score="gradient")
    search = eb.Search(model, config, total_steps=20, recording=eb.Recording(tmp_path))
    ticket = None
    while ticket is None:
        model.zero_grad()
        model(input_ids=IDS, labels=IDS).loss.backward()
        ticket = search.step()
    search.finish()
    trajectory = eb.Trajectory.open(tmp_path)
    assert trajectory.shape.expert_groups == (4, 4)
    drawn = eb.detect(trajectory, config)
    assert drawn.step == ticket.provenance["draw_step"]
    for kind in ("heads", "neurons"):
        assert np.array_equal(drawn.masks[kind], ticket.masks[kind])


def test_a_budget_of_flops_is_met_and_counts_the_experts_that_a_token_goes_to():
    for name in ALL:
        model = mixture(name)
        anatomy = eb.Anatomy.of(model)
        costs = anatomy.unit_costs("flops", 12)
        block = next(each for each in anatomy.mlp if each.experts)
        row = anatomy.mlp.index(block)
        # 12 tokens at 2 experts each; a neuron has three weights of 32, and a multiplication and an addition are two.
        spread = 12 * 2 * 3 * 32 * 2 / block.experts
        assert costs.units["neurons"][row] == pytest.approx(spread)
        ticket = eb.Ticket.random(anatomy, eb.PruningConfig(flops=0.8, tokens=12), seed=0, costs=costs)
        shared = anatomy.key_value_groups
        groups = None if shared is None else [(8, count) for count in shared]
        left = float(costs.of(ticket.masks, groups)) / costs.whole
        assert 0.8 - 0.25 < left <= 0.8


def test_a_shuffled_ticket_keeps_as_many_of_every_expert():
    anatomy = eb.Anatomy.of(mixture("mixtral"))
    ticket = eb.Ticket.random(anatomy, eb.PruningConfig(neurons=0.5), seed=0)
    other = ticket.shuffled_on(anatomy, 3)
    assert not np.array_equal(other.masks["neurons"], ticket.masks["neurons"])
    for one, two in zip(*(per_expert(anatomy, each.masks["neurons"]) for each in (ticket, other)), strict=True):
        assert one.tolist() == two.tolist()


def test_generation_goes_on_as_masked():
    model = mixture("gpt_oss")
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.3, neurons=0.5), seed=0)
    settings = {"max_new_tokens": 8, "min_new_tokens": 8, "do_sample": False}
    masked = eb.apply_mask(copy.deepcopy(model), ticket).generate(input_ids=IDS, **settings)
    assert torch.equal(eb.prune(model, ticket).generate(input_ids=IDS, **settings), masked)


def test_compensation_refits_the_heads_and_leaves_the_experts():
    model = mixture("mixtral")
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.3, neurons=0.5), seed=0)
    batches = [{"input_ids": torch.randint(5, 60, (4, 16))} for _ in range(4)]
    plain = eb.prune(copy.deepcopy(model), ticket).state_dict()
    refitted = eb.prune(model, ticket, compensate=batches).state_dict()
    changed = {name for name in plain if not torch.equal(plain[name], refitted[name])}
    assert changed == {f"model.layers.{layer}.self_attn.o_proj.weight" for layer in range(2)}


# Bad input


def test_experts_that_would_keep_unequal_numbers_are_refused():
    model = mixture("mixtral")
    mask = np.ones((2, 4 * 56), dtype=bool)
    mask[0, :8] = False
    with pytest.raises(eb.InputError, match=r"4 experts in one tensor, which would keep \[48, 56, 56, 56\] neurons"):
        eb.prune(model, eb.Ticket.of(eb.Anatomy.of(model), {"neurons": mask}))


def test_a_number_of_neurons_that_the_kernel_does_not_take_is_refused_with_the_way_out():
    model = mixture("mixtral")
    mask = np.ones((2, 4, 56), dtype=bool)
    mask[:, :, :3] = False
    ticket = eb.Ticket.of(eb.Anatomy.of(model), {"neurons": mask.reshape(2, -1)})
    with pytest.raises(eb.InputError, match=r"multiple of 8 \(round_to=8\).*set_experts_implementation"):
        eb.prune(model, ticket)
    model.set_experts_implementation("eager")
    masked = logits(eb.apply_mask(copy.deepcopy(model), ticket))
    assert torch.allclose(logits(eb.prune(model, ticket)), masked, atol=1e-5)


def test_experts_cannot_go_whole_and_have_no_table_of_milliseconds():
    model = mixture("mixtral")
    anatomy = eb.Anatomy.of(model)
    with pytest.raises(eb.InputError, match="whole_blocks=True is not for the experts of a mixture"):
        eb.Ticket.random(anatomy, eb.PruningConfig(flops=0.7, whole_blocks=True))
    with pytest.raises(eb.InputError, match=r"milliseconds of a mixture depend on which experts.*exclude="):
        unit_costs(model, anatomy, eb.PruningConfig(milliseconds=1, examples=1, tokens=8))


def test_a_search_under_float16_autocast_is_refused():
    model = mixture("mixtral").train()
    eb.Search(model, eb.SearchConfig(neurons=0.5, heads=None), total_steps=20)
    with torch.autocast("cpu", torch.float16), pytest.raises(eb.InputError, match="use bfloat16"):
        model(**inputs("mixtral"))


@pytest.mark.parametrize("asked", [{"target_modules": "all-linear"}, {"target_parameters": ["experts.down_proj"]}])
def test_experts_with_adapters_on_them_are_left_out_and_the_rest_is_pruned(asked):
    model = mixture("mixtral")
    adapted = get_peft_model(model, LoraConfig(r=4, **asked))
    anatomy = eb.Anatomy.of(adapted)
    assert not anatomy.mlp
    assert all("PEFT's adapters are on its experts" in left.reason for left in anatomy.left_out)
    ticket = eb.Ticket.random(anatomy, eb.PruningConfig(heads=0.4), seed=0)
    eb.prune(adapted, ticket)
    before = logits(adapted)
    assert torch.allclose(logits(adapted.merge_and_unload()), before, atol=1e-5 * float(before.abs().max()))


def test_experts_that_cannot_be_run_by_themselves_are_not_cut():
    model = mixture("mixtral")
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(neurons=0.5), seed=0)
    before = logits(model)

    def breaks(*arguments):
        if not arguments[0].requires_grad and arguments[0].shape[0] < 18:
            raise RuntimeError("wants more")
        return type(experts).forward(experts, *arguments)

    experts = model.model.layers[0].mlp.experts
    experts.forward = breaks
    with pytest.raises(eb.InputError, match="cannot be run by itself to check"):
        eb.prune(model, ticket)
    assert torch.equal(logits(model), before)


def test_what_was_pruned_before_experts_were_known_still_loads(tmp_path):
    """Its config names the blocks of then: dense ones, and experts that all tokens share."""
    model = mixture("deepseek_v3")
    anatomy = eb.Anatomy.of(model, exclude=["*experts", "*self_attn"])
    eb.save(eb.prune(model, eb.Ticket.random(anatomy, eb.PruningConfig(neurons=0.5), seed=0)), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    said = config["quantization_config"]
    (row,) = [i for i, name in enumerate(said["blocks"]["neurons"]) if name.endswith("mlp.experts")]
    for part in (said["blocks"]["neurons"], said["kept"]["neurons"]):
        del part[row]
    for part in (said["blocks"], said["kept"]):
        part.pop("heads", None)
    said.pop("key_value_groups", None)
    (tmp_path / "config.json").write_text(json.dumps(config))
    for loaded in (eb.load(tmp_path), type(model).from_pretrained(tmp_path)):
        assert torch.allclose(logits(loaded), logits(model), atol=1e-5)
    said["blocks"]["neurons"][0] = "model.layers.9.mlp"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(eb.InputError, match="which are not the 3 blocks"):
        eb.load(tmp_path)


def test_a_ticket_of_some_blocks_is_shuffled_in_its_shape():
    model = mixture("deepseek_v3")
    anatomy = eb.Anatomy.of(model)
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(neurons=0.5, exclude=["*experts"]), seed=0)
    other = ticket.shuffled_on(anatomy, 1)
    assert other.kept("neurons") == ticket.kept("neurons")


def test_a_per_layer_config_of_experts_beside_other_mlps_is_refused(tmp_path):
    model = mixture("deepseek_v3")
    eb.prune(model, eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(neurons=0.5), seed=0))
    with pytest.raises(
        eb.InputError, match="cannot describe DeepseekV3ForCausalLM: its fields do not tell the neurons"
    ):
        eb.export(model, tmp_path, format="per-layer-config")


def test_the_anatomy_names_the_experts():
    text = str(eb.Anatomy.of(mixture("mixtral")))
    assert "model.layers.0.mlp.experts: 224 neurons in 4 experts" in text
