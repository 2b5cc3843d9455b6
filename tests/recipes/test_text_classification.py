import csv
import json
import re
import shutil
import sys

import datasets
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.processors import RobertaProcessing
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerFast

from earlybird import cli
from earlybird.checkpoint.load import load
from earlybird.errors import InputError
from earlybird.recipes.recipe_file import read_recipe
from earlybird.recipes.tasks import task_of
from earlybird.recipes.tasks.text_classification.metrics import classification_metrics, regression_metrics

NAMES = "data.columns=[sentence, label]"


def sentences(count, seed):
    """Sentences with one telling word, and whether it is a good one."""
    generator = np.random.default_rng(seed)
    fillers = ("the", "film", "plot", "actor", "was", "of")
    rows = []
    for _ in range(count):
        good = bool(generator.integers(2))
        words = list(generator.choice(fillers, generator.integers(2, 9)))
        words.insert(
            generator.integers(len(words) + 1), generator.choice(("good", "fine") if good else ("bad", "awful"))
        )
        rows.append((" ".join(words), int(good)))
    return rows


def write_tsv(path, rows, header=None):
    lines = ["\t".join(map(str, row)) for row in ([header] if header else []) + rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def tsv(tmp_path):
    """A directory of TSV files without a header: sentence, label."""
    directory = tmp_path / "texts"
    directory.mkdir()
    write_tsv(directory / "train.tsv", sentences(160, 0))
    write_tsv(directory / "validation.tsv", sentences(60, 1))
    return directory


def task(source, tiny_bert, *overrides, form="tsv"):
    here = [f"data.format={form}", f"data.source={source}", "data.config=null", f"model.pretrained={tiny_bert}"]
    return task_of(read_recipe("bert-glue", [*here, "model.max_length=32", *overrides]))


# The whole way


def test_a_run_learns_classes_from_texts_to_the_report(tsv, tiny_bert, run_recipe):
    job, summary = run_recipe(
        "bert-glue",
        "data.format=tsv",
        f"data.source={tsv}",
        "data.config=null",
        NAMES,
        f"model.pretrained={tiny_bert}",
        "model.max_length=32",
    )
    assert summary["metric"] == "accuracy"
    assert summary["evaluation_examples"] == 60
    for network in ("dense", "ticket", "random", "ticket_continued", "random_continued"):
        assert {"accuracy", "f1", "matthews_correlation"} <= set(summary[network])
    # One telling word in a sentence: labels or predictions out of order would end near 50.
    assert summary["dense"]["accuracy"] > 90
    assert summary["ticket"]["parameters"] == summary["random"]["parameters"] < summary["dense"]["parameters"]
    assert summary["ticket"]["flops"] < summary["dense"]["flops"]
    assert "Matthews correlation" in (job.files.report).read_text(encoding="utf-8")
    # The trained model stands alone, with its tokenizer.
    model = load(job.files.dense / "model")
    tokenizer = AutoTokenizer.from_pretrained(job.files.dense / "model")
    rows = sentences(60, 1)
    with torch.no_grad():
        logits = model(**tokenizer([text for text, _ in rows], padding=True, return_tensors="pt")).logits
    right = 100 * np.mean(logits.argmax(1).numpy() == [label for _, label in rows])
    assert right == pytest.approx(summary["dense"]["accuracy"])


def test_a_run_learns_values_of_pairs(tmp_path, tiny_bert, run_recipe):
    for split, seed in (("train", 0), ("validation", 1)):
        rows = [{"a": text, "b": "film", "score": 2.5 * label} for text, label in sentences(160, seed)]
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    _, summary = run_recipe(
        "bert-glue",
        "metric=pearson",
        "data.format=json-lines",
        f"data.source={tmp_path}",
        "data.config=null",
        "data.text_column=a",
        "data.second_text_column=b",
        "data.label_column=score",
        f"model.pretrained={tiny_bert}",
        "model.max_length=32",
        "random=false",
        "retraining.weights=rewind",
    )
    assert summary["metric"] == "pearson"
    assert not summary["metric_per_example"]
    assert {"pearson", "spearman"} <= set(summary["ticket"])
    assert summary["dense"]["pearson"] > 80


def test_the_initial_model_is_the_pretrained_one_with_a_head_by_the_seed(tsv, tiny_bert, tmp_path):
    first, again = (task(tsv, tiny_bert, NAMES).initial_model() for _ in range(2))
    other = task(tsv, tiny_bert, NAMES, "seed=1").initial_model()
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(first.bert.parameters(), other.bert.parameters(), strict=True))
    assert not torch.equal(first.classifier.weight, other.classifier.weight)
    pretrained = load_backbone(tiny_bert)
    assert all(torch.equal(tensor, pretrained[name]) for name, tensor in first.bert.state_dict().items())
    # A head of the same shape that the checkpoint brings along is drawn anew too.
    first.classifier.weight.data.fill_(7.0)
    first.save_pretrained(tmp_path / "tuned")
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(tmp_path / "tuned")
    assert torch.equal(task(tsv, tmp_path / "tuned", NAMES).initial_model().classifier.weight, again.classifier.weight)
    # Another number of classes as well.
    wide = AutoModelForSequenceClassification.from_pretrained(tiny_bert, num_labels=5)
    wide.save_pretrained(tmp_path / "tuned")
    assert torch.equal(task(tsv, tmp_path / "tuned", NAMES).initial_model().classifier.weight, again.classifier.weight)


