"""An optimizer taken along in the surgery goes on exactly as one whose model was masked."""

from __future__ import annotations

import copy
import gc
import warnings
import weakref
from functools import partial

import pytest
import torch
from accelerate import Accelerator
from families import build, inputs
from lightning.pytorch.core.optimizer import LightningOptimizer
from transformers import BertConfig, BertForSequenceClassification

import earlybird as eb

TOKENS = torch.randint(5, 60, (4, 9), generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 1, 0])


def tiny_bert():
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return BertForSequenceClassification(config)


def train(model, optimizer, steps):
    losses = []
    for _ in range(steps):
        loss = model(TOKENS, labels=LABELS).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.AdamW(p, 1e-3, weight_decay=0.1),
        lambda p: torch.optim.SGD(p, 1e-2, momentum=0.9),
        lambda p: torch.optim.Adam([{"params": list(p), "lr": 1e-3}], amsgrad=True),
        lambda p: torch.optim.AdamW(p, 1e-3, fused=True),
        lambda p: torch.optim.AdamW(p, torch.tensor(1e-3)),
        lambda p: torch.optim.NAdam(p, 1e-3),
        lambda p: torch.optim.RAdam(p, 1e-3),
        lambda p: torch.optim.Adamax(p, 1e-3),
        lambda p: torch.optim.Adagrad(p, 1e-3),
        lambda p: torch.optim.Adadelta(p, 1e-1),
        lambda p: torch.optim.ASGD(p, 1e-2),
        lambda p: torch.optim.RMSprop(p, 1e-4, momentum=0.9, centered=True),
        lambda p: torch.optim.Rprop(p, 1e-4),
    ],
    ids=[
        *("adamw", "sgd", "amsgrad", "fused", "tensor rate", "nadam", "radam", "adamax", "adagrad", "adadelta", "asgd"),
        *("rmsprop", "rprop"),
    ],
)
def test_training_goes_on_with_the_sliced_state(make):
    model = tiny_bert()
    optimizer = make(model.parameters())
    train(model, optimizer, 3)
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.5, neurons=0.5), seed=1)
    before = {name: (value, copy.deepcopy(optimizer.state[value])) for name, value in model.named_parameters()}
    eb.prune(model, ticket, optimizer=optimizer)
    held = {id(value) for group in optimizer.param_groups for value in group["params"]}
    assert held == {id(value) for value in model.parameters()}
    assert {id(value) for value in optimizer.state} <= held
    name = "bert.encoder.layer.1.output.dense.weight"
    new = model.get_parameter(name)
    kept = torch.from_numpy(ticket.masks["neurons"][1])
    for key, value in before[name][1].items():
        expected = value[:, kept] if torch.is_tensor(value) and value.ndim == 2 else torch.as_tensor(value)
        assert torch.equal(torch.as_tensor(optimizer.state[new][key]), expected)
    losses = train(model, optimizer, 3)
    assert losses[-1] < losses[0]


def test_a_state_that_cannot_be_sliced_is_refused_and_nothing_changes():
    model = tiny_bert()
    optimizer = torch.optim.Adafactor(model.parameters(), 1e-2)
    train(model, optimizer, 1)
    before = dict(model.named_parameters())
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.5, neurons=0.5))
    with pytest.raises(eb.InputError, match="make a new one"):
        eb.prune(model, ticket, optimizer=optimizer)
    assert all(before[name] is value for name, value in model.named_parameters())
    assert {id(value) for group in optimizer.param_groups for value in group["params"]} == set(map(id, before.values()))
    train(model, optimizer, 1)


def test_the_optimizer_of_another_model_is_refused():
    model, other = tiny_bert(), tiny_bert()
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.5, neurons=0.5))
    before = dict(model.named_parameters())
    with pytest.raises(eb.InputError, match="another model's"):
        eb.prune(model, ticket, optimizer=torch.optim.AdamW(other.parameters()))
    assert all(before[name] is value for name, value in model.named_parameters())


def test_a_position_bias_that_the_layers_shared_takes_its_state_along():
    model = build("t5")
    tensors = {**inputs("t5"), "labels": torch.randint(5, 60, (2, 4), generator=torch.Generator().manual_seed(0))}
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    model(**tensors).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    eb.prune(model, eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.5), seed=1), optimizer=optimizer)
    parameters = dict(model.named_parameters())
    assert sum("relative_attention_bias" in name for name in parameters) > 2  # of every layer, no longer of the first
    held = [id(value) for group in optimizer.param_groups for value in group["params"]]
    assert sorted(held) == sorted(map(id, parameters.values()))
    for name, value in parameters.items():
        assert optimizer.state[value]["exp_avg"].shape == value.shape, name
    # What was copied has a state of its own, or one step would count several times.
    entries = [entry for state in optimizer.state.values() for entry in state.values()]
    assert len({entry.data_ptr() for entry in entries}) == len(entries)
    model(**tensors).loss.backward()
    optimizer.step()


