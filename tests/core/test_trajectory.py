"""Trajectories on disk: what was written comes back, whatever happened to the end of the files."""

import errno
import io
import itertools
import json
import shutil
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from earlybird.errors import InputError
from earlybird.trajectory import Shape, Trajectory, TrajectoryWriter, discard
from earlybird.trajectory import writer as module

SHAPE = Shape({"heads": (2, 2), "neurons": (3,)}, ("deviation",), 20, model="tiny")
RICH = Shape(
    {"heads": (2, 2, 2), "neurons": (3, 5, 1)}, ("deviation", "gradient", "squared-gradient"), 50, 12.5, "rich"
)
CHUNK = 3


def evidence(shape, steps, seed=0):
    """What every kind and channel recorded, (steps, layers, widest block)."""
    random = np.random.default_rng(seed)
    return {
        (kind, channel): random.normal(size=(steps, *shape.record(kind))).astype(np.float32)
        for kind in shape.units
        for channel in shape.channels
    }


def write(directory, shape, values, *, chunk_steps=CHUNK, first=0, keep_steps=0):
    with TrajectoryWriter(directory, shape, chunk_steps=chunk_steps, keep_steps=keep_steps) as writer:
        for step in range(first, len(next(iter(values.values())))):
            writer.append({pair: array[step] for pair, array in values.items()})
        pending_at_most = len(writer._pending)
    assert pending_at_most < chunk_steps


def assert_holds(directory, values, steps):
    opened = Trajectory.open(directory)
    assert opened.steps == steps
    for (kind, channel), array in values.items():
        np.testing.assert_array_equal(opened.evidence(kind, channel), array[:steps])


@pytest.fixture
def recorded(tmp_path):
    """Seven steps in chunks of 3, 3 and 1."""
    values = evidence(SHAPE, 7)
    write(tmp_path / "run", SHAPE, values)
    return tmp_path / "run", values


# Round trip


@pytest.mark.parametrize("shape", [SHAPE, RICH], ids=["plain", "rich"])
@pytest.mark.parametrize("steps", [0, 1, 7, 12])
@pytest.mark.parametrize("chunk_steps", [1, 3, 100])
def test_what_was_written_comes_back(tmp_path, shape, steps, chunk_steps):
    values = evidence(shape, steps)
    write(tmp_path, shape, values, chunk_steps=chunk_steps)
    assert_holds(tmp_path, values, steps)
    opened = Trajectory.open(str(tmp_path))
    assert opened.shape == shape
    assert opened.total_steps == shape.total_steps
    assert opened.kinds == ("heads", "neurons")


def test_channels_may_be_named_in_any_order(tmp_path):
    turned = Shape(RICH.units, RICH.channels[::-1], RICH.total_steps, RICH.steps_per_epoch, RICH.model)
    values = evidence(turned, 8)
    write(tmp_path, turned, {pair: array[:5] for pair, array in values.items()})
    assert_holds(tmp_path, values, 5)
    write(tmp_path, turned, values, first=4, keep_steps=4)
    assert_holds(tmp_path, values, 8)


def test_evidence_is_read_only_and_float32(recorded):
    directory, _ = recorded
    array = Trajectory.open(directory).evidence("heads", "deviation")
    assert array.dtype == np.dtype("<f4")
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 0


def test_evidence_that_was_not_recorded_is_an_error(recorded):
    directory, _ = recorded
    with pytest.raises(InputError, match="did not record heads by gradient; it holds heads by deviation"):
        Trajectory.open(directory).evidence("heads", "gradient")


@pytest.mark.parametrize("chunk_steps", [1, 4, 50])
def test_the_writer_holds_one_chunk_whatever_the_length_of_the_run(tmp_path, chunk_steps):
    step = {pair: array[0] for pair, array in evidence(SHAPE, 1).items()}
    with TrajectoryWriter(tmp_path, SHAPE, chunk_steps=chunk_steps) as writer:
        for count in range(1, 121):
            writer.append(step)
            assert len(writer._pending) == count % chunk_steps
            assert writer.steps == count // chunk_steps * chunk_steps
    assert Trajectory.open(tmp_path).steps == 120


