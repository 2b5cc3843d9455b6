"""The notebooks: as committed they have been run; they run again on a record that is made here."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from tiny_chat import conversations, llama, tokenizer

import earlybird as eb
from earlybird.recipes.recipe_file import read_recipe
from earlybird.recipes.stages.draw import draw
from earlybird.recipes.stages.job import Job
from earlybird.recipes.stages.search import search

pytestmark = pytest.mark.thorough

NOTEBOOKS = Path(__file__).parents[2] / "examples/notebooks"
WHOLE = ["search.record=all", "search.to_the_end=true", "training.epochs=6"]


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def run_notebook(name, place, monkeypatch, **settings):
    """Run a notebook from its first cell to its last, in a directory; every cell of a figure must show one."""
    for key, value in {"JUPYTER_PLATFORM_DIRS": "1", **settings}.items():
        monkeypatch.setenv(key, str(value))
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": place}}).execute()
    for cell in code_cells(notebook):
        shown = [kind for output in cell.outputs for kind in output.get("data", {})]
        assert ("image/png" in shown) == bool(re.search(r"\.figure\b", cell.source))
        assert cell.outputs
    return notebook


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_what_is_committed_has_been_run_in_order(path):
    cells = code_cells(nbformat.read(path, as_version=4))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not any(output.output_type == "error" for cell in cells for output in cell.outputs)


def test_pre_training(tmp_path, monkeypatch):
    job = Job.begin(read_recipe("digits", [f"output={tmp_path / 'run'}", *WHOLE]))
    search(job)
    draw(job)
    run_notebook("vit_pre_training", tmp_path, monkeypatch, RUN=job.files.root)


def test_text_fine_tuning(tmp_path, tiny_bert, monkeypatch):
    texts = [f"the film was {word}\t{label}" for word, label in (("good", 1), ("awful", 0), ("fine", 1), ("bad", 0))]
    for name in ("train", "validation"):
        (tmp_path / f"{name}.tsv").write_text("\n".join(texts * 30) + "\n")
    data = ["data.format=tsv", f"data.source={tmp_path}", "data.config=null", "data.columns=[sentence, label]"]
    model = [f"model.pretrained={tiny_bert}", "model.max_length=16", "training.batch_size=4"]
    ratios = ["search.heads=0.5", "search.neurons=0.5", "search.score=coefficient", "search.detector=rank-correlation"]
    job = Job.begin(read_recipe("bert-glue", [f"output={tmp_path / 'run'}", *data, *model, *ratios, *WHOLE]))
    search(job)
    draw(job)
    run_notebook("text_fine_tuning", tmp_path, monkeypatch, RUN=job.files.root)


def test_small_language_model(tmp_path, monkeypatch):
    llama().save_pretrained(tmp_path / "model")
    tokenizer().save_pretrained(tmp_path / "model")
    rows = [json.dumps({"messages": each}) for each in conversations()]
    (tmp_path / "data").mkdir()
    (tmp_path / "data/train.jsonl").write_text("\n".join(rows * 20) + "\n")
    (tmp_path / "data/test.jsonl").write_text("\n".join(rows) + "\n")
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": tmp_path / "cache", "OMP_NUM_THREADS": "1"}
    notebook = run_notebook(
        "small_language_model",
        tmp_path,
        monkeypatch,
        MODEL="model",
        DATA="data",
        LEARNING_RATE="1e-2",
        **offline,
    )
    told = "".join(output.text for cell in code_cells(notebook) for output in cell.outputs if "text" in output)
    before, after = re.search(r"perplexity ([\d.]+) before, ([\d.]+) after", told).groups()
    assert float(after) < 0.8 * float(before)
    assert eb.Anatomy.of(eb.load(tmp_path / "small")).units != eb.Anatomy.of(llama()).units
