"""Files of every format that earlybird reads: how a whole one is written, which is damaged, how it is read."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForSequenceClassification

import earlybird as eb
from earlybird.cli.tables import results_table
from earlybird.detectors.offline import detect
from earlybird.errors import InputError
from earlybird.recipes.recipe_file import read_recipe
from earlybird.recipes.run_directory import RunDirectory
from earlybird.recipes.stages.summary import summarise
from earlybird.recipes.sweep.directory import SweepDirectory
from earlybird.recipes.sweep.table import gather
from earlybird.recipes.sweep.text import central_grid, grid, write_table
from earlybird.recipes.tasks.question_answering.questions import read_questions
from earlybird.recipes.tasks.question_answering.settings import QuestionDataSettings
from earlybird.recipes.tasks.text_classification.examples import read_texts
from earlybird.recipes.tasks.text_classification.settings import TextDataSettings
from earlybird.report.figures.listing import write_figures
from earlybird.report.verdict import verdict
from earlybird.report.write import write_report
from earlybird.search.state import read_search_state, write_search_state
from earlybird.slimming.coefficients import SlimmingCoefficients
from earlybird.ticket import Ticket
from earlybird.trajectory import Shape, Trajectory, TrajectoryWriter
from earlybird.trajectory.files import CHUNKS, chunk_checksum, read_description
from earlybird.vocabulary import Kind

STEPS = 60
RECIPE, TICKET = "recipe.yaml", "ticket.json"
DESCRIPTION, EVIDENCE = "search/trajectory/trajectory.json", "search/trajectory/heads.deviation.f32"
TRAINED = ("dense", "rewind/ticket", "rewind/random")
UNITS: dict[Kind, tuple[int, ...]] = {"heads": (4, 4), "neurons": (12, 12)}


def write_run(root: Path) -> None:
    """A finished run of few steps."""
    shape = Shape(UNITS, ("deviation", "gradient"), STEPS, 20.0, "synthetic")
    generator = np.random.default_rng(0)
    with TrajectoryWriter(root / "search" / "trajectory", shape, chunk_steps=20) as writer:
        for _ in range(STEPS):
            writer.append(
                {
                    (kind, channel): generator.normal(size=(2, UNITS[kind][0])).astype(np.float32)
                    for kind in UNITS
                    for channel in shape.channels
                }
            )
    trajectory = Trajectory.open(root / "search" / "trajectory")
    draw = detect(trajectory, eb.SearchConfig(heads=0.4, neurons=0.4, detector="hamming", threshold=0.99))
    assert draw is not None
    blocks: dict[Kind, tuple[str, ...]] = {kind: tuple(f"layer.{i}.{kind}" for i in range(2)) for kind in UNITS}
    ticket = Ticket(draw.masks, UNITS, blocks, {"how": "drawn", "draw_step": draw.step})
    ticket.save(root / "ticket.json")
    ticket.shuffled(0).save(root / "random.json")
    recipe = yaml.safe_load((Path(eb.__file__).parent / "recipes" / "digits.yaml").read_text())
    (root / "recipe.yaml").write_text(
        yaml.safe_dump({**recipe, "search": {**recipe["search"], "detector": "hamming", "threshold": 0.99}})
    )
    results: dict[str, Any] = {"accuracy": 90.0, "parameters": 1000, "flops": 5000, "train_seconds": 9.0}
    trained = {"metric": "accuracy", "accuracy": 90.0, "examples": 100, "parameters": 1000, "flops": 5000}
    trained |= {"seconds": 9.0, "steps": STEPS}
    contents: dict[str, Any] = {
        "search/result.json": {"steps": STEPS, "total_steps": STEPS, "seconds": 1.0, "settled": True},
        "draw.json": draw.description(),
        **{f"trained/{which}/result.json": trained for which in TRAINED},
        "summary.json": {
            "earlybird": "0.1.0",
            "evaluation_examples": 100,
            "dense": results,
            "ticket": {**results, "search_seconds": 1.0, "draw_step": draw.step, "draw_fraction": draw.fraction},
            "random": results,
        },
    }
    for name, content in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(json.dumps(content))


def write_sweep(root: Path) -> None:
    """A finished sweep of a dense network and a ticket."""
    nothing = dict.fromkeys(("ratio", "score", "coefficients", "start"))
    dense = {"draw": "dense", **nothing, "seed": 0, "axes": {}, "dense": "dense"}
    told = {"ratio": {"heads": 0.4, "neurons": 0.4}, "score": "coefficient", "coefficients": "trained"}
    ticket = {**dense, "draw": "hamming", **told, "start": "rewind", "axes": {"slimming.slim": "before"}}
    cells = {"dense": dense, "ticket": ticket}
    (root / "sweep.json").write_text(json.dumps({"recipe": {"slimming": {"slim": "after"}}, "cells": cells}))
    result = {"metric": "accuracy", "accuracy": 90.0, "parameters": 1000, "flops": 5000, "train_seconds": 9.0}
    drawn = {"draw_step": 5, "draw_fraction": 0.1, "search_seconds": 1.0, "settled": True, "replay_difference": 0.0}
    for name, labels in cells.items():
        content = {"earlybird": "0.1.0", "status": "done", **labels, **result, **(drawn if name == "ticket" else {})}
        (root / "cells" / name).mkdir(parents=True)
        (root / "cells" / name / "cell.json").write_text(json.dumps(content))


def write_checkpoint(root: Path) -> None:
    """A pruned BERT."""
    torch.manual_seed(0)
    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=20,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=12,
            max_position_embeddings=16,
        )
    )
    ticket = Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.25, neurons=0.5))
    eb.save(eb.prune(model, ticket), root, ticket=ticket)


def write_unsealed_checkpoint(root: Path) -> None:
    """A pruned BERT whose weights carry no digest, as any other tool writes them."""
    write_checkpoint(root)
    save_file(load_file(root / "model.safetensors"), root / "model.safetensors", {"format": "pt"})


def write_recordings(root: Path) -> None:
    """The study's .npy files."""
    generator = np.random.default_rng(0)
    root.mkdir(exist_ok=True)
    np.save(root / "self_slimming_coef_records.npy", generator.normal(size=(2, STEPS, 4)))
    np.save(root / "inter_slimming_coef_records.npy", generator.normal(size=(2, STEPS, 12)))


