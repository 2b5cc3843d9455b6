"""A ticket fits the anatomy that it was made for, or is refused when it is made."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from families import build

import earlybird as eb


@cache
def anatomy():
    """Two blocks of 8 heads and 40 neurons."""
    return eb.Anatomy.of(build("vit"))


@pytest.mark.parametrize(
    ("masks", "named"),
    [
        ({"heads": np.ones((2, 7), bool)}, r"masks of heads must be \(2, 8\).*got shape \(2, 7\)"),
        ({"heads": np.ones((2, 9), bool)}, r"masks of heads must be \(2, 8\).*got shape \(2, 9\)"),
        ({"heads": np.ones((3, 8), bool)}, r"masks of heads must be \(2, 8\).*got shape \(3, 8\)"),
        ({"heads": np.ones(8, bool)}, r"masks of heads must be \(2, 8\).*got shape \(8,\)"),
        ({"heads": [[True, False], [True]]}, r"masks of heads must be \(2, 8\)"),
        ({"heads": "all"}, r"masks of heads must be \(2, 8\)"),
        ({"head": np.ones((2, 8), bool)}, "no kind of unit is called 'head'; did you mean 'heads'"),
        ({7: np.ones((2, 8), bool)}, "no kind of unit is called 7; choose one of heads, neurons"),
        ({}, "no masks"),
        (np.ones((2, 8), bool), r"masks must be given by kind, \{\"heads\": .*got ndarray"),
        ({"heads": np.full((2, 8), 0.3)}, "masks of heads must hold True and False.*got 0.3"),
        ({"heads": np.full((2, 8), np.nan)}, "masks of heads must hold True and False.*got nan"),
    ],
)
def test_masks_that_do_not_fit_are_refused(masks, named):
    with pytest.raises(eb.InputError, match=named):
        eb.Ticket.of(anatomy(), masks)


def test_masks_of_a_kind_that_the_model_lacks_are_refused():
    only_heads = anatomy().excluding(["*.mlp"])
    with pytest.raises(eb.InputError, match="has no neurons"):
        eb.Ticket.of(only_heads, {"neurons": np.ones((2, 40), bool)})


def test_a_unit_that_a_narrow_block_does_not_have_is_not_kept():
    with pytest.raises(eb.InputError, match="keeps heads of 'b' that are not there: it has 2"):
        eb.Ticket({"heads": np.ones((2, 4), bool)}, {"heads": (4, 2)}, {"heads": ("a", "b")})


@pytest.mark.parametrize("missing", ["units", "blocks"])
def test_units_and_names_are_given_for_every_mask(missing):
    parts = {"masks": {"heads": np.ones((2, 4), bool)}, "units": {"heads": (4, 4)}, "blocks": {"heads": ("a", "b")}}
    parts[missing] = {"neurons": parts[missing]["heads"]}
    with pytest.raises(eb.InputError, match=f"{missing}.*heads"):
        eb.Ticket(**parts)


@pytest.mark.parametrize("as_array", [np.array, torch.tensor, list])
@pytest.mark.parametrize("kind_of_value", [bool, int, float])
def test_zeros_and_ones_are_a_mask(as_array, kind_of_value):
    rows = [[kind_of_value(unit % 2) for unit in range(8)] for _ in range(2)]
    assert eb.Ticket.of(anatomy(), {"heads": as_array(rows)}).kept("heads") == (4, 4)


def test_a_ticket_made_directly_is_checked_alike():
    units, blocks = {"heads": (4, 4)}, {"heads": ("a", "b")}
    for masks, named in (
        ({"head": np.ones((2, 4), bool)}, "no kind of unit is called 'head'; did you mean 'heads'"),
        ({"heads": np.full((2, 4), 7)}, "must hold True and False.*got 7"),
        ({"heads": np.full((2, 4), 0.5)}, r"must hold True and False.*got 0\.5"),
        ({"heads": torch.ones(2, 4, requires_grad=True)}, r"masks of heads must be \(2, 4\)"),
        ({"heads": torch.ones(2, 4, dtype=torch.bfloat16)}, r"masks of heads must be \(2, 4\)"),
    ):
        kind = next(iter(masks))
        with pytest.raises(eb.InputError, match=named):
            eb.Ticket(masks, {kind: units["heads"]}, {kind: blocks["heads"]})
    assert eb.Ticket({"heads": [[1, 0, 0, 1], [1, 1, 1, 1]]}, units, blocks).kept("heads") == (2, 4)


def test_a_ticket_stays_what_it_was_checked_to_be():
    mask = np.ones((2, 8), bool)
    ticket = eb.Ticket.of(anatomy(), {"heads": mask})
    mask[:] = False
    assert ticket.kept("heads") == (8, 8)
    with pytest.raises(ValueError, match="read-only"):
        ticket.masks["heads"][:] = False


TICKET = pytest.mark.parametrize("wrong", [0.3, "ticket.json", {"heads": 0.3}, eb.PruningConfig(heads=0.3)], ids=repr)


@TICKET
@pytest.mark.parametrize("use", [eb.prune, eb.apply_mask, lambda model, ticket: eb.verify(model, ticket, {})])
def test_what_is_no_ticket_is_told_how_to_get_one(use, wrong):
    with pytest.raises(eb.InputError, match=r"ticket must be a Ticket, got .*Ticket\.load\(path\).*Ticket\.random"):
        use(build("vit"), wrong)


def test_what_is_no_model_is_told_so():
    ticket = eb.Ticket.random(anatomy(), eb.PruningConfig(heads=0.3))
    for use in (eb.prune, eb.apply_mask):
        with pytest.raises(eb.InputError, match=r"model must be a torch.nn.Module, got 'bert-base-uncased'"):
            use("bert-base-uncased", ticket)
    with pytest.raises(eb.InputError, match=r"model must be a torch.nn.Module, got 'bert-base-uncased'"):
        eb.Anatomy.of("bert-base-uncased")


def test_a_random_ticket_takes_an_anatomy_and_a_config():
    with pytest.raises(eb.InputError, match=r"config must be a PruningConfig, got 0\.3; .*PruningConfig\(heads=0\.3"):
        eb.Ticket.random(anatomy(), 0.3)
    model = build("vit")
    for make in (
        lambda: eb.Ticket.random(model, eb.PruningConfig(heads=0.3)),
        lambda: eb.Ticket.of(model, {"heads": np.ones((2, 8), bool)}),
    ):
        with pytest.raises(eb.InputError, match=r"anatomy must be an Anatomy, got ViT\w*; .*Anatomy\.of\(model\)"):
            make()


def test_a_model_is_not_saved_with_a_ticket_by_which_it_was_not_pruned(tmp_path):
    model = build("vit")
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.5))
    with pytest.raises(eb.InputError, match=r"attention has 8 heads, and the ticket keeps 4; prune the model"):
        eb.save(model, tmp_path / "dense", ticket=ticket)
    eb.save(eb.prune(model, ticket), tmp_path / "pruned", ticket=ticket)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"accuracy": "high"}, r"accuracy must be a percentage in \[0, 100\], got 'high'"),
        ({"processor": "tokenizer"}, "processor must be a tokenizer or an image processor, got 'tokenizer'"),
    ],
)
def test_what_goes_beside_a_saved_model_is_checked(named, said, tmp_path):
    with pytest.raises(eb.InputError, match=said):
        eb.save(build("vit"), tmp_path / "saved", **named)


def test_an_accuracy_that_looks_like_a_fraction_is_told(tmp_path, caplog):
    eb.save(build("vit"), tmp_path, accuracy=0.881)
    assert "accuracy is in percent, and 0.881 is told as that" in caplog.text


def test_an_optimizer_is_one():
    model = build("vit")
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.5))
    with pytest.raises(eb.InputError, match=r"optimizer must be a torch\.optim\.Optimizer, got ViTModel"):
        eb.prune(model, ticket, optimizer=model)


def test_a_random_ticket_of_nothing_asks_for_a_ratio():
    with pytest.raises(eb.InputError, match="give a ratio for heads, neurons or experts"):
        eb.Ticket.random(anatomy(), eb.PruningConfig())
