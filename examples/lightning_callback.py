"""A Lightning module; the callback searches, prunes at the draw and lets the fit go on with the small network."""

from __future__ import annotations

import lightning.pytorch as pl
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset
from transformers import ViTConfig, ViTForImageClassification

from earlybird import SearchConfig
from earlybird.integrations.lightning import EarlyBirdCallback


class Classifier(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        config = ViTConfig(
            image_size=8,
            patch_size=2,
            num_channels=1,
            hidden_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=96,
            num_labels=10,
        )
        self.model = ViTForImageClassification(config)

    def training_step(self, batch, batch_idx):
        pixels, labels = batch
        return self.model(pixels, labels=labels).loss

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=2e-3)


pl.seed_everything(0, verbose=False)
digits = load_digits()
pixels = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 8 - 1
labels = torch.tensor(digits.target)
batches = DataLoader(TensorDataset(pixels[:1500], labels[:1500]), batch_size=64, shuffle=True)
module = Classifier()
callback = EarlyBirdCallback("model", SearchConfig(heads=0.3, neurons=0.4), then="continue")
trainer = pl.Trainer(
    max_steps=300,
    accelerator="cpu",
    callbacks=[callback],
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
)
trainer.fit(module, batches)
if callback.ticket is None:
    raise SystemExit("the masks did not settle: train longer")
print(callback.ticket)
with torch.no_grad():
    found = module.model.eval()(pixels[1500:]).logits.argmax(-1)
print(f"held-out accuracy {(found == labels[1500:]).float().mean():.1%}")
