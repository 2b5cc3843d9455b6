"""Whether a pruned model generates what the masked one does, with every kind of cache."""

from __future__ import annotations

from typing import Any

from comparison import masked_and_pruned, relative_difference, ticket_for
from exactness import batches, keep_largest
from families import FAMILIES, build

CACHES: dict[str, dict[str, Any]] = {
    "no": {"use_cache": False},
    "dynamic": {},
    "static": {"cache_implementation": "static"},
}
SETTINGS = {
    "max_new_tokens": 6,
    "min_new_tokens": 6,
    "do_sample": False,
    "pad_token_id": 0,
    "output_logits": True,
    "return_dict_in_generate": True,
}


def generation(name: str) -> dict[str, float | str]:
    """By cache the largest relative difference of the logits from those of masked without one, padded or not.

    Infinite where another token was chosen; a reason where the unpruned family cannot use the cache.
    """
    if FAMILIES[name][3] not in ("prompt", "sequence", "sound"):
        return {}
    model = build(name)
    masked, pruned = masked_and_pruned(model, ticket_for(model))
    found: dict[str, Any] = {}
    for batch in batches(name):
        batch.pop("decoder_input_ids", None)
        expected = masked.generate(**batch, **SETTINGS, use_cache=False)
        for cache, setting in CACHES.items():
            try:
                model.generate(**batch, **SETTINGS, **setting)
            except Exception as error:  # transformers' own, of many sorts
                found[cache] = f"{type(error).__name__}: {error}".split("\n")[0]
                continue
            generated = pruned.generate(**batch, **SETTINGS, **setting)
            same = generated.sequences.equal(expected.sequences)
            difference = relative_difference(expected.logits, generated.logits) if same else float("inf")
            keep_largest(found, cache, difference)
    return found