def load_backbone(directory):
    from transformers import AutoModel

    return AutoModel.from_pretrained(directory).state_dict()


# Reading


def test_all_formats_give_the_same_examples(tsv, tiny_bert, tmp_path):
    rows = [(text.replace("of", 'of "all", '), label) for text, label in sentences(30, 2)]
    for form in ("tsv", "header", "csv", "json", "parquet"):
        (tmp_path / form).mkdir()
    for split in ("train", "validation"):
        write_tsv(tmp_path / "tsv" / f"{split}.tsv", rows)
        write_tsv(tmp_path / "header" / f"{split}.tsv", [(label, text) for text, label in rows], ("label", "sentence"))
        quoted = ["sentence,label", *('"' + text.replace('"', '""') + f'",{label}' for text, label in rows)]
        (tmp_path / "csv" / f"{split}.csv").write_text("\ufeff" + "\r\n".join(quoted) + "\r\n", encoding="utf-8")
        objects = [json.dumps({"sentence": text, "label": label, "id": 1}) for text, label in rows]
        (tmp_path / "json" / f"{split}.jsonl").write_text("\n".join(objects) + "\n")
        table = datasets.Dataset.from_dict({"sentence": [r[0] for r in rows], "label": [r[1] for r in rows]})
        table.to_parquet(tmp_path / "parquet" / f"{split}.parquet")
    for folder, form, columns in (
        ("tsv", "tsv", [NAMES]),
        ("header", "tsv", []),
        ("csv", "csv", []),
        ("json", "json-lines", []),
        ("parquet", "parquet", []),
    ):
        read = task(tmp_path / folder, tiny_bert, *columns, form=form)
        assert [(text, label) for text, _, label in (read.train[i] for i in range(30))] == rows, folder


def test_names_of_classes_are_numbered_alike_in_both_splits(tmp_path, tiny_bert):
    write_tsv(tmp_path / "train.tsv", [("a", "no"), ("b", "yes"), ("c", "maybe")])
    write_tsv(tmp_path / "validation.tsv", [("d", "yes"), ("e", "no")])
    read = task(tmp_path, tiny_bert, NAMES)
    assert read.train.labels.tolist() == [1, 2, 0]
    assert read.evaluation.labels.tolist() == [2, 1]
    assert read.initial_model().config.id2label == {0: "maybe", 1: "no", 2: "yes"}


def test_numbers_with_leading_zeros_are_names_of_classes(tmp_path, tiny_bert):
    for split in ("train", "validation"):
        write_tsv(tmp_path / f"{split}.tsv", [("a", "01"), ("b", "02"), ("c", "10")])
    assert task(tmp_path, tiny_bert, NAMES).fetch().labels == ("01", "02", "10")


