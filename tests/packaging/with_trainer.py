"""The whole way inside the Hugging Face Trainer, on a tiny model."""

from __future__ import annotations

from pathlib import Path

from surroundings import trainer

import earlybird
from earlybird.integrations.hf_trainer import train_early_bird

trained = trainer(Path.cwd())
before = sum(parameter.numel() for parameter in trained.model.parameters())
ticket = train_early_bird(trained, earlybird.SearchConfig(heads=0.25, neurons=0.4), weights="continue")
after = sum(parameter.numel() for parameter in trained.model.parameters())
assert after < before
print("drawn:", ticket.provenance["how"])
