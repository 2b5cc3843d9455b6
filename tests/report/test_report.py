"""The report of a run, finished and not, from friendly files and others."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from compressed_parts import decompressed, plots
from matplotlib.image import imread
from plotly.offline import get_plotlyjs
from typer.testing import CliRunner

from earlybird import SearchConfig
from earlybird.cli.commands import app
from earlybird.detectors.offline import detect, draw_at
from earlybird.errors import InputError
from earlybird.report.analysis import analyse
from earlybird.report.page.page import page
from earlybird.report.run import read_run
from earlybird.report.write import write_report
from earlybird.trajectory import Shape, Trajectory, TrajectoryWriter

_HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


class _Tags(HTMLParser):
    """Every tag with its attributes, and the visible text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._inside: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not {"script", "style", "title"} & set(self._inside) and data.strip():
            self.text.append(data.strip())


def _page(root: Path) -> str:
    return (root / "report.html").read_text(encoding="utf-8")


def test_the_verdict_comes_first(finished: Path) -> None:
    tags = _Tags(_page(finished))
    assert re.match(r"Drawn at \d+% of the search: 7% fewer training FLOPs", tags.text[0])
    assert [tag for tag, _ in tags.tags if tag == "h1"] == ["h1"]


def test_the_page_loads_nothing(finished: Path) -> None:
    page = _page(finished)
    for tag, attributes in _Tags(page).tags:
        assert tag not in {"link", "iframe", "img", "object", "embed", "base"}
        assert "src" not in attributes
        assert "href" not in attributes
    assert "default-src 'none'" in page
    assert decompressed(page, "plotly") == get_plotlyjs()
    assert len(page.encode()) < 2 << 20


def test_the_page_says_what_its_parts_are(finished: Path) -> None:
    tags = _Tags(_page(finished)).tags
    assert ("html", {"lang": "en", "class": "plotless"}) in tags
    divs = [attributes for tag, attributes in tags if tag == "div" and attributes.get("class") == "plot"]
    assert len(divs) == 13
    assert all(plot["aria-label"] and "<" not in plot["aria-label"] for plot in divs)
    tables = sum(tag == "table" for tag, _ in tags)
    assert tables == sum(tag == "caption" for tag, _ in tags)
    assert all("scope" in attributes for tag, attributes in tags if tag == "th")


def test_every_plot_is_one_that_plotly_knows(finished: Path) -> None:
    def coloured(value: Any) -> Any:
        if isinstance(value, str) and value.startswith("var(--"):
            return "#123456"
        if isinstance(value, list):
            return [coloured(item) for item in value]
        return {key: coloured(item) for key, item in value.items()} if isinstance(value, dict) else value

    page = _page(finished)
    specs = plots(page)
    assert list(specs) == [
        "norm",
        "statistic",
        "agreement",
        "masks-heads",
        "masks-neurons",
        "norm-windows-heads",
        "norm-windows-neurons",
        "coefficients-heads",
        "coefficients-neurons",
        "unit-regressions",
        "unit-states",
        "survivors-heads",
        "survivors-neurons",
    ]
    for spec in specs.values():
        go.Figure(data=coloured(spec["data"]), layout=coloured(spec["layout"]))
    for name in set(re.findall(r'"var\(--([\w-]+)\)"', json.dumps(specs))):
        assert page.count(f"--{name}:") == 2, f"{name} needs a light and a dark colour"


def test_the_draw_is_marked(finished: Path) -> None:
    draw = json.loads((finished / "draw.json").read_text())
    specs = plots(_page(finished))
    for name in ("norm", "statistic", "agreement", "coefficients-heads", "coefficients-neurons"):
        layout = specs[name]["layout"]
        assert draw["step"] in [shape["x0"] for shape in layout["shapes"]]
        assert any(label["text"].startswith(f"drawn: step {draw['step']:,}") for label in layout["annotations"])


def test_a_draw_by_hand_has_settled_nothing(tmp_path: Path, write_run: Callable[..., Any]) -> None:
    write_run(tmp_path)
    write_report(tmp_path)
    assert "have settled" in _page(tmp_path)
    draw = json.loads((tmp_path / "draw.json").read_text())
    (tmp_path / "draw.json").write_text(json.dumps({**draw, "how": "step", "detector": None}))
    write_report(tmp_path)
    assert "have settled" not in _page(tmp_path)
    assert f"Drawn at step {draw['step']} because that was asked for" in _page(tmp_path)


def test_the_pictures_show_something(finished: Path) -> None:
    for name in ("norm.png", "coefficients.png"):
        picture = imread(finished / "figures" / name)
        assert picture.shape[1] == 1800
        colours = np.unique(picture[::5, ::5, :3].reshape(-1, 3), axis=0)
        assert len(colours) > 100