def test_a_hub_set_keeps_its_class_names(monkeypatch, tiny_bert):
    features = datasets.Features(
        {"sentence": datasets.Value("string"), "label": datasets.ClassLabel(names=["negative", "positive"])}
    )
    rows = datasets.Dataset.from_dict({"sentence": ["good", "bad"], "label": [1, 0]}, features=features)
    splits = datasets.DatasetDict(train=rows, validation=rows)
    monkeypatch.setattr(datasets, "load_dataset", lambda name, config: splits)
    counts = task("nyu-mll/glue", tiny_bert, form="hub").fetch()
    assert counts.labels == ("negative", "positive")
    assert (counts.train, counts.evaluation) == (2, 2)


def test_limits_and_batches(tsv, tiny_bert):
    read = task(tsv, tiny_bert, NAMES, "data.train_limit=5", "data.eval_limit=7", "model.max_length=6")
    assert (len(read.train), len(read.evaluation)) == (5, 7)
    batch = read.collate([("good film", None, 1), ("the plot of the film of the plot was bad", None, 0)])
    assert batch["input_ids"].shape == (2, 6)
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 0, 0], [1] * 6]
    assert batch["labels"].tolist() == [1, 0]
    pair = read.collate([("good", "bad", 1)])
    assert pair["token_type_ids"].tolist() == [[0, 0, 0, 1, 1]]


def write_splits(directory, ending, content):
    for split in ("train", "validation"):
        (directory / f"{split}.{ending}").write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("form", "lines"),
    [
        ("tsv", ["", "sentence\tlabel", "", "good film\t1", "", "  ", "bad film\t0", "", ""]),
        ("csv", ["", "sentence,label", "", "good film,1", "", "  ", "\t", '"bad film",0', "", ""]),
        (
            "json-lines",
            ["", '{"sentence": "good film", "label": 1}', " ", '{"label": 0, "sentence": "bad film"}', "", ""],
        ),
    ],
)
def test_blank_lines_are_skipped(tmp_path, tiny_bert, form, lines, end):
    write_splits(tmp_path, "jsonl" if form == "json-lines" else form, end.join(lines))
    read = task(tmp_path, tiny_bert, form=form)
    assert read.train.texts == ["good film", "bad film"]
    assert read.train.labels.tolist() == [1, 0]


def test_a_blank_line_within_quotes_belongs_to_the_text(tmp_path, tiny_bert):
    write_splits(tmp_path, "csv", 'sentence,label\n"good\r\n\n film ""x""",1\n\n"bad",0\n')
    assert task(tmp_path, tiny_bert, form="csv").train.texts == ['good\r\n\n film "x"', "bad"]


@pytest.mark.parametrize(
    ("form", "content"),
    [
        ("tsv", "\t\nsentence\tlabel\ngood\t1\n\t\n \t \nbad\t0\n\t\t\t\n"),
        ("csv", 'sentence,label\ngood,1\n,\n"",""\nbad,0\n,,,\n'),
    ],
)
def test_records_of_blank_fields_alone_are_skipped(tmp_path, tiny_bert, form, content):
    write_splits(tmp_path, form, content)
    read = task(tmp_path, tiny_bert, form=form)
    assert (read.train.texts, read.train.labels.tolist()) == (["good", "bad"], [1, 0])


def test_a_record_of_which_one_field_is_blank_is_none_of_these(tmp_path, tiny_bert):
    write_splits(tmp_path, "tsv", "good\t1\nbad\t\n")
    with pytest.raises(InputError, match="line 2: the label '' is neither an integer"):
        _ = task(tmp_path, tiny_bert, NAMES).train


@pytest.mark.parametrize("form", ["tsv", "csv", "json-lines"])
@pytest.mark.parametrize("column", ["sentence", "notes"])
def test_a_field_may_have_any_length(tmp_path, tiny_bert, form, column):
    rows = [{"sentence": "good film", "label": label, "notes": "bad"} | {column: "film " * 60_000} for label in (0, 1)]
    if form == "json-lines":
        lines = [json.dumps(row) for row in rows]
    else:
        mark = "\t" if form == "tsv" else ","
        lines = [mark.join(rows[0]), *(mark.join(map(str, row.values())) for row in rows)]
    write_splits(tmp_path, "jsonl" if form == "json-lines" else form, "\n".join(lines) + "\n")
    read = task(tmp_path, tiny_bert, form=form)
    assert read.train.texts == [row["sentence"] for row in rows]
    assert read.collate([read.train[0]])["input_ids"].shape == (1, 32 if column == "sentence" else 4)


