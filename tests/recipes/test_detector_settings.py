"""A recipe's settings prune a model, and its record, the way a search does that is given them directly."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import earlybird as eb
from earlybird.masks import mask_rules
from earlybird.recipes.stages.draw import draw_from

TOKENS = torch.randint(1, 50, (4, 8), generator=torch.Generator().manual_seed(0))
STEPS = 40


def tiny_llama():
    """Six heads that share keys and values two by two; a hidden size that admits 1, 2, 3, 4 or 6 heads."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=3,
        intermediate_size=40,
    )
    return LlamaForCausalLM(config)


@pytest.mark.filterwarnings("ignore:.*heads")
@pytest.mark.parametrize("others", [{}, {"kv_groups": "whole"}, {"kv_groups": "within"}, {"uniform": True}])
def test_a_ticket_drawn_by_a_recipe_keeps_shared_heads_together(others, tmp_path):
    model = tiny_llama()
    config = eb.SearchConfig(heads=0.4, neurons=0.3, detector="hamming", **others)
    search = eb.Search(model, config, total_steps=STEPS, recording=eb.Recording(tmp_path))
    optimizer = torch.optim.SGD(model.parameters(), 1e-2)
    for _ in range(STEPS):
        (model(TOKENS, labels=TOKENS).loss + search.penalty()).backward()
        optimizer.step()
        optimizer.zero_grad()
        search.step()
    search.finish()
    trajectory = eb.Trajectory.open(tmp_path)
    assert mask_rules(config, search.anatomy) == mask_rules(config, trajectory.shape) == search.detection.streams.kinds
    drawn, detected = draw_from(trajectory, config), eb.detect(trajectory, config)
    for verdict in (drawn, detected):
        assert verdict.step == search.draw.step
        assert all((verdict.masks[kind] == search.ticket.masks[kind]).all() for kind in verdict.masks)
    eb.prune(model, eb.Ticket.drawn(search.anatomy, drawn))
    model(TOKENS)


def test_a_way_with_groups_that_there_is_not_is_refused():
    with pytest.raises(eb.InputError, match="kv_groups must be one of whole, within, got 'together'"):
        eb.SearchConfig(heads=0.5, kv_groups="together")