def half(model, **ratios):
    return eb.Ticket.random(
        eb.Anatomy.of(model), eb.PruningConfig(**(ratios or {"heads": 0.5, "neurons": 0.5})), seed=1
    )


class Lookahead(torch.optim.Optimizer):
    """As it is published: around another optimizer, whose groups it shares, with slow weights in a state of its own."""

    def __init__(self, optimizer, every=2, share=0.5):
        self.optimizer, self.every, self.share, self.steps = optimizer, every, share, 0
        super().__init__(optimizer.param_groups, {})
        self.param_groups = optimizer.param_groups
        self.fast_state = optimizer.state
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter]["slow"] = parameter.detach().clone()

    @torch.no_grad()
    def step(self, closure=None):
        self.optimizer.step()
        self.steps += 1
        if self.steps % self.every == 0:
            for group in self.param_groups:
                for parameter in group["params"]:
                    slow = self.state[parameter]["slow"]
                    parameter.copy_(slow.lerp_(parameter, self.share))


class Both(torch.optim.Optimizer):
    """Matrices by one optimizer, vectors by another."""

    def __init__(self, parameters):
        parameters = list(parameters)
        self.optimizers = [
            torch.optim.Muon([each for each in parameters if each.ndim == 2], 1e-2),
            torch.optim.AdamW([each for each in parameters if each.ndim != 2], 1e-3),
        ]

    @property
    def param_groups(self):
        return [group for each in self.optimizers for group in each.param_groups]

    @property
    def state(self):
        return {key: value for each in self.optimizers for key, value in each.state.items()}

    def step(self, closure=None):
        for each in self.optimizers:
            each.step()

    def zero_grad(self, set_to_none=True):
        for each in self.optimizers:
            each.zero_grad(set_to_none)


AROUND = {
    "Lookahead": (lambda model: Lookahead(torch.optim.AdamW(model.parameters(), 1e-3)), lambda own: [own.optimizer]),
    "accelerate": (
        lambda model: Accelerator(cpu=True).prepare_optimizer(torch.optim.AdamW(model.parameters(), 1e-3)),
        lambda own: [own.optimizer],
    ),
    "Lightning": (
        lambda model: LightningOptimizer(torch.optim.AdamW(model.parameters(), 1e-3)),
        lambda own: [own.optimizer],
    ),
    "two in one": (lambda model: Both(model.parameters()), lambda own: own.optimizers),
}


@pytest.mark.parametrize("kind", AROUND)
def test_an_optimizer_inside_another_is_taken_along(kind):
    make, inside = AROUND[kind]
    model = tiny_bert()
    optimizer = make(model)
    inner = inside(optimizer)
    for _ in range(3):
        model(TOKENS, labels=LABELS).loss.backward()
        for each in inner if kind == "Lightning" else [optimizer]:
            each.step()
            each.zero_grad()
    before = {name: copy.deepcopy(inner[0].state.get(value, {})) for name, value in model.named_parameters()}
    ticket = half(model)
    eb.prune(model, ticket, optimizer=optimizer)
    held = [id(value) for each in inner for group in each.param_groups for value in group["params"]]
    assert sorted(held) == sorted(map(id, model.parameters()))
    assert {id(value) for each in inner for value in each.state} <= set(held)
    name = "bert.encoder.layer.1.output.dense.weight"
    kept = torch.from_numpy(ticket.masks["neurons"][1])
    for key, value in before[name].items():
        expected = value[:, kept] if value.ndim == 2 else value
        assert torch.equal(inner[0].state[model.get_parameter(name)][key], expected)
    weights = {name: value.detach().clone() for name, value in model.named_parameters()}
    for _ in range(2):
        model(TOKENS, labels=LABELS).loss.backward()
        for each in inner if kind == "Lightning" else [optimizer]:
            each.step()
            each.zero_grad()
    assert all(not torch.equal(value, weights[name]) for name, value in model.named_parameters())


class MasterWeights(torch.optim.AdamW):
    """Keeps a copy of the parameters beside them, as optimizers for half precision do."""

    def __init__(self, parameters):
        super().__init__(parameters, 1e-3)
        self.master = [value.detach().float().clone() for group in self.param_groups for value in group["params"]]