def test_reading_leaves_the_settings_of_the_csv_module_alone(tmp_path, tiny_bert):
    write_splits(tmp_path, "csv", f'sentence,label\n"{"film " * 60_000}",1\nbad,0\n')
    before = csv.field_size_limit()
    assert len(task(tmp_path, tiny_bert, form="csv").train) == 2
    assert csv.field_size_limit() == before


def test_a_nul_character_is_one_like_others(tmp_path, tiny_bert):
    write_splits(tmp_path, "tsv", "good\0 film\t1\nbad film\t0\n")
    read = task(tmp_path, tiny_bert, NAMES)
    assert read.train.texts[0] == "good\0 film"
    assert read.collate([read.train[0]])["input_ids"].shape == (1, 4)


# Bad input


@pytest.mark.parametrize("column", ["sentence", "other", "label"])
@pytest.mark.parametrize("half", ["\\ud83d", "\\ude00"])
def test_half_of_a_surrogate_pair_is_named_by_its_line(tmp_path, tiny_bert, column, half):
    lines = [json.dumps({"sentence": "good", "other": "bad", "label": label}) for label in ("a", "b", "c")]
    lines[2] = re.sub(rf'("{column}": ")', rf"\1so funny {half.replace(chr(92), chr(92) * 2)}", lines[2])
    write_splits(tmp_path, "jsonl", "\n".join(["", *lines]) + "\n")
    with pytest.raises(InputError, match=rf"train.jsonl, line 4: '{column}' holds .* half of a surrogate pair"):
        task(tmp_path, tiny_bert, "data.second_text_column=other", form="json-lines").fetch()


def test_a_whole_surrogate_pair_is_a_character(tmp_path, tiny_bert):
    write_splits(tmp_path, "jsonl", '{"sentence": "\\ud83d\\ude00", "label": 1}\n{"sentence": "", "label": 0}\n')
    assert task(tmp_path, tiny_bert, form="json-lines").train.texts == ["\U0001f600", ""]


@pytest.mark.parametrize(
    ("form", "content"),
    [
        ("tsv", "sentence\tlabel\ngood\t1\ncaf\xe9\t0\n"),
        ("csv", 'sentence,label\n"good\ncaf\xe9",0\n'),
        ("json-lines", '{"sentence": "good", "label": 1}\n\n{"sentence": "caf\xe9", "label": 0}\n'),
    ],
)
def test_bytes_that_are_no_utf8_are_named_by_their_line(tmp_path, tiny_bert, form, content):
    write_splits(tmp_path, "jsonl" if form == "json-lines" else form, content.encode("latin-1"))
    with pytest.raises(InputError, match=r"train\..*line 3: the byte 0xe9 is not UTF-8: save the file as UTF-8"):
        task(tmp_path, tiny_bert, form=form).fetch()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("form", ["tsv", "csv", "json-lines"])
def test_a_file_in_utf16_is_refused_as_that(tmp_path, tiny_bert, form, encoding):
    content = {"tsv": "good\t1\nbad\t0\n", "csv": "good,1\nbad,0\n", "json-lines": '{"sentence": "good", "label": 1}\n'}
    write_splits(tmp_path, "jsonl" if form == "json-lines" else form, content[form].encode(encoding))
    with pytest.raises(InputError, match=r"train\..* UTF-16 or UTF-32.*save the file as UTF-8"):
        task(tmp_path, tiny_bert, *([] if form == "json-lines" else [NAMES]), form=form).fetch()


@pytest.mark.parametrize("column", ["sentence", "label"])
def test_a_table_of_bytes_that_are_no_utf8_is_named_by_its_row(tmp_path, tiny_bert, column):
    odd = pyarrow.array([b"good", b"bad", b"caf\xe9"]).view(pyarrow.string())
    columns = {"sentence": ["good", "bad", "fine"], "label": ["a", "b", "c"]} | {column: odd}
    for split in ("train", "validation"):
        pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / f"{split}.parquet")
    with pytest.raises(InputError, match=rf"split 'train' of .*, row 2: '{column}' is not UTF-8"):
        task(tmp_path, tiny_bert, form="parquet").fetch()


