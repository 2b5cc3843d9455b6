"""Experts as units: the router loses its rows and the tensor its slices, and picks among those that are left."""

from __future__ import annotations

import copy
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers as hf
from families import build
from test_experts import ALL, IDS, logits, mixture

import earlybird as eb
from earlybird.slimming.slimming import Slimming

EVERY_KIND = {"experts": 0.5, "neurons": 0.5, "heads": 0.3}


def random_ticket(model, seed=0, **settings):
    return eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(**settings), seed=seed)


def with_correction_bias(model):
    """A bias of DeepSeek's choice that prefers some experts, as training makes it."""
    generator = torch.Generator().manual_seed(3)
    for name, buffer in model.named_buffers():
        if "correction_bias" in name:
            buffer.normal_(std=0.5, generator=generator)
    return model


def picked(model):
    """The experts that each router picks for each token."""
    seen = []

    def look(_, arguments):
        seen.append(arguments[1].clone())

    handles = [
        model.get_submodule(block.name).register_forward_pre_hook(look) for block in eb.Anatomy.of(model).mixtures
    ]
    logits(model)
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize("settings", [{"experts": 0.4}, EVERY_KIND], ids=["experts", "every kind"])
@pytest.mark.parametrize("name", ALL)
def test_removed_equals_masked_by_every_kernel(name, settings):
    model = with_correction_bias(mixture(name))
    ticket = random_ticket(model, **settings)
    for kernel in ("eager", "batched_mm", "grouped_mm"):
        model.set_experts_implementation(kernel)
        masked, before = eb.apply_mask(copy.deepcopy(model), ticket), logits(model)
        small = eb.prune(copy.deepcopy(model), ticket)
        size = float(before.abs().max())
        assert float((logits(masked) - logits(small)).abs().max()) < 1e-5 * size
        assert float((before - logits(small)).abs().max()) > 1e-3 * size


@pytest.mark.parametrize("name", ALL)
def test_a_masked_router_picks_as_the_pruned_one_and_none_that_went(name):
    model = with_correction_bias(mixture(name))
    ticket = random_ticket(model, experts=0.5)
    masked = picked(eb.apply_mask(copy.deepcopy(model), ticket))
    pruned = picked(eb.prune(copy.deepcopy(model), ticket))
    for before, mine, its, mask in zip(picked(model), masked, pruned, ticket.masks["experts"], strict=True):
        kept = np.flatnonzero(mask)
        assert not set(before.unique().tolist()) <= set(kept.tolist())
        assert set(mine.unique().tolist()) <= set(kept.tolist())
        assert torch.equal(mine.sort(-1).values, torch.from_numpy(kept)[its].sort(-1).values)


