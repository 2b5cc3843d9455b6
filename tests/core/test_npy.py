"""The study's recordings, read without pickle."""

from __future__ import annotations

import numpy as np
import pytest

from earlybird import SearchConfig
from earlybird.detectors.offline import detect
from earlybird.errors import InputError
from earlybird.trajectory import Trajectory, write_trajectory
from earlybird.trajectory.npy import NAMES


def coefficients(layers, steps, units, seed=0, dtype=np.float32):
    moves = np.random.default_rng(seed).normal(0, 1e-3, (layers, steps, units))
    return (1 + moves.cumsum(1)).astype(dtype)


@pytest.fixture
def recorded(tmp_path):
    heads, neurons = coefficients(3, 60, 8), coefficients(3, 60, 40, seed=1)
    np.save(tmp_path / "self_slimming_coef_records.npy", heads)
    np.save(tmp_path / "inter_slimming_coef_records.npy", neurons)
    return tmp_path, heads, neurons


def assert_holds(trajectory, **expected):
    assert trajectory.kinds == tuple(expected)
    for kind, layers_first in expected.items():
        np.testing.assert_array_equal(trajectory.evidence(kind, "coefficient"), np.moveaxis(layers_first, 0, 1))


def test_a_directory_of_recordings_is_a_trajectory(recorded):
    directory, heads, neurons = recorded
    trajectory = Trajectory.from_npy(directory, total_steps=100, steps_per_epoch=10)
    assert_holds(trajectory, heads=heads, neurons=neurons)
    assert (trajectory.steps, trajectory.total_steps, trajectory.shape.steps_per_epoch) == (60, 100, 10)
    same = Trajectory.from_arrays(heads=np.moveaxis(heads, 0, 1), neurons=np.moveaxis(neurons, 0, 1))
    arguments = {"heads": 0.3, "neurons": 0.4, "detector": "hamming"}
    assert (
        detect(Trajectory.from_npy(directory), SearchConfig(**arguments)).step
        == detect(same, SearchConfig(**arguments)).step
    )


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("which", [0, 1])
def test_each_name_is_known(tmp_path, kind, which):
    values = coefficients(2, 9, 5)
    np.save(tmp_path / NAMES[kind][which], values)
    assert_holds(Trajectory.from_npy(tmp_path), **{kind: values})


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8"])
def test_files_of_any_name_and_precision_are_taken(tmp_path, dtype):
    values = coefficients(2, 9, 5, dtype=dtype)
    np.save(tmp_path / "mine.npy", values)
    assert_holds(Trajectory.from_npy(neurons=tmp_path / "mine.npy"), neurons=values)


def test_a_path_that_is_given_goes_before_the_directorys(recorded):
    directory, _, neurons = recorded
    other = coefficients(3, 60, 4, seed=7)
    np.save(directory / "other.npy", other)
    assert_holds(Trajectory.from_npy(directory, heads=directory / "other.npy"), heads=other, neurons=neurons)


class Told:
    """Unpickling this would be seen."""

    def __reduce__(self):
        return (open, ("unpickled", "w"))


def malformed(path):
    objects = np.empty((1, 1, 1), dtype=object)
    objects[0, 0, 0] = Told()
    yield "pickled objects", lambda: np.save(path, objects, allow_pickle=True)
    yield "a bare pickle", lambda: objects.dump(path)
    yield "an archive", lambda: np.savez(path.open("wb"), a=np.ones((2, 3, 4)))
    yield "two dimensions", lambda: np.save(path, np.ones((3, 4)))
    yield "integers", lambda: np.save(path, np.ones((2, 3, 4), dtype=int))
    yield "complex numbers", lambda: np.save(path, np.ones((2, 3, 4), dtype=complex))
    yield "no steps", lambda: np.save(path, np.ones((2, 0, 4)))
    yield "text", lambda: path.write_text("layers,steps,units")
    yield "nothing", lambda: path.write_bytes(b"")
    yield "a broken header", lambda: path.write_bytes(b"\x93NUMPY\x01\x00\x20\x00{'descr': '<f4', 'shape': ")
    yield "a directory", lambda: path.mkdir()

    def cut():
        np.save(path, np.ones((2, 3, 4)))
        path.write_bytes(path.read_bytes()[:-8])

    yield "half a file", cut


def test_what_is_no_recording_is_refused_saying_what_was_expected(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, (name, write) in enumerate(malformed(tmp_path / "file.npy")):
        path = tmp_path / "file.npy"
        write()
        with pytest.raises(InputError, match=r"file.npy must be a .npy file of \(layers, steps, units\) floating"):
            Trajectory.from_npy(heads=path)
        assert not (tmp_path / "unpickled").exists(), name
        path.rename(tmp_path / f"was-{number}")
    with pytest.raises(InputError, match="there is no such file"):
        Trajectory.from_npy(heads=tmp_path / "file.npy")


def test_what_cannot_be_one_trajectory_is_refused(recorded):
    directory, heads, _ = recorded
    with pytest.raises(InputError, match="is no directory"):
        Trajectory.from_npy(directory / "nowhere")
    with pytest.raises(InputError, match="no recording in"):
        Trajectory.from_npy()
    (directory / "empty").mkdir()
    with pytest.raises(InputError, match=r"expected one of self_slimming_coef_records\.npy"):
        Trajectory.from_npy(directory / "empty")
    np.save(directory / "short.npy", heads[:, :9])
    with pytest.raises(InputError, match="equally many steps"):
        Trajectory.from_npy(directory, heads=directory / "short.npy")
    np.save(directory / "msa_slimming_coefs.npy", heads)
    with pytest.raises(InputError, match="2 recordings of heads"):
        Trajectory.from_npy(directory)


def test_a_written_trajectory_opens_with_the_same_numbers(recorded, tmp_path):
    directory, heads, neurons = recorded
    write_trajectory(Trajectory.from_npy(directory, total_steps=70), tmp_path / "written")
    opened = Trajectory.open(tmp_path / "written")
    assert_holds(opened, heads=heads, neurons=neurons)
    assert (opened.steps, opened.total_steps) == (60, 70)
    with pytest.raises(InputError, match="is there already"):
        write_trajectory(opened, tmp_path / "written")


def test_digits_that_would_be_lost_are_not_written(tmp_path):
    values = coefficients(2, 9, 5, dtype=np.float64)
    np.save(tmp_path / "mine.npy", values)
    with pytest.raises(InputError, match="heads hold digits"):
        write_trajectory(Trajectory.from_npy(heads=tmp_path / "mine.npy"), tmp_path / "written")
    assert not (tmp_path / "written").exists()