def test_a_text_is_neither_missing_nor_a_number(tmp_path, tiny_bert):
    for text in ("null", "3", "[]"):
        write_splits(tmp_path, "jsonl", f'{{"sentence": "x", "label": 0}}\n{{"sentence": {text}, "label": 1}}\n')
        with pytest.raises(InputError, match="line 2: 'sentence' holds"):
            task(tmp_path, tiny_bert, form="json-lines").fetch()


@pytest.mark.parametrize(
    ("labels", "overrides", "complaint"),
    [
        (
            ["0", "1", "positive"],
            [],
            r"train.tsv: .*not consistent: line 1 holds the integer '0', line 3 holds 'positive'",
        ),
        (["0", "0.5", "1"], [], "not consistent"),
        (["0.5", "1.5", "2.5"], [], "line 1: the label '0.5' is a number, but no integer; .*metric=pearson"),
        (["0", "", "1"], [], "line 2: the label '' is neither an integer nor"),
        (["0", "-1", "1"], [], "line 2: label -1 is negative"),
        (["0", "99", "1"], [], "a label 99: labels must count"),
        (["1.0", "high", "2.0"], ["metric=spearman"], "line 2: the label 'high' is not a finite number"),
        (["1.0", "nan", "2.0"], ["metric=spearman"], "line 2: the label 'nan' is not a finite number"),
        (["1.0", "1e39", "2.0"], ["metric=pearson"], "line 2: the label '1e39' is not a finite number in float32"),
        (["100000001", "100000002"], ["metric=pearson"], "all labels are 100000000.0 in float32: there is nothing"),
        (["1", "2"], ["metric=pearson", "data.train_limit=1"], "data.train_limit=1 holds 1 examples: a correl"),
        (["no", "no", "no"], [], "one class 'no': there is nothing to tell apart"),
        (["1", "1", "1"], [], "one class '1': there is nothing to tell apart"),
        (["0", "1", "1"], ["data.train_limit=1"], "data.train_limit=1 holds the one class"),
        (["2.5", "2.5", "2.5"], ["metric=pearson"], "all labels are 2.5 in float32: there is nothing to predict"),
    ],
)
def test_labels_that_make_no_sense(tmp_path, tiny_bert, labels, overrides, complaint):
    write_tsv(tmp_path / "train.tsv", [("good film", label) for label in labels])
    write_tsv(tmp_path / "validation.tsv", [("good film", labels[0])])
    with pytest.raises(InputError, match=complaint):
        _ = task(tmp_path, tiny_bert, NAMES, *overrides).train


@pytest.mark.parametrize("form", ["tsv", "csv", "json-lines", "parquet", "hub"])
def test_one_class_is_no_task_in_any_format(tmp_path, tiny_bert, monkeypatch, form):
    write_classes(tmp_path, form, monkeypatch, train=[1, 1, 1], validation=[1, 1])
    with pytest.raises(InputError, match="holds the one class '1': there is nothing to tell apart"):
        task(tmp_path, tiny_bert, form=form).fetch()


@pytest.mark.parametrize("form", ["tsv", "csv", "json-lines", "parquet", "hub"])
def test_a_class_without_training_examples_is_told_in_any_format(tmp_path, tiny_bert, monkeypatch, form):
    write_classes(tmp_path, form, monkeypatch, train=[0, 2, 0], validation=[2, 3])
    read = task(tmp_path, tiny_bert, form=form)
    assert read.notes == (
        "the class '0' occurs in training alone, no evaluation example judges it",
        "the class '3' occurs in evaluation alone, no training example shows it",
        "the class '1' occurs in no training and no evaluation example",
    )
    assert read.fetch().notes == read.notes