def test_a_masked_router_weighs_the_rest_by_the_formula():
    """Mixtral: the softmax over all experts' logits, of which the two largest are made to add up to 1."""
    model = mixture("mixtral")
    ticket = random_ticket(model, experts=0.4)
    block = model.model.layers[0].mlp
    features = torch.randn(6, model.config.hidden_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        scores = features @ block.gate.weight.T
        scores[:, torch.from_numpy(~ticket.masks["experts"][0])] = -torch.inf
        weights, places = scores.softmax(-1).topk(2)
        _, mine, experts = eb.apply_mask(model, ticket).model.layers[0].mlp.gate(features)
    assert torch.equal(experts, places)
    assert torch.allclose(mine, weights / weights.sum(-1, keepdim=True))


@pytest.mark.parametrize("name", [name for name in ALL if name != "gpt_oss"])
def test_the_gradient_of_an_expert_is_the_sum_of_its_neurons(name):
    """An expert without a bias gives what its neurons give together."""
    model = mixture(name)
    anatomy = eb.Anatomy.of(model)
    slimming = Slimming(model, anatomy, kinds=["neurons", "experts"])
    model(input_ids=IDS, labels=IDS).loss.backward()
    found = {kind: values.task_gradient for kind, values in slimming.coefficients.items()}
    for block, gradient in zip(anatomy.mixtures, found["experts"], strict=True):
        row = anatomy.names["neurons"].index(block.name)
        of_neurons = found["neurons"][row, : anatomy.mlp[row].units].reshape(block.units, -1).sum(1)
        assert torch.allclose(gradient, of_neurons, rtol=1e-4, atol=1e-8)
        assert gradient.abs().max() > 1e-4


@pytest.mark.parametrize("name", ALL)
def test_folding_the_coefficients_of_experts_changes_nothing(name):
    model = mixture(name)
    before = logits(model)
    slimming = Slimming(model, eb.Anatomy.of(model), kinds=["experts"])
    with torch.no_grad():
        for leaf in slimming.coefficients["experts"].leaves:
            leaf.normal_(std=0.3, generator=torch.Generator().manual_seed(0))
    scaled = logits(model)
    slimming.fold()
    assert float((scaled - before).abs().max()) > 1e-3
    assert torch.allclose(logits(model), scaled, atol=1e-5 * float(scaled.abs().max()))


@pytest.mark.parametrize("score", ["coefficient", "gradient", "squared-gradient"])
@pytest.mark.parametrize("name", ["qwen3_moe", "deepseek_v3"])
def test_a_search_draws_experts_and_its_record_draws_the_same(name, score, tmp_path):
    model = with_correction_bias(mixture(name)).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    config = eb.SearchConfig(score=score, **EVERY_KIND, detector="fixed-time")
    search = eb.Search(model, config, total_steps=20, recording=eb.Recording(tmp_path))
    ticket = None
    while ticket is None:
        optimizer.zero_grad()
        (model(input_ids=IDS, labels=IDS).loss + search.penalty()).backward()
        optimizer.step()
        ticket = search.step()
    search.finish()
    trajectory = eb.Trajectory.open(tmp_path)
    assert trajectory.kinds == ("heads", "neurons", "experts")
    assert trajectory.shape.routing_groups == ((2,) if name == "deepseek_v3" else None)
    drawn = eb.Ticket.drawn(eb.Anatomy.of(model), eb.detect(trajectory, config))
    for kind, mask in ticket.masks.items():
        assert np.array_equal(drawn.masks[kind], mask)
    masked = logits(eb.apply_mask(copy.deepcopy(model).eval(), ticket))
    eb.prune(model, ticket, optimizer=optimizer)
    assert float((logits(model.eval()) - masked).abs().max()) < 1e-5 * float(masked.abs().max())
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    model.train()(input_ids=IDS, labels=IDS).loss.backward()
    optimizer.step()
    assert all(not torch.equal(before[name], parameter) for name, parameter in model.named_parameters())


def test_the_config_itself_says_how_many_experts_there_are(tmp_path):
    """Every layer keeps equally many, so that a process without earlybird loads the model."""
    script = f"import sys, torch, transformers\nids = torch.tensor({IDS.tolist()})\n"
    for name in ALL:
        model = mixture(name)
        small = eb.prune(model, random_ticket(model, experts=0.4))
        eb.save(small, tmp_path / name)
        torch.save(logits(small), tmp_path / f"{name}.pt")
        script += (
            f"model = transformers.{type(model).__name__}.from_pretrained({str(tmp_path / name)!r})\n"
            f"expected = torch.load({str(tmp_path / f'{name}.pt')!r})\n"
            f"assert torch.allclose(model(input_ids=ids).logits, expected, atol=1e-4), {name!r}\n"
        )
    script += "assert 'earlybird' not in sys.modules\n"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", ["granitemoe", "olmoe", "deepseek_v3"])
def test_what_the_config_cannot_say_loads_with_earlybird(name, tmp_path):
    model = mixture(name)
    small = eb.prune(model, random_ticket(model, experts=0.5, neurons=0.4, heads=0.3))
    eb.save(small, tmp_path)
    for loaded in (eb.load(tmp_path), type(model).from_pretrained(tmp_path)):
        assert torch.allclose(logits(loaded), logits(small), atol=1e-5)
        assert eb.Anatomy.of(loaded).units == eb.Anatomy.of(small).units


def test_layers_may_keep_different_numbers_by_name(tmp_path):
    model = mixture("olmoe")
    small = eb.prune(model, random_ticket(model, experts={"*.layers.0.*": 0.6, "*": 0.25}))
    assert eb.Anatomy.of(small).units["experts"] == (3, 6)
    eb.save(small, tmp_path)
    assert torch.allclose(logits(eb.load(tmp_path)), logits(small), atol=1e-5)
    eb.export(small, tmp_path / "layers", format="per-layer-config")
    said = json.loads((tmp_path / "layers" / "config.json").read_text())["per_layer_config"]
    assert [said[layer]["num_experts"] for layer in ("0", "1")] == [3, 6]


@pytest.mark.parametrize("seed", range(4))
def test_groups_that_a_router_compares_keep_equally_many(seed):
    model = mixture("deepseek_v3")
    for ratio in (0.1, 0.3, 0.5):
        ticket = random_ticket(model, seed, experts=ratio)
        first, second = ticket.masks["experts"][0].reshape(2, 4).sum(1)
        assert first == second
        shuffled = ticket.shuffled_on(eb.Anatomy.of(model), seed)
        assert shuffled.masks["experts"][0].reshape(2, 4).sum(1).tolist() == [first, second]


def test_neurons_go_with_their_experts_in_every_ticket():
    model = mixture("mixtral")
    anatomy = eb.Anatomy.of(model)
    ticket = random_ticket(model, experts=0.4, neurons=0.5)
    for one in (ticket, ticket.shuffled_on(anatomy, 5)):
        for experts, neurons in zip(one.masks["experts"], one.masks["neurons"], strict=True):
            per_expert = neurons.reshape(4, -1).sum(1)
            assert (per_expert > 0).tolist() == experts.tolist()
            assert len(set(per_expert[experts].tolist())) == 1
    assert sum(eb.Anatomy.of(eb.prune(model, ticket)).units["neurons"]) == sum(ticket.kept("neurons"))


def test_a_ticket_of_experts_goes_through_its_file(tmp_path):
    ticket = random_ticket(mixture("deepseek_v3"), **EVERY_KIND)
    ticket.save(tmp_path / "ticket.json")
    loaded = eb.Ticket.load(tmp_path / "ticket.json")
    assert loaded.kept("experts") == ticket.kept("experts") == (4,)
    assert all(np.array_equal(loaded.masks[kind], mask) for kind, mask in ticket.masks.items())


def test_the_loss_that_balances_the_load_counts_the_experts_that_are_left():
    model = mixture("mixtral")
    eb.prune(model, random_ticket(model, experts=0.4))
    found = model(input_ids=IDS, labels=IDS, output_router_logits=True)
    assert found.router_logits[0].shape[-1] == model.num_experts == 2
    assert found.aux_loss.isfinite()


def test_generation_goes_on_as_masked():
    model = mixture("gpt_oss")
    ticket = random_ticket(model, experts=0.4)
    settings = {"max_new_tokens": 8, "min_new_tokens": 8, "do_sample": False}
    masked = eb.apply_mask(copy.deepcopy(model), ticket).generate(input_ids=IDS, **settings)
    assert torch.equal(eb.prune(model, ticket).generate(input_ids=IDS, **settings), masked)


def test_a_trajectory_of_arrays_may_hold_experts():
    scores = np.random.default_rng(0).random((30, 2, 8))
    trajectory = eb.Trajectory.from_arrays(experts=scores, channel="squared-gradient")
    drawn = eb.detect(trajectory, eb.SearchConfig(experts=0.5, detector="fixed-time"))
    assert drawn.masks["experts"].sum(-1).tolist() == [4, 4]


# Bad input


def test_fewer_experts_than_a_router_picks_are_refused():
    model = mixture("mixtral")
    anatomy = eb.Anatomy.of(model)
    expected = r"leaves 1 of 4 experts, and the router picks among at least 2 for every token: give a smaller ratio"
    with pytest.raises(eb.InputError, match=expected):
        eb.Ticket.random(anatomy, eb.PruningConfig(experts=0.8))
    with pytest.raises(eb.InputError, match=expected):
        eb.Search(model, eb.SearchConfig(experts=0.8), total_steps=20)
    mask = np.array([[True, False, False, False], [True] * 4])
    with pytest.raises(eb.InputError, match=r"leaves 1 of 4 experts in model.layers.0.mlp.experts"):
        eb.prune(model, eb.Ticket.of(anatomy, {"experts": mask}))


def test_experts_that_leave_groups_of_different_sizes_are_refused():
    model = mixture("deepseek_v3")
    mask = np.array([[True, True, True, True, True, True, True, False]])
    with pytest.raises(eb.InputError, match=r"compares 2 groups of experts, which would keep \[4, 3\]"):
        eb.prune(model, eb.Ticket.of(eb.Anatomy.of(model), {"experts": mask}))


def test_a_model_without_experts_is_told_from_one_whose_router_is_not_known():
    with pytest.raises(eb.InputError, match="LlamaForCausalLM has no experts"):
        eb.Search(build("llama"), eb.SearchConfig(experts=0.5), total_steps=20)
    model = mixture("mixtral")
    for layer in model.model.layers:
        layer.mlp.picker = layer.mlp.gate
        del layer.mlp.gate
    with pytest.raises(eb.InputError, match="has experts, but no router beside them that is known"):
        eb.Search(model, eb.SearchConfig(experts=0.5), total_steps=20)


def test_a_budget_does_not_weigh_experts():
    with pytest.raises(eb.InputError, match="experts is a ratio: give one or the other"):
        eb.PruningConfig(flops=0.5, experts=0.5)


def test_zeros_do_not_hold_the_place_of_an_expert(tmp_path):
    model = mixture("mixtral")
    small = eb.prune(model, random_ticket(model, experts=0.4))
    with pytest.raises(eb.InputError, match="zeros in a router do not keep it from picking them"):
        eb.export(small, tmp_path, format="dense")


def test_a_router_that_compares_in_another_way_is_refused_and_the_model_left_as_it_was():
    model = mixture("mixtral")
    ticket = random_ticket(model, experts=0.4)
    gate = model.model.layers[0].mlp.gate
    before = logits(model)

    class TemperedByNumber(type(gate)):
        def forward(self, hidden_states):
            scores = torch.nn.functional.linear(hidden_states, self.weight)
            weights, places = scores.softmax(-1).topk(self.top_k)
            return scores, weights * self.weight.shape[0], places

    gate.__class__ = TemperedByNumber
    with pytest.raises(eb.InputError, match="gives other outputs with its units removed"):
        eb.prune(model, ticket)
    gate.__class__ = hf.models.mixtral.modeling_mixtral.MixtralTopKRouter
    assert torch.equal(logits(model), before)


# What a hostile reader tried


def test_any_shuffle_keeps_as_many_of_every_block():
    ticket = random_ticket(mixture("mixtral"), experts=0.4, neurons=0.5)
    other = ticket.shuffled(5)
    assert other.kept("neurons") == ticket.kept("neurons") == (64, 64)
    assert other.kept("experts") == ticket.kept("experts")


@pytest.mark.thorough
def test_code_compiled_before_sees_the_mask():
    model = mixture("mixtral")
    ticket = random_ticket(model, experts=0.4)
    expected = logits(eb.apply_mask(copy.deepcopy(model), ticket))
    model.compile(backend="eager")
    logits(model)
    assert torch.allclose(logits(eb.apply_mask(model, ticket)), expected, atol=1e-5)


@pytest.mark.thorough
def test_code_compiled_before_does_not_hide_the_comparison_of_a_batch():
    model = mixture("mixtral")
    ticket = random_ticket(model, experts=0.4, neurons=0.5, heads=0.3)
    expected = logits(eb.apply_mask(copy.deepcopy(model), ticket))
    model.compile(backend="eager")
    logits(model)
    assert torch.allclose(logits(eb.prune(model, ticket, inputs={"input_ids": IDS})), expected, atol=1e-5)


def test_a_model_counts_its_experts_where_all_layers_hold_equally_many():
    model = mixture("olmoe")
    eb.prune(model, random_ticket(model, experts={"*.layers.0.*": 0.6, "*": 0.25}))
    assert (eb.Anatomy.of(model).units["experts"], model.num_experts) == ((3, 6), 8)
    mask = np.ones((2, 6), dtype=bool)
    mask[0, 3:] = False
    mask[1, :3] = False
    eb.prune(model, eb.Ticket.of(eb.Anatomy.of(model), {"experts": mask}))
    assert (eb.Anatomy.of(model).units["experts"], model.num_experts) == ((3, 3), 3)
    assert model(input_ids=IDS, labels=IDS, output_router_logits=True).aux_loss.isfinite()


def test_numbers_of_the_users_stay_and_so_do_those_of_a_model_beside():
    pair = torch.nn.ModuleDict({"a": mixture("mixtral"), "b": mixture("mixtral")})
    pair.num_experts, pair["a"].num_experts_to_log = 4, 4
    eb.prune(pair, eb.Ticket.random(eb.Anatomy.of(pair), eb.PruningConfig(experts=0.4, exclude=("b.*",))))
    assert (pair.num_experts, pair["a"].num_experts_to_log) == (4, 4)
    assert (pair["a"].num_experts, pair["b"].num_experts) == (2, 4)


@pytest.mark.parametrize("name", ["qwen3_moe", "mixtral", "deepseek_v3"])
def test_a_per_layer_config_says_experts_that_went_evenly(name, tmp_path):
    model = mixture(name)
    small = eb.prune(model, random_ticket(model, experts=0.25))
    eb.export(small, tmp_path, format="per-layer-config")
    said = json.loads((tmp_path / "config.json").read_text())["per_layer_config"]
    layers = [block.name.split(".")[2] for block in eb.Anatomy.of(small).mixtures]
    units = eb.Anatomy.of(small).units["experts"]
    assert [value for layer in layers for value in said[layer].values()] == list(units)


def with_router_in_the_layer():
    """Gemma 4, whose layer itself runs the router and the experts, and cannot be run by itself."""
    torch.manual_seed(0)
    config = hf.Gemma4TextConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=40,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        global_head_dim=8,
        enable_moe_block=True,
        num_experts=8,
        top_k_experts=2,
        moe_intermediate_size=16,
        hidden_size_per_layer_input=0,
        num_kv_shared_layers=0,
    )
    model = hf.Gemma4ForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2)
    return model


