"""Whatever moment a save is killed at, its directory holds the whole old model or the whole new one."""

from __future__ import annotations

import errno
import fcntl
import functools
import itertools
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import BertConfig, BertLMHeadModel, PreTrainedModel, PreTrainedTokenizerFast

import earlybird as eb
from earlybird.checkpoint.directory_lock import locked
from earlybird.checkpoint.inspection import inspect_model

SIZES = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 32, "vocab_size": 30}
# What moves or removes files, as Python says it to audit hooks before it is done.
STEPS = ("os.rename", "os.remove", "os.rmdir")


def model_of(seed: int) -> BertLMHeadModel:
    torch.manual_seed(seed)
    return BertLMHeadModel(BertConfig(**SIZES, is_decoder=True)).eval()


@functools.cache
def old_model() -> BertLMHeadModel:
    """A dense one, which says how it generates text."""
    model = model_of(0)
    model.generation_config.max_new_tokens = 7
    return model


@functools.cache
def new_model() -> BertLMHeadModel:
    """A pruned one, whose config bears the mark."""
    return pruned(model_of(1), heads=0.25, neurons=0.4)


def pruned(model: BertLMHeadModel, **ratios: float) -> BertLMHeadModel:
    return eb.prune(model, eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(**ratios)))


def save_old(directory: Path) -> None:
    """In several files."""
    eb.save(old_model(), directory, max_shard_size=30_000, processor=tokenizer("old"))


def save_new(directory: Path) -> None:
    """In one file."""
    eb.save(new_model(), directory, accuracy=88.1, processor=tokenizer("new"))


def tokenizer(word: str) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({word: 0})), unk_token=word)


def seen(directory: Path) -> dict[str, object]:
    """The files that plain transformers finds, with their content."""
    return {path.name: content(path) for path in directory.iterdir() if path.is_file()}


def content(path: Path) -> object:
    """The bytes of a file; the head of weights lists things in any order."""
    all_bytes = path.read_bytes()
    if path.suffix != ".safetensors":
        return all_bytes
    end = 8 + int.from_bytes(all_bytes[:8], "little")
    return json.loads(all_bytes[8:end]), all_bytes[end:]


def hidden(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir() if path.is_dir()]


def same(model: PreTrainedModel, other: PreTrainedModel) -> bool:
    """Whether two models have the same weights."""
    first, second = model.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


def begun_in_a_child(action: Callable[[], object]) -> int:
    """Begin to do something in a process of its own; returns its id."""
    child = os.fork()
    if child == 0:
        try:
            action()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    return child


def ended(child: int) -> int:
    """How a process ended: its exit status, or the signal that killed it, below 0."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed(action: Callable[[], object], before: Callable[[int, str], bool]) -> bool:
    """Do something in a process that is killed right before a step; False where it comes to its end.

    `before` says by a step's number and path, which is the one that a file is moved from, whether it is that step.
    """

    def watched() -> None:
        numbers = itertools.count()

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            if event in STEPS and before(next(numbers), str(arguments[0])):
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        action()

    code = ended(begun_in_a_child(watched))
    assert code in (0, -signal.SIGKILL)
    return code != 0


def killed_save(before: Callable[[int, str], bool], directory: Path, old: Path) -> bool:
    """Save the new model into a copy of the old one's directory, see `killed`."""
    shutil.copytree(old, directory)
    return killed(lambda: save_new(directory), before)


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    directory = tmp_path_factory.mktemp("models") / "old"
    save_old(directory)
    (directory / "notes.txt").write_text("mine")
    return directory


@pytest.fixture(scope="module")
def new(old):
    directory = shutil.copytree(old, old.with_name("new"))
    save_new(directory)
    return directory


def test_a_kill_at_any_moment_leaves_the_old_model_or_the_new_one(old, new, tmp_path):
    whole = {"old": seen(old), "new": seen(new)}
    assert whole["old"]["notes.txt"] == whole["new"]["notes.txt"]
    assert len(whole["old"].keys() ^ whole["new"].keys()) > 3
    models = {"old": old_model(), "new": new_model()}
    found: list[str] = []
    between = 0
    while killed_save(lambda number, path: number == len(found), directory := tmp_path / str(len(found)), old):
        left = seen(directory)
        if left not in whole.values():
            # Nothing of both models lies side by side, and plain transformers loads neither.
            del left["config.json"]
            assert any(left.items() <= files.items() for files in whole.values())
            with pytest.raises(
                ValueError, match=r"earlybird was stopped .* earlybird\.load\(DIRECTORY\) finishes that"
            ):
                BertLMHeadModel.from_pretrained(directory, ignore_mismatched_sizes=True)
            between += 1
        loaded = eb.load(directory)
        found.append(next(name for name, files in whole.items() if files == seen(directory)))
        assert same(loaded, models[found[-1]])
    assert found == sorted(found, reverse=True)
    assert found.count("old") > 1
    assert found.count("new") > between > 5


