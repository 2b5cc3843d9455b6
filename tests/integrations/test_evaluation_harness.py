"""The language model evaluation harness on a pruned directory: its own adapter for transformers reads it."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys

import datasets
import pytest
import torch
from tiny_chat import NUMBERS, llama, questions, tokenizer

import earlybird as eb

pytest.importorskip("lm_eval", reason="lm-eval is not installed")

TASK = """task: sums
dataset_path: json
dataset_kwargs: {data_files: {test: {data}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}} <end> <assistant>"
doc_to_target: answer
doc_to_choice: [CHOICES]
target_delimiter: " "
metric_list:
  - {metric: acc}
"""
TEXT = """task: sentences
dataset_path: json
dataset_kwargs: {data_files: {test: {data}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{question}}"
metric_list:
  - {metric: word_perplexity}
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture(params=["uneven", "uniform"])
def pruned(request, tmp_path):
    """A directory that says its shape by earlybird's keys, or by the family's own fields."""
    model = llama()
    config = eb.PruningConfig(neurons=0.5, uniform=True) if request.param == "uniform" else None
    ticket = eb.Ticket.random(eb.Anatomy.of(model), config or eb.PruningConfig(heads=0.5, neurons=0.5), seed=0)
    eb.save(eb.prune(model, ticket), tmp_path / "small", processor=tokenizer())
    return tmp_path / "small"


@pytest.fixture
def tasks(tmp_path):
    """A folder of two tasks over one file."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    data = folder / "sums.jsonl"
    rows = [{"question": question, "answer": NUMBERS.index(answer)} for question, answer in questions()]
    data.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    for name, text in (("sums", TASK), ("sentences", TEXT)):
        (folder / f"{name}.yaml").write_text(
            text.replace("{data}", str(data)).replace("CHOICES", ", ".join(NUMBERS)), encoding="utf-8"
        )
    return folder


def by_hand(directory):
    """The share of right choices, and the perplexity of a word."""
    model, tokens = eb.load(directory), tokenizer()
    right, loss, words = 0, 0.0, 0
    for question, answer in questions():
        prompt = tokens(f"{question} <end> <assistant>", return_tensors="pt").input_ids
        with torch.no_grad():
            logits = model(prompt).logits[0].log_softmax(-1)
        choices = [float(logits[-1, tokens.convert_tokens_to_ids(number)]) for number in NUMBERS]
        right += choices.index(max(choices)) == NUMBERS.index(answer)
        # The first word is predicted from the end token, which is put before it.
        whole = tokens(f"<end> {question}", return_tensors="pt").input_ids
        with torch.no_grad():
            logits = model(whole).logits[0].log_softmax(-1)
        loss -= float(logits[:-1].gather(1, whole[0, 1:, None]).sum())
        words += len(question.split())
    return right / len(questions()), math.exp(loss / words)


def test_the_harness_takes_a_pruned_directory(pruned, tasks):
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    model = HFLM(pretrained=str(pruned), device="cpu", batch_size=4)
    assert eb.Anatomy.of(model.model).units == eb.Anatomy.of(eb.load(pruned)).units
    found = simple_evaluate(
        model, tasks=["sums", "sentences"], task_manager=TaskManager(include_path=str(tasks)), bootstrap_iters=0
    )["results"]
    accuracy, perplexity = by_hand(pruned)
    assert found["sums"]["acc,none"] == accuracy
    assert found["sentences"]["word_perplexity,none"] == pytest.approx(perplexity, rel=1e-5)


def test_its_command_takes_one_once_earlybird_is_imported(pruned, tasks, tmp_path):
    imported = "import earlybird; from lm_eval.__main__ import cli_evaluate; cli_evaluate()"
    arguments = ["--model", "hf", "--model_args", f"pretrained={pruned}", "--tasks", "sums", "--device", "cpu"]
    where = ["--include_path", str(tasks), "--output_path", str(tmp_path / "results.json")]
    done = subprocess.run(
        [sys.executable, "-c", imported, "run", *arguments, *where],
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (written,) = tmp_path.glob("results*.json")
    accuracy, _ = by_hand(pruned)
    assert json.loads(written.read_text())["results"]["sums"]["acc,none"] == accuracy