def test_hostile_text_stays_text(
    tmp_path: Path, write_run: Callable[..., Any], write_json: Callable[..., None], summary: dict[str, Any]
) -> None:
    root = tmp_path / "run"
    draw = write_run(root, steps=600, name=_HOSTILE, output=_HOSTILE)
    content = json.loads((root / "draw.json").read_text())
    write_json(root / "draw.json", content | {"detector": _HOSTILE, "kept_by_minimum": {"heads": [_HOSTILE]}})
    summary["earlybird"] = _HOSTILE
    summary["ticket"] |= {"detector": _HOSTILE, "start": _HOSTILE, "draw_step": _HOSTILE}
    write_json(root / "summary.json", summary)

    page = write_report(root).read_text(encoding="utf-8")

    assert draw.step > 0
    assert "<script>alert" not in page
    assert "<img" not in page
    tags = [tag for tag, _ in _Tags(page).tags]
    assert tags.count("script") == 4
    assert "img" not in tags


def test_a_trajectory_that_stops_at_the_draw_says_so(
    tmp_path: Path, finished: Path, write_run: Callable[..., Any]
) -> None:
    step = json.loads((finished / "draw.json").read_text())["step"]
    write_run(tmp_path, steps=step + 1)
    assert f"agreement with the mask at the draw (step {step})" in write_report(tmp_path).read_text(encoding="utf-8")
    assert "mask at the draw" not in _page(finished)


def test_an_unfinished_search(
    tmp_path: Path, write_recipe: Callable[..., None], write_trajectory: Callable[..., Any]
) -> None:
    write_recipe(tmp_path)
    write_trajectory(tmp_path, 100)
    text = _Tags(write_report(tmp_path).read_text(encoding="utf-8")).text
    assert text[0] == "Not finished: the search has recorded 100 of 1,500 steps and has not drawn yet."
    assert any("There is no summary.json" in line for line in text)
    assert any("There is no ticket.json" in line for line in text)
    assert (tmp_path / "figures" / "norm.png").is_file()


