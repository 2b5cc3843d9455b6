"""The study's figures and tables of a recorded run: their data against other code, their files, what is refused."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from earlybird import SearchConfig
from earlybird.cli.commands import app
from earlybird.criteria import hamming_distance
from earlybird.detectors.criterion import Criterion
from earlybird.detectors.draw import Draw
from earlybird.detectors.offline import detect
from earlybird.errors import InputError
from earlybird.report.figures.criteria import criterion_values
from earlybird.report.figures.hamming_distances import successive_distances
from earlybird.report.figures.hamming_draws import THRESHOLDS, settling_steps
from earlybird.report.figures.listing import FIGURES, write_figures
from earlybird.report.figures.mask_distances import pairwise_distances
from earlybird.report.figures.p_values import checks_of
from earlybird.report.figures.record import Record
from earlybird.report.figures.slopes import relative_drifts
from earlybird.report.series import sampled_steps
from earlybird.trajectory import Shape, TrajectoryWriter
from earlybird.vocabulary import Kind


@pytest.fixture(scope="module")
def record(finished: Path) -> Record:
    return Record.of(finished)


def read(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def draw_of(record: Record, kind: Kind, detector: str, threshold: float | None = None) -> Draw | None:
    """What a detector draws of one kind alone."""
    return detect(
        record.trajectory,
        SearchConfig(
            heads=record.rules["heads"].ratio if kind == "heads" else None,
            neurons=record.rules["neurons"].ratio if kind == "neurons" else None,
            detector=detector,
            threshold=threshold,
        ),
    )


def test_a_record_of_gradients_alone_has_all_figures_but_those_of_coefficients(
    tmp_path: Path, write_recipe: Callable[..., None]
) -> None:
    units: dict[Kind, tuple[int, ...]] = {"heads": (2, 4, 6), "neurons": (8, 8, 8)}
    write_recipe(tmp_path, search={"heads": 0.5, "neurons": 0.5, "score": "gradient", "detector": "equivalence"})
    generator = np.random.default_rng(0)
    shape = Shape(units, ("gradient",), 60, 10.0, "synthetic")
    with TrajectoryWriter(tmp_path / "search/trajectory", shape, chunk_steps=20) as writer:
        for _ in range(60):
            evidence = {kind: generator.normal(size=(3, max(units[kind]))).astype(np.float32) for kind in units}
            writer.append({(kind, "gradient"): values for kind, values in evidence.items()})
    written = write_figures(tmp_path, tmp_path / "figures")
    nothing = {name for name, paths in written.items() if not paths}
    assert nothing == {"head-coefficients", "neuron-coefficients", "survivors"}
    columns, *rows = read(tmp_path / "figures/scores.csv")
    assert columns[3:] == ["kept by gradient", "kept by squared-gradient"]
    assert len(rows) == 12 + 24


def test_criteria_are_those_of_each_mask_and_the_one_before(record: Record) -> None:
    kind, steps, lag = "neurons", np.arange(record.trajectory.steps), 75
    masks = np.concatenate(list(record.masks(kind, steps)))
    criteria = [Criterion("nuclear-norm"), Criterion("overlap", lag), Criterion("hamming", lag)]
    norms, overlaps, distances = criterion_values(record, kind, criteria).values()
    assert np.allclose(norms, np.linalg.norm(masks.astype(float), "nuc", axis=(-2, -1)))
    assert np.isnan(overlaps[:lag]).all()
    kept = (masks[lag:] & masks[:-lag]).sum((-2, -1)) / masks[lag:].sum((-2, -1))
    assert np.allclose(overlaps[lag:], kept)
    assert np.allclose(distances[lag:], (masks[lag:] != masks[:-lag]).mean((-2, -1)))


def test_every_figure_is_written_with_its_data_as_png_svg_and_csv(finished: Path, tmp_path: Path) -> None:
    written = write_figures(finished, tmp_path)
    assert set(written) == set(FIGURES)
    for name, paths in written.items():
        if name == "scores":  # the run recorded one score only
            assert paths == []
            continue
        *pictures, data = paths
        if name == "norm-windows":  # an animation
            pngs = sorted(pictures[0].iterdir())
        else:
            pngs, svg = pictures[:1], pictures[1]
            assert "<svg" in svg.read_text()
        assert all(png.read_bytes().startswith(b"\x89PNG") for png in pngs)
        columns, *rows = read(data)
        assert rows
        assert {len(row) for row in rows} == {len(columns)}


def test_the_same_record_gives_the_same_files(finished: Path, tmp_path: Path) -> None:
    names = ["hamming-draws"]
    first = write_figures(finished, tmp_path / "a", names)["hamming-draws"]
    second = write_figures(finished, tmp_path / "b", names)["hamming-draws"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_hamming_s_table_holds_what_the_detector_draws(record: Record) -> None:
    for kind in record.kinds:
        table = settling_steps(record, kind)
        for column, threshold in enumerate(THRESHOLDS):
            draw = draw_of(record, kind, "hamming", threshold)
            # The detector caches five masks, the second row.
            assert table[1, column] == (-1 if draw is None else draw.step)


def test_hamming_distances_are_those_of_each_mask_to_the_one_before(record: Record) -> None:
    for kind in record.kinds:
        masks = np.concatenate(list(record.masks(kind, np.arange(record.trajectory.steps))))
        expected = [hamming_distance(masks[i], masks[i - 1]) for i in range(1, len(masks))]
        np.testing.assert_allclose(successive_distances(record, kind), expected)


def test_mask_distances_are_symmetric_and_zero_to_themselves(record: Record) -> None:
    steps = sampled_steps(record.trajectory.steps, 20)
    distances = pairwise_distances(record, "neurons", steps)
    np.testing.assert_array_equal(distances, distances.T)
    np.testing.assert_array_equal(np.diag(distances), 0)
    assert distances.max() > 0


def test_the_tests_settle_where_the_detectors_do(record: Record) -> None:
    for kind in record.kinds:
        for test, checks in checks_of(record, kind).items():
            draw = draw_of(record, kind, test)
            assert checks.settled == (None if draw is None else draw.step)


def test_the_drift_of_a_line_is_its_rise_over_the_window() -> None:
    line = 100 + 0.5 * np.arange(50.0)
    drifts = relative_drifts(line, 11)
    assert len(drifts) == 40
    assert drifts[0] == pytest.approx(0.5 * 10 / line[:11].mean())
    np.testing.assert_array_equal(relative_drifts(np.full(20, 3.0), 5), 0)


def test_the_command_prints_what_it_wrote_and_names_the_nearest_figure(finished: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    done = runner.invoke(app, ["figures", str(finished), "--figure", "survivors", "--output", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "survivors.csv" in done.output.replace("\n", "")
    kept = {(row[0], row[1]): row[2:] for row in read(tmp_path / "survivors.csv")[1:]}
    assert len(kept) == 12
    assert kept["neurons", "0"][1] == "256"
    assert all(len(units.split()) == int(count) for count, _, units in kept.values())
    with pytest.raises(InputError, match="did you mean 'survivors'"):
        write_figures(finished, tmp_path, ["survivor"])


def test_a_trajectory_by_itself_has_the_figures_of_its_run(finished: Path, record: Record, tmp_path: Path) -> None:
    source = finished / "search/trajectory"
    with pytest.raises(InputError, match="give a ratio "):
        write_figures(source, tmp_path)
    ratios = {f"--{kind}": str(rule.ratio) for kind, rule in record.rules.items()}
    options = [text for option in ratios.items() for text in option]
    names = [text for name in ("norm", "agreement", "survivors") for text in ("--figure", name)]
    done = CliRunner().invoke(app, ["figures", str(source), *options, *names, "--output", str(tmp_path / "bare")])
    assert done.exit_code == 0, done.output
    assert "survivors: nothing to show" in done.output
    write_figures(finished, tmp_path / "run", ["norm", "agreement"])
    for name in ("norm.csv", "agreement.csv"):
        assert (tmp_path / "bare" / name).read_bytes() == (tmp_path / "run" / name).read_bytes()


def test_a_run_at_another_ratio_goes_elsewhere_and_without_its_ticket(finished: Path, tmp_path: Path) -> None:
    refused = CliRunner().invoke(app, ["figures", str(finished), "--heads", "0.25"])
    assert isinstance(refused.exception, InputError)
    assert "give --output" in str(refused.exception)
    other = Record.of(finished, {"heads": 0.25})
    assert other.rules["heads"].ratio == 0.25
    assert other.ticket is None


def test_a_figure_that_cannot_be_made_does_not_stop_the_others(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Record) -> None:
        raise InputError("there is no ink")

    monkeypatch.setattr("earlybird.report.figures.listing.FIGURES", {"slopes": refuse, "norm": FIGURES["norm"]})
    with pytest.raises(InputError, match=r"slopes: there is no ink \(written in .*: norm\)"):
        write_figures(finished, tmp_path)
    assert (tmp_path / "norm.svg").is_file()


def test_a_run_without_a_record_says_what_is_missing(tmp_path: Path, write_recipe: Callable[..., None]) -> None:
    write_recipe(tmp_path)
    with pytest.raises(InputError, match="no step is recorded"):
        Record.of(tmp_path)