def read_report(root: Path) -> None:
    """What `earlybird report` does of a run."""
    html = write_report(root).read_text(encoding="utf-8")
    assert "<script>alert(1)" not in html
    summary = summarise(RunDirectory(root))
    verdict(summary)
    results_table(summary)


def read_figures(root: Path) -> None:
    """What `earlybird figures` does, of the figures that read the most files."""
    write_figures(root, root / "figures", ("head-coefficients", "criteria", "survivors"))


def read_sweep(root: Path) -> None:
    """What `earlybird report` does of a sweep."""
    table = gather(SweepDirectory(root))
    write_table(table, SweepDirectory(root))
    central_grid(table)
    grid(table)


def read_trajectory(root: Path) -> None:
    trajectory = Trajectory.open(root / "search" / "trajectory")
    for kind in trajectory.kinds:
        for channel in trajectory.shape.channels:
            trajectory.evidence(kind, channel).sum()
    detect(trajectory, eb.SearchConfig(heads=0.5, neurons=0.5, detector="hamming"))


def seal_ticket(root: Path) -> None:
    """Make the ticket's checksum right, as that of whoever wants to harm would be."""
    file = root / "ticket.json"
    with contextlib.suppress(ValueError, RecursionError, KeyError, TypeError):
        data = json.loads(file.read_bytes())
        body = {"masks": data["masks"], "provenance": data["provenance"]}
        seal = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        file.write_text(json.dumps({**data, "sha256": seal}), encoding="utf-8")


def seal_trajectory(root: Path) -> None:
    """Likewise of the trajectory's chunks, for what its description now says."""
    record = root / "search" / "trajectory"
    with contextlib.suppress(InputError):
        shape = read_description(record)
        chunks = [(end, 20, 0) for end in range(20, STEPS + 1, 20)]
        sealed = [
            {"end": end, "steps": 20, "crc32": chunk_checksum(record, shape, (end, 20, 0))} for end, _, _ in chunks
        ]
        (record / CHUNKS).write_text("".join(json.dumps(chunk) + "\n" for chunk in sealed))


def sealed(seal: Callable[[Path], None], read: Callable[[Path], object]) -> Callable[[Path], object]:
    """Read files whose checksums are right."""

    def sealed_and_read(root: Path) -> object:
        seal(root)
        return read(root)

    return sealed_and_read


def read_ticket(root: Path) -> None:
    Ticket.load(root / "ticket.json")


def read_recordings(root: Path) -> None:
    detect(Trajectory.from_npy(root), eb.SearchConfig(heads=0.5, neurons=0.5, detector="hamming"))


def search_state() -> tuple[dict[Kind, SlimmingCoefficients], torch.optim.Optimizer]:
    coefficients = {kind: SlimmingCoefficients(units, torch.device("cpu")) for kind, units in UNITS.items()}
    optimizer = torch.optim.Adam([own.values for own in coefficients.values()])
    optimizer.step()
    return coefficients, optimizer


def write_state(root: Path) -> None:
    coefficients, optimizer = search_state()
    write_search_state(root / "state.safetensors", coefficients, optimizer, steps=5, model="m", record=0)


