"""Questions with contexts and answers, from files in SQuAD's format, Parquet or the hub."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from earlybird.errors import InputError
from earlybird.recipes.data.directory import source_directory
from earlybird.recipes.data.limit import limited, under_limit
from earlybird.recipes.data.table import Table
from earlybird.recipes.data.text_files import ENDINGS, split_file
from earlybird.recipes.data.utf8_lines import lone_surrogate, utf8_lines
from earlybird.recipes.tasks.question_answering.settings import QuestionDataSettings


@dataclass(frozen=True)
class Answer:
    """A part of the context, and the character where it begins."""

    text: str
    start: int


@dataclass(frozen=True)
class Question:
    """A question, the text that answers it, and the answers people gave: () where it has none."""

    id: str
    question: str
    context: str
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class QuestionData:
    """Training and evaluation questions under the limits; `found` counts both before any limit."""

    train: list[Question]
    evaluation: list[Question]
    found: tuple[int, int]


def read_questions(settings: QuestionDataSettings) -> QuestionData:
    """Read the training and the evaluation questions.

    Raises:
        InputError: data are missing or malformed, a question's answers are missing or not where they are said to be
            in its context (the message names its id), or a split has no answers where it should have some.
    """
    (train, train_where), (evaluation, evaluation_where) = splits = _read_splits(settings)
    for questions, where in splits:
        _check_places(questions, where)
    taken, train_where = _taken(train, train_where, "train_limit", settings.train_limit)
    judged, evaluation_where = _taken(evaluation, evaluation_where, "eval_limit", settings.eval_limit)
    unanswered = next((question for question in judged if not question.answers), None)
    if unanswered is not None and all(question.answers for question in taken):
        raise InputError(
            f"{evaluation_where}: question {unanswered.id!r} has no answer, and every question of {train_where} has"
            " one: leave it out, or train on questions of which some have none"
        )
    return QuestionData(taken, judged, (len(train), len(evaluation)))


def _read_splits(settings: QuestionDataSettings) -> list[tuple[list[Question], str]]:
    if settings.format == "hub":
        from earlybird.recipes.data.hub import read_hub

        return [(_of_table(table), table.where) for table in read_hub(settings)]
    if settings.format == "parquet":
        from earlybird.recipes.data.parquet import read_parquet

        return [(_of_table(table), table.where) for table in read_parquet(settings)]
    directory = source_directory(settings, f"{settings.train_split}.json and {settings.eval_split}.json")
    paths = [split_file(directory, split, ENDINGS["squad"]) for split in (settings.train_split, settings.eval_split)]
    return [(_of_file(path), str(path)) for path in paths]


def _encodable(value: str | int) -> str | int:
    odd = lone_surrogate(value) if isinstance(value, str) else None
    if odd is not None:
        raise PydanticCustomError(
            "surrogate",
            "it holds {half}, half of a surrogate pair, which is no character: correct the text",
            {"half": repr(odd)},
        )
    return value


_Text = Annotated[str, AfterValidator(_encodable)]


class _AnswerEntry(BaseModel):
    text: _Text
    answer_start: int


class _QuestionEntry(BaseModel, extra="allow"):
    id: Annotated[str | int, AfterValidator(_encodable)]
    question: _Text
    answers: list[_AnswerEntry] | None = None
    is_impossible: bool | None = None


class _Paragraph(BaseModel):
    context: _Text
    qas: list[_QuestionEntry]


class _Article(BaseModel):
    paragraphs: list[_Paragraph]


class _SquadFile(BaseModel):
    """SQuAD's format (Rajpurkar et al. 2016, arXiv 1606.05250; v2: 2018, arXiv 1806.03822); other keys are ignored."""

    data: list[_Article]


def _of_file(path: Path) -> list[Question]:
    text = "".join(line for _, line in utf8_lines(path, "JSON"))
    content: Any = None
    try:
        content = json.loads(text)
        articles = _SquadFile.model_validate(content).data
    except ValidationError as error:
        raise InputError(f"{path} is not in SQuAD's format: {_problem(error, content)}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not in SQuAD's format: the file is no JSON: {error}") from error
    return [
        _question(entry, paragraph.context, str(path))
        for article in articles
        for paragraph in article.paragraphs
        for entry in paragraph.qas
    ]


