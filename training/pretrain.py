"""Train the base model that knows no target: `python -m training.pretrain --clips C --out RUN`.

The result is a normal diffusers folder of an image-to-video model; `training.finetune` then
teaches an adapter what a mask and the slot token mean.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel
from transformers import PreTrainedTokenizerFast, T5EncoderModel

from tavid_core.model_folder import find_model_folder, load_pipeline
from tavid_core.pipeline import TargetAwarePipeline
from training.batches import draw_batch, rotary_embedding
from training.cache import LatentCache, load_or_build_cache
from training.device import half_precision, pick_device
from training.latent_channels import add_latent_channels
from training.loop_config import LoopConfig
from training.losses import diffusion_loss, noisy_latents
from training.mini import MiniConfig, build_scheduler, build_text_encoder, build_transformer
from training.optimizers import OPTIMIZERS
from training.tokenizer import build_tokenizer, vocabulary_sentences
from training.trainer import apply_weights, run_loop

TEXT_DROPOUT = 0.1

# A real T5 has read the words of the target sentence; this one meets them here, on clips where
# they say nothing about which object is meant.
SENTENCES = (
    "The person interacts with target object. {text}",
    "The person interacts with the object. {text}",
    "{text} The person interacts with this object.",
)


def draw_texts(captions: list[str], generator: torch.Generator) -> list[str]:
    """Vary captions: bare, with an uninformative sentence, or dropped for guidance.

    Args:
        captions: Of the batch.
        generator: Source of the choice.

    Returns:
        Texts of the same length.
    """
    texts = []
    for caption in captions:
        draw, which = torch.rand(2, generator=generator).tolist()
        if draw < TEXT_DROPOUT:
            texts.append("")
        elif draw < 0.5:
            texts.append(SENTENCES[int(which * len(SENTENCES))].format(text=caption))
        else:
            texts.append(caption)
    return texts


def tokenize(tokenizer: PreTrainedTokenizerFast, texts: list[str], max_tokens: int) -> torch.Tensor:
    """Tokenize as the pipeline does.

    Args:
        tokenizer: Of the model.
        texts: Prompts.
        max_tokens: Length after padding.

    Returns:
        Token ids, int64 (B, L).
    """
    return tokenizer(
        texts, padding="max_length", max_length=max_tokens, truncation=True, return_tensors="pt"
    ).input_ids


def train_base(
    cache: LatentCache,
    tokenizer: PreTrainedTokenizerFast,
    loop: LoopConfig,
    folder: Path,
    batch_size: int,
    start_from: str | Path | None = None,
    device: torch.device | None = None,
) -> tuple[CogVideoXTransformer3DModel, T5EncoderModel]:
    """Train transformer and text encoder together on clips without targets.

    Args:
        cache: Latents of the clips.
        tokenizer: Of the model.
        loop: The schedule.
        folder: Of the run.
        batch_size: Clips per step.
        start_from: "mini" or the diffusers folder of a base whose weights to begin with, or
            None for fresh ones; a checkpoint in `folder` goes first.
        device: Where to train; None = the CPU.

    Returns:
        Both in eval mode, on the CPU.
    """
    device = device or torch.device("cpu")
    torch.manual_seed(loop.seed)
    modules = _make_modules(len(tokenizer), start_from, cache.latents_NFCHW.shape[2])
    for module in modules.values():
        module.to(device)
    scheduler = build_scheduler()
    config = MiniConfig()
    rotary = rotary_embedding(modules["transformer"], config.num_latent_frames)

    def loss_of(_: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        batch = draw_batch(cache, batch_size, generator, device=device)
        texts = draw_texts([cache.captions[i] for i in batch.index_B.tolist()], generator)
        ids_BL = tokenize(tokenizer, texts, config.max_text_tokens).to(device)
        noisy, timesteps_B = noisy_latents(scheduler, batch.latents_BFCHW, generator)
        with half_precision(device):
            prediction = modules["transformer"](
                hidden_states=torch.cat([noisy, batch.image_BFCHW], dim=2),
                encoder_hidden_states=modules["text_encoder"](ids_BL)[0],
                timestep=timesteps_B,
                image_rotary_emb=rotary,
                return_dict=False,
            )[0]
        loss = diffusion_loss(
            scheduler, prediction.float(), noisy, batch.latents_BFCHW, timesteps_B
        )
        return {"loss": loss}

    apply_weights(modules, run_loop(loop, folder, modules, loss_of, title="base"))
    return modules["transformer"].eval().cpu(), modules["text_encoder"].eval().cpu()


def _make_modules(
    vocab_size: int, start_from: str | Path | None, latent_channels: int
) -> dict[str, torch.nn.Module]:
    config = MiniConfig(latent_channels=latent_channels)
    begun: dict[str, torch.nn.Module] = {}
    if start_from is not None:
        pipeline = load_pipeline(find_model_folder(start_from), torch.float32)
        transformer = add_latent_channels(pipeline.transformer, latent_channels)
        begun = {"transformer": transformer, "text_encoder": pipeline.text_encoder}
        config = dataclasses.replace(config, num_layers=transformer.config.num_layers)
    modules = {
        "transformer": build_transformer(config),
        "text_encoder": build_text_encoder(config, vocab_size),
    }
    for name, module in begun.items():
        # In all but depth and latents it must be the mini model, or captions would be misread.
        modules[name].load_state_dict(module.state_dict())
    return modules


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.pretrain", description=__doc__)
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="run folder; reads its vae/")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--limit", type=int, help="use only the first clips")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="muon")
    parser.add_argument(
        "--schedule",
        choices=("cosine", "constant"),
        default="cosine",
        help="constant: the averaged weights are usable whenever it is stopped [cosine]",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--start-from", metavar="MODEL", help='begin with the weights of this base; "mini": shipped'
    )
    parser.add_argument(
        "--max-minutes", type=float, help="stop after this time; run again to go on"
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Train the base model and save it as a diffusers folder.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The exit status.
    """
    options = _make_parser().parse_args(arguments)
    device = pick_device(options.device)
    vae = AutoencoderKLCogVideoX.from_pretrained(options.out / "vae").eval().to(device)
    cache = load_or_build_cache(
        options.clips, vae, options.out / "latents.safetensors", options.limit
    )
    tokenizer = build_tokenizer(vocabulary_sentences(), MiniConfig().max_text_tokens)
    loop = LoopConfig(
        num_steps=options.steps,
        learning_rate=options.learning_rate,
        warmup_steps=100,
        ema_decay=0.995,
        optimizer=options.optimizer,
        max_minutes=options.max_minutes,
        schedule=options.schedule,
    )
    transformer, text_encoder = train_base(
        cache,
        tokenizer,
        loop,
        options.out / "base_run",
        options.batch_size,
        options.start_from,
        device,
    )
    pipeline = TargetAwarePipeline(
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        vae=vae.cpu(),
        transformer=transformer,
        scheduler=build_scheduler(),
    )
    pipeline.save_pretrained(options.out / "base", safe_serialization=True)
    print(json.dumps({"base": str(options.out / "base")}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