class Flat(MasterWeights):
    """Keeps all of them in one tensor."""

    def __init__(self, parameters):
        super().__init__(parameters)
        self.master = torch.cat([value.flatten() for value in self.master])


class Projector:
    def __init__(self, matrix):
        self.matrix = matrix


class Quantized(torch.Tensor):
    pass


class Remembering(torch.optim.SGD):
    """Has a state that is made of each parameter."""

    def __init__(self, parameters, make):
        super().__init__(parameters, 1e-3)
        for group in self.param_groups:
            for value in group["params"]:
                self.state[value]["memory"] = make(value.detach())


class Engine:
    def __init__(self, parameters):
        self.optimizer = torch.optim.SGD(parameters, 1e-3)


class CopiedGroups(torch.optim.Optimizer):
    """Gives out copies of the groups of an optimizer that is not to be seen."""

    def __init__(self, parameters):
        self.engine, self.state = Engine(parameters), {}

    @property
    def param_groups(self):
        return [dict(group) for group in self.engine.optimizer.param_groups]


CANNOT_FOLLOW = {
    "LBFGS": (torch.optim.LBFGS, "keeps .* in its _params, too"),
    "LBFGS inside another": (lambda parameters: Lookahead(torch.optim.LBFGS(parameters)), "keeps .* in its _params"),
    "master weights": (MasterWeights, "keeps tensors in its master"),
    "flat master weights": (Flat, "keeps tensors in its master"),
    "tensors in its groups": (
        lambda parameters: torch.optim.SGD([{"params": list(parameters), "scales": torch.ones(7)}], 1e-3),
        "keeps tensors in its scales",
    ),
    "preconditioners": (
        lambda parameters: Remembering(parameters, lambda value: [value @ value.T if value.ndim == 2 else value]),
        "keeps memory of .* as part of a list and cannot be sliced",
    ),
    "a projector": (
        lambda parameters: Remembering(parameters, Projector),
        "keeps memory of .* as part of a Projector and cannot be sliced",
    ),
    "a tensor of another class": (
        lambda parameters: Remembering(parameters, lambda value: value.clone().as_subclass(Quantized)),
        "keeps memory of .* as a Quantized and cannot be sliced",
    ),
    "copies of groups": (CopiedGroups, "gives out copies of its parameter groups"),
}


@pytest.mark.parametrize("kind", CANNOT_FOLLOW)
def test_an_optimizer_that_cannot_follow_is_refused_and_nothing_changes(kind):
    make, reason = CANNOT_FOLLOW[kind]
    model = tiny_bert()
    optimizer = make(model.parameters())
    before = dict(model.named_parameters())
    with pytest.raises(eb.InputError, match=reason + ".*make a new one"):
        eb.prune(model, half(model), optimizer=optimizer)
    assert all(before[name] is value for name, value in model.named_parameters())
    held = [id(value) for group in optimizer.param_groups for value in group["params"]]
    assert held == [id(value) for value in before.values()]


def test_an_optimizer_of_a_larger_whole_is_taken_along_for_its_model():
    model, loss = tiny_bert(), torch.nn.Linear(3, 3)
    optimizer = torch.optim.AdamW([*model.parameters(), *loss.parameters()], 1e-3)
    eb.prune(model, half(model), optimizer=optimizer)
    held = {id(value) for group in optimizer.param_groups for value in group["params"]}
    assert held == {id(value) for value in [*model.parameters(), *loss.parameters()]}


def test_an_optimizer_with_parameters_from_an_earlier_pruning_is_refused():
    model = tiny_bert()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    eb.prune(model, half(model, heads=0.5))
    with pytest.raises(
        eb.InputError, match=r"still holds 14 parameters from before an earlier pruning.*make a new one"
    ):
        eb.prune(model, half(model, neurons=0.5), optimizer=optimizer)
    assert eb.Anatomy.of(model).units["neurons"] == (48, 48)


@pytest.mark.parametrize("family", ["bert", "t5"])
def test_names_of_parameters_stay_beside_them(family):
    model = build(family)
    optimizer = torch.optim.AdamW(model.named_parameters(), 1e-3)
    eb.prune(model, half(model, heads=0.5), optimizer=optimizer)
    (group,) = optimizer.param_groups
    found = dict(zip(group["param_names"], group["params"], strict=True))
    assert found.keys() == dict(model.named_parameters()).keys()
    assert all(found[name] is value for name, value in model.named_parameters())


