"""Gradients of fixed coefficients, read from the weights' own: equal to scaling's, without an operation in the pass."""

from __future__ import annotations

import copy
import gc
import warnings
import weakref

import pytest
import torch
from families import FAMILIES, build, inputs
from peft import LoraConfig, get_peft_model
from test_slimming_families import GATED, NOT_BEFORE
from torch.utils._python_dispatch import TorchDispatchMode

import earlybird as eb
from earlybird.slimming.slimming import Slimming
from earlybird.surgery.outputs import output_tensors

PLACES = {"after": {}, "before": {"heads": "before", "neurons": "before"}}
# Its projections are of a class of its own.
SCALED_STILL = ("falcon", "falcon, grouped", "falcon, alibi")


class CountedOperations(TorchDispatchMode):
    """What torch launches while it is entered."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.append(str(function))
        return function(*args, **(kwargs or {}))


def squares(model, name, batch):
    return sum(t.float().square().sum() for t in output_tensors(model(**batch)) if t.is_floating_point())


def gradients(name, *, fixed, place="after", backward=lambda model, loss: loss().backward(), kinds=None):
    """The coefficients' gradients of two batches in one step, and how many hooks wait on weights."""
    model = build(name)
    anatomy = eb.Anatomy.of(model)
    slimming = Slimming(model, anatomy, kinds=kinds or list(anatomy.units), places=PLACES[place], fixed=fixed)
    for masked in (True, False):
        backward(model, lambda masked=masked: squares(model, name, inputs(name, masked=masked)))
    waiting = sum(len(each._post_accumulate_grad_hooks or ()) for each in model.parameters())
    return {kind: values.task_gradient.clone() for kind, values in slimming.coefficients.items()}, waiting


def assert_equal(found, expected, tolerance=1e-5):
    for kind, gradient in expected.items():
        assert float(gradient.abs().max()) > 0
        assert torch.allclose(found[kind], gradient, rtol=0, atol=tolerance * float(gradient.abs().max()))


@pytest.mark.parametrize(
    ("name", "place"),
    [(name, "after") for name in FAMILIES]
    + [(name, "before") for name in FAMILIES if name not in (*NOT_BEFORE, *GATED)],
)
def test_what_the_weights_say_is_what_scaling_says(name, place):
    """Over two accumulated batches, for heads, neurons and experts."""
    expected, none = gradients(name, fixed=False, place=place)
    found, waiting = gradients(name, fixed=True, place=place)
    assert_equal(found, expected)
    assert none == 0
    assert (waiting > 0) == (name not in SCALED_STILL)


@pytest.mark.parametrize("name", ["bert", "llama", "qwen3_moe", "vit"])
def test_the_forward_pass_launches_nothing_more(name):
    counts = []
    for searching in (False, True):
        model = build(name).train()
        if searching:
            eb.Search(model, eb.SearchConfig(heads=0.4, neurons=0.4), total_steps=20)
        with CountedOperations() as counted:
            output_tensors(model(**inputs(name)))
        counts.append(counted.names)
    assert counts[0] == counts[1]


def put_away(model, loss):
    """As DeepSpeed does, which adds them up elsewhere."""
    loss().backward()
    model.zero_grad()


def put_away_as_copies(model, loss):
    loss().backward()
    _ = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    model.zero_grad(set_to_none=False)


def clipped_after_each_pass(model, loss):
    loss().backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1e-6)


def of_second_order(model, loss):
    loss().backward(create_graph=True)


def with_gradients_taken_beside(model, loss):
    """`torch.autograd.grad` accumulates nothing."""
    torch.autograd.grad(
        loss(), [parameter for parameter in model.parameters() if parameter.ndim > 1], allow_unused=True
    )
    loss().backward()


def never_zeroed(model, loss):
    """Of weights that no optimizer knows."""
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 3.0)
    loss().backward()


def clamped_by_later_hooks(model, loss):
    handles = [
        parameter.register_hook(lambda gradient: gradient.clamp(-1e-6, 1e-6)) for parameter in model.parameters()
    ]
    loss().backward()
    for handle in handles:
        handle.remove()