# The new files are being written, or are complete, or take over: what they replace goes, the weights have to move,
# only config.json has to, all have moved.
WRITING, COMPLETE, REMOVING = r"writing-\w+$", r"complete/\.config\.json$", r"model/model\.safetensors\.index\.json$"
MOVING, LAST, MOVED = r"moving/model\.safetensors$", r"moving/config\.json$", r"earlybird-moving$"


def begins(what: str) -> Callable[[int, str], bool]:
    """Whether it is the step on such a path."""
    return lambda number, path: re.search(what, path) is not None


@pytest.fixture
def interrupted(old, tmp_path):
    """Makes the old model's directory as it is when the save of the new one was killed before such a step."""

    def make(before: str) -> Path:
        directory = tmp_path / "model"
        assert killed_save(begins(before), directory, old)
        assert hidden(directory)
        return directory

    return make


def test_a_load_that_is_killed_again_and_again_as_it_finishes_comes_to_an_end(new, interrupted):
    directory = interrupted(REMOVING)
    times = 0
    while killed(lambda: eb.load(directory), lambda number, path: number == 1):
        times += 1
    assert times > 5
    assert seen(directory) == seen(new)


@pytest.mark.parametrize("before", [WRITING, COMPLETE, REMOVING, MOVING, LAST, MOVED])
def test_the_next_save_takes_its_place_and_leaves_nothing_of_it(before, old, interrupted):
    directory = interrupted(before)
    save_old(directory)
    assert seen(directory) == seen(old)
    assert not hidden(directory)


def test_inspect_finishes_it_as_load_does(new, interrupted):
    directory = interrupted(REMOVING)
    assert inspect_model(str(directory)).anatomy.units == eb.Anatomy.of(new_model()).units
    assert seen(directory) == seen(new)


@pytest.mark.parametrize("before", [COMPLETE, REMOVING, LAST, MOVED])
def test_what_was_saved_in_another_way_after_the_kill_stays(before, interrupted):
    directory = interrupted(before)
    other = model_of(2)
    other.save_pretrained(directory)
    for _ in range(2):
        assert same(eb.load(directory), other)
        # What is left of the interrupted save goes now, and is not moved in.
        with pytest.raises(ValueError, match="no size"):
            eb.save(other, directory, max_shard_size="no size")
        assert not hidden(directory)


def test_where_it_cannot_be_finished_a_copy_can(new, interrupted, tmp_path, monkeypatch):
    directory = interrupted(MOVING)

    def read_only(*paths: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", read_only)
        for read in (eb.load, lambda place: inspect_model(str(place))):
            with pytest.raises(
                eb.InputError, match=r"was interrupted, and cannot be finished: .*Read-only.* a copy of"
            ):
                read(directory)
    copy = shutil.copytree(directory, tmp_path / "copy")
    eb.load(copy)
    assert seen(copy) == seen(new)
    eb.load(directory)
    assert seen(directory) == seen(new)


def test_what_is_in_its_way_is_named(new, interrupted):
    directory = interrupted(MOVING)
    (directory / "model.safetensors").mkdir()
    for call in (eb.load, save_old):
        with pytest.raises(eb.InputError, match=r"cannot be finished: .*directory: .*moving/model\.safetensors"):
            call(directory)
    (directory / "model.safetensors").rmdir()
    eb.load(directory)
    assert seen(directory) == seen(new)


def test_a_copy_without_its_hidden_files_says_what_it_is(interrupted, tmp_path):
    directory = interrupted(LAST)
    (tmp_path / "copy").mkdir()
    for name in seen(directory):
        shutil.copyfile(directory / name, tmp_path / "copy" / name)
    with pytest.raises(eb.InputError, match="describes no model that can be loaded: earlybird was stopped"):
        eb.load(tmp_path / "copy")


@pytest.mark.parametrize("before", [COMPLETE, MOVING])
def test_a_first_save_that_was_complete_is_finished(before, tmp_path):
    assert killed(lambda: save_new(tmp_path), begins(before))
    assert same(eb.load(tmp_path), new_model())


def test_a_first_save_that_was_not_complete_is_no_model(tmp_path):
    assert killed(lambda: save_new(tmp_path), begins(WRITING))
    with pytest.raises(eb.InputError, match=r"there is no config\.json in it$"):
        eb.load(tmp_path)


class FailsToSave:
    """A processor for which there is no room."""

    def save_pretrained(self, directory):
        (Path(directory) / "tokenizer.json").write_text("{}")
        raise OSError(errno.ENOSPC, "no space left on device")


@pytest.mark.parametrize("save", [eb.save, eb.export, functools.partial(eb.export, format="per-layer-config")])
def test_a_processor_that_cannot_be_written_leaves_all_as_it_was(save, old, tmp_path):
    directory = shutil.copytree(old, tmp_path / "model")
    with pytest.raises(OSError, match="no space"):
        save(pruned(model_of(2), neurons=0.4), directory, processor=FailsToSave())
    assert seen(directory) == seen(old)
    assert not hidden(directory)


class SavesTemplates:
    """A processor with a directory of its own."""

    def save_pretrained(self, directory):
        (Path(directory) / "templates" / "more").mkdir(parents=True)
        (Path(directory) / "templates" / "more" / "chat.jinja").write_text("new")


def test_a_processors_directories_move_along_and_keep_what_else_lies_in_them(tmp_path):
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "mine").write_text("mine")
    for _ in range(2):
        eb.save(new_model(), tmp_path, processor=SavesTemplates())
        assert hidden(tmp_path) == ["templates"]
        assert (tmp_path / "templates" / "mine").read_text() == "mine"
        assert (tmp_path / "templates" / "more" / "chat.jinja").read_text() == "new"