def test_steps_are_there_as_soon_as_their_chunk_is_whole(tmp_path):
    values = evidence(SHAPE, 5)
    writer = TrajectoryWriter(tmp_path, SHAPE, chunk_steps=CHUNK)
    for step in range(5):
        assert_holds(tmp_path, values, step // CHUNK * CHUNK)
        writer.append({pair: array[step] for pair, array in values.items()})
    writer.flush()
    assert_holds(tmp_path, values, 5)
    writer.close()


def test_a_run_that_fails_keeps_its_steps(tmp_path):
    values = evidence(SHAPE, 4)

    def fail_after_four_steps():
        with TrajectoryWriter(tmp_path, SHAPE, chunk_steps=CHUNK) as writer:
            for step in range(4):
                writer.append({pair: array[step] for pair, array in values.items()})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_after_four_steps()
    assert_holds(tmp_path, values, 4)


@pytest.mark.parametrize("chunk_steps", [0, -1])
def test_a_chunk_has_at_least_one_step(tmp_path, chunk_steps):
    with pytest.raises(InputError, match=f"chunk_steps.*{chunk_steps}"):
        TrajectoryWriter(tmp_path, SHAPE, chunk_steps=chunk_steps)


# Damage


@pytest.mark.parametrize("name", ["heads.deviation.f32", "neurons.deviation.f32", "chunks.jsonl"])
def test_any_file_cut_at_any_byte_opens_up_to_the_last_whole_chunk(recorded, name):
    directory, values = recorded
    whole = (directory / name).read_bytes()
    for size in range(len(whole) + 1):
        (directory / name).write_bytes(whole[:size])
        if name == "chunks.jsonl":
            expected = [0, 3, 6, 7][whole[:size].count(b"\n")]
        else:
            complete = size // (len(whole) // 7)
            expected = max(end for end in (0, 3, 6, 7) if end <= complete)
        assert_holds(directory, values, expected)


def test_a_description_cut_at_any_byte_is_damaged(recorded):
    directory, _ = recorded
    whole = (directory / "trajectory.json").read_bytes()
    for size in range(len(whole)):
        (directory / "trajectory.json").write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"trajectory\.json is damaged"):
            Trajectory.open(directory)


TAILS = {
    "zeros": bytes(40),
    "half a line": b'{"end": 10, "st',
    "no number": b'{"end": 10, "steps": 3, "crc32": null}\n',
    "no JSON": b"garbage\n",
    "no text": b"\xff\xfe\x80\n\xc3",
    "infinite": b'{"end": Infinity, "steps": 1, "crc32": 0}\n',
    "too many digits": b'{"end": ' + b"9" * 5000 + b', "steps": 1, "crc32": 0}\n',
    "too deep": b"[" * 100_000 + b"\n",
    "a list": b"[10, 3, 0]\n",
    "gap": b'{"end": 10, "steps": 2, "crc32": 0}\n',
    "steps that are not there": b'{"end": 10, "steps": 3, "crc32": 0}\n',
    "endless": b'{"end": 1000000000007, "steps": 1000000000000, "crc32": 0}\n',
    "backwards": b'{"end": 6, "steps": -1, "crc32": 0}\n',
}


@pytest.mark.parametrize("name", ["heads.deviation.f32", "neurons.deviation.f32", "chunks.jsonl"])
@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS)
def test_a_torn_tail_is_left_out(recorded, name, tail):
    directory, values = recorded
    with (directory / name).open("ab") as file:
        file.write(tail)
    assert_holds(directory, values, 7)


@pytest.mark.parametrize("name", ["heads.deviation.f32", "neurons.deviation.f32"])
def test_a_last_chunk_with_other_content_is_left_out(recorded, name):
    directory, values = recorded
    data = bytearray((directory / name).read_bytes())
    data[-1] ^= 1
    (directory / name).write_bytes(data)
    assert_holds(directory, values, 6)


@pytest.mark.parametrize("name", ["heads.deviation.f32", "neurons.deviation.f32"])
def test_a_missing_file_leaves_nothing(recorded, name):
    directory, values = recorded
    (directory / name).unlink()
    assert_holds(directory, values, 0)


@pytest.mark.parametrize("name", ["trajectory.json", "chunks.jsonl"])
def test_a_directory_without_description_or_index_is_no_trajectory(recorded, name):
    directory, _ = recorded
    (directory / name).unlink()
    with pytest.raises(InputError, match=name):
        Trajectory.open(directory)


def test_what_is_no_directory_is_no_trajectory(tmp_path, recorded):
    directory, _ = recorded
    for path in (tmp_path / "nowhere", directory / "chunks.jsonl"):
        with pytest.raises(InputError, match="is not a trajectory"):
            Trajectory.open(path)