def stepped_within(model, loss):
    """An optimizer that takes each parameter's step in the backward pass, and lets its gradient go."""

    def step(parameter):
        parameter.grad = None

    handles = [parameter.register_post_accumulate_grad_hook(step) for parameter in model.parameters()]
    loss().backward()
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize(
    "backward",
    [
        put_away,
        put_away_as_copies,
        clipped_after_each_pass,
        of_second_order,
        with_gradients_taken_beside,
        never_zeroed,
        clamped_by_later_hooks,
        stepped_within,
    ],
)
@pytest.mark.filterwarnings("ignore:Using backward")
def test_the_evidence_is_that_of_the_passes_whatever_becomes_of_the_gradients(backward):
    reference, _ = gradients("bert", fixed=False)
    found, _ = gradients("bert", fixed=True, backward=backward)
    assert_equal(found, reference)


def test_an_optimizer_that_stepped_in_the_backward_pass_before_the_search_does_not_change_it():
    reference, _ = gradients("bert", fixed=False)
    model = build("bert")

    def step(parameter):
        with torch.no_grad():
            parameter.sub_(parameter.grad)
        parameter.grad = None

    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(step)
    slimming = Slimming(model, eb.Anatomy.of(model), fixed=True)
    squares(model, "bert", inputs("bert")).backward()
    plain = build("bert")
    other = Slimming(plain, eb.Anatomy.of(plain))
    squares(plain, "bert", inputs("bert")).backward()
    assert_equal(
        {kind: own.task_gradient for kind, own in slimming.coefficients.items()},
        {kind: own.task_gradient for kind, own in other.coefficients.items()},
    )
    assert set(reference) == set(slimming.coefficients)


def test_weights_in_bfloat16_are_read_pass_by_pass():
    """Many passes added up in bfloat16 would lose the small ones."""
    found = []
    for dtype in (torch.float64, torch.bfloat16):
        model = build("bert").to(dtype)
        slimming = Slimming(model, eb.Anatomy.of(model), fixed=True)
        for number in range(64):
            batch = {"input_ids": inputs("bert", masked=False)["input_ids"].roll(number, 1)}
            squares(model, "bert", batch).backward()
        found.append({kind: own.task_gradient.clone() for kind, own in slimming.coefficients.items()})
    assert_equal(found[1], found[0], tolerance=0.02)


def test_a_projection_whose_forward_pass_was_replaced_is_scaled():
    reference, found = [], []
    for fixed, into in ((False, reference), (True, found)):
        model = build("bert")
        for block in eb.Anatomy.of(model).mlp:
            output = model.get_submodule(block.output)

            def normalised(features, output=output):
                weight = torch.nn.functional.normalize(output.weight, dim=1)
                return torch.nn.functional.linear(features, weight, output.bias)

            output.forward = normalised
        slimming = Slimming(model, eb.Anatomy.of(model), kinds=["neurons"], fixed=fixed)
        squares(model, "bert", inputs("bert")).backward()
        into.append(slimming.coefficients["neurons"].task_gradient.clone())
    assert torch.allclose(found[0], reference[0], atol=1e-5 * float(reference[0].abs().max()))


def test_a_search_that_is_dropped_leaves_nothing_in_memory():
    model = build("bert").train()
    search = eb.Search(model, eb.SearchConfig(heads=0.4, neurons=0.4), total_steps=20)
    squares(model, "bert", inputs("bert")).backward()
    search.step()
    parameters = [weakref.ref(parameter) for parameter in model.parameters()]
    del model, search
    gc.collect()
    assert not [each for each in parameters if each() is not None]


def test_the_end_of_one_search_leaves_another_on_the_same_model():
    model = build("bert").train()
    first = eb.Search(model, eb.SearchConfig(heads=0.4), total_steps=20)
    second = eb.Search(model, eb.SearchConfig(neurons=0.4), total_steps=20)
    squares(model, "bert", inputs("bert")).backward()
    first.step()
    second.step()
    first.finish()
    with pytest.raises(eb.InputError, match="slimming coefficients are still attached"):
        eb.prune(model, first.draw_now())
    squares(model, "bert", inputs("bert")).backward()
    assert second.slimming.coefficients["neurons"].task_gradient.abs().max() > 0
    second.finish()
    eb.prune(model, first.draw_now())


def test_a_step_begins_anew_whether_gradients_are_removed_or_zeroed():
    found = []
    for set_to_none in (True, False):
        model = build("bert").train()
        search = eb.Search(model, eb.SearchConfig(heads=0.4, neurons=0.4), total_steps=20)
        for masked in (True, False):
            model.zero_grad(set_to_none=set_to_none)
            squares(model, "bert", inputs("bert", masked=masked)).backward()
            found.append({kind: own.task_gradient.clone() for kind, own in search.slimming.coefficients.items()})
            search.step()
    assert_equal(found[2], found[0])
    assert_equal(found[3], found[1])


