"""Questions with contexts and answers, from files in SQuAD's format, Parquet or the hub."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from earlybird.errors import InputError
from earlybird.recipes.data.directory import source_directory
from earlybird.recipes.data.table import Table
from earlybird.recipes.data.text_files import ENDINGS, split_file
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


def read_questions(settings: QuestionDataSettings) -> tuple[list[Question], list[Question]]:
    """Read the training and the evaluation questions.

    Raises:
        InputError: data are missing or malformed, or an answer is not where it is said to be in its context; the
            message names the question's id.
    """
    if settings.format == "hub":
        from earlybird.recipes.data.hub import read_hub

        train, evaluation = (_of_table(table) for table in read_hub(settings))
    elif settings.format == "parquet":
        from earlybird.recipes.data.parquet import read_parquet

        train, evaluation = (_of_table(table) for table in read_parquet(settings))
    else:
        directory = source_directory(settings, f"{settings.train_split}.json and {settings.eval_split}.json")
        train, evaluation = (
            _of_file(split_file(directory, split, ENDINGS["squad"]))
            for split in (settings.train_split, settings.eval_split)
        )
    return train, evaluation


class _AnswerEntry(BaseModel):
    text: str
    answer_start: int


class _QuestionEntry(BaseModel):
    id: str | int
    question: str
    answers: list[_AnswerEntry] = []
    is_impossible: bool = False


class _Paragraph(BaseModel):
    context: str
    qas: list[_QuestionEntry]


class _Article(BaseModel):
    paragraphs: list[_Paragraph]


class _SquadFile(BaseModel):
    """SQuAD's format (Rajpurkar et al. 2016, arXiv 1606.05250; v2: 2018, arXiv 1806.03822); other keys are ignored."""

    data: list[_Article]


def _of_file(path: Path) -> list[Question]:
    try:
        content = _SquadFile.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(f"{path} is not in SQuAD's format: {place}: {first['msg'].lower()}") from error
    return _checked(
        (
            Question(
                str(entry.id),
                entry.question,
                paragraph.context,
                () if entry.is_impossible else tuple(Answer(each.text, each.answer_start) for each in entry.answers),
            )
            for article in content.data
            for paragraph in article.paragraphs
            for entry in paragraph.qas
        ),
        str(path),
    )


def _of_table(table: Table) -> list[Question]:
    expected = ("id", "question", "context", "answers")
    missing = [name for name in expected if name not in table.rows.features]
    if missing:
        raise InputError(
            f"{table.where} has no column {missing[0]!r}: expected {', '.join(expected)}, it has"
            f" {', '.join(table.rows.column_names)}"
        )
    rows = table.rows.select_columns(list(expected)).with_format("arrow")[:].to_pylist()
    return _checked((_of_row(row, number, table.where) for number, row in enumerate(rows)), table.where)


def _of_row(row: dict[str, Any], number: int, where: str) -> Question:
    try:
        answers = row["answers"]
        entry = _QuestionEntry(
            id=row["id"],
            question=row["question"],
            answers=[
                _AnswerEntry(text=text, answer_start=start)
                for text, start in zip(answers["text"], answers["answer_start"], strict=True)
            ],
        )
        paragraph = _Paragraph(context=row["context"], qas=[entry])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{where}, row {number} is no question: expected texts in id, question and context, and in answers lists"
            " of text and answer_start"
        ) from error
    given = tuple(Answer(each.text, each.answer_start) for each in entry.answers)
    return Question(str(entry.id), entry.question, paragraph.context, given)


def _checked(questions: Iterator[Question], where: str) -> list[Question]:
    found: Sequence[Question] = list(questions)
    if not found:
        raise InputError(f"{where} is empty: expected at least one question")
    for each in found:
        for answer in each.answers:
            there = each.context[answer.start : answer.start + len(answer.text)] if answer.start >= 0 else ""
            if not answer.text or there != answer.text:
                raise InputError(
                    f"{where}: the answer {answer.text[:80]!r} to question {each.id!r} is not in its context at"
                    f" character {answer.start}, where {there[:80]!r} stands: correct it or leave the question out"
                )
    return list(found)
