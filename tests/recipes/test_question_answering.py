import itertools
import json
import shutil
from pathlib import Path

import datasets
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from earlybird.errors import InputError
from earlybird.recipes.recipe_file import read_recipe
from earlybird.recipes.tasks import task_of
from earlybird.recipes.tasks.question_answering.spans import best_spans

SQUAD_FORMAT = Path(__file__).parents[3] / "shared" / "data" / "squad_format"
COLOURS = ("red", "blue", "green", "grey", "pink", "gold")
SMALL = ["model.max_length=32", "model.stride=8", "model.max_question_length=8"]


def entries(count, seed, impossible=0.0):
    """Contexts of up to 60 words, of which one is a colour, the answer; some have none."""
    generator = np.random.default_rng(seed)
    found = []
    for number in range(count):
        words = list(generator.choice(("the", "film", "plot", "cat", "dog", "under"), generator.integers(4, 60)))
        answers = []
        if generator.random() >= impossible:
            place = int(generator.integers(len(words)))
            words[place] = str(generator.choice(COLOURS))
            answers = [{"text": words[place], "answer_start": len(" ".join(words[:place])) + (place > 0)}]
        entry = {"id": f"q{number}", "question": "where is the key", "answers": answers}
        if impossible:
            entry |= {"is_impossible": not answers, "plausible_answers": [{"text": "dog", "answer_start": 0}]}
        found.append((" ".join(words), entry))
    return found


def write_squad(path, pairs):
    paragraphs = [{"context": context, "qas": [entry]} for context, entry in pairs]
    path.write_text(json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": paragraphs}]}))


def write_both(directory, train, evaluation=None):
    write_squad(directory / "train.json", train)
    write_squad(directory / "validation.json", evaluation or train)


def task(source, tiny_bert, *overrides, form="squad"):
    here = [f"data.format={form}", f"data.source={source}", f"model.pretrained={tiny_bert}"]
    return task_of(read_recipe("bert-squad", [*here, *SMALL, *overrides]))


def one(text, answers, **more):
    return (text, {"id": "q", "question": "where is the key", "answers": answers, **more})


# The whole way


def test_a_run_finds_answers_in_long_contexts_to_the_report(tmp_path, tiny_bert, run_recipe):
    write_both(tmp_path, entries(80, 0), entries(40, 1))
    job, summary = run_recipe(
        "bert-squad",
        "data.format=squad",
        f"data.source={tmp_path}",
        f"model.pretrained={tiny_bert}",
        *SMALL,
        "retraining.weights=rewind",
    )
    assert summary["metric"] == "f1"
    assert summary["evaluation_examples"] == 40
    # The one colour among 4 to 60 words: a window or an offset mixed up would show.
    assert summary["dense"]["exact_match"] > 80
    assert {"exact_match", "f1"} <= set(summary["ticket"])
    assert "Exact match" in job.files.report.read_text(encoding="utf-8")


def test_a_run_learns_that_some_questions_have_no_answer(tmp_path, tiny_bert, run_recipe):
    write_both(tmp_path, entries(80, 0, impossible=0.5), entries(40, 1, impossible=0.5))
    _, summary = run_recipe(
        "bert-squad",
        "data.format=squad",
        f"data.source={tmp_path}",
        f"model.pretrained={tiny_bert}",
        *SMALL,
        "retraining.weights=rewind",
        "random=false",
        "training.epochs=3",
    )
    assert summary["dense"]["exact_match"] > 80


# Windows


def test_every_window_covers_the_context_and_shares_the_stride(tmp_path, tiny_bert):
    context = " ".join(["dog"] * 29 + ["gold"] + ["cat"] * 20)
    write_both(tmp_path, [one(context, [{"text": "gold", "answer_start": context.index("gold")}])])
    windows = task(tmp_path, tiny_bert).train
    # [CLS] 4 words [SEP] 25 of 50 words [SEP], of which 8 again in the next.
    assert [len(window.offsets) for window in windows] == [25, 25, 16]
    covered = [{tuple(pair) for pair in window.offsets.tolist()} for window in windows]
    assert len(set.union(*covered)) == 50
    assert all(len(one & two) == 8 for one, two in itertools.pairwise(covered))
    assert [window.answer != (window.null, window.null) for window in windows] == [False, True, False]
    start, end = windows[1].answer
    assert windows[1].text(start, end, context) == "gold"
    assert all(window.null == 0 for window in windows)


@settings(deadline=None)
@given(st.data())
def test_the_answer_comes_back_from_its_tokens(tiny_bert, tmp_path_factory, data):
    directory = tmp_path_factory.mktemp("squad")
    words = data.draw(st.lists(st.sampled_from(["red", "Dogs,", "x-1", "é", "the"]), min_size=1, max_size=40))
    context = "  ".join(words)
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, len(words) - 1))
    start = len("  ".join(words[:first])) + (2 if first else 0)
    text = "  ".join(words[first : last + 1])
    write_both(directory, [one(context, [{"text": text, "answer_start": start}])])
    for window in task(directory, tiny_bert).train:
        held = len(window.offsets) and window.offsets[0, 0] <= start and window.offsets[-1, 1] >= start + len(text)
        if held:
            assert window.text(*window.answer, context) == text
        else:
            assert window.answer == (window.null, window.null)