def test_a_router_in_the_layer_itself_is_checked_with_its_experts():
    model = with_router_in_the_layer()
    ticket = random_ticket(model, experts=0.4)
    masked = logits(eb.apply_mask(copy.deepcopy(model), ticket))
    assert torch.allclose(logits(eb.prune(model, ticket)), masked, atol=1e-5 * float(masked.abs().max()))


def test_an_interrupt_within_a_masked_router_leaves_torch_as_it_was():
    model = mixture("mixtral")
    eb.apply_mask(model, random_ticket(model, experts=0.4))

    def interrupted(*_):
        raise KeyboardInterrupt

    gate = model.model.layers[0].mlp.gate
    gate.act = torch.nn.Identity()
    handle = gate.register_forward_pre_hook(interrupted)
    with pytest.raises(KeyboardInterrupt):
        logits(model)
    handle.remove()
    assert torch.nn.Linear(3, 4)(torch.randn(2, 3)).isfinite().all()


def test_a_router_whose_logits_are_not_seen_is_not_masked_in_silence():
    model = mixture("mixtral")
    gate = model.model.layers[0].mlp.gate

    class ByMatrixProduct(type(gate)):
        def forward(self, hidden_states):
            scores = hidden_states @ self.weight.t()
            weights, places = scores.softmax(-1).topk(self.top_k)
            return scores, weights, places

    gate.__class__ = ByMatrixProduct
    ticket = random_ticket(model, experts=0.4)
    with pytest.raises(eb.InputError, match="ByMatrixProduct compares experts in a way that earlybird does not know"):
        logits(eb.apply_mask(copy.deepcopy(model), ticket))
    before = logits(model)
    with pytest.raises(eb.InputError, match="cannot be run by itself"):
        eb.prune(model, ticket)
    assert torch.equal(logits(model), before)