def write_classes(directory, form, monkeypatch, **labels):
    """Write splits of texts with these labels; the hub's are numbers with the names "0" to "3"."""
    tables = {split: {"sentence": ["good film"] * len(numbers), "label": numbers} for split, numbers in labels.items()}
    features = datasets.Features(
        sentence=datasets.Value("string"), label=datasets.ClassLabel(names=["0", "1", "2", "3"])
    )
    sets = {split: datasets.Dataset.from_dict(table, features) for split, table in tables.items()}
    monkeypatch.setattr(datasets, "load_dataset", lambda name, config: datasets.DatasetDict(sets))
    for split, table in tables.items():
        rows = list(zip(*table.values(), strict=True))
        if form == "tsv":
            write_tsv(directory / f"{split}.tsv", rows, tuple(table))
        elif form == "csv":
            lines = [",".join(map(str, row)) for row in (tuple(table), *rows)]
            (directory / f"{split}.csv").write_text("\n".join(lines) + "\n")
        elif form == "json-lines":
            lines = [json.dumps(dict(zip(table, row, strict=True))) for row in rows]
            (directory / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
        elif form == "parquet":
            datasets.Dataset.from_dict(table).to_parquet(directory / f"{split}.parquet")


@pytest.mark.parametrize(
    ("values", "limit", "complaint"),
    [
        ([1.5, 0.2, 0.4], 1, r"validation.tsv under data.eval_limit=1 holds 1 examples: a correlation needs 3 or more"),
        ([1.5, 0.2, 0.4], 2, r"validation.tsv under data.eval_limit=2 holds 2 examples"),
        ([1.5, 0.2], "null", r"validation.tsv holds 2 examples"),
        ([1.5, 1.5, 1.5], "null", r"validation.tsv: all labels are 1.5"),
        # The shuffle of four begins with rows 2, 0 and 1.
        ([1.5, 1.5, 1.5, 0.2], 3, r"validation.tsv under data.eval_limit=3: all labels are 1.5"),
    ],
)
def test_values_that_no_correlation_judges_are_refused(tmp_path, tiny_bert, values, limit, complaint):
    write_tsv(tmp_path / "train.tsv", [("good film", 1.5), ("bad film", 0.5)])
    write_tsv(tmp_path / "validation.tsv", [("good film", value) for value in values])
    with pytest.raises(InputError, match=complaint):
        task(tmp_path, tiny_bert, NAMES, "metric=pearson", f"data.eval_limit={limit}").fetch()


def test_values_have_no_classes_to_tell_of(tmp_path, tiny_bert):
    for split in ("train", "validation"):
        write_tsv(tmp_path / f"{split}.tsv", [("good film", 1.5), ("bad film", 0.5), ("film", 1.0)])
    assert task(tmp_path, tiny_bert, NAMES, "metric=pearson").fetch().notes == ()


@pytest.mark.parametrize(("family", "limit"), [("Bert", 64), ("Roberta", 63)])
def test_texts_are_no_longer_than_the_model_can_read(tmp_path, short_model, family, limit):
    write_tsv(tmp_path / "train.tsv", [("good " * 200, 1), ("bad " * 200, 0)])
    write_tsv(tmp_path / "validation.tsv", [("good " * 200, 1), ("bad", 0)])
    model = short_model(family)
    with pytest.raises(InputError, match=rf"model.max_length must be at most {limit} tokens for .*, got {limit + 1}"):
        task(tmp_path, model, NAMES, f"model.max_length={limit + 1}").fetch()
    read = task(tmp_path, model, NAMES, f"model.max_length={limit}")
    batch = read.collate([read.train[0], read.train[1]])
    assert batch["input_ids"].shape == (2, limit)
    assert read.predict(read.initial_model(), batch).shape == (2,)


def test_two_texts_have_room_beside_the_special_tokens(tmp_path, tiny_bert):
    rows = [{"sentence": "good", "other": "bad", "label": label} for label in (0, 1)]
    write_splits(tmp_path, "jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    model = shutil.copytree(tiny_bert, tmp_path / "model")
    # Four around two texts, as RoBERTa's.
    tokenizer = Tokenizer(WordLevel({"[CLS]": 0, "[PAD]": 1, "[SEP]": 2, "[UNK]": 3, "good": 4, "bad": 5}, "[UNK]"))
    tokenizer.post_processor = RobertaProcessing(("[SEP]", 2), ("[CLS]", 0))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]").save_pretrained(model)
    pairs = ["data.second_text_column=other"]
    with pytest.raises(InputError, match=r"model.max_length must be at least 6 tokens for .*: 4 .* special.*, got 5"):
        task(tmp_path, model, *pairs, "model.max_length=5", form="json-lines").fetch()
    read = task(tmp_path, model, *pairs, "model.max_length=6", form="json-lines")
    assert read.collate([read.train[0]])["input_ids"].tolist() == [[0, 4, 2, 2, 5, 2]]
    assert task(tmp_path, model, "model.max_length=4", form="json-lines").fetch().train == 2


@pytest.mark.parametrize("split", ["train", "validation"])
def test_splits_that_do_not_label_alike(tsv, tiny_bert, split):
    write_tsv(tsv / f"{split}.tsv", [("good", "positive"), ("bad", "negative")])
    with pytest.raises(
        InputError, match=rf"not label alike: .*{split}.tsv has names of classes, .* has integers; use integers in both"
    ):
        _ = task(tsv, tiny_bert, NAMES).train


@pytest.mark.parametrize("form", ["tsv", "csv"])
def test_a_header_is_no_example_where_the_columns_are_named(tmp_path, tiny_bert, form):
    mark = "\t" if form == "tsv" else ","
    write_splits(tmp_path, form, f"\nsentence{mark}label\ngood{mark}pos\nbad{mark}neg\n")
    with pytest.raises(InputError, match=rf"train.{form}, line 2: these are the names .*: leave data.columns out"):
        task(tmp_path, tiny_bert, NAMES, form=form).fetch()
    assert task(tmp_path, tiny_bert, form=form).fetch().labels == ("neg", "pos")


@pytest.mark.parametrize(
    ("form", "content", "place"),
    [
        (
            "json-lines",
            '\n\n\n{"sentence": "a", "label": 0}\n{"sentence": "b", "label": 1}\n{"sentence": null, "label": 1}\n',
            6,
        ),
        ("json-lines", '\n{"sentence": "a", "label": 0}\n\n{"sentence": "b", "label": 0.5}\n', 4),
        ("json-lines", '\n{"sentence": "a", "label": 0}\n\n{"sentence": "b", "label": -1}\n', 4),
        ("csv", 'sentence,label\n"a\n\nb",0\n\nb,\n', 6),
        ("tsv", "sentence\tlabel\n\na\t0\nb\t-1\n", 4),
    ],
)
def test_what_is_wrong_with_an_example_is_named_by_its_line(tmp_path, tiny_bert, form, content, place):
    write_splits(tmp_path, "jsonl" if form == "json-lines" else form, content)
    with pytest.raises(InputError, match=rf"train\.\w+, line {place}: "):
        task(tmp_path, tiny_bert, form=form).fetch()


@pytest.mark.parametrize(
    ("form", "content", "overrides", "complaint"),
    [
        ("tsv", "good\t1\nbad\n", [NAMES], "line 2: expected 2 fields .sentence, label., got 1"),
        ("tsv", "text\tlabel\ngood\t1\n", [], r"no column 'sentence': its first line names text, label; if it has no"),
        ("tsv", "good\t1\n", ["data.columns=[text, label]"], "no column 'sentence': data.columns names text, label"),
        ("tsv", "", [NAMES], "is empty"),
        ("tsv", "\xff\xfe", [NAMES], "cannot be read as TSV"),
        ("csv", 'sentence,label\n"good,1\n', [], "cannot be read as CSV: line 2: the quote .* does not end"),
        ("csv", 'sentence,label\n\n"go"od,1\n', [], "cannot be read as CSV: line 3: .* behind a closing quote"),
        ("csv", 'sentence,label\n"a\nb",1\n\nbad\n', [], "line 5: expected 2 fields .*, got 1"),
        ("json-lines", '{"sentence": "good"}\n', [], "line 1: there is no key 'label', it holds sentence"),
        ("json-lines", "[1]\n", [], "line 1: there is no key 'sentence', it holds list"),
        ("json-lines", '\n{"sentence": \n', [], "cannot be read as JSON lines: line 2: Expecting value"),
        ("json-lines", "[" * 100_000, [], "cannot be read as JSON lines: line 1"),
        ("json-lines", "9" * 5_000, [], "cannot be read as JSON lines: line 1"),
        ("json-lines", '{"sentence": 3, "label": 1}\n', [], "line 1: 'sentence' holds 3, expected a text"),
        ("json-lines", '{"sentence": "x", "label": 0.5}\n', [], "line 1: the label 0.5 is neither"),
        ("json-lines", f'{{"sentence": "x", "label": {10**400}}}\n', [], "line 1: the label 1000.* is beyond 64 bits"),
        ("json-lines", f'{{"sentence": "x", "label": {10**400}}}\n', ["metric=pearson"], "line 1: .* not a finite"),
        ("csv", "label,sentence,label\n0,good,1\n1,bad,0\n", [], "has 2 columns 'label': give each a name of its own"),
        ("tsv", "good\tfine\t1\n", ["data.columns=[sentence, sentence, label]"], "has 2 columns 'sentence'"),
    ],
)
def test_malformed_files(tmp_path, tiny_bert, form, content, overrides, complaint):
    ending = {"tsv": "tsv", "csv": "csv", "json-lines": "jsonl"}[form]
    for split in ("train", "validation"):
        (tmp_path / f"{split}.{ending}").write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=complaint):
        _ = task(tmp_path, tiny_bert, *overrides, form=form).train