def test_a_long_question_leaves_room_for_the_context(tmp_path, tiny_bert):
    entry = {"id": "q", "question": "where is the key " * 30, "answers": [{"text": "red", "answer_start": 0}]}
    write_both(tmp_path, [("red dog", entry)])
    (window,) = task(tmp_path, tiny_bert).train
    assert len(window.inputs["input_ids"]) == 8 + 2 + 3


def test_batches_are_padded_to_the_longest_window(tmp_path, tiny_bert):
    write_both(tmp_path, [one("red dog", [{"text": "dog", "answer_start": 4}]), one("under the red cat", [])])
    read = task(tmp_path, tiny_bert)
    batch = read.collate([read.train[0], read.train[1]])
    assert batch["input_ids"].shape == (2, 11)
    assert batch["attention_mask"].sum(1).tolist() == [9, 11]
    assert batch["context"].int().tolist() == [[0] * 6 + [1, 1] + [0] * 3, [0] * 6 + [1] * 4 + [0]]
    assert (batch["start"].tolist(), batch["end"].tolist()) == ([7, 0], [7, 0])


# Answers


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(1, 9), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_the_best_span_is_that_of_all_spans(batch, tokens, max_length, seed):
    generator = np.random.default_rng(seed)
    start, end = torch.from_numpy(generator.integers(-3, 4, (2, batch, tokens)).astype(np.float32))
    low = generator.integers(0, tokens, batch)
    context = torch.tensor([[low[b] <= t <= low[b] + 4 for t in range(tokens)] for b in range(batch)])
    score, first, last = best_spans(start, end, context, max_length)
    for b in range(batch):
        inside = [t for t in range(tokens) if context[b, t]]
        spans = [(i, j) for i in inside for j in inside if i <= j < i + max_length]
        assert score[b] == max(start[b, i] + end[b, j] for i, j in spans)
        assert (first[b].item(), last[b].item()) in spans
        assert score[b] == start[b, first[b]] + end[b, last[b]]


def test_the_best_window_answers_and_none_has_to_win_in_all_of_them(tmp_path, tiny_bert):
    context = " ".join(["dog"] * 29 + ["gold"] + ["cat"] * 20)
    write_both(tmp_path, [one(context, []), one("red cat", [{"text": "red", "answer_start": 0}])])
    read = task(tmp_path, tiny_bert)
    # Per window: score of the best span, its tokens, score of no answer.
    rows = np.array([[1.0, 6, 6, 9.0], [5.0, 18, 18, 4.0], [2.0, 6, 7, 9.0], [3.0, 6, 7, 3.5]], dtype=np.float32)
    assert read.answers(rows) == ["gold", ""]
    assert read.metrics(rows) == {"exact_match": 0.0, "f1": 0.0}
    rows[1, 3] = 6.0
    rows[3, 3] = 3.0
    assert read.answers(rows) == ["", "red cat"]
    assert read.metrics(rows) == {"exact_match": 50.0, "f1": pytest.approx(50 * (1 + 2 / 3))}
    cautious = task(tmp_path, tiny_bert, "answers.no_answer_threshold=1.5")
    assert cautious.answers(rows) == ["gold", "red cat"]


def test_where_all_questions_have_answers_one_is_always_given(tmp_path, tiny_bert):
    write_both(tmp_path, [one("red cat", [{"text": "red", "answer_start": 0}, {"text": "red cat", "answer_start": 0}])])
    read = task(tmp_path, tiny_bert)
    assert read.answers(np.array([[1.0, 6, 7, 99.0]], dtype=np.float32)) == ["red cat"]
    assert read.metrics(np.array([[1.0, 6, 7, 99.0]], dtype=np.float32)) == {"exact_match": 100.0, "f1": 100.0}