@pytest.mark.parametrize("name", ["gpt_oss", "deepseek_v3"])
def test_a_mask_changes_no_tensor_of_a_router_and_goes_through_a_copy_and_a_file(name, tmp_path):
    model = with_correction_bias(mixture(name))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    masked = eb.apply_mask(model, random_ticket(model, experts=0.5))
    after = masked.state_dict()
    of_routers = [key for key in before if ".gate." in key or ".router." in key]
    assert of_routers
    assert all(torch.equal(after[key], before[key]) for key in of_routers)
    torch.save(masked, tmp_path / "masked.pt")
    for other in (copy.deepcopy(masked), torch.load(tmp_path / "masked.pt", weights_only=False)):
        assert torch.equal(logits(other), logits(masked))
    with pytest.raises(eb.InputError, match="passes over experts by apply_mask, which no file holds"):
        eb.save(masked, tmp_path / "saved")


def test_a_masked_model_is_pruned_and_saved_as_the_plain_one(tmp_path):
    model = mixture("mixtral")
    ticket = random_ticket(model, experts=0.4)
    expected = logits(eb.prune(copy.deepcopy(model), ticket))
    small = eb.prune(eb.apply_mask(model, ticket), ticket)
    assert torch.allclose(logits(small), expected, atol=1e-5)
    eb.save(small, tmp_path)
    assert torch.allclose(logits(eb.load(tmp_path)), expected, atol=1e-5)


def test_ratios_by_name_leave_as_many_as_a_router_picks():
    with pytest.raises(eb.InputError, match="leaves 1 of 4 experts"):
        random_ticket(mixture("mixtral"), experts={"*": 0.9})


def test_whole_blocks_are_not_for_experts():
    with pytest.raises(eb.InputError, match="whole_blocks=True is not for experts"):
        random_ticket(mixture("mixtral"), experts=0.4, whole_blocks=True)


def test_a_scale_of_as_many_features_as_experts_is_not_cut():
    model = with_router_in_the_layer()
    config = copy.deepcopy(model.config)
    config.num_experts = config.hidden_size
    model = hf.Gemma4ForCausalLM(config).eval()
    small = eb.prune(model, random_ticket(model, experts=0.5))
    assert eb.Anatomy.of(small).units["experts"] == (16, 16)
