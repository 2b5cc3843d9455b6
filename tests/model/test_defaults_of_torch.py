"""What torch makes by default, on which device and of which dtype, changes nothing of what earlybird does."""

from __future__ import annotations

import contextlib
import copy

import numpy as np
import pytest
import torch
from families import FAMILIES, build, inputs

import earlybird as eb


@contextlib.contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


DEFAULTS = pytest.mark.parametrize(
    "default",
    [lambda: torch.device("meta"), lambda: default_dtype(torch.float64), lambda: default_dtype(torch.bfloat16)],
    ids=["meta", "float64", "bfloat16"],
)


@pytest.mark.thorough
@DEFAULTS
@pytest.mark.parametrize("name", FAMILIES)
def test_pruning(name, default):
    model = build(name)
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.4))
    expected = eb.prune(copy.deepcopy(model), ticket).state_dict()
    with default():
        found = eb.prune(model, ticket).state_dict()
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        assert value.device == found[key].device
        assert value.dtype == found[key].dtype
        assert torch.equal(value, found[key])


def searched(model, batch, directory, score):
    """The evidence of a short search that was taken up again half-way, and the model pruned by its ticket."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
    state = None
    for _ in range(2):
        recording = eb.Recording(directory / "record", resume=state)
        search = eb.Search(
            model, eb.SearchConfig(heads=0.4, neurons=0.4, score=score), total_steps=4, recording=recording
        )
        for _ in range(2):
            (model(**batch).last_hidden_state.square().mean() + search.penalty()).backward()
            optimizer.step()
            optimizer.zero_grad()
            search.step()
        state = directory / "state.safetensors"
        search.save_state(state)
        if search.steps < 4:
            search.detach()
    ticket = search.draw_now()
    search.finish()
    record = eb.Trajectory.open(directory / "record")
    channel = "deviation" if score == "coefficient" else "gradient"
    evidence = {kind: np.array(record.evidence(kind, channel)) for kind in record.kinds}
    return evidence, eb.prune(model, ticket, optimizer=optimizer)


@DEFAULTS
@pytest.mark.parametrize("score", ["coefficient", "gradient"])
def test_searching(score, default, tmp_path):
    model, batch = build("vit"), inputs("vit")
    expected, pruned = searched(copy.deepcopy(model), batch, tmp_path / "without", score)
    with default():
        found, again = searched(model, batch, tmp_path / "with", score)
    for kind, evidence in expected.items():
        np.testing.assert_allclose(found[kind], evidence, rtol=1e-5, atol=1e-7)
    assert {(value.device, value.dtype) for value in again.state_dict().values()} == {
        (torch.device("cpu"), torch.float32)
    }
    assert again(**batch).last_hidden_state.isfinite().all()
    assert sum(p.numel() for p in again.parameters()) == sum(p.numel() for p in pruned.parameters())


@DEFAULTS
@pytest.mark.parametrize("name", ["bert", "llama"])
def test_saving_exporting_and_verifying(name, default, tmp_path):
    model, batch = build(name), inputs(name, masked=False)
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.5, neurons=0.5))
    with default():
        assert eb.verify(model, ticket, batch) < 1e-5
        eb.prune(model, ticket)
        eb.save(model, tmp_path / "pruned", ticket=ticket)
        eb.export(model, tmp_path / "dense", format="dense")
    expected = model(**batch)[0]
    torch.testing.assert_close(eb.load(tmp_path / "pruned")(**batch)[0], expected)
    dense = type(model).from_pretrained(tmp_path / "dense")
    torch.testing.assert_close(dense(**batch)[0], expected, rtol=0, atol=1e-4)
