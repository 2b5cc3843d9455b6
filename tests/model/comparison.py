"""What pruning must leave as it was: the outputs and the kept gradients of the model whose units are only masked."""

from __future__ import annotations

import copy

import torch

import earlybird as eb
from earlybird.surgery.model_edit import ModelEdit
from earlybird.surgery.outputs import largest_difference, output_tensors
from earlybird.surgery.plan import plan_surgery


def ticket_for(model, seed=0):
    anatomy = eb.Anatomy.of(model)
    return eb.Ticket.random(anatomy, eb.PruningConfig(heads=0.4, neurons=0.4 if anatomy.mlp else None), seed=seed)


def masked_and_pruned(model, ticket):
    return eb.apply_mask(copy.deepcopy(model), ticket), eb.prune(copy.deepcopy(model), ticket)


def outputs(model, batch):
    with torch.no_grad():
        return output_tensors(model(**batch))


def relative_difference(expected, found):
    """Largest difference of outputs, relative to the largest of those expected, or to 1."""
    return largest_difference(expected, found) / max(1.0, *(float(tensor.abs().max()) for tensor in expected))


def gradient_difference(model, ticket, batch):
    """Largest difference of a kept weight's gradient between pruned and masked, in train mode.

    Relative to the largest gradient of its parameter, or to a thousandth of the model's largest where that is more:
    some are 0 but for rounding (of key biases, which a softmax cannot see). Infinite where one alone has a gradient,
    of what is left of a parameter and trains.
    """
    masked, pruned = masked_and_pruned(model, ticket)
    plan = plan_surgery(eb.Anatomy.of(model), ticket)
    # Pruning gives each layer of T5 a table of position biases, which the masked model must have, too.
    edit = ModelEdit(masked)
    for attention in plan.untied:
        edit.untie(attention)
    for changed in (masked, pruned):
        sum(tensor.square().mean() for tensor in output_tensors(changed.train()(**batch))).backward()
    found, expected = ({n: p.grad for n, p in m.named_parameters() if p.grad is not None} for m in (pruned, masked))
    for cut in plan.cuts:
        if cut.parameter in expected:
            expected[cut.parameter] = cut.of(expected[cut.parameter])
    trained = {n for n, p in pruned.named_parameters() if p.requires_grad and p.numel()}
    found, expected = ({n: g for n, g in each.items() if n in trained} for each in (found, expected))
    if found.keys() != expected.keys():
        return float("inf")
    sizes = {name: float(gradient.abs().max()) for name, gradient in expected.items()}
    least = 1e-3 * max(sizes.values())
    return max(largest_difference([expected[n]], [found[n]]) / max(sizes[n], least) for n in expected)


def prune_repeatedly(model, batch, times=5):
    """Prune a model a little again and again; yields the relative difference from masked and the parameters left."""
    for seed in range(times):
        anatomy = eb.Anatomy.of(model)
        ticket = eb.Ticket.random(anatomy, a_little(anatomy), seed=seed)
        masked = eb.apply_mask(copy.deepcopy(model), ticket)
        eb.prune(model, ticket)
        yield relative_difference(outputs(masked, batch), outputs(model, batch)), parameters(model)


def a_little(anatomy):
    """A head of each block, and a tenth of the neurons, or of every expert eight."""
    if anatomy.expert_groups is None:
        return eb.PruningConfig(heads=0.01, neurons=0.1 if anatomy.mlp else None)
    each = anatomy.mlp[0].units // anatomy.mlp[0].experts
    return eb.PruningConfig(heads=0.01, neurons=7.5 / (each - 1) if each > 8 else None, neurons_scope="layer")


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())
