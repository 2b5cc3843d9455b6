"""A forward pass that was put on the model itself, as trainers do it, is not what copies of the model run."""

from __future__ import annotations

import functools
import types

import pytest
from accelerate.hooks import ModelHook, add_hook_to_module
from families import build, inputs

import earlybird as eb
from earlybird.latency import unit_costs


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def replaced(model, *, method):
    """Put a forward pass on a model that runs the model's own, and keep the calls, as TRL and accelerate put theirs."""
    own, calls = model.forward, []

    @functools.wraps(type(model).forward)
    def forward(self, *arguments, **named):
        calls.append(named)
        return own(*arguments, **named)

    plain = functools.wraps(own)(lambda *arguments, **named: forward(model, *arguments, **named))
    model.forward = types.MethodType(forward, model) if method else plain
    return calls


@pytest.mark.parametrize("method", [True, False])
@pytest.mark.parametrize("name", ["llama", "vit"])
def test_flops_are_those_of_the_model(name, method):
    model, config = build(name), eb.PruningConfig(flops=0.5)
    wanted = unit_costs(model, eb.Anatomy.of(model), config)
    calls = replaced(model, method=method)
    assert unit_costs(model, eb.Anatomy.of(model), config) == wanted
    assert not calls


def test_milliseconds_are_measured_on_copies():
    model = build("llama")
    calls = replaced(model, method=True)
    unit_costs(model, eb.Anatomy.of(model), eb.PruningConfig(milliseconds=5.0, examples=1, tokens=8))
    assert not calls


def test_verify_compares_copies():
    model = build("llama")
    calls = replaced(model, method=True)
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.5, neurons=0.5), seed=0)
    assert eb.verify(model, ticket, inputs("llama")) < 1e-5
    assert not calls


@pytest.mark.parametrize("hooked", [False, True])
def test_what_a_copy_takes_along_stays(hooked):
    """Hooks that move tensors between devices, and a method of the user's without surroundings."""
    model, seen = build("llama"), []

    def forward(self, *arguments, seen=seen, **named):
        seen.append(self)
        return type(self).forward(self, *arguments, **named)

    class Seeing(ModelHook):
        def pre_forward(self, module, *arguments, **named):
            seen.append(module)
            return arguments, named

    if hooked:
        add_hook_to_module(model, Seeing())
    else:
        model.forward = types.MethodType(forward, model)
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.5, neurons=0.5), seed=0)
    assert eb.verify(model, ticket, inputs("llama")) < 1e-5
    assert len(seen) == 2
    assert model not in seen
