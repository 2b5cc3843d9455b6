"""What the anatomy finds, leaves out, and refuses; how a user describes a family of their own."""

from __future__ import annotations

import copy

import pytest
import torch
from families import build, inputs
from torch import nn

import earlybird as eb
from earlybird.anatomy import AttentionPattern, MlpPattern


class OwnAttention(nn.Module):
    """Heads in a fused projection, head by head, under names of its own."""

    def __init__(self, heads=4, size=3, width=10):
        super().__init__()
        self.n_heads, self.size = heads, size
        self.mix = nn.Linear(width, 3 * heads * size)
        self.gather = nn.Linear(heads * size, width)

    def forward(self, x):
        parts = self.mix(x).unflatten(-1, (self.n_heads, 3, self.size)).unbind(3)
        found = nn.functional.scaled_dot_product_attention(*(part.transpose(1, 2) for part in parts))
        return self.gather(found.transpose(1, 2).flatten(2))


class OwnModel(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.attend = nn.ModuleList([OwnAttention(), OwnAttention()])
        self.widen, self.narrow = nn.Linear(10, 14), nn.Linear(14, 10)

    def forward(self, x):
        for layer in self.attend:
            x = x + layer(x)
        return x + self.narrow(nn.functional.gelu(self.widen(x)))


OWN = [
    AttentionPattern("mix", "mix", "mix", "gather", layout="by-group"),
    MlpPattern(("widen",), "narrow"),
]


def test_a_family_of_the_users_own_is_described_in_a_few_lines():
    model, x = OwnModel(), torch.randn(2, 5, 10)
    with pytest.raises(eb.InputError, match=r"called gather, mix, narrow, widen.*patterns=\[AttentionPattern"):
        eb.Anatomy.of(model)
    anatomy = eb.Anatomy.of(model, patterns=OWN)
    assert anatomy.units == {"heads": (4, 4), "neurons": (14,)}
    ticket = eb.Ticket.random(anatomy, eb.PruningConfig(heads=0.5, neurons=0.5))
    assert eb.verify(model, ticket, x, patterns=OWN) < 1e-5
    assert eb.Anatomy.of(eb.prune(model, ticket, patterns=OWN), patterns=OWN).units == {
        "heads": (2, 2),
        "neurons": (7,),
    }


def test_a_wrong_description_is_found_out_and_the_model_left_as_it_was():
    model = OwnModel()
    wrong = [AttentionPattern("mix", "mix", "mix", "gather", layout="stacked"), OWN[1]]
    before = snapshot(model)
    ticket = eb.Ticket.random(eb.Anatomy.of(model, patterns=wrong), eb.PruningConfig(heads=0.5))
    with pytest.raises(eb.InputError, match=r"attend\.0 \(OwnAttention\) cannot be pruned: it gives other outputs"):
        eb.prune(model, ticket, patterns=wrong)
    assert snapshot(model) == before


class HiddenCount(nn.Module):
    """Attention whose forward pass knows the number of heads from a closure that nothing can change."""

    def __init__(self):
        super().__init__()
        self.head_dim = 4
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(16, 16) for _ in range(4))
        self.split = lambda x: x.unflatten(-1, (4, 4)).transpose(1, 2)

    def forward(self, x):
        parts = (self.split(p(x)) for p in (self.q_proj, self.k_proj, self.v_proj))
        return self.o_proj(nn.functional.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2))


class NormBetween(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(8, 12), nn.Linear(12, 8)

    def forward(self, x):
        return self.fc2(nn.functional.layer_norm(self.fc1(x), (self.fc1.out_features,)))


@pytest.mark.parametrize(("module", "kind"), [(HiddenCount, "heads"), (NormBetween, "neurons")])
def test_what_only_the_forward_pass_knows_is_found_by_running_it(module, kind):
    model = nn.Sequential(module())
    before = snapshot(model)
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(**{kind: 0.4}))
    with pytest.raises(eb.InputError, match="cannot be pruned"):
        eb.prune(model, ticket)
    assert snapshot(model) == before


def test_attention_that_cannot_be_run_alone_is_checked_on_inputs():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.n_heads = 4
            self.c_attn, self.c_proj = nn.Linear(10, 36), nn.Linear(12, 10)

        def forward(self, x, times):
            parts = self.c_attn(x).unflatten(-1, (self.n_heads, 3, 3)).unbind(3)
            found = nn.functional.scaled_dot_product_attention(*(part.transpose(1, 2) for part in parts))
            return self.c_proj(found.transpose(1, 2).flatten(2)) * times["often"]

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.attend = Attention()

        def forward(self, x):
            return self.attend(x, {"often": 2})

    model, x = Model(), torch.randn(2, 5, 10)
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.5))
    with pytest.raises(eb.InputError, match=r"prune\(model, ticket, inputs=batch\)"):
        eb.prune(model, ticket)
    # The table takes c_attn for queries, keys and values one after the other, which these are not.
    with pytest.raises(eb.InputError, match="Model cannot be pruned: it gives other outputs"):
        eb.prune(model, ticket, inputs={"x": x})


def test_what_is_left_out_is_said_and_recorded_and_an_error_if_strict():
    model = build("siglip")
    anatomy = eb.Anatomy.of(model)
    (left,) = [out for out in anatomy.left_out if "head.attention" in out.name]
    assert "torch.nn.MultiheadAttention" in left.reason
    assert str(left) in str(anatomy)
    assert eb.Ticket.random(anatomy, eb.PruningConfig(heads=0.3)).provenance["left_out"][left.name] == left.reason
    with pytest.raises(eb.InputError, match=r"head\.attention.*patterns"):
        eb.Anatomy.of(model, strict=True)
    assert eb.Anatomy.of(build("vit"), strict=True).left_out == ()


