"""The moving window of a test, and single units: their regressions and their two states."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compressed_parts import plots
from typer.testing import CliRunner

from earlybird import SearchConfig
from earlybird.cli.commands import app
from earlybird.detectors.factory import NamedDetector
from earlybird.detectors.presets import DETECTORS
from earlybird.detectors.trailing_average import trailing_average
from earlybird.errors import InputError
from earlybird.report.figures.listing import write_figures
from earlybird.report.figures.norm import norms
from earlybird.report.figures.p_values import checks_of
from earlybird.report.figures.record import Record
from earlybird.report.one_unit import OneUnit, restless_units, unit_series
from earlybird.report.series import MaskSeries
from earlybird.report.sliding_regressions import SlidingRegressions, Windows, windows_of
from earlybird.report.unit_regressions import unit_regressions
from earlybird.report.unit_states import unit_states
from earlybird.report.write import write_report
from earlybird.stationarity.two_states import TwoStates
from earlybird.trajectory import Shape, Trajectory, TrajectoryWriter
from earlybird.vocabulary import Kind

OF_UNITS = ["unit-regressions", "unit-states"]


@pytest.fixture(scope="module")
def record(finished: Path) -> Record:
    return Record.of(finished)


def read(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("kind", ["heads", "neurons"])
def test_the_windows_are_those_of_the_detector_and_so_are_the_p_values(record: Record, kind: Kind) -> None:
    found = SlidingRegressions.of(norms(record, kind), windows_of(record.trajectory, record.config, kind))
    assert found is not None
    checks = checks_of(record, kind)["ols"]
    assert found.ends.tolist() == checks.steps
    np.testing.assert_array_equal(found.p, checks.values)


def test_a_search_by_a_test_on_windows_shows_its_own(record: Record) -> None:
    chosen = SearchConfig(heads=0.5, detector="adf", smoothing=10, window=40, every=25)
    assert windows_of(record.trajectory, chosen, "heads") == Windows(smoothing=10, length=40, every=25)
    spans = NamedDetector("ols", DETECTORS["ols"]).spans("heads", record.trajectory.total_steps, None)
    by_no_test = windows_of(record.trajectory, SearchConfig(heads=0.5, detector="hamming"), "heads")
    assert by_no_test == Windows(spans["smoothing"], spans["window"], spans["every"])


def test_a_detector_that_checks_at_every_step_is_shown_at_some_checks(record: Record) -> None:
    windows = windows_of(record.trajectory, SearchConfig(heads=0.5, detector="ols", every=1), "heads")
    assert record.trajectory.steps / windows.every <= 200


def test_the_line_through_a_line_is_that_line() -> None:
    line = 5.0 - 0.25 * np.arange(40.0)
    found = SlidingRegressions.of(line, Windows(smoothing=1, length=10, every=5))
    assert found is not None
    assert found.ends.tolist() == [9, 14, 19, 24, 29, 34, 39]
    for end, (first, last) in zip(found.ends, found.lines, strict=True):
        assert (first, last) == pytest.approx((line[end - 9], line[end]))


def test_a_constant_window_has_no_p_value() -> None:
    series = np.concatenate([np.random.default_rng(0).normal(size=20), np.full(30, 0.1)])
    found = SlidingRegressions.of(series, Windows(smoothing=3, length=8, every=10))
    assert found is not None
    constant = found.ends >= 20 + 3 + 8 - 2
    np.testing.assert_array_equal(np.isnan(found.p), constant)
    np.testing.assert_array_equal(np.isnan(found.robust_p), constant)


@pytest.mark.parametrize("steps", [0, 1, 11])
def test_fewer_steps_than_a_window_are_no_window(steps: int) -> None:
    assert SlidingRegressions.of(np.arange(float(steps)), Windows(smoothing=3, length=10, every=1)) is None


def test_windows_over_every_third_step_span_the_same_part_of_the_run() -> None:
    windows = Windows(smoothing=60, length=90, every=30)
    assert windows.of_points(steps=1500, points=500) == Windows(smoothing=20, length=30, every=10)
    assert windows.of_points(steps=1500, points=1500) == windows


def test_a_trailing_average_is_the_mean_of_a_value_and_those_before() -> None:
    values = np.random.default_rng(0).normal(size=30)
    expected = [values[start : start + 7].mean() for start in range(24)]
    np.testing.assert_allclose(trailing_average(values, 7), expected)
    assert np.ptp(trailing_average(np.full(30, 0.1), 7)) == 0


def test_the_most_restless_units_come_first_and_padding_never() -> None:
    shown = np.zeros((6, 2, 3), dtype=np.bool_)
    shown[:, 0, 1] = [True, False, True, False, True, True]
    shown[:, 1, 0] = [True, True, True, False, False, False]
    nothing, steps = np.zeros(6), np.arange(6)
    series = MaskSeries((3, 2), steps, nothing, nothing, nothing, steps, shown)
    units = restless_units("heads", series, 10)
    assert units[:2] == [OneUnit("heads", 0, 1), OneUnit("heads", 1, 0)]
    assert len(units) == 5
    assert OneUnit("heads", 1, 2) not in units


@pytest.mark.parametrize(
    "text", ["", "3.7", "heads.3", "heads.3.7.1", "heads.-1.0", "tails.0.0", "heads.0.1e3", "Heads.0.0"]
)
def test_what_names_no_unit_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="as heads"):
        OneUnit.parse(text)


@pytest.mark.parametrize(
    ("unit", "said"), [("heads.6.0", "0 to 5"), ("heads.5.8", "8 heads"), ("experts.0.0", "heads, ")]
)
def test_a_unit_that_is_not_there_is_refused(finished: Path, unit: str, said: str) -> None:
    with pytest.raises(InputError, match=f"there is no .*{said}"):
        Record.of(finished, unit=unit)


@pytest.mark.parametrize("unit", ["heads.3.7", "neurons.0.255"])
def test_the_figures_of_a_unit_show_the_one_that_is_named(
    finished: Path, record: Record, tmp_path: Path, unit: str
) -> None:
    options = [text for name in OF_UNITS for text in ("--figure", name)]
    done = CliRunner().invoke(app, ["figures", str(finished), *options, "--unit", unit, "--output", str(tmp_path)])
    assert done.exit_code == 0, done.output
    place = OneUnit.parse(unit)
    evidence = record.trajectory.evidence(place.kind, "deviation")[:, place.layer, place.position]
    expected = np.abs(1.0 + evidence.astype(np.float64))
    _, *rows = read(tmp_path / "unit-regressions.csv")
    np.testing.assert_allclose([float(row[1]) for row in rows], expected, rtol=1e-7)
    _, *rows = read(tmp_path / "unit-states.csv")
    for step, value, _ in rows:
        assert float(value) == pytest.approx(expected[int(step)], rel=1e-7)


def test_a_unit_s_regressions_are_not_smoothed(record: Record) -> None:
    (one,) = unit_regressions(record.trajectory, record.config, [OneUnit("heads", 2, 3)])
    np.testing.assert_array_equal(one.found.smoothed, one.values)
    assert len(one.values) == record.trajectory.steps


def test_series_of_units_are_their_scores_by_gradients_too() -> None:
    gradients = np.random.default_rng(0).normal(size=(50, 2, 3)).astype(np.float32)
    trajectory = Trajectory(Shape({"heads": (3, 2)}, ("gradient",), 50), {("heads", "gradient"): np.abs(gradients)})
    steps = np.array([0, 20, 49])
    (series,) = unit_series(trajectory, "gradient", [OneUnit("heads", 1, 1)], steps)
    expected = [np.abs(gradients[: step + 1, 1, 1].astype(np.float64)).mean() for step in steps]
    np.testing.assert_allclose(series, expected)


def test_two_states_tell_rest_from_movement() -> None:
    random = np.random.default_rng(0)
    increments = np.concatenate([random.normal(0, 1.0, 60), random.normal(0, 0.01, 80)])
    states = TwoStates.fit(np.cumsum(increments))
    assert states is not None
    np.testing.assert_allclose(states.probabilities.sum(1), 1)
    quiet = states.probabilities[:, states.quieter]
    assert quiet[:55].mean() < 0.1
    assert quiet[65:].mean() > 0.9
    assert states.standard_deviation(states.quieter) == pytest.approx(0.01, rel=0.3)
    assert states.standard_deviation(1 - states.quieter) == pytest.approx(1.0, rel=0.3)


@pytest.mark.parametrize("series", [np.zeros(0), np.ones(1), np.arange(9.0), np.ones(50)], ids=["0", "1", "9", "still"])
def test_too_little_is_in_no_state(series: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    assert TwoStates.fit(series) is None


def test_the_quiet_stretches_are_where_the_quieter_state_is_more_probable(record: Record) -> None:
    unit = record.one_unit
    assert unit is not None
    found = unit_states(record.trajectory, record.score, unit)
    assert found is not None
    quiet = np.zeros(len(found.steps) - 1, dtype=np.bool_)
    for run in found.quiet_runs:
        quiet[run.start : run.stop - 1] = True
    np.testing.assert_array_equal(quiet, found.quiet > 0.5)


def test_an_animation_has_a_frame_for_each_of_some_checks_and_leaves_no_older_one(
    finished: Path, record: Record, tmp_path: Path
) -> None:
    old = tmp_path / "norm-windows" / "frame-999.png"
    old.parent.mkdir()
    old.touch()
    other = old.with_name("mine.png")
    other.touch()
    inside, data = write_figures(finished, tmp_path, ["norm-windows"])["norm-windows"]
    assert not old.exists()
    assert other.exists()
    frames = sorted(inside.glob("frame-*.png"))
    assert [frame.name for frame in frames[:2]] == ["frame-000.png", "frame-001.png"]
    assert 10 < len(frames) <= 30
    assert len({frame.read_bytes() for frame in frames}) == len(frames)
    _, *rows = read(data)
    checks = checks_of(record, "heads")["ols"].steps
    assert [int(row[1]) for row in rows if row[0] == "heads"] == checks


def test_the_page_moves_the_window_by_a_slider_alone(finished: Path, record: Record) -> None:
    specs = plots((finished / "report.html").read_text(encoding="utf-8"))
    for kind in record.kinds:
        spec = specs[f"norm-windows-{kind}"]
        assert not {"frames", "updatemenus", "sliders"} & {*spec, *spec["layout"]}
        assert len(spec["steps"]) > 10
        ends = [step["moved"]["2"]["x"][1] for step in spec["steps"]]
        assert ends == sorted(set(ends))
        assert record.analysis.draw_step is not None
        assert spec["steps"][spec["start"]]["moved"]["2"]["x"][1] >= record.analysis.draw_step


def test_the_page_offers_units_and_says_how_to_see_another(finished: Path, record: Record) -> None:
    text = (finished / "report.html").read_text(encoding="utf-8")
    spec = plots(text)["unit-regressions"]
    assert spec["choices"][0]["label"] == str(record.one_unit)
    assert 1 < len(spec["choices"]) <= 12
    for choice in spec["choices"]:
        assert all(0 <= trace < len(spec["data"]) for trace in choice["traces"])
    assert "--unit heads." in text


@pytest.mark.parametrize("steps", [1, 4, 30])
def test_a_short_record_says_what_it_cannot_show(
    tmp_path: Path, write_recipe: Callable[..., None], write_trajectory: Callable[..., Any], steps: int
) -> None:
    write_recipe(tmp_path)
    write_trajectory(tmp_path, steps)
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert not {"norm-windows-heads", "unit-regressions"} & set(plots(text))
    assert "there are no regressions" in text
    written = write_figures(tmp_path, tmp_path / "figures", ["norm-windows", "unit-regressions"])
    assert written == {"norm-windows": [], "unit-regressions": []}


def test_scores_that_never_move_have_no_states(tmp_path: Path, write_recipe: Callable[..., None]) -> None:
    write_recipe(tmp_path, search={"heads": 0.5, "neurons": 0.0})
    shape = Shape({"heads": (4, 4), "neurons": (8, 8)}, ("deviation",), 300)
    with TrajectoryWriter(tmp_path / "search" / "trajectory", shape, chunk_steps=50) as writer:
        for _ in range(300):
            still = {kind: np.zeros((2, width), np.float32) for kind, width in (("heads", 4), ("neurons", 8))}
            writer.append({(kind, "deviation"): values for kind, values in still.items()})  # type: ignore[misc]
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert "Two states cannot be told apart" in text
    assert "unit-states" not in plots(text)
    assert write_figures(tmp_path, tmp_path / "figures", ["unit-states"]) == {"unit-states": []}


def test_a_record_of_other_settings_keeps_its_named_unit(finished: Path) -> None:
    named = Record.of(finished, {"heads": 0.25}, "heads.1.1")
    assert named.one_unit == OneUnit("heads", 1, 1)
    assert replace(named, chosen=None).one_unit is not None