def test_a_kind_without_units_needs_no_data(tmp_path):
    shape = Shape({"heads": (0, 0), "neurons": (3,)}, ("deviation",), 20)
    values = evidence(shape, 4)
    write(tmp_path, shape, values)
    (tmp_path / "heads.deviation.f32").unlink()
    assert_holds(tmp_path, values, 4)


def described(**changes):
    good = {
        "format": "earlybird-trajectory",
        "version": 1,
        "units": {"heads": [2, 2], "neurons": [3]},
        "channels": ["deviation"],
        "total_steps": 20,
        "steps_per_epoch": None,
        "model": "tiny",
    }
    return json.dumps({key: value for key, value in {**good, **changes}.items() if value != "absent"})


def test_the_description_that_the_next_tests_damage_is_good(recorded):
    directory, values = recorded
    (directory / "trajectory.json").write_text(described())
    assert_holds(directory, values, 7)


@pytest.mark.parametrize(
    "text",
    [
        *["", "{", "null", "[]", "7", '"trajectory"', "{}", "\x00", "[" * 100_000, '{"a": ' + "9" * 5000 + "}"],
        *[described(**{key: "absent"}) for key in json.loads(described())],
        *[described(**{key: None}) for key in json.loads(described()) if key != "steps_per_epoch"],
        described(format="something else"),
        described(version=2),
        *[described(units=units) for units in ({}, [], {"heads": 3}, {"heads": "23"}, {"layers": [2]})],
        *[described(units={"heads": units}) for units in ([-1], [2.0], [True], ["2"], [None], [[2]], {"2": 2})],
        described(channels=[]),
        described(channels=["momentum"]),
        *[described(total_steps=total) for total in (0, -1, 2.5, "20", True)],
        described(steps_per_epoch="3"),
        described(model=7),
    ],
)
def test_a_damaged_description_is_an_input_error(recorded, text):
    directory, _ = recorded
    (directory / "trajectory.json").write_text(text)
    with pytest.raises(InputError, match=r"trajectory\.json"):
        Trajectory.open(directory)


def test_a_description_that_is_no_text_is_an_input_error(recorded):
    directory, _ = recorded
    (directory / "trajectory.json").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(InputError, match="damaged"):
        Trajectory.open(directory)


def peak_of_opening(directory):
    """Bytes allocated at most while a trajectory opens, and its steps or what was wrong."""
    tracemalloc.start()
    try:
        found = Trajectory.open(directory).steps
    except InputError as error:
        found = str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak, found


@pytest.mark.parametrize("counts", [[10**18], [2**31, 2**31], [2**62] * 3])
def test_a_description_of_absurd_sizes_is_refused_without_allocating_them(recorded, counts):
    directory, _ = recorded
    (directory / "trajectory.json").write_text(described(units={"heads": counts, "neurons": [3]}))
    peak, found = peak_of_opening(directory)
    assert "its sizes make no sense" in found
    assert peak < 2_000_000


@pytest.mark.parametrize("counts", [[2**30], [3000] * 3000])
def test_a_description_of_larger_sizes_than_the_files_opens_without_steps_and_allocates_nothing(recorded, counts):
    directory, _ = recorded
    (directory / "trajectory.json").write_text(described(units={"heads": counts, "neurons": [3]}))
    peak, found = peak_of_opening(directory)
    assert found == 0
    assert peak < 2_000_000


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["trajectory.json", "chunks.jsonl"]),
    st.integers(0, 10**6),
    st.binary(min_size=0, max_size=3),
    st.integers(0, 3),
)
def test_damaged_text_opens_or_is_refused(recorded, name, place, inserted, removed):
    directory, _ = recorded
    whole = (directory / name).read_bytes()
    place %= len(whole)
    (directory / name).write_bytes(whole[:place] + inserted + whole[place + removed :])
    try:
        outcome = Trajectory.open(directory).steps
    except InputError as error:
        outcome = str(error)
    finally:
        (directory / name).write_bytes(whole)
    assert name in outcome if isinstance(outcome, str) else outcome <= 7


# Resuming