def test_schedules_and_gradient_scalers_go_on_with_the_optimizer():
    model = tiny_bert()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)

    def step():
        scaler.scale(model(TOKENS, labels=LABELS).loss).backward()
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        schedule.step()

    step()
    eb.prune(model, half(model), optimizer=optimizer)
    weights = {name: value.detach().clone() for name, value in model.named_parameters()}
    step()
    assert optimizer.param_groups[0]["lr"] == 1e-2 / 4
    assert all(not torch.equal(value, weights[name]) for name, value in model.named_parameters())


def warned(work):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        work()
    return [each for each in caught if "earlybird" in str(each.message)]


@pytest.mark.parametrize(
    "make",
    [
        lambda model: torch.optim.AdamW(model.parameters(), 1e-3, fused=True),
        lambda model: Lookahead(torch.optim.SGD(model.parameters(), 1e-3)),
        lambda model: Accelerator(cpu=True).prepare_optimizer(torch.optim.AdamW(model.parameters(), 1e-3)),
    ],
    ids=["AdamW", "Lookahead", "accelerate"],
)
def test_an_optimizer_that_was_forgotten_says_so_when_it_steps(make):
    model = tiny_bert()
    optimizer = make(model)
    train(model, optimizer, 1)
    eb.prune(model, half(model))
    found = warned(lambda: train(model, optimizer, 1))
    assert found
    assert "steps with 20 parameters that pruning has removed" in str(found[0].message)
    assert "optimizer=" in str(found[0].message)


def test_the_warning_leads_to_the_line_that_steps():
    model = tiny_bert()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    eb.prune(model, half(model))
    (found,) = warned(optimizer.step)
    assert found.filename == __file__
    assert issubclass(found.category, UserWarning)


def test_one_of_two_optimizers_that_was_forgotten_says_so():
    model = tiny_bert()
    matrices = torch.optim.AdamW([value for value in model.parameters() if value.ndim == 2], 1e-3)
    vectors = torch.optim.AdamW([value for value in model.parameters() if value.ndim != 2], 1e-3)
    eb.prune(model, half(model), optimizer=matrices)
    assert not warned(matrices.step)
    assert len(warned(vectors.step)) == 1


def test_nothing_is_said_where_nothing_was_forgotten():
    model, other = tiny_bert(), tiny_bert()
    given, never, elsewhere = (torch.optim.AdamW(each.parameters(), 1e-3) for each in (model, model, other))
    eb.prune(model, half(model), optimizer=given)
    made = torch.optim.AdamW(model.parameters(), 1e-3)

    def work():
        for each in (given, made):
            train(model, each, 2)
        train(other, elsewhere, 2)

    assert not warned(work)
    assert never.param_groups


def test_what_was_removed_is_gone_at_once_where_nobody_holds_it():
    model = tiny_bert()
    removed = weakref.ref(model.bert.encoder.layer[0].output.dense.weight)
    gc.collect()
    gc.disable()
    try:
        eb.prune(model, half(model))
        assert removed() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("container", [list, dict])
def test_a_container_that_holds_itself_is_no_obstacle(container):
    model = tiny_bert()
    optimizer = torch.optim.AdamW(model.parameters())
    optimizer.own = container()
    (optimizer.own.append if container is list else partial(optimizer.own.__setitem__, "own"))(optimizer.own)
    train(model, optimizer, 1)
    eb.prune(model, random_ticket(model), optimizer=optimizer)
    assert held_by(optimizer) == {id(parameter) for parameter in model.parameters()}


def held_by(optimizer):
    return {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}


def random_ticket(model):
    return eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.5, neurons=0.5), seed=1)


def test_a_whole_model_that_shared_parameters_trains_on_without_a_warning():
    whole, pruned = tiny_bert(), tiny_bert()
    for path, parameter in list(pruned.named_parameters()):
        module, _, name = path.rpartition(".")
        whole.get_submodule(module).register_parameter(name, parameter)
    optimizer = torch.optim.AdamW(whole.parameters())
    eb.prune(pruned, random_ticket(pruned))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(whole, optimizer, 1)
    eb.prune(whole, random_ticket(whole), optimizer=optimizer)


@pytest.mark.parametrize("register", ["register_hook", "register_post_accumulate_grad_hook"])
def test_parameters_with_hooks_on_their_gradients_are_not_cut(register):
    model = tiny_bert()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    handle = getattr(model.bert.encoder.layer[1].output.dense.weight, register)(lambda _: None)
    with pytest.raises(eb.InputError, match=r"encoder\.layer\.1\.output\.dense\.weight has a hook on its gradient"):
        eb.prune(model, random_ticket(model))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    handle.remove()
    eb.prune(model, random_ticket(model))
