"""A saved pruned model on the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import HfApi, ModelCard, get_token

from earlybird.anatomy import Anatomy
from earlybird.checkpoint.load import load
from earlybird.checkpoint.model_card import TAGS
from earlybird.checkpoint.save import refuse_another_ticket
from earlybird.errors import InputError, JobError, first_line
from earlybird.hub import is_owner_and_name, why_no_name
from earlybird.ticket import FILE_NAME, Ticket

# What an earlier version may have left there and a loader, or a reader, would take for part of this one.
_REPLACED = (
    *("model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json", "generation_config.json"),
    *(FILE_NAME, "summary.json"),
)
# Hidden files are never meant: secrets, a version control's, what a killed save had written aside.
_LEFT_OUT = [".*", "*/.*"]


def publish(directory: Path, name: str, *, private: bool = False, also: Mapping[str, Path] | None = None) -> str:
    """Upload a directory that `save` wrote as the repository of a model, made if needed.

    The model is loaded first, so that nothing damaged is published. What an earlier version has there and this one
    has not is removed: weights, ticket and summary.

    Args:
        directory: holds a pruned model and its card; hidden files in it stay here.
        name: OWNER/NAME.
        private: whether a new repository is; one that is there stays as it is.
        also: other files, by the names that they get.

    Returns:
        The repository's address.

    Raises:
        InputError: the name is none, there is no token, or no pruned model with its card is in the directory.
        JobError: the hub cannot be reached, or refuses.
    """
    if not is_owner_and_name(name) or why_no_name(name):
        raise InputError(
            f"{name!r} is no name of a repository: give OWNER/NAME, each of letters, digits, '-', '_' and '.'"
        )
    also = also or {}
    _refuse_unfit(directory, also.get(FILE_NAME, directory / FILE_NAME))
    if get_token() is None:
        raise InputError(
            "publishing needs a token of the Hugging Face hub that may write: `hf auth login`, or give it in HF_TOKEN"
        )
    hub = HfApi()
    try:
        address = hub.create_repo(name, private=private, exist_ok=True)
        hub.upload_folder(
            repo_id=name,
            folder_path=directory,
            commit_message="Publish a model pruned by earlybird",
            ignore_patterns=_LEFT_OUT,
            delete_patterns=[pattern for pattern in _REPLACED if pattern not in also],
        )
        for target, source in also.items():
            hub.upload_file(
                path_or_fileobj=source, path_in_repo=target, repo_id=name, commit_message=f"Publish its {target}"
            )
    except Exception as error:  # no network, a refused token or card, a full quota: each layer has its own
        # What is wrong with a card stands below the first line.
        said = " ".join((getattr(error, "server_message", None) or str(error)).split())
        raise JobError(f"{directory} could not be published as {name}: {said or type(error).__name__}") from error
    return str(address)


def _refuse_unfit(directory: Path, ticket: Path) -> None:
    """Raise InputError unless a directory holds a whole pruned model, by the ticket, with the card of `save`."""
    model = load(directory)
    if ticket.is_file():
        refuse_another_ticket(Anatomy.of(model), Ticket.load(ticket))
    card = directory / "README.md"
    try:
        tags = ModelCard.load(card).data.tags if card.is_file() else None
    except Exception as error:  # the reader of YAML, which comes with the hub's client, has its own
        raise InputError(f"the model card {card} is damaged: {first_line(error)}") from error
    if not isinstance(tags, list) or not set(TAGS) <= set(map(str, tags)):
        raise InputError(
            f"{directory} holds no pruned model with its card: there is no README.md tagged {' and '.join(TAGS)};"
            " prune the model, and write it by earlybird.save"
        )
