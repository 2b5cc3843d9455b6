"""The Hugging Face hub: names of repositories there, and a file of one. Its client is imported on first use."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from earlybird.errors import InputError, first_line

_OWNER_AND_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def is_owner_and_name(name: Any) -> bool:
    """Whether something reads like the name of a repository on the hub, OWNER/NAME, and not like a JSON file's."""
    return isinstance(name, str) and _OWNER_AND_NAME.fullmatch(name) is not None and not name.endswith(".json")


def why_no_name(name: str) -> str:
    """Which of the hub's rules for names, NAME or OWNER/NAME, a text breaks; "" where it breaks none."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # public by its list, not by type

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        return first_line(error)
    return ""


def fetched(repository: str, file: str) -> Path:
    """A file of a repository of a model, downloaded into the cache of the hub's client, once for each version.

    Raises:
        InputError: there is no such repository or file, or the hub cannot be reached and the cache does not have it.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, RepositoryNotFoundError

    if reason := why_no_name(repository):
        raise InputError(f"there is no {repository} here, nor can there be on the Hugging Face hub: {reason}")
    nowhere = f"there is no {repository} here, and"
    try:
        return Path(hf_hub_download(repository, file))
    except RepositoryNotFoundError as error:
        raise InputError(
            f"{nowhere} the Hugging Face hub shows none of that name: check the name; a private one needs a token, from"
            " `hf auth login` or in HF_TOKEN"
        ) from error
    except LocalEntryNotFoundError as error:
        raise InputError(
            f"{nowhere} the Hugging Face hub could not be reached to fetch its {file}: try again where there is a"
            " network, or give the path of the file"
        ) from error
    except EntryNotFoundError as error:
        raise InputError(f"{nowhere} {repository} on the Hugging Face hub has no {file}") from error
    except Exception as error:  # a refused token, a full disk, an answer that is none: each layer has its own
        raise InputError(
            f"{nowhere} the {file} of that name could not be fetched from the Hugging Face hub: {first_line(error)}"
        ) from error
