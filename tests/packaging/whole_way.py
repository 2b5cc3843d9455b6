"""Search, detect, prune, save and load, on a tiny model and with a plain loop."""

from __future__ import annotations

import numpy as np
import torch
from surroundings import STEPS, batches, classifier

import earlybird

model = classifier()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
config = earlybird.SearchConfig(heads=0.25, neurons=0.4)
search = earlybird.Search(model, config, total_steps=STEPS, recording=earlybird.Recording("record"))
ticket = None
for batch in batches():
    (model(**batch).loss + search.penalty()).backward()
    optimizer.step()
    optimizer.zero_grad()
    ticket = search.step()
    if ticket is not None:
        break
if ticket is None:
    ticket = search.draw_now()
search.finish()
print("drawn:", ticket.provenance["how"])

recorded = earlybird.Trajectory.open("record")
assert recorded.steps > 0
# Scores without a trend, in which each test finds that.
noise = np.random.default_rng(0).random((120, 2, 16))
settled = earlybird.Trajectory.from_arrays(heads=noise[:, :, :4], neurons=noise)
for detector in ("ols", "mann-kendall", "adf"):
    asked = earlybird.SearchConfig(heads=0.25, neurons=0.4, detector=detector, window=30, every=10)
    draw = earlybird.detect(settled, asked)
    assert draw is not None, detector
    assert draw.statistic is not None, detector
    assert 0 <= draw.statistic <= 1
    print("detected:", detector, draw.step)

earlybird.prune(model, ticket, optimizer=optimizer)
earlybird.save(model, "small", ticket=ticket)
loaded = earlybird.load("small")
inputs = batches()[0]
with torch.no_grad():
    assert torch.equal(model.eval()(**inputs).logits, loaded(**inputs).logits)
print("loaded:", sum(parameter.numel() for parameter in loaded.parameters()))