def test_a_missing_file_says_what_is_there(tsv, tiny_bert):
    with pytest.raises(InputError, match=r"split 'dev': expected dev.tsv, found train.tsv, validation.tsv"):
        _ = task(tsv, tiny_bert, NAMES, "data.eval_split=dev").train


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["model.pretrained=nobody/no-such-model"], "neither a directory"),
        (["model.pretrained={tsv}"], "holds no"),
        (["model.max_length=513"], "model.max_length must be at most 512 tokens"),
        (["model.pretrained={short}", "model.max_length=65"], "model.max_length must be at most 64 tokens"),
        (["metric=accurracy"], "metric"),
        (["task=text-clasification"], "did you mean 'text-classification'?"),
        (["model.preetrained=x"], "did you mean 'pretrained'?"),
        (["metric=pearson", "training.label_smoothing=0.1"], "label_smoothing is for classes"),
        (["data.format=json-lines", NAMES], "data.columns names the columns of a TSV or CSV file"),
    ],
)
def test_bad_settings_end_in_one_sentence(tsv, tiny_bert, short_model, monkeypatch, capsys, tmp_path, overrides, said):
    arguments = ["data.format=tsv", f"data.source={tsv}", "data.config=null", f"model.pretrained={tiny_bert}"]
    arguments += ["model.max_length=32", f"output={tmp_path / 'run'}", NAMES]
    short = short_model("Bert")
    arguments += [each.format(tsv=tsv, short=short) for each in overrides]
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["earlybird", "run", "bert-glue", *arguments])
    with pytest.raises(SystemExit) as exit_status:
        cli.main()
    assert exit_status.value.code == 2
    error = capsys.readouterr().err.strip()
    assert said in error
    assert len(error.splitlines()) == 1