class SavesAnotherModel:
    """A processor in the middle of whose save another one, to the same directory, begins and ends."""

    def save_pretrained(self, directory):
        save_old(Path(directory).parent)


def test_a_save_is_not_broken_by_another_one_in_the_middle_of_it(tmp_path):
    eb.save(new_model(), tmp_path, processor=SavesAnotherModel())
    assert same(eb.load(tmp_path), new_model())
    assert not hidden(tmp_path)


def test_saves_and_loads_side_by_side_meet_whole_models_only(old, new, tmp_path):
    directory = shutil.copytree(old, tmp_path / "model")

    def again_and_again(action: Callable[[Path], object]) -> Callable[[], object]:
        return lambda: [action(directory) for _ in range(4)]

    children = [begun_in_a_child(again_and_again(action)) for action in (save_old, save_new)]
    found = [eb.load(directory) for _ in range(8)]
    assert [ended(child) for child in children] == [0, 0]
    assert all(same(model, old_model()) or same(model, new_model()) for model in found)
    assert seen(directory) in (seen(old), seen(new))
    assert not hidden(directory)


def test_while_files_move_nobody_else_may_and_a_load_waits(new, old, tmp_path):
    directory = shutil.copytree(old, tmp_path / "model")
    from_save, to_test = os.pipe()
    from_test, to_save = os.pipe()

    def stopping() -> None:
        os.close(to_save)

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            if event in STEPS and re.search(MOVING, str(arguments[0])):
                os.write(to_test, b"moving")
                os.read(from_test, 1)  # until the test closes it

        sys.addaudithook(hook)
        save_new(directory)

    saving = begun_in_a_child(stopping)
    os.close(to_test)
    assert os.read(from_save, 6) == b"moving"
    half = seen(directory)
    with locked(directory, wait=False) as held:
        assert not held
    from_load, to_test = os.pipe()
    flock = fcntl.flock

    def telling() -> None:
        os.close(to_save)

        def told(descriptor: int, operation: int) -> None:
            os.write(to_test, b"locking")
            flock(descriptor, operation)

        fcntl.flock = told
        eb.load(directory)

    loading = begun_in_a_child(telling)
    os.close(to_test)
    assert os.read(from_load, 7) == b"locking"
    untouched = seen(directory) == half
    os.close(to_save)
    assert untouched
    assert (ended(saving), ended(loading)) == (0, 0)
    with locked(directory, wait=False) as held:
        assert held
    assert seen(directory) == seen(new)


def test_without_locks_a_save_is_finished_all_the_same(new, interrupted, monkeypatch):
    def none(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    directory = interrupted(MOVING)
    monkeypatch.setattr(fcntl, "flock", none)
    eb.load(directory)
    assert seen(directory) == seen(new)
    save_new(directory)
    assert seen(directory) == seen(new)