# Questions without an answer


ANSWERED = ("red cat", {"id": "q1", "question": "q", "answers": [{"text": "red", "answer_start": 0}]})


def squad(source, tiny_bert, form="squad"):
    return task(source, tiny_bert, form=form).fetch()


def write_table(directory, entries):
    """Rows in the hub's layout from (context, entry) as they lie in a SQuAD file."""
    columns = {
        "id": [entry["id"] for _, entry in entries],
        "question": [entry["question"] for _, entry in entries],
        "context": [context for context, _ in entries],
        "answers": [
            None
            if entry.get("answers") is None
            else {key: [answer[key] for answer in entry["answers"]] for key in ("text", "answer_start")}
            for _, entry in entries
        ],
    }
    if any("is_impossible" in entry for _, entry in entries):
        columns["is_impossible"] = [entry.get("is_impossible") for _, entry in entries]
    kinds = {
        "answers": pyarrow.struct(
            [("text", pyarrow.list_(pyarrow.string())), ("answer_start", pyarrow.list_(pyarrow.int32()))]
        )
    }
    table = pyarrow.table({name: pyarrow.array(values, type=kinds.get(name)) for name, values in columns.items()})
    for split in ("train", "validation"):
        pyarrow.parquet.write_table(table, directory / f"{split}.parquet")


@pytest.mark.parametrize(
    ("entry", "held"),
    [
        ({}, "it holds id, question"),
        ({"answer": [{"text": "red", "answer_start": 0}]}, "it holds answer, id, question"),
        ({"is_impossible": False}, "it holds id, is_impossible, question"),
    ],
)
@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_question_without_answers_is_not_one_that_has_none(tmp_path, tiny_bert, entry, held, split):
    write_both(tmp_path, [ANSWERED])
    write_squad(tmp_path / f"{split}.json", [ANSWERED, ("red cat", {"id": "q17", "question": "q", **entry})])
    with pytest.raises(InputError, match=rf"{split}.json: question 'q17' .*neither .*{held}"):
        squad(tmp_path, tiny_bert)


@pytest.mark.parametrize("more", [{}, {"is_impossible": False}])
@pytest.mark.parametrize("form", ["squad", "parquet"])
def test_answers_that_are_null_are_not_those_of_a_question_that_has_none(tmp_path, tiny_bert, form, more):
    pairs = [ANSWERED, ("red cat", {"id": "q17", "question": "q", "answers": None, **more})]
    write_both(tmp_path, pairs)
    write_table(tmp_path, pairs)
    with pytest.raises(
        InputError, match=r"train.*: question 'q17' has answers that are null: give its answers, or \[\]"
    ):
        squad(tmp_path, tiny_bert, form)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"answers": [{"text": "cat", "answer_start": 4}], "is_impossible": True}, "answers and is_impossible=true"),
        ({"answers": [], "is_impossible": False}, "no answers and is_impossible=false, as where .* withheld"),
    ],
)
@pytest.mark.parametrize("form", ["squad", "parquet"])
def test_answers_that_contradict_is_impossible_are_named_by_their_question(tmp_path, tiny_bert, form, entry, said):
    pairs = [ANSWERED, ("red cat", {"id": "q17", "question": "q", **entry})]
    write_both(tmp_path, pairs)
    write_table(tmp_path, pairs)
    with pytest.raises(InputError, match=rf"train.*: question 'q17' has {said}"):
        squad(tmp_path, tiny_bert, form)


@pytest.mark.parametrize(
    "entry", [{"answers": []}, {"answers": [], "is_impossible": True}, {"answers": None, "is_impossible": True}]
)
@pytest.mark.parametrize("form", ["squad", "parquet"])
def test_an_empty_list_or_is_impossible_says_that_there_is_no_answer(tmp_path, tiny_bert, form, entry):
    pairs = [ANSWERED, ("red cat", {"id": "q17", "question": "q", **entry})]
    write_both(tmp_path, pairs)
    write_table(tmp_path, pairs)
    read = task(tmp_path, tiny_bert, form=form)
    # By the rules of v2 "" is right where there is no answer.
    assert read.metrics(np.array([[9.0, 3, 3, 0.0], [0.0, 3, 3, 9.0]], dtype=np.float32))["exact_match"] == 100.0


