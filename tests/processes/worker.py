"""A search in one process or several: `worker.py DIRECTORY HOW`, HOW being alone, ddp or fsdp.

Each process is seeded differently and takes its part of each global batch, so that all of them together see what one
sees alone. What a process draws goes into `process-RANK.json`. With --die-at the last process ends itself there, once;
with --diverge-at its loss is no number from there on, and every process writes what it is told; with --overflow-at the
loss is scaled, and infinite in the last process there.
"""

from __future__ import annotations

import argparse
import copy
import faulthandler
import json
import os
import signal
import sys
from pathlib import Path

import torch
from torch import nn
from torch.distributed.fsdp import fully_shard
from transformers import BertConfig, BertForSequenceClassification

import earlybird as eb
from earlybird.anatomy.wrappers import unwrapped
from earlybird.trajectory import Trajectory

STEPS, BATCH = 60, 8
CHECKPOINT_EVERY = 20
PATIENCE_SECONDS = 240


def model_to_train(dropout: float = 0.0) -> BertForSequenceClassification:
    torch.manual_seed(0)
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=50,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=32,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
        )
    )


def batches() -> list[dict[str, torch.Tensor]]:
    ids = torch.randint(5, 50, (STEPS, BATCH, 10), generator=torch.Generator().manual_seed(0))
    return [{"input_ids": here, "labels": (here[:, 1] > 27).long()} for here in ids]


def spread(model: nn.Module, how: str) -> nn.Module:
    if how == "ddp":
        from accelerate import Accelerator

        return Accelerator().prepare(model)
    if how == "fsdp":
        torch.distributed.init_process_group("gloo")
        for layer in model.bert.encoder.layer:
            fully_shard(layer)
        return fully_shard(model)
    return model


def gathered(model: nn.Module) -> dict[str, torch.Tensor]:
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    return get_model_state_dict(model, options=StateDictOptions(full_state_dict=True))


def leave() -> None:
    """End, of several processes, this one when all have done their part: an early end can tear the others' connections.

    No destructor runs. The last owner of a group may be DDP's reducer, which waits for the group's threads while it
    holds the interpreter's lock, and one of them may want that lock to let go of the barrier (torch 2.13). Without the
    wait, such a thread can abort the process ("terminate called without an active exception").
    """
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def end_if_stuck() -> None:
    """Let a process that waits for another one for ever say where, and end."""
    faulthandler.dump_traceback_later(PATIENCE_SECONDS, exit=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("how", choices=("alone", "ddp", "fsdp"))
    parser.add_argument("--score", default="coefficient")
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--die-at", type=int)
    parser.add_argument("--diverge-at", type=int)
    parser.add_argument("--overflow-at", type=int)
    arguments = parser.parse_args()
    end_if_stuck()
    directory: Path = arguments.directory

    model = spread(model_to_train(arguments.dropout), arguments.how)
    group = torch.distributed.is_initialized()
    rank, processes = (torch.distributed.get_rank(), torch.distributed.get_world_size()) if group else (0, 1)
    torch.manual_seed(rank + 1)
    state, weights = directory / "search.safetensors", directory / "weights.pt"
    done = 0
    if state.exists():
        saved = torch.load(weights, weights_only=True)
        done = saved["steps"]
        unwrapped(model).load_state_dict(saved["model"])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, enabled=arguments.overflow_at is not None)
    search = eb.Search(
        model,
        eb.SearchConfig(
            heads=0.5,
            neurons=0.5,
            score=arguments.score,
            detector="equivalence",
            window=10,
            every=5,
            start=1,
            threshold=0.05,
            learning_rate=1e-2,
        ),
        total_steps=STEPS,
        recording=eb.Recording(
            directory / ("trajectory" if rank == 0 or done else "record-of-another"), resume=state if done else None
        ),
        scaler=scaler,
    )
    part = slice(rank * BATCH // processes, (rank + 1) * BATCH // processes)
    for step, batch in enumerate(batches()[done:], done):
        if step == arguments.die_at and rank == processes - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        loss = model(**{key: value[part] for key, value in batch.items()}).loss + search.penalty()
        if arguments.diverge_at is not None and step >= arguments.diverge_at and rank == processes - 1:
            loss = loss * float("nan")
        if step == arguments.overflow_at and rank == processes - 1:
            loss = loss * float("inf")
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        try:
            search.step()
        except eb.JobError as error:
            (directory / f"process-{rank}.json").write_text(json.dumps({"diverged": str(error)}))
            leave()
            return
        if arguments.die_at is not None and (step + 1) % CHECKPOINT_EVERY == 0:
            search.save_state(state)
            if rank == 0:
                torch.save({"steps": step + 1, "model": unwrapped(model).state_dict()}, weights)
    settled = search.ticket is not None
    ticket = search.draw_now()
    ticket.save(directory / f"ticket-{rank}.json")
    model.eval()
    with torch.no_grad():
        scaled = model(**batches()[0]).logits
        search.finish()
        folded = model(**batches()[0]).logits

    whole = model_to_train().eval()
    whole.load_state_dict(gathered(model) if arguments.how == "fsdp" else unwrapped(model).state_dict())
    refusal = ""
    if arguments.how == "fsdp":
        try:
            eb.prune(model, ticket)
        except eb.InputError as error:
            refusal = str(error)
    masked = eb.apply_mask(copy.deepcopy(whole), ticket)
    with torch.no_grad():
        pruned = eb.prune(whole, ticket)(**batches()[0]).logits
        difference = float((masked(**batches()[0]).logits - pruned).abs().max())
    content = {
        "settled": settled,
        "step": search.draw.step,
        "from": done,
        "folding": float((folded - scaled).abs().max()),
        "pruning": difference,
        "refusal": refusal,
        "recorded": Trajectory.open(directory / "trajectory").steps if rank == 0 else None,
    }
    (directory / f"process-{rank}.json").write_text(json.dumps(content))
    leave()


if __name__ == "__main__":
    main()
