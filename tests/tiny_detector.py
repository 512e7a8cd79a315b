"""Real zero-shot detectors at tiny size: random weights from a seed.

The boxes of the OWL-ViT lie on its patch grid.
"""

from __future__ import annotations

import string
from pathlib import Path

import torch
from transformers import (
    BertConfig,
    BertTokenizerFast,
    CLIPTokenizerFast,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessorPil,
    GroundingDinoProcessor,
    OwlViTConfig,
    OwlViTForObjectDetection,
    OwlViTImageProcessorPil,
    OwlViTProcessor,
    SwinConfig,
)

MAX_TOKENS = 40
IMAGE_SIDE, PATCH_SIDE = 64, 16


def save_tiny_detector(folder: Path, seed: int = 0) -> Path:
    """Write what `from_pretrained` reads; one token per letter."""
    letters = string.ascii_lowercase
    # The first token must not have id 0: OWL-ViT takes such a query for padding.
    words = ["<pad>", "<|startoftext|>", "<|endoftext|>", *letters, *[f"{c}</w>" for c in letters]]
    tokenizer = CLIPTokenizerFast(
        vocab={word: index for index, word in enumerate(words)},
        merges=[],
        pad_token="<pad>",
        model_max_length=MAX_TOKENS,
    )
    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    size["num_attention_heads"] = 2
    config = OwlViTConfig(
        text_config={
            **size,
            "vocab_size": len(words),
            "max_position_embeddings": MAX_TOKENS,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
        vision_config={**size, "image_size": IMAGE_SIDE, "patch_size": PATCH_SIDE},
        projection_dim=16,
    )
    torch.manual_seed(seed)
    model = OwlViTForObjectDetection(config)
    # Random weights would throw the boxes anywhere; its own bias puts one on each patch.
    for layer in (model.box_head.dense2, model.class_head.logit_shift):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    # Cosines as they are, so that scores are spread over 0.27..0.73.
    torch.nn.init.zeros_(model.class_head.logit_scale.weight)
    torch.nn.init.zeros_(model.class_head.logit_scale.bias)
    model.save_pretrained(folder)
    size = {"height": IMAGE_SIDE, "width": IMAGE_SIDE}
    OwlViTProcessor(
        image_processor=OwlViTImageProcessorPil(size=size), tokenizer=tokenizer
    ).save_pretrained(folder)
    return folder


def save_tiny_grounding_dino(folder: Path, seed: int = 0) -> Path:
    """Write what `from_pretrained` reads; it knows the words red, mug and single letters."""
    letters = string.ascii_lowercase
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "red", "mug", *letters]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(words))
    tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"))
    layers = {"encoder_layers": 1, "decoder_layers": 2}
    layers |= {f"{side}_attention_heads": 2 for side in ("encoder", "decoder")}
    layers |= {f"{side}_ffn_dim": 32 for side in ("encoder", "decoder")}
    config = GroundingDinoConfig(
        backbone_config=SwinConfig(
            image_size=IMAGE_SIDE,
            embed_dim=8,
            depths=[1, 1, 1, 1],
            num_heads=[1, 1, 2, 2],
            window_size=4,
            out_features=["stage2", "stage3", "stage4"],
        ),
        text_config=BertConfig(
            vocab_size=len(words),
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
        ),
        d_model=32,
        num_queries=20,
        use_timm_backbone=False,
        **layers,
    )
    torch.manual_seed(seed)
    GroundingDinoForObjectDetection(config).save_pretrained(folder)
    size = {"shortest_edge": IMAGE_SIDE, "longest_edge": 96}
    GroundingDinoProcessor(
        image_processor=GroundingDinoImageProcessorPil(size=size), tokenizer=tokenizer
    ).save_pretrained(folder)
    return folder