def test_under_bfloat16_autocast_they_agree_to_its_rounding():
    def backward(model, loss):
        with torch.autocast("cpu", torch.bfloat16):
            value = loss()
        value.backward()

    expected, _ = gradients("bert", fixed=False, backward=backward)
    found, _ = gradients("bert", fixed=True, backward=backward)
    assert_equal(found, expected, tolerance=0.03)


def test_a_frozen_weight_leaves_them_to_scaling_and_one_frozen_later_too():
    reference, _ = gradients("bert", fixed=False)

    model = build("bert")
    for block in eb.Anatomy.of(model).mlp:
        model.get_submodule(block.output).weight.requires_grad_(False)
    slimming = Slimming(model, eb.Anatomy.of(model), fixed=True)
    for masked in (True, False):
        squares(model, "bert", inputs("bert", masked=masked)).backward()
    assert_equal({kind: values.task_gradient for kind, values in slimming.coefficients.items()}, reference)

    model = build("bert")
    slimming = Slimming(model, eb.Anatomy.of(model), fixed=True)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    slimming.follow_weights()
    for masked in (True, False):
        squares(model, "bert", inputs("bert", masked=masked)).backward()
    assert_equal({kind: values.task_gradient for kind, values in slimming.coefficients.items()}, reference)


def test_a_weight_that_is_replaced_is_followed():
    reference, _ = gradients("llama", fixed=False)
    model = build("llama")
    slimming = Slimming(model, eb.Anatomy.of(model), fixed=True)
    model.load_state_dict({name: value.clone() for name, value in model.state_dict().items()}, assign=True)
    slimming.follow_weights()
    for masked in (True, False):
        squares(model, "llama", inputs("llama", masked=masked)).backward()
    assert_equal({kind: values.task_gradient for kind, values in slimming.coefficients.items()}, reference)


def test_beside_adapters_the_coefficients_scale_as_before():
    found = []
    for fixed in (False, True):
        model = get_peft_model(build("llama"), LoraConfig(r=4, target_modules="all-linear", init_lora_weights=True))
        slimming = Slimming(model, eb.Anatomy.of(model), fixed=fixed)
        squares(model, "llama", inputs("llama")).backward()
        found.append({kind: values.task_gradient.clone() for kind, values in slimming.coefficients.items()})
    assert_equal(found[1], found[0])


def test_a_hook_of_the_users_that_changes_a_gradient_does_not_change_the_evidence():
    reference, _ = gradients("bert", fixed=False)
    model = build("bert")
    for block in eb.Anatomy.of(model).mlp:
        model.get_submodule(block.output).weight.register_hook(torch.zeros_like)
    slimming = Slimming(model, eb.Anatomy.of(model), fixed=True)
    for masked in (True, False):
        squares(model, "bert", inputs("bert", masked=masked)).backward()
    assert_equal({kind: values.task_gradient for kind, values in slimming.coefficients.items()}, reference)


@pytest.mark.parametrize("end", ["finish", "detach"])
def test_the_end_of_a_search_leaves_no_hook(end):
    model = build("qwen3_moe").train()
    search = eb.Search(model, eb.SearchConfig(heads=0.3, neurons=0.4, experts=0.4), total_steps=20)
    squares(model, "qwen3_moe", inputs("qwen3_moe")).backward()
    search.step()
    getattr(search, end)()
    assert not any(parameter._post_accumulate_grad_hooks for parameter in model.parameters())
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())


def test_two_searches_on_one_model_are_refused_and_so_is_pruning_it():
    model = build("bert").train()
    eb.Search(model, eb.SearchConfig(neurons=0.4), total_steps=20)
    with pytest.raises(eb.InputError, match="has slimming coefficients already"):
        eb.Search(model, eb.SearchConfig(neurons=0.4), total_steps=20)
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(neurons=0.4))
    with pytest.raises(eb.InputError, match="slimming coefficients are still attached"):
        eb.prune(model, ticket)


def test_a_copied_search_reads_the_gradients_of_the_copied_model():
    model = build("bert").train()
    search = eb.Search(model, eb.SearchConfig(neurons=0.4, heads=0.4), total_steps=20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        its, other = copy.deepcopy((model, search))
    for each, by in ((model, search), (its, other)):
        squares(each, "bert", inputs("bert")).backward()
        found = {kind: values.task_gradient.clone() for kind, values in by.slimming.coefficients.items()}
        by.step()
        if by is search:
            expected = found
    assert_equal(found, expected)