# Metrics


def test_metrics_of_classes_by_hand():
    found = classification_metrics(np.array([1, 1, 1, 0, 0, 0]), np.array([1, 1, 0, 0, 0, 1]), 2)
    # 2 true positives, 1 false positive, 1 false negative, 2 true negatives.
    assert found["accuracy"] == pytest.approx(100 * 4 / 6)
    assert found["f1"] == pytest.approx(100 * 2 * 2 / (2 * 2 + 1 + 1))
    assert found["matthews_correlation"] == pytest.approx(100 * (2 * 2 - 1 * 1) / 9)
    assert classification_metrics(np.zeros(4, int), np.array([0, 1, 0, 1]), 2)["matthews_correlation"] == 0
    assert classification_metrics(np.zeros(4, int), np.array([0, 1, 2, 0]), 3)["f1"] == pytest.approx(100 * 2 / 3 / 3)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=3, max_size=30))
def test_correlations_against_their_definition(pairs):
    predictions, labels = np.array(pairs, dtype=np.float32).T
    found = regression_metrics(predictions, labels)
    if np.ptp(predictions) == 0 or np.ptp(labels) == 0:
        assert found == {"pearson": 0.0, "spearman": 0.0}
        return
    for name, (a, b) in {
        "pearson": (predictions, labels),
        "spearman": (rankdata(predictions), rankdata(labels)),
    }.items():
        assert found[name] == pytest.approx(100 * np.corrcoef(a, b)[0, 1], abs=1e-3)
