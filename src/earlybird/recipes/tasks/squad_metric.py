"""Exact match and F1 of answers by the rules of SQuAD's official evaluation.

Rajpurkar et al. 2016 (arXiv 1606.05250, section 6.1) and, with questions that have no answer, Rajpurkar et al. 2018
(arXiv 1806.03822).
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise_answer(text: str) -> str:
    """Lower case, without ASCII punctuation, then without English articles, single spaces.

    >>> normalise_answer("The  U.S.  Army's")
    'us armys'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_WITHOUT_PUNCTUATION)).split())


def answer_scores(prediction: str, answers: Sequence[str], *, no_answers: bool) -> tuple[float, float]:
    """Exact match and F1 of one prediction, each the best over all answers, in [0, 1].

    Args:
        prediction: "" to say that there is no answer.
        answers: of people; () where the question has none.
        no_answers: the rules of v2: answers of which nothing is left after normalisation do not count; a
            question without any has the answer "", and F1 is 1 if both sides are empty. By those of v1.1 an empty
            side has F1 0.
    """
    references = [normalise_answer(answer) for answer in answers]
    if no_answers:
        references = [reference for reference in references if reference] or [""]
    given = normalise_answer(prediction)
    exact = max((float(given == reference) for reference in references), default=0.0)
    return exact, max((_f1(given.split(), each.split(), no_answers) for each in references), default=0.0)


def _f1(given: list[str], reference: list[str], no_answers: bool) -> float:
    if no_answers and not (given and reference):
        return float(given == reference)
    common = sum((Counter(given) & Counter(reference)).values())
    if common == 0:
        return 0.0
    precision, recall = common / len(given), common / len(reference)
    return 2 * precision * recall / (precision + recall)