def test_is_impossible_may_be_absent(tmp_path, tiny_bert):
    pairs = [ANSWERED, ("red cat", {"id": "q17", "question": "q", "is_impossible": True})]
    write_both(tmp_path, pairs)
    assert squad(tmp_path, tiny_bert).evaluation == 2


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("form", ["squad", "parquet"])
def test_a_split_in_which_no_question_has_an_answer_is_refused(tmp_path, tiny_bert, form, split):
    withheld = [("red cat", {"id": f"q{n}", "question": "q", "answers": []}) for n in range(3)]
    write_both(tmp_path, [ANSWERED, withheld[0]])
    write_table(tmp_path, [ANSWERED, withheld[0]])
    elsewhere = tmp_path / "withheld"
    elsewhere.mkdir()
    write_both(elsewhere, withheld)
    write_table(elsewhere, withheld)
    name = f"{split}.{'json' if form == 'squad' else 'parquet'}"
    (elsewhere / name).rename(tmp_path / name)
    with pytest.raises(InputError, match=rf"{split}.*: none of its 3 questions has an answer, as where .* withheld"):
        squad(tmp_path, tiny_bert, form)


def test_a_question_without_an_answer_in_evaluation_alone_is_named(tmp_path, tiny_bert):
    write_both(tmp_path, [ANSWERED], [ANSWERED, ("red cat", {"id": "q17", "question": "q", "answers": []})])
    with pytest.raises(InputError, match=r"validation.json: question 'q17' has no answer, .*train.json has one: "):
        squad(tmp_path, tiny_bert)


UNANSWERED = ("red cat", {"id": "q17", "question": "q", "answers": []})


@pytest.mark.parametrize("form", ["squad", "parquet"])
def test_a_limit_that_leaves_no_question_with_an_answer_is_refused(tmp_path, tiny_bert, form):
    # Of three, the shuffle with seed 0 begins with the last.
    write_both(tmp_path, [ANSWERED, UNANSWERED, UNANSWERED])
    write_table(tmp_path, [ANSWERED, UNANSWERED, UNANSWERED])
    assert task(tmp_path, tiny_bert, form=form).fetch().train == 3
    for setting, split in (("train_limit", "train"), ("eval_limit", "validation")):
        with pytest.raises(
            InputError,
            match=rf"{split}.* under data.{setting}=1: none of its 1 questions has an answer: raise data.{setting}",
        ):
            task(tmp_path, tiny_bert, f"data.{setting}=1", form=form).fetch()


def test_a_limit_that_leaves_questions_without_an_answer_to_evaluation_alone_is_refused(tmp_path, tiny_bert):
    write_both(tmp_path, [UNANSWERED, ANSWERED, ANSWERED], [ANSWERED, UNANSWERED])
    with pytest.raises(
        InputError, match=r"question 'q17' has no answer, and .*train.json under data.train_limit=1 has one"
    ):
        task(tmp_path, tiny_bert, "data.train_limit=1").fetch()


def test_questions_without_an_answer_are_counted_under_the_limits(tmp_path, tiny_bert):
    write_both(tmp_path, [UNANSWERED, ANSWERED, ANSWERED], [UNANSWERED, ANSWERED, ANSWERED])
    limits = ["data.train_limit=2", "data.eval_limit=1"]
    counts = task(tmp_path, tiny_bert, *limits).fetch()
    assert (counts.train, counts.evaluation) == (3, 3)
    assert counts.notes[0].startswith("1 of 2 training and 0 of 1 evaluation questions have no answer")
    assert task(tmp_path, tiny_bert, "data.train_limit=1", "data.eval_limit=1").fetch().notes == ()


def test_how_many_questions_have_no_answer_is_told(tmp_path, tiny_bert):
    unanswered = ("red cat", {"id": "q17", "question": "q", "answers": []})
    write_both(tmp_path, [ANSWERED, unanswered, unanswered], [ANSWERED, unanswered])
    told = "2 of 3 training and 1 of 2 evaluation questions have no answer: all are judged by the rules of SQuAD v2"
    assert squad(tmp_path, tiny_bert).notes == (told,)
    write_both(tmp_path, [ANSWERED])
    assert squad(tmp_path, tiny_bert).notes == ()


def test_a_set_may_be_evaluated_where_all_questions_have_answers(tmp_path, tiny_bert):
    write_both(tmp_path, [ANSWERED, ("red cat", {"id": "q17", "question": "q", "answers": []})], [ANSWERED])
    assert squad(tmp_path, tiny_bert).evaluation == 1


