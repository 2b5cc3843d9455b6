"""Train the small network that the demo fine-tunes, on printed letters and digits, from nothing but matplotlib's fonts.

    python release/glyph_network.py [--epochs 15] [--output src/earlybird/models/glyphs]

On one core in about six minutes. Weights are written in float16, without the classifier; the last line is its accuracy
on new glyphs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from glyphs import CHARACTERS, LARGEST, rendered
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import ViTConfig, ViTForImageClassification, set_seed

_TRAINING, _EVALUATION, _BATCH = 60_000, 4_000, 256
_RATE = 2e-3


def main() -> None:
    """Train, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--output", type=Path, default=Path("src/earlybird/models/glyphs"))
    asked = parser.parse_args()
    torch.set_num_threads(1)  # of which the sums' order depends
    images, labels = rendered(_TRAINING, seed=0)
    # As an image file's bytes would be, in [0, 1].
    pixels = np.rint(images * (255 / LARGEST)) / 255
    mean, std = float(pixels.mean()), float(pixels.std())
    model = _trained(_normalised(images, mean, std), torch.from_numpy(labels), asked.epochs).half()
    _write(model, mean, std, asked.output)
    images, labels = rendered(_EVALUATION, seed=1)
    with torch.no_grad():
        found = model.float()(pixel_values=_normalised(images, mean, std)).logits.argmax(-1).numpy()
    print(f"{100 * np.mean(found == labels):.1f}% of {_EVALUATION:,} new glyphs")


def _write(model: ViTForImageClassification, mean: float, std: float, output: Path) -> None:
    """All but the classifier, of which every task has its own, and how images are to be normalised."""
    output.mkdir(parents=True, exist_ok=True)
    weights = {name: value for name, value in model.state_dict().items() if not name.startswith("classifier.")}
    save_file(weights, output / "model.safetensors", {"format": "pt"})
    config = _config()
    config.architectures = [type(model).__name__]
    config.save_pretrained(output)
    processor = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": 8, "width": 8},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [mean],
        "image_std": [std],
    }
    (output / "preprocessor_config.json").write_text(json.dumps(processor, indent=2) + "\n", encoding="utf-8")


def _config(labels: int = 2) -> ViTConfig:
    return ViTConfig(
        hidden_size=48,
        num_hidden_layers=4,
        num_attention_heads=6,
        intermediate_size=192,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        image_size=8,
        patch_size=2,
        num_channels=1,
        num_labels=labels,
    )


def _normalised(images: np.ndarray, mean: float, std: float) -> Tensor:
    """Float32 (images, 1, 8, 8)."""
    pixels = np.rint(images * (255 / LARGEST)) / 255
    return torch.from_numpy(((pixels - mean) / std).astype(np.float32))[:, None]


def _trained(pixels: Tensor, labels: Tensor, epochs: int) -> ViTForImageClassification:
    set_seed(0)
    model = ViTForImageClassification(_config(len(CHARACTERS)))
    steps = len(pixels) // _BATCH
    optimizer = torch.optim.AdamW(model.parameters(), _RATE, weight_decay=0.05, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=epochs * steps, pct_start=0.1)
    for epoch in range(epochs):
        losses = []
        for batch in torch.randperm(len(pixels))[: steps * _BATCH].split(_BATCH):
            loss = nn.functional.cross_entropy(model(pixel_values=pixels[batch]).logits, labels[batch])
            loss.backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        print(f"epoch {epoch + 1} of {epochs}: loss {np.mean(losses):.3f}", flush=True)
    return model


if __name__ == "__main__":
    main()