def test_blocks_are_excluded_by_name():
    model = build("bart")
    anatomy = eb.Anatomy.of(model, exclude=["*encoder.layers.0*", "*encoder_attn"])
    assert len(anatomy.attention) == 6 - 3
    assert "excluded by name" in str(anatomy)
    ticket = eb.Ticket.random(anatomy, eb.PruningConfig(heads=0.5, neurons=0.5))
    assert eb.verify(model, ticket, inputs("bart")) < 1e-4
    eb.prune(model, ticket)
    kept = {block.name: block.units for block in eb.Anatomy.of(model).attention}
    assert kept["model.encoder.layers.0.self_attn"] == 8
    assert kept["model.decoder.layers.1.encoder_attn"] == 8
    assert kept["model.encoder.layers.1.self_attn"] == 4
    with pytest.raises(eb.InputError, match=r"exclude='nowhere' fits no block"):
        eb.Anatomy.of(model, exclude=["nowhere"])


def test_ratios_differ_by_block():
    anatomy = eb.Anatomy.of(build("vit"))
    ticket = eb.Ticket.random(anatomy, eb.PruningConfig(heads={"*.0.*": 0.25, "*": 0.75}, neurons={"*.1.*": 0.5}))
    assert ticket.kept("heads") == (6, 2)
    assert ticket.kept("neurons") == (40, 20)
    with pytest.raises(eb.InputError, match="'nowhere', which fits no block"):
        eb.Ticket.random(anatomy, eb.PruningConfig(heads={"nowhere": 0.5}))


@pytest.mark.parametrize(
    ("name", "groups", "kept"),
    [
        *(("llama", None, 4), ("llama", "whole", 4), ("llama", "within", 4), ("mistral", None, 4), ("gemma", None, 4)),
        *(("phi3", None, 4), ("phi3", "whole", 4), ("phi3", "within", 4)),
    ],
)
def test_heads_that_share_keys_and_values(name, groups, kept):
    model = build(name)
    anatomy = eb.Anatomy.of(model)
    ticket = eb.Ticket.random(anatomy, eb.PruningConfig(heads=0.5, kv_groups=groups))
    assert set(ticket.kept("heads")) == {kept}
    shared = anatomy.attention[0].groups
    per_group = ticket.masks["heads"].reshape(2, shared, -1).sum(-1)
    whole = groups == "whole" or (groups is None and shared >= 4)
    assert set(per_group.flatten().tolist()) == ({0, 8 // shared} if whole else {8 // shared // 2})
    assert eb.verify(model, ticket, inputs(name)) < 1e-4
    block = eb.Anatomy.of(eb.prune(model, ticket)).attention[0]
    assert (block.units, block.groups) == (kept, shared // 2 if whole else shared)
    attention = model.get_submodule(block.name)
    if hasattr(attention, "num_key_value_groups"):
        assert attention.num_key_value_groups == block.units // block.groups


def test_a_ticket_that_takes_groups_apart_is_refused():
    model = build("llama")
    anatomy = eb.Anatomy.of(model)
    ticket = eb.Ticket.random(anatomy, eb.PruningConfig(heads=0.5))
    mask = ticket.masks["heads"].copy()
    mask[1] = [True, True, True, False, False, False, False, False]
    before = snapshot(model)
    with pytest.raises(eb.InputError, match=r"layers\.1\.self_attn shares.*keep \[2, 1, 0, 0\] heads"):
        eb.prune(model, eb.Ticket.of(anatomy, {"heads": mask}))
    assert snapshot(model) == before


def test_shared_layers_are_pruned_once():
    anatomy = eb.Anatomy.of(build("albert"))
    assert (len(anatomy.attention), len(anatomy.mlp)) == (1, 1)


def test_a_parameter_used_twice_is_not_cut():
    model = build("vit")
    first, second = eb.Anatomy.of(model).mlp
    model.get_submodule(second.input).weight = model.get_submodule(first.input).weight
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(neurons=0.5))
    with pytest.raises(eb.InputError, match=r"fc1\.weight is shared with another module"):
        eb.prune(model, ticket)


def test_torchs_own_encoder_loses_neurons_on_its_fast_path_too():
    torch.manual_seed(0)
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4, 24, dropout=0.0, batch_first=True), 2).eval()
    anatomy = eb.Anatomy.of(model)
    assert anatomy.units == {"neurons": (24, 24)}
    assert all("cannot hold fewer" in left.reason for left in anatomy.left_out)
    assert len(anatomy.left_out) == 2
    ticket = eb.Ticket.random(anatomy, eb.PruningConfig(neurons=0.5))
    masked, pruned = eb.apply_mask(copy.deepcopy(model), ticket), eb.prune(copy.deepcopy(model), ticket)
    x = torch.randn(2, 5, 16)
    with torch.inference_mode():
        torch.testing.assert_close(pruned(x), masked(x), rtol=1e-4, atol=1e-5)
    for changed in (masked, pruned):
        changed.train()
    torch.testing.assert_close(pruned(x), masked(x), rtol=1e-4, atol=1e-5)


def snapshot(model):
    tensors = {name: (id(tensor), tensor.sum().item()) for name, tensor in model.state_dict(keep_vars=True).items()}
    counts = {
        (name, key): value
        for name, module in model.named_modules()
        for key, value in vars(module).items()
        if isinstance(value, int)
    }
    hooks = {name: len(module._forward_pre_hooks) for name, module in model.named_modules()}
    return tensors, counts, hooks
