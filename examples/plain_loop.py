"""A plain PyTorch loop: search, draw, prune in place, train on with the same optimizer."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from transformers import ViTConfig, ViTForImageClassification

import earlybird as eb

STEPS = 300

torch.manual_seed(0)
digits = load_digits()
pixels = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 8 - 1
labels = torch.tensor(digits.target)
config = ViTConfig(
    image_size=8,
    patch_size=2,
    num_channels=1,
    hidden_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=96,
    num_labels=10,
)
model = ViTForImageClassification(config)
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
dense = sum(parameter.numel() for parameter in model.parameters())

search = eb.Search(model, eb.SearchConfig(heads=0.3, neurons=0.4, learning_rate=2e-3), total_steps=STEPS)
ticket = None
for step in range(STEPS):
    batch = torch.randint(1500, (64,))
    loss = model(pixels[batch], labels=labels[batch]).loss + (search.penalty() if ticket is None else 0)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    if ticket is None and (ticket := search.step()) is not None:
        search.finish()
        eb.prune(model, ticket, optimizer=optimizer)
        print(f"drawn at step {step} of {STEPS}")

if ticket is None:
    raise SystemExit("the masks did not settle: train longer")
small = sum(parameter.numel() for parameter in model.parameters())
with torch.no_grad():
    accuracy = (model.eval()(pixels[1500:]).logits.argmax(-1) == labels[1500:]).float().mean()
print(f"{dense:,} parameters became {small:,}; held-out accuracy {accuracy:.1%}")