def test_the_command_reports_an_unfinished_search(
    tmp_path: Path, write_recipe: Callable[..., None], write_trajectory: Callable[..., Any]
) -> None:
    write_recipe(tmp_path)
    write_trajectory(tmp_path, 100)
    done = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert done.exit_code == 0
    assert "Not finished: no stage has ended yet." in done.output
    assert f"Report: {tmp_path / 'report.html'}" in done.output
    found = json.loads(CliRunner().invoke(app, ["report", str(tmp_path), "--json"]).output)
    assert found["report"] == str(tmp_path / "report.html")
    damaged = tmp_path / "trained" / "dense" / "result.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("{")
    done = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert isinstance(done.exception, InputError)
    assert "result.json" in str(done.exception)


def test_a_draw_that_is_not_trained_yet(tmp_path: Path, write_run: Callable[..., Any]) -> None:
    write_run(tmp_path, steps=600)
    (tmp_path / "summary.json").unlink()
    (tmp_path / "random.json").unlink()
    assert _Tags(write_report(tmp_path).read_text(encoding="utf-8")).text[0].startswith("Not finished: drawn at")


def test_a_ticket_drawn_by_other_settings_is_reported_by_those(tmp_path: Path, write_run: Callable[..., Any]) -> None:
    write_run(tmp_path)
    trajectory = Trajectory.open(tmp_path / "search" / "trajectory")
    by_hand = draw_at(trajectory, 299, SearchConfig(heads=0.75))
    (tmp_path / "draw.json").write_text(json.dumps(by_hand.description()))
    run = read_run(tmp_path)
    facts = page(run, analyse(run))
    assert "75% of the heads to prune" in facts
    assert "of the neurons to prune" not in facts
    masks = analyse(run).masks["heads"]
    assert set(analyse(run).masks) == {"heads"}
    assert (masks.shown.sum(-1) == 2).all()
    assert analyse(run).replay is None
    assert "Drawn at step 299 because that was asked for, by no detector" in facts
    assert "detector equivalence" not in facts

    by_another = detect(trajectory, SearchConfig(heads=0.75, detector="hamming", every=50, uniform=True))
    assert by_another is not None
    (tmp_path / "draw.json").write_text(json.dumps(by_another.description()))
    run = read_run(tmp_path)
    analysis = analyse(run)
    assert run.search == by_another.config
    assert analysis.replay is not None
    assert analysis.replay.draw is not None
    assert analysis.replay.draw.step == by_another.step
    assert "75% of the heads to prune, uniformly" in page(run, analysis)

    older = {key: value for key, value in by_another.description().items() if key not in ("config", "how")}
    (tmp_path / "draw.json").write_text(json.dumps(older))
    analysis = analyse(read_run(tmp_path))
    assert analysis.replay is None
    assert "hamming, with the settings that are known, does not settle as" in analysis.problems["replay"]


def test_the_checks_shown_are_those_that_drew(tmp_path: Path, write_run: Callable[..., Any]) -> None:
    write_run(tmp_path, search={"heads": 0.5, "neurons": 0.5, "detector": "hamming"})
    trajectory = Trajectory.open(tmp_path / "search" / "trajectory")
    drawn = detect(trajectory, SearchConfig(heads=0.5, neurons=0.5, detector="hamming"))
    assert drawn is not None

    def shown(**changes: Any) -> bool:
        (tmp_path / "draw.json").write_text(json.dumps(drawn.description() | changes))
        return analyse(read_run(tmp_path)).replay is not None

    assert shown()
    assert not shown(kinds={kind: asdict(one) | {"threshold": 0.2} for kind, one in drawn.kinds.items()})
    assert not shown(kinds={kind: asdict(one) | {"statistic": 0.09} for kind, one in drawn.kinds.items()})
    # The end is where a search is drawn that does not settle, and this one does.
    assert not shown(how="end")
    never = drawn.description()["config"] | {"detector": "repeat(hamming, 1490)"}
    assert shown(how="end", config=never)


@pytest.mark.parametrize(
    "changes",
    [
        {"config": []},
        {"config": {"ratio": 0.5}},
        {"config": {"heads": 2}},
        {"config": {"heads": 10**400}},
        {"config": {"heads": 0.5, "threshold": "x"}},
        {"config": {"heads": 0.5, "window": {}}},
        {"config": {"heads": 0.5, "exclude": 5}},
        {"config": {"heads": 0.5, "detector": "MyOwn"}},
    ],
)
def test_a_damaged_draw_costs_its_part_only(
    tmp_path: Path, write_run: Callable[..., Any], changes: dict[str, Any]
) -> None:
    write_run(tmp_path, steps=600)
    (tmp_path / "draw.json").write_text(json.dumps(json.loads((tmp_path / "draw.json").read_text()) | changes))
    assert analyse(read_run(tmp_path)).replay is None
    assert write_report(tmp_path).is_file()


def test_a_draw_by_chance_or_magic_is_none(tmp_path: Path, write_run: Callable[..., Any]) -> None:
    write_run(tmp_path, steps=600)
    told = json.loads((tmp_path / "draw.json").read_text())
    for how in ("random", "magic", {}):
        (tmp_path / "draw.json").write_text(json.dumps(told | {"how": how}))
        assert "how must be one of detector, end, step" in read_run(tmp_path).missing["draw"]
    assert "got {}. The lines mark the draw that the detector gives" in write_report(tmp_path).read_text()


def test_one_recorded_step(
    tmp_path: Path, write_recipe: Callable[..., None], write_trajectory: Callable[..., Any]
) -> None:
    write_recipe(tmp_path)
    write_trajectory(tmp_path, 1)
    assert write_report(tmp_path).is_file()


def test_a_recipe_alone(tmp_path: Path, write_recipe: Callable[..., None]) -> None:
    write_recipe(tmp_path)
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "no step of the search is recorded" in page
    assert "image-classification" in page
    assert "<script" not in page
    assert not (tmp_path / "figures").exists()


def test_blocks_of_different_width_and_one_kind(tmp_path: Path, write_recipe: Callable[..., None]) -> None:
    write_recipe(tmp_path, search={"heads": 0.0, "neurons": 0.4})
    shape = Shape({"heads": (2, 4), "neurons": (30, 20)}, ("deviation",), 300)
    generator = np.random.default_rng(0)
    with TrajectoryWriter(tmp_path / "search" / "trajectory", shape, chunk_steps=50) as writer:
        for _ in range(300):
            heads, neurons = (generator.normal(0, 1e-3, size).astype(np.float32) for size in ((2, 4), (2, 30)))
            writer.append({("heads", "deviation"): heads, ("neurons", "deviation"): neurons})
    specs = plots(write_report(tmp_path).read_text(encoding="utf-8"))
    assert [trace["name"] for trace in specs["norm"]["data"]] == ["neurons, each step", "neurons, averaged"]
    assert len(specs["coefficients-heads"]["data"]) == 6


@pytest.mark.parametrize("name", ["recipe.yaml", "draw.json", "ticket.json", "summary.json", "search/result.json"])
@pytest.mark.parametrize("content", [b"", b"[1, 2", b"\xff\xfe\x00", b'{"step": "x", "kinds": 3}'])
def test_a_damaged_file_costs_its_part_only(
    tmp_path: Path, write_recipe: Callable[..., None], name: str, content: bytes
) -> None:
    write_recipe(tmp_path)
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    assert write_report(tmp_path).is_file()


def test_a_damaged_trajectory_is_named(tmp_path: Path, write_recipe: Callable[..., None]) -> None:
    write_recipe(tmp_path)
    (tmp_path / "search" / "trajectory").mkdir(parents=True)
    (tmp_path / "search" / "trajectory" / "trajectory.json").write_text("{")
    assert "search/trajectory cannot be read" in write_report(tmp_path).read_text(encoding="utf-8")


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no directory"):
        write_report(tmp_path / "nowhere")
    with pytest.raises(InputError, match="not a run's directory"):
        write_report(tmp_path)


def test_a_laptop_without_torch_can_do_it() -> None:
    modules = "earlybird.report.write, earlybird.report.figures.listing"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