# Reading


@pytest.mark.parametrize("key", ["id", "question", "context", "text"])
def test_half_of_a_surrogate_pair_is_named_by_its_question(tmp_path, tiny_bert, key):
    half = "so \ud83d cat"
    entry = {"id": "q17", "question": "q", "answers": [{"text": "cat", "answer_start": 4}]}
    if key == "text":
        entry["answers"][0]["text"] = half
    elif key != "context":
        entry[key] = half
    write_both(tmp_path, [ANSWERED], [ANSWERED, (half if key == "context" else "red cat", entry)])
    named = {"id": "", "context": r"data.0.paragraphs.1.context"}.get(key, "question 'q17'")
    with pytest.raises(InputError, match=rf"validation.json is not in SQuAD's format: .*{named}.*surrogate"):
        squad(tmp_path, tiny_bert)


@pytest.mark.parametrize("key", ["id", "question", "context", "text"])
def test_a_table_of_bytes_that_are_no_utf8_is_named_by_its_row(tmp_path, tiny_bert, key):
    odd, texts = (pyarrow.array([text]).view(pyarrow.string()) for text in (b"caf\xe9", b"cat"))
    answers = pyarrow.StructArray.from_arrays(
        [pyarrow.ListArray.from_arrays([0, 1], odd if key == "text" else texts), pyarrow.array([[0]])],
        names=["text", "answer_start"],
    )
    columns = {name: odd if name == key else texts for name in ("id", "question", "context")} | {"answers": answers}
    for split in ("train", "validation"):
        pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / f"{split}.parquet")
    with pytest.raises(InputError, match=rf"row 0: '{'answers' if key == 'text' else key}' is not UTF-8"):
        squad(tmp_path, tiny_bert, "parquet")


def test_a_file_may_begin_with_a_byte_order_mark_and_not_be_in_utf16(tmp_path, tiny_bert):
    write_both(tmp_path, [ANSWERED])
    content = (tmp_path / "validation.json").read_text()
    (tmp_path / "validation.json").write_text(content, encoding="utf-8-sig")
    assert squad(tmp_path, tiny_bert).evaluation == 1
    (tmp_path / "validation.json").write_text(content, encoding="utf-16")
    with pytest.raises(InputError, match=r"validation.json cannot be read as JSON: it is in UTF-16"):
        squad(tmp_path, tiny_bert)
    (tmp_path / "validation.json").write_bytes(content.replace("red", "caf\xe9").encode("latin-1"))
    with pytest.raises(InputError, match=r"validation.json .*line 1: the byte 0xe9 is not UTF-8"):
        squad(tmp_path, tiny_bert)


def test_nul_characters_leave_the_answer_in_its_place(tmp_path, tiny_bert):
    context = "the\0 red\0 cat"
    write_both(tmp_path, [one(context, [{"text": "red", "answer_start": context.index("red")}])])
    (window,) = task(tmp_path, tiny_bert).train
    assert "red" in window.text(*window.answer, context)


def test_parquet_in_the_hubs_layout_gives_the_same_questions(tmp_path, tiny_bert):
    pairs = entries(12, 3, impossible=0.3)
    write_both(tmp_path, pairs)
    table = datasets.Dataset.from_list(
        [
            {
                "id": entry["id"],
                "title": "t",
                "context": context,
                "question": entry["question"],
                "answers": {
                    "text": [answer["text"] for answer in entry["answers"]],
                    "answer_start": [answer["answer_start"] for answer in entry["answers"]],
                },
            }
            for context, entry in pairs
        ]
    )
    (tmp_path / "hub").mkdir()
    for split in ("train", "validation"):
        table.to_parquet(tmp_path / "hub" / f"{split}-00000-of-00001.parquet")
    ours, theirs = task(tmp_path, tiny_bert), task(tmp_path / "hub", tiny_bert, form="parquet")
    assert ours._data == theirs._data
    assert theirs.fetch().train == 12