@pytest.mark.parametrize("keep_steps", [1, 2, 3, 5, 6, 7])
def test_resuming_keeps_the_first_steps_and_goes_on(recorded, keep_steps):
    directory, values = recorded
    other = evidence(SHAPE, 12, seed=1)
    expected = {pair: np.concatenate([values[pair][:keep_steps], array[keep_steps:]]) for pair, array in other.items()}
    write(directory, SHAPE, expected, first=keep_steps, keep_steps=keep_steps)
    assert_holds(directory, expected, 12)
    write(directory, SHAPE, expected, first=11, keep_steps=11)
    assert_holds(directory, expected, 12)


def test_resuming_without_new_steps_keeps_the_kept_ones(recorded):
    directory, values = recorded
    TrajectoryWriter(directory, SHAPE, chunk_steps=CHUNK, keep_steps=5).close()
    assert_holds(directory, values, 5)


def test_starting_anew_forgets_what_was_there(recorded):
    directory, _ = recorded
    values = evidence(RICH, 2, seed=2)
    write(directory, RICH, values)
    assert_holds(directory, values, 2)
    assert Trajectory.open(directory).shape == RICH


def test_resuming_after_a_torn_tail(recorded):
    directory, values = recorded
    for name in ("heads.deviation.f32", "chunks.jsonl"):
        with (directory / name).open("ab") as file:
            file.write(b"torn")
    expected = evidence(SHAPE, 9)
    expected = {pair: np.concatenate([values[pair], array[7:]]) for pair, array in expected.items()}
    write(directory, SHAPE, expected, first=7, keep_steps=7)
    assert_holds(directory, expected, 9)


@pytest.mark.parametrize("keep_steps", [2, 5, 7])
@pytest.mark.parametrize("killed_at", [0, 1])
def test_killed_while_resuming_the_kept_steps_are_still_there(recorded, monkeypatch, keep_steps, killed_at):
    directory, values = recorded
    opened = []

    def killed(path, size):
        if len(opened) == killed_at:
            raise KeyboardInterrupt
        opened.append(path)
        return module_opened_at(path, size)

    module_opened_at = module._opened_at
    monkeypatch.setattr(module, "_opened_at", killed)
    with pytest.raises(KeyboardInterrupt):
        TrajectoryWriter(directory, SHAPE, chunk_steps=CHUNK, keep_steps=keep_steps)
    monkeypatch.undo()
    assert_holds(directory, values, keep_steps)
    write(directory, SHAPE, values, first=keep_steps, keep_steps=keep_steps)
    assert_holds(directory, values, 7)


@pytest.mark.parametrize("keep_steps", [8, 10**9])
def test_resuming_from_steps_that_are_not_there_is_refused(recorded, keep_steps):
    directory, values = recorded
    with pytest.raises(InputError, match=f"holds 7 steps.*{keep_steps}"):
        TrajectoryWriter(directory, SHAPE, chunk_steps=CHUNK, keep_steps=keep_steps)
    assert_holds(directory, values, 7)


def test_resuming_from_less_than_nothing_is_refused(recorded):
    directory, values = recorded
    with pytest.raises(InputError, match=r"keep_steps.*-1"):
        TrajectoryWriter(directory, SHAPE, chunk_steps=CHUNK, keep_steps=-1)
    assert_holds(directory, values, 7)


def test_resuming_where_nothing_was_recorded_is_refused(tmp_path):
    with pytest.raises(InputError, match="is not a trajectory"):
        TrajectoryWriter(tmp_path, SHAPE, chunk_steps=CHUNK, keep_steps=3)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (Shape(SHAPE.units, SHAPE.channels, 20, model="another"), "another model"),
        (Shape({"heads": (2, 2), "neurons": (4,)}, SHAPE.channels, 20, model="tiny"), "another model"),
        (Shape({"neurons": (3,)}, SHAPE.channels, 20, model="tiny"), "other kinds of unit"),
        (Shape(SHAPE.units, ("deviation", "gradient"), 20, model="tiny"), "to go on with deviation, gradient"),
    ],
)
def test_resuming_another_trajectory_is_refused(recorded, other, said):
    directory, values = recorded
    with pytest.raises(InputError, match=said):
        TrajectoryWriter(directory, other, chunk_steps=CHUNK, keep_steps=3)
    assert_holds(directory, values, 7)


def test_a_copy_is_as_good(recorded, tmp_path):
    directory, values = recorded
    shutil.copytree(directory, tmp_path / "copy")
    assert_holds(tmp_path / "copy", values, 7)


# In memory