def read_state(root: Path) -> None:
    coefficients, optimizer = search_state()
    read_search_state(root / "state.safetensors", coefficients, optimizer, model="m", trained=True)


def write_texts(root: Path) -> None:
    """Texts and questions as recipes read them, a file each of two splits."""
    row = {"sentence": 'good, "fine"\nfilm', "other": "é 😀", "label": "a"}
    quoted = ",".join('"' + text.replace('"', '""') + '"' for text in row.values())
    files = {
        "csv": f"{','.join(row)}\n{quoted}\n\nbad,,b\n",
        "tsv": "sentence\tother\tlabel\ngood\té 😀\ta\n\nbad\t\tb\n",
        "jsonl": f"{json.dumps(row)}\n\n{json.dumps(row | {'label': 'b'})}\n",
    }
    answers = [{"text": "red", "answer_start": 0}]
    entries = [
        {"id": "1", "question": "é 😀", "answers": answers, "is_impossible": False},
        {"id": 2, "question": "where", "answers": [], "is_impossible": True},
    ]
    files["json"] = json.dumps({"version": "v2.0", "data": [{"paragraphs": [{"context": "red cat", "qas": entries}]}]})
    for ending, content in files.items():
        for split in ("train", "validation"):
            (root / f"{split}.{ending}").write_text(content, encoding="utf-8")


def texts_reader(form: str) -> Callable[[Path], None]:
    """Read texts of a format; what is read can be encoded."""

    def read(root: Path) -> None:
        settings = TextDataSettings.model_validate(
            {"format": form, "source": str(root), "second_text_column": "other", "label_column": "label"}
        )
        data = read_texts(settings, regression=False)
        for text in (*data.train.texts, *(data.train.seconds or ()), *data.classes):
            text.encode()

    return read


def read_squad(root: Path) -> None:
    settings = QuestionDataSettings.model_validate({"format": "squad", "source": str(root)})
    for question in read_questions(settings).train:
        "".join((question.id, question.question, question.context)).encode()


# What is written, which of its files is damaged, how it is read, and how many mutations.
FORMATS: dict[str, tuple[Callable[[Path], None], str, Callable[[Path], object], int]] = {
    "ticket": (write_run, TICKET, read_ticket, 100),
    "resealed ticket": (write_run, TICKET, sealed(seal_ticket, read_ticket), 350),
    "recipe": (write_run, RECIPE, lambda root: read_recipe(str(root / RECIPE)), 250),
    "description of a trajectory": (write_run, DESCRIPTION, read_trajectory, 350),
    "chunks of a trajectory": (write_run, "search/trajectory/chunks.jsonl", read_trajectory, 150),
    "evidence of a trajectory": (write_run, EVIDENCE, read_trajectory, 100),
    "recording": (write_recordings, "self_slimming_coef_records.npy", read_recordings, 250),
    "state of a search": (write_state, "state.safetensors", read_state, 250),
    "reported recipe": (write_run, RECIPE, read_report, 40),
    "reported summary": (write_run, "summary.json", read_report, 60),
    "reported draw": (write_run, "draw.json", read_report, 60),
    "reported result": (write_run, "search/result.json", read_report, 30),
    "reported training": (write_run, "trained/rewind/ticket/result.json", read_report, 8),
    "reported ticket": (write_run, TICKET, sealed(seal_ticket, read_report), 8),
    "reported trajectory": (write_run, DESCRIPTION, sealed(seal_trajectory, read_report), 8),
    "reported evidence": (write_run, EVIDENCE, sealed(seal_trajectory, read_report), 5),
    "drawn recipe": (write_run, RECIPE, read_figures, 3),
    "drawn draw": (write_run, "draw.json", read_figures, 3),
    "drawn ticket": (write_run, TICKET, sealed(seal_ticket, read_figures), 3),
    "drawn trajectory": (write_run, DESCRIPTION, sealed(seal_trajectory, read_figures), 3),
    "texts in CSV": (write_texts, "train.csv", texts_reader("csv"), 60),
    "texts in TSV": (write_texts, "train.tsv", texts_reader("tsv"), 60),
    "texts in JSON lines": (write_texts, "train.jsonl", texts_reader("json-lines"), 100),
    "questions": (write_texts, "train.json", read_squad, 150),
    "sweep": (write_sweep, "sweep.json", read_sweep, 100),
    "cell of a sweep": (write_sweep, "cells/ticket/cell.json", read_sweep, 100),
    "config of a checkpoint": (write_checkpoint, "config.json", eb.load, 160),
    "weights of a checkpoint": (write_checkpoint, "model.safetensors", eb.load, 50),
    "unsealed weights of a checkpoint": (write_unsealed_checkpoint, "model.safetensors", eb.load, 80),
}