@pytest.mark.parametrize(
    ("answers", "there"),
    [
        ([{"text": "red", "answer_start": 1}], "at character 1, where 'ed '"),
        ([{"text": "red", "answer_start": 0}, {"text": "blue", "answer_start": 4}], "'blue' .* at character 4"),
        ([{"text": "cat!", "answer_start": 4}], "where 'cat' stands"),
        ([{"text": "cat", "answer_start": -3}], "at character -3"),
        ([{"text": "red", "answer_start": 500}], "at character 500, where '' stands"),
        ([{"text": "", "answer_start": 0}], "the answer ''"),
    ],
)
def test_an_answer_outside_its_context_is_named_by_its_question(tmp_path, tiny_bert, answers, there):
    write_both(tmp_path, [one("red cat", [{"text": "red", "answer_start": 0}])], [one("red cat", answers, id="q17")])
    with pytest.raises(InputError, match=r"validation.json: the answer .*question 'q17' is not in its context.*"):
        _ = task(tmp_path, tiny_bert).train
    with pytest.raises(InputError, match=there):
        _ = task(tmp_path, tiny_bert).train


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "is not in SQuAD's format: the file"),
        ("[]", "is not in SQuAD's format: the file: input should be an object"),
        ('{"data": [{"paragraphs": [{"context": "c"}]}]}', r"data\.0\.paragraphs\.0\.qas: field required"),
        (
            '{"data": [{"paragraphs": [{"context": "c", "qas": [{"id": "1", "question": "q",'
            ' "answers": [{"text": "c", "answer_start": "x"}]}]}]}]}',
            r"qas\.0\.answers\.0\.answer_start",
        ),
        (
            '{"data": [{"paragraphs": [{"context": "c", "qas": [{"id": "q17", "question": null}]}]}]}',
            r"qas\.0\.question \(question 'q17'\)",
        ),
        ('{"data": []}', "is empty"),
        ("[" * 100_000, "is not in SQuAD's format"),
        ("9" * 5_000, "is not in SQuAD's format"),
    ],
)
def test_malformed_files_are_named_with_the_place(tmp_path, tiny_bert, content, complaint):
    write_both(tmp_path, entries(2, 0))
    (tmp_path / "validation.json").write_text(content)
    with pytest.raises(InputError, match=complaint):
        _ = task(tmp_path, tiny_bert).train


@pytest.mark.parametrize(("family", "limit"), [("Bert", 64), ("Roberta", 63)])
def test_windows_are_no_longer_than_the_model_can_read(tmp_path, short_model, family, limit):
    write_both(tmp_path, [one("red " + "dog " * 100, [{"text": "red", "answer_start": 0}])])
    model = short_model(family)
    with pytest.raises(InputError, match=rf"model.max_length must be at most {limit} tokens for .*, got {limit + 1}"):
        task(tmp_path, model, f"model.max_length={limit + 1}").fetch()
    read = task(tmp_path, model, f"model.max_length={limit}")
    batch = read.collate([read.evaluation[0]])
    assert batch["input_ids"].shape == (1, limit)
    assert read.predict(read.initial_model(), batch).shape == (1, 4)


def test_a_tokenizer_that_cannot_say_where_its_tokens_stand_is_refused_before_a_run(tmp_path, tiny_bert):
    write_both(tmp_path, [ANSWERED])
    model = shutil.copytree(tiny_bert, tmp_path / "model")
    (model / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CanineTokenizer"}))
    with pytest.raises(InputError, match=r"CanineTokenizer cannot say which characters"):
        squad(tmp_path, model)


def test_windows_without_room_are_refused():
    with pytest.raises(InputError, match=r"model.max_length must exceed .* got 196 with 128 and 64"):
        read_recipe("bert-squad", ["model.max_length=196"])


@pytest.mark.skipif(not SQUAD_FORMAT.is_dir(), reason="the SQuAD-format files are not in ../shared/data")
@pytest.mark.parametrize(("split", "count"), [("policyqa.dev", 3809), ("policyqa.test", 4152), ("xquad.en", 1190)])
def test_answers_of_real_files_come_back_from_their_tokens(tiny_bert, split, count):
    both = [f"data.train_split={split}", f"data.eval_split={split}", "data.eval_limit=300"]
    # The tiny tokenizer spells most words letter by letter, so the windows are as long as it takes.
    read = task(
        SQUAD_FORMAT, tiny_bert, *both, "model.max_length=512", "model.stride=400", "model.max_question_length=64"
    )
    assert read._data.found[1] == count
    # The tokens labelled as the answer, given as the prediction. Some answers in these files end within a word, of
    # which the tokens give the whole.
    held = [window for window in read.evaluation if window.answer != (window.null, window.null)]
    assert len({window.question for window in held}) > 290
    for window in held:
        question = read._data.evaluation[window.question]
        text, wanted = window.text(*window.answer, question.context), question.answers[0].text
        assert wanted in text
        assert len(text.split()) == len(wanted.split())
