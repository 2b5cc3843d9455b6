"""FSDP2: search on the sharded model, prune a gathered one, shard that anew, and train on by the same optimizer.

torchrun --standalone --nproc-per-node 2 examples/fully_sharded.py
"""

from __future__ import annotations

from collections import deque

import torch
from sklearn.datasets import load_digits
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_optimizer_state_dict
from torch.distributed.fsdp import fully_shard
from transformers import ViTConfig, ViTForImageClassification

import earlybird as eb

STEPS, BATCH = 300, 64

gpu = torch.cuda.is_available()
torch.distributed.init_process_group("nccl" if gpu else "gloo")
rank, processes = torch.distributed.get_rank(), torch.distributed.get_world_size()
device = torch.device("cuda", rank % torch.cuda.device_count()) if gpu else torch.device("cpu")
digits = load_digits()
pixels = (torch.tensor(digits.images, dtype=torch.float32)[:, None] / 8 - 1).to(device)
labels = torch.tensor(digits.target, device=device)
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


def sharded(model):
    for layer in model.vit.layers:
        fully_shard(layer)
    return fully_shard(model)


torch.manual_seed(0)  # fully_shard shards the weights that each process has: they must be the same
model = sharded(ViTForImageClassification(config).to(device))
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
search = eb.Search(model, eb.SearchConfig(heads=0.3, neurons=0.4, learning_rate=2e-3), total_steps=STEPS)
torch.manual_seed(rank)  # from here on each process has batches of its own
ticket, newest = None, deque(maxlen=16)
for step in range(STEPS):
    batch = torch.randint(1500, (BATCH // processes,))
    newest.append({"pixel_values": pixels[batch]})
    loss = model(pixels[batch], labels=labels[batch]).loss + (search.penalty() if ticket is None else 0)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    if ticket is None and (ticket := search.step()) is not None:
        search.finish()
        whole = ViTForImageClassification(config)
        state = eb.prune_sharded(model, whole, ticket, optimizer=optimizer, compensate=newest)
        model = sharded(whole.to(device))
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
        options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
        set_optimizer_state_dict(model, optimizer, state, options=options)
        print(f"process {rank}: drawn at step {step} of {STEPS}")

if ticket is None:
    raise SystemExit("the masks did not settle: train longer")
with torch.no_grad():
    accuracy = (model.eval()(pixels[1500:]).logits.argmax(-1) == labels[1500:]).float().mean()
if rank == 0:
    print(
        f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters; held-out accuracy {accuracy:.1%}"
    )
torch.distributed.destroy_process_group()
