"""One package per task, and which of them a recipe asks for. Nothing is imported before it is needed."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from earlybird.errors import InputError, nearest
from earlybird.recipes.settings import Recipe

if TYPE_CHECKING:
    from earlybird.recipes.tasks.base import Task

TASKS = ("causal-lm", "image-classification", "question-answering", "text-classification")


def recipe_type(content: Mapping[str, Any]) -> type[Recipe]:
    """The settings that a recipe's content is to be validated by.

    Raises:
        InputError: there is no such task.
    """
    match content.get("task"):
        case "causal-lm":
            from earlybird.recipes.tasks.causal_lm.settings import CausalLMRecipe

            return CausalLMRecipe
        case "image-classification":
            from earlybird.recipes.tasks.image_classification.settings import (
                ImageClassificationRecipe,
                ImageFineTuningRecipe,
            )

            model = content.get("model")
            fine_tuned = isinstance(model, Mapping) and "pretrained" in model
            return ImageFineTuningRecipe if fine_tuned else ImageClassificationRecipe
        case "question-answering":
            from earlybird.recipes.tasks.question_answering.settings import QuestionAnsweringRecipe

            return QuestionAnsweringRecipe
        case "text-classification":
            from earlybird.recipes.tasks.text_classification.settings import TextClassificationRecipe

            return TextClassificationRecipe
        case other:
            hint = nearest(str(other), TASKS, otherwise="known are")
            raise InputError(f"task must name what is trained, got {reprlib.repr(other)}; {hint}")


def task_of(recipe: Recipe) -> Task:
    """The task that a validated recipe asks for."""
    from earlybird.recipes.tasks.causal_lm.settings import CausalLMRecipe
    from earlybird.recipes.tasks.image_classification.settings import ImageClassificationRecipe, ImageFineTuningRecipe
    from earlybird.recipes.tasks.question_answering.settings import QuestionAnsweringRecipe
    from earlybird.recipes.tasks.text_classification.settings import TextClassificationRecipe

    match recipe:
        case CausalLMRecipe():
            from earlybird.recipes.tasks.causal_lm.task import CausalLM

            return CausalLM(recipe)
        case ImageClassificationRecipe():
            from earlybird.recipes.tasks.image_classification.from_scratch import FromScratch
            from earlybird.recipes.tasks.image_classification.task import ImageClassification

            return ImageClassification(recipe, FromScratch(recipe.model, recipe.seed))
        case ImageFineTuningRecipe():
            from earlybird.models.bundled import located
            from earlybird.recipes.tasks.image_classification.pretrained import Pretrained
            from earlybird.recipes.tasks.image_classification.task import ImageClassification

            return ImageClassification(recipe, Pretrained(located(recipe.model.pretrained), recipe.seed))
        case QuestionAnsweringRecipe():
            from earlybird.recipes.tasks.question_answering.task import QuestionAnswering

            return QuestionAnswering(recipe)
        case TextClassificationRecipe():
            from earlybird.recipes.tasks.text_classification.task import TextClassification

            return TextClassification(recipe)
        case _:
            raise TypeError(f"no task takes a {type(recipe).__name__}")