def _problem(error: ValidationError, content: Any) -> str:
    """What is wrong first, where in the file, and in which question."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"]) or "the file"
    match first["loc"]:
        case ("data", article, "paragraphs", paragraph, "qas", number, *_):
            entry = content["data"][article]["paragraphs"][paragraph]["qas"][number]
            name = entry.get("id") if isinstance(entry, dict) else None
            place += f" (question {name!r})" if name is not None else ""
    # pydantic would name a class of this module.
    said = "input should be an object" if first["type"] == "model_type" else first["msg"].lower()
    return f"{place}: {said}"


def _of_table(table: Table) -> list[Question]:
    expected = ("id", "question", "context", "answers")
    missing = [name for name in expected if name not in table.rows.features]
    if missing:
        raise InputError(
            f"{table.where} has no column {missing[0]!r}: expected {', '.join(expected)}, it has"
            f" {', '.join(table.rows.column_names)}"
        )
    marked = ("is_impossible",) if "is_impossible" in table.rows.features else ()
    columns = table.columns([*expected, *marked])
    rows = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
    return [_of_row(row, number, table.where) for number, row in enumerate(rows)]


def _of_row(row: dict[str, Any], number: int, where: str) -> Question:
    answers, context = row["answers"], row["context"]
    try:
        pairs = None if answers is None else zip(answers["text"], answers["answer_start"], strict=True)
        entry = _QuestionEntry(
            id=row["id"],
            question=row["question"],
            answers=None if pairs is None else [_AnswerEntry(text=text, answer_start=start) for text, start in pairs],
            is_impossible=row.get("is_impossible"),
        )
        paragraph = _Paragraph(context=context, qas=[entry])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{where}, row {number} is no question: expected texts in id, question and context, and in answers lists"
            " of text and answer_start"
        ) from error
    return _question(entry, paragraph.context, where)


def _question(entry: _QuestionEntry, context: str, where: str) -> Question:
    name, answers = str(entry.id), entry.answers
    if answers is None and not entry.is_impossible:
        held = ", ".join(sorted(entry.model_fields_set))[:200]
        problem = (
            "has answers that are null"
            if "answers" in entry.model_fields_set
            else f"has neither answers nor is_impossible=true, it holds {held}"
        )
        raise InputError(f"{where}: question {name!r} {problem}: give its answers, or [] where it has none")
    if answers and entry.is_impossible:
        raise InputError(
            f"{where}: question {name!r} has answers and is_impossible=true: give [] as its answers, or"
            " is_impossible=false"
        )
    if answers == [] and entry.is_impossible is False:
        raise InputError(
            f"{where}: question {name!r} has no answers and is_impossible=false, as where answers are withheld: give"
            " its answers, or is_impossible=true where it has none"
        )
    return Question(
        name, entry.question, context, tuple(Answer(each.text, each.answer_start) for each in answers or ())
    )


def _check_places(questions: Sequence[Question], where: str) -> None:
    if not questions:
        raise InputError(f"{where} is empty: expected at least one question")
    for each in questions:
        for answer in each.answers:
            there = each.context[answer.start : answer.start + len(answer.text)] if answer.start >= 0 else ""
            if not answer.text or there != answer.text:
                raise InputError(
                    f"{where}: the answer {answer.text[:80]!r} to question {each.id!r} is not in its context at"
                    f" character {answer.start}, where {there[:80]!r} stands: correct it or leave the question out"
                )


def _taken(questions: Sequence[Question], where: str, setting: str, limit: int | None) -> tuple[list[Question], str]:
    """The questions under a limit, and what to call them."""
    taken = [questions[row] for row in limited(len(questions), limit)]
    withheld, way_out = ", as where answers are withheld", "choose a split with answers"
    if any(question.answers for question in questions):
        withheld, way_out = "", f"raise data.{setting}"
    where = under_limit(where, len(questions), setting, limit)
    if not any(question.answers for question in taken):
        raise InputError(f"{where}: none of its {len(taken)} questions has an answer{withheld}: {way_out}")
    return taken, where
