"""Models of timm: removing units is the same as masking them, and what cannot be removed is refused."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

import earlybird as eb
from earlybird.surgery.plan import plan_surgery

pytest.importorskip("timm", reason="needs timm and torchvision, in an environment of their own: make test-timm")
from tiny_timm import SIZES, build, images

# Talking heads mix the heads' scores; ConViT's positions have weights of their own for every head.
WITHOUT_HEADS = {"cait_xxs24_224": "proj_l", "convit_tiny": "GPSA"}
# A norm over all neurons lies between the two projections.
WITHOUT_NEURONS = {"eva02_base_patch14_224": "norm"}
# Their forward pass wants the size of the feature map.
REFUSED = {"twins_svt_small"}
PRUNED = [name for name in SIZES if name not in REFUSED]


def ticket_for(model, ratio=0.5, seed=0):
    units = eb.Anatomy.of(model).units
    return eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(**dict.fromkeys(units, ratio)), seed=seed)


def snapshot(model):
    hooks = [(len(m._forward_pre_hooks), len(m._forward_hooks)) for m in model.modules()]
    plain = [{k: v for k, v in vars(m).items() if isinstance(v, (int, tuple))} for m in model.modules()]
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return hooks, plain, {name: (id(value), value.tolist()) for name, value in tensors.items()}


def fuse(model, fused):
    for module in model.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = fused


@pytest.mark.parametrize("name", PRUNED)
def test_blocks_may_go_whole(name):
    model, x = build(name), images(name)
    anatomy = eb.Anatomy.of(model)
    masks = {kind: np.ones((len(units), max(units)), dtype=bool) for kind, units in anatomy.units.items()}
    for kind, units in anatomy.units.items():
        masks[kind] &= np.arange(max(units)) < np.asarray(units)[:, None]
        masks[kind][0] = False
    ticket = eb.Ticket.of(anatomy, masks)
    pruned = eb.prune(copy.deepcopy(model), ticket)
    masked = eb.apply_mask(copy.deepcopy(model), ticket)
    assert {block.kind for block in eb.Anatomy.of(pruned).gone} == set(anatomy.units)
    zeroed, removed = masked(x).detach(), pruned(x).detach()
    assert float((zeroed - removed).abs().max()) < 1e-5 * max(1.0, float(zeroed.abs().max()))


@pytest.mark.parametrize("name", PRUNED)
def test_pruned_equals_masked_in_outputs_and_gradients(name):
    model, x = build(name), images(name)
    anatomy = eb.Anatomy.of(model)
    assert ("heads" in anatomy.units) == (name not in WITHOUT_HEADS)
    assert ("neurons" in anatomy.units) == (name not in WITHOUT_NEURONS)
    ticket = ticket_for(model)
    dense = model(x).detach()
    masked, pruned = eb.apply_mask(copy.deepcopy(model), ticket), eb.prune(copy.deepcopy(model), ticket)
    for fused in (True, False):
        for changed in (masked, pruned):
            fuse(changed, fused)
            changed.zero_grad()
        zeroed, removed = masked(x), pruned(x)
        size = max(1.0, float(zeroed.detach().abs().max()))
        assert float((zeroed - removed).detach().abs().max()) < 1e-5 * size
        assert float((zeroed - dense).detach().abs().max()) > 1e-2
        for output in (zeroed, removed):
            output.square().mean().backward()
    sliced = {path: parameter.grad for path, parameter in masked.named_parameters()}
    for cut in plan_surgery(anatomy, ticket).cuts:
        if cut.parameter in sliced:
            sliced[cut.parameter] = sliced[cut.parameter].index_select(cut.dim, cut.index)
    for path, parameter in pruned.named_parameters():
        expected = sliced[path]
        if expected is None:
            assert parameter.grad is None
            continue
        largest = max(1e-3, float(expected.abs().max()))
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-3, atol=1e-4 * largest)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "beit_base_patch16_224", "swinv2_tiny_window8_256"])
def test_three_times_in_a_row_then_a_fresh_model_takes_tickets_and_weights(name, tmp_path):
    model, fresh, x = build(name), build(name, seed=7), images(name)
    for seed in range(3):
        ticket = ticket_for(model, 0.2, seed)
        masked = eb.apply_mask(copy.deepcopy(model), ticket)
        eb.prune(model, ticket)
        with torch.no_grad():
            torch.testing.assert_close(model(x), masked(x), rtol=1e-4, atol=1e-5)
        ticket.save(tmp_path / f"{seed}.json")
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    for seed in range(3):
        eb.prune(fresh, eb.Ticket.load(tmp_path / f"{seed}.json"))
    fresh.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    with torch.no_grad():
        assert torch.equal(fresh(x), model(x))


def test_save_says_what_to_do_instead(tmp_path):
    with pytest.raises(eb.InputError, match=r"got VisionTransformer; .*the ticket and the state dict"):
        eb.save(build("vit_tiny_patch16_224"), tmp_path / "small")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "reason"), WITHOUT_HEADS.items())
def test_heads_that_cannot_be_removed_are_left_out_with_the_reason(name, reason):
    anatomy = eb.Anatomy.of(build(name))
    assert any(reason in left.reason for left in anatomy.left_out)
    with pytest.raises(eb.InputError, match="has no heads to prune"):
        eb.Ticket.random(anatomy, eb.PruningConfig(heads=0.5))


def test_an_attention_pool_is_said_to_be_left_out_though_its_mlp_is_known():
    anatomy = eb.Anatomy.of(build("vit_base_patch16_siglip_224"))
    assert "attn_pool.mlp" in anatomy.names["neurons"]
    assert [left.name for left in anatomy.left_out] == ["attn_pool"]


@pytest.mark.parametrize("name", sorted(REFUSED))
@pytest.mark.parametrize("seen", [False, True])
def test_a_refusal_leaves_the_model_as_it_was(name, seen):
    model = build(name)
    before = snapshot(model)
    with pytest.raises(eb.InputError):
        eb.prune(model, ticket_for(model), inputs={"x": images(name)} if seen else None)
    assert snapshot(model) == before


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "eva02_tiny_patch14_224", "swinv2_tiny_window8_256"])
def test_a_search_draws_a_ticket_that_prunes(name):
    model, x = build(name).train(), images(name)
    search = eb.Search(
        model,
        eb.SearchConfig(heads=0.5, neurons=0.5, detector="hamming", l1_heads=1e-2, l1_neurons=1e-2),
        total_steps=20,
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(20):
        (torch.nn.functional.cross_entropy(model(x), torch.tensor([0, 1])) + search.penalty()).backward()
        optimizer.step()
        optimizer.zero_grad()
        if ticket := search.step():
            break
    search.finish()
    assert ticket is not None
    assert eb.verify(model, ticket, x) < 1e-4
    eb.prune(model, ticket, optimizer=optimizer)
    model(x).sum().backward()
    optimizer.step()


def test_slimming_before_the_softmax_where_queries_are_what_the_projection_gives():
    eb.Search(build("vit_tiny_patch16_224"), eb.SearchConfig(heads=0.5, slim="before"), total_steps=100).detach()
    with pytest.raises(eb.InputError, match="position bias"):
        eb.Search(build("beit_base_patch16_224"), eb.SearchConfig(heads=0.5, slim="before"), total_steps=100)
