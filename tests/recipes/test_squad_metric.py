import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.text import squad

from earlybird.recipes.tasks.squad_metric import answer_scores, normalise_answer


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The Cat", "cat"),
        ("a cat, an ant and the end.", "cat ant and end"),
        ("Theatre another", "theatre another"),
        ("  two\n words ", "two words"),
        ("U.S.A.", "usa"),
        ("the", ""),
        ("a-b", "ab"),
        ("$5.00", "500"),
        ("the-end", "theend"),  # Punctuation goes first, so this is one word and no article.
        ("«Über»", "«über»"),  # Only ASCII punctuation is taken off.
    ],
)
def test_normalisation(text, normal):
    assert normalise_answer(text) == normal


@pytest.mark.parametrize(
    ("prediction", "answers", "exact", "f1"),
    [
        ("the Eiffel Tower", ["Eiffel tower."], 1, 1),
        ("tower", ["Eiffel Tower"], 0, 2 / 3),
        ("Eiffel Tower in Paris", ["the tower", "in Paris"], 0, 2 / 3),
        ("Paris", ["London", "Paris, France", "paris!"], 1, 1),
        ("Paris", ["London"], 0, 0),
        ("new new york", ["new york"], 0, 0.8),
        ("york york", ["york york york new"], 0, 2 / 3),
    ],
)
@pytest.mark.parametrize("no_answers", [False, True])
def test_by_hand_with_answers(prediction, answers, exact, f1, no_answers):
    assert answer_scores(prediction, answers, no_answers=no_answers) == pytest.approx((exact, f1))


@pytest.mark.parametrize(
    ("prediction", "answers", "no_answers", "exact", "f1"),
    [
        ("", [], True, 1, 1),
        ("something", [], True, 0, 0),
        ("", ["something"], True, 0, 0),
        ("the", [], True, 1, 1),  # Nothing is left of it.
        ("", ["the", "a"], True, 1, 1),  # Nor of any answer, so the question has none.
        ("", ["the", "end"], True, 0, 0),
        ("", ["something"], False, 0, 0),
        ("a", ["the"], False, 1, 0),  # By v1.1 no word in common is F1 0, whatever exact match says.
    ],
)
def test_by_hand_without_answers(prediction, answers, no_answers, exact, f1):
    assert answer_scores(prediction, answers, no_answers=no_answers) == (exact, f1)


words = st.lists(st.sampled_from(["the", "a", "cat", "Cat.", "dog", "dogs", "in", "-", "x1"]), min_size=1, max_size=6)
texts = words.map(" ".join).filter(lambda text: normalise_answer(text) != "")


@settings(deadline=None)
@given(st.lists(st.tuples(texts, st.lists(texts, min_size=1, max_size=3)), min_size=1, max_size=4))
def test_the_mean_is_that_of_torchmetrics(pairs):
    predictions = [{"prediction_text": given, "id": str(index)} for index, (given, _) in enumerate(pairs)]
    targets = [
        {"answers": {"answer_start": [0] * len(answers), "text": answers}, "id": str(index)}
        for index, (_, answers) in enumerate(pairs)
    ]
    reference = squad(predictions, targets)
    scores = [answer_scores(given, answers, no_answers=False) for given, answers in pairs]
    for place, name in enumerate(("exact_match", "f1")):
        mean = 100 * math.fsum(score[place] for score in scores) / len(scores)
        assert mean == pytest.approx(float(reference[name]), abs=1e-3)
