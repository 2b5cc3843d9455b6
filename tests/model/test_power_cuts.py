"""What takes a place is on the disk before it does: a power cut leaves what was there, or what was to be there.

A power cut cannot be made here. What the disk was asked for before each move can be seen.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel

import earlybird as eb
from earlybird.recipes.optimizer_state import OPTIMIZER, optimizer_state_by_name, write_optimizer_state
from earlybird.recipes.run_directory import replace_directory, write_json

MODEL = BertModel(BertConfig(hidden_size=24, num_hidden_layers=1, num_attention_heads=4, intermediate_size=32))


def save_ticket(directory: Path) -> None:
    eb.Ticket.random(eb.Anatomy.of(MODEL), eb.PruningConfig(heads=0.25), seed=0).save(directory / "ticket.json")


def save_result(directory: Path) -> None:
    write_json(directory / "result.json", {"accuracy": 88.1})


def save_search(directory: Path) -> None:
    model = BertModel(MODEL.config)
    recording = eb.Recording(directory / "record")
    search = eb.Search(model, eb.SearchConfig(heads=0.25), total_steps=10, recording=recording)
    search.save_state(directory / "search.safetensors")
    search.close()


def save_model(directory: Path) -> None:
    eb.save(MODEL, directory, accuracy=88.1)


def save_what_continues(directory: Path) -> None:
    optimizer = torch.optim.AdamW(MODEL.parameters())
    MODEL(input_ids=torch.tensor([[1, 2, 3]])).last_hidden_state.sum().backward()
    optimizer.step()
    making = directory / "drawn.tmp"
    eb.save(MODEL, making)
    write_optimizer_state(making / OPTIMIZER, optimizer_state_by_name(optimizer, MODEL))
    replace_directory(making, directory / "drawn")


def version(status: os.stat_result) -> tuple[int, ...]:
    """Which file it is, and with which content."""
    return status.st_ino, status.st_size, status.st_mtime_ns


@pytest.mark.parametrize("save", [save_ticket, save_result, save_search, save_model, save_what_continues])
def test_all_of_it_is_on_the_disk_before_it_takes_a_place_and_that_it_does_follows(save, tmp_path, monkeypatch):
    on_disk: set[tuple[int, ...]] = set()
    events: list[str] = []
    plain_fsync = os.fsync

    def fsync(descriptor):
        status = os.fstat(descriptor)
        on_disk.add(version(status))
        events.append("names on the disk" if stat.S_ISDIR(status.st_mode) else "file on the disk")
        plain_fsync(descriptor)

    def checked(move):
        def moves(source, target):
            files = [path for path in (Path(source), *Path(source).rglob("*")) if path.is_file()]
            assert [path for path in files if version(path.stat()) not in on_disk] == []
            move(source, target)
            events.append("moved")

        return moves

    monkeypatch.setattr(os, "fsync", fsync)
    for name in ("replace", "rename"):
        monkeypatch.setattr(os, name, checked(getattr(os, name)))
    save(tmp_path)
    assert "moved" in events
    assert "names on the disk" in events[len(events) - events[::-1].index("moved") :]


@pytest.mark.parametrize(("said", "goes_on"), [(errno.EINVAL, True), (errno.ENOTSUP, True), (errno.EIO, False)])
def test_a_file_system_that_brings_no_names_to_the_disk_is_taken_as_it_is_and_a_broken_one_is_not(
    said, goes_on, tmp_path, monkeypatch
):
    plain_fsync = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(said, os.strerror(said))
        plain_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    for save in (save_model, save_result):
        if goes_on:
            save(tmp_path)
        else:
            with pytest.raises(OSError, match=os.strerror(said)):
                save(tmp_path)
