"""Names of timm, built tiny: what is overridden of each so that blocks have several heads and layers are two."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import Tensor, nn

PLAIN = {"img_size": 32, "embed_dim": 32, "depth": 2, "num_heads": 4}
PATCHES_OF_14 = {**PLAIN, "img_size": 28}
STAGES = {"img_size": 32, "embed_dim": 16, "depths": (1, 2), "num_heads": (2, 4), "window_size": 4}

SIZES: dict[str, dict[str, Any]] = {
    "vit_tiny_patch16_224": PLAIN,
    "vit_base_patch16_clip_224": PLAIN,
    "vit_base_patch16_siglip_224": PLAIN,
    "vit_base_patch14_reg4_dinov2": PATCHES_OF_14,
    "vit_giant_patch14_dinov2": PATCHES_OF_14,
    "vit_small_patch16_18x2_224": PLAIN,
    "vit_relpos_base_patch16_224": PLAIN,
    "vit_relpos_small_patch16_rpn_224": PLAIN,
    "vit_srelpos_small_patch16_224": PLAIN,
    "flexivit_small": PLAIN,
    "naflexvit_base_patch16_gap": PLAIN,
    "samvit_base_patch16": {**PLAIN, "img_size": 64},
    "deit_tiny_patch16_224": PLAIN,
    "deit_tiny_distilled_patch16_224": PLAIN,
    "deit3_small_patch16_224": PLAIN,
    "beit_base_patch16_224": PLAIN,
    "beitv2_base_patch16_224": PLAIN,
    "eva_giant_patch14_224": PATCHES_OF_14,
    "eva02_tiny_patch14_224": PATCHES_OF_14,
    "eva02_base_patch14_224": PATCHES_OF_14,
    "vit_small_patch16_dinov3": PLAIN,
    "vit_small_patch16_rope_224": PLAIN,
    "vit_pe_core_tiny_patch16_384": PLAIN,
    "swin_tiny_patch4_window7_224": STAGES,
    "swinv2_tiny_window8_256": STAGES,
    "swinv2_cr_tiny_224": STAGES,
    "cait_xxs24_224": PLAIN,
    "xcit_nano_12_p16_224": PLAIN,
    "convit_tiny": {**PLAIN, "embed_dim": 8},
    "davit_tiny": {"depths": (1, 1), "embed_dims": (16, 32), "num_heads": (2, 4)},
    "pit_ti_224": {"base_dims": (8, 8), "depth": (1, 2), "heads": (2, 4), "img_size": 64},
    "twins_svt_small": {
        "embed_dims": (8, 16, 32, 32),
        "num_heads": (2, 2, 4, 4),
        "depths": (1, 1, 2, 2),
        "img_size": 64,
    },
}


def build(name: str, seed: int = 0) -> nn.Module:
    """A tiny model of that name in evaluation mode, with random weights so large that every layer has an effect."""
    model: nn.Module = timm.create_model(name, pretrained=False, num_classes=5, **SIZES[name])
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            scale = 1.0 if parameter.ndim == 1 and parameter.mean() > 0.5 else 0.0
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2 + scale)
    return model.eval()


def images(name: str) -> Tensor:
    """Two images of the size that the model takes, (2, 3, size, size)."""
    size = SIZES[name].get("img_size", 32)
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