def test_arrays_become_coefficients():
    heads, neurons = np.ones((5, 2, 3), dtype=np.float32), np.zeros((5, 2, 7))
    trajectory = Trajectory.from_arrays(heads=heads, neurons=neurons, total_steps=9, steps_per_epoch=3)
    assert (trajectory.steps, trajectory.total_steps, trajectory.kinds) == (5, 9, ("heads", "neurons"))
    assert trajectory.shape.units == {"heads": (3, 3), "neurons": (7, 7)}
    np.testing.assert_array_equal(trajectory.evidence("heads", "coefficient"), heads)
    assert Trajectory.from_arrays(neurons=neurons).total_steps == 5
    assert Trajectory.from_arrays(neurons=neurons.tolist()).steps == 5


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, "at least one kind"),
        ({"heads": np.ones((5, 3))}, r"heads must be .*\(5, 3\)"),
        ({"neurons": 1.0}, r"neurons must be .*\(\)"),
        ({"heads": np.ones((5, 2, 3)), "neurons": np.ones((4, 2, 3))}, r"'heads': 5, 'neurons': 4"),
        ({"heads": np.ones((5, 2, 3)), "total_steps": 4}, "at least the 5 recorded steps, got 4"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(arguments, named):
    with pytest.raises(InputError, match=named):
        Trajectory.from_arrays(**arguments)


@pytest.mark.parametrize("given", [{"steps_per_epoch": 0}, {"steps_per_epoch": float("nan")}, {"total_steps": 10**17}])
def test_arrays_make_no_trajectory_that_could_not_be_read_again(given):
    with pytest.raises(InputError, match=next(iter(given))):
        Trajectory.from_arrays(heads=np.ones((3, 2, 4)), **given)


def test_discarding_removes_a_trajectory_and_nothing_else(recorded):
    directory, _ = recorded
    strangers = [directory / name for name in ("embeddings.f32", "heads.f32", "notes.txt")]
    for path in strangers:
        path.write_text("mine")
    discard(directory)
    assert set(directory.iterdir()) == set(strangers)


@pytest.mark.parametrize("kind", SHAPE.units)
def test_what_a_link_points_to_is_not_cut(kind, recorded, tmp_path):
    directory, values = recorded
    mine, file = tmp_path / "mine", directory / f"{kind}.deviation.f32"
    file.rename(mine)
    file.symlink_to(mine)
    with pytest.raises(InputError, match="is a link"):
        TrajectoryWriter(directory, SHAPE, chunk_steps=CHUNK)
    assert_holds(directory, values, 7)


def test_another_trajectory_is_not_gone_on_with_nor_cut(tmp_path):
    first, other = evidence(SHAPE, 7), evidence(SHAPE, 9, seed=1)
    with TrajectoryWriter(tmp_path, SHAPE, chunk_steps=CHUNK) as writer:
        for step in range(5):
            writer.append({pair: array[step] for pair, array in first.items()})
        writer.flush()
        checksum = writer.newest_checksum()
    TrajectoryWriter(tmp_path, SHAPE, chunk_steps=CHUNK, keep_steps=5, keep_checksum=checksum).close()
    discard(tmp_path)
    write(tmp_path, SHAPE, other)
    with pytest.raises(InputError, match="holds another search"):
        TrajectoryWriter(tmp_path, SHAPE, chunk_steps=CHUNK, keep_steps=5, keep_checksum=checksum)
    assert_holds(tmp_path, other, 9)


class FullForAWhile(io.FileIO):
    """Takes the first bytes of one writing and no more of it."""

    failing = itertools.repeat(False)

    def write(self, data):
        if next(FullForAWhile.failing):
            super().write(bytes(data)[:5])
            raise OSError(errno.ENOSPC, "no space left on device")
        return super().write(data)


@pytest.mark.parametrize("failing", range(6))
def test_a_flush_that_failed_is_made_good_by_the_next(failing, tmp_path, monkeypatch):
    values, failed = evidence(SHAPE, 7), 0
    monkeypatch.setattr(FullForAWhile, "failing", (number == failing for number in itertools.count()))
    monkeypatch.setattr(module, "_open_for_appending", lambda path: io.BufferedRandom(FullForAWhile(path, "a+")))
    with TrajectoryWriter(tmp_path, SHAPE, chunk_steps=CHUNK) as writer:
        for step in range(7):
            try:
                writer.append({pair: array[step] for pair, array in values.items()})
            except OSError:
                failed += 1
    assert failed == 1
    assert_holds(tmp_path, values, 7)
