"""Add blocks to a trained base: `python -m training.deepen BASE OUT --blocks N`.

What the base predicts stays the same until it is trained on. The new blocks come last and are
copies of the last ones, in their order, with shut gates: they add nothing to what passes through,
but the gates have a gradient from the first step on, and behind them are weights that already do
something. The old blocks keep their numbers.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from diffusers import CogVideoXTransformer3DModel

from tavid_core.errors import ConfigError, TavidError
from tavid_core.model_folder import find_model_folder, load_pipeline

__all__ = ["deepen_transformer", "main"]

# Of an adaptive layer norm of CogVideoX: shift, scale and gate of the video, then of the text.
NUM_MODULATIONS = 6
GATES = (2, 5)


def deepen_transformer(
    transformer: CogVideoXTransformer3DModel, num_layers: int
) -> CogVideoXTransformer3DModel:
    """Build a deeper transformer that predicts what the given one does.

    Args:
        transformer: The shallow one; it is not changed.
        num_layers: Blocks of the deep one, more than now and at most twice as many.

    Returns:
        A new transformer in eval mode, float32, on the CPU, with the same predictions.

    Raises:
        ConfigError: If it is another number.

    References:
        Chen, Goodfellow and Shlens, Net2Net (arXiv 1511.05641), section 2.3, add layers that begin
        as the identity. Residual branches with a gate need no identity matrix: a shut gate does it.
    """
    present = transformer.config.num_layers
    if not present < num_layers <= 2 * present:
        raise ConfigError(
            f"num_layers must be in {present + 1}..{2 * present}, got {num_layers}. "
            "To go beyond, train the deeper one first."
        )
    deep = CogVideoXTransformer3DModel.from_config({**transformer.config, "num_layers": num_layers})
    deep.load_state_dict(transformer.state_dict(), strict=False)
    origins = transformer.transformer_blocks[present - num_layers :]
    for block, origin in zip(deep.transformer_blocks[present:], origins, strict=True):
        block.load_state_dict(origin.state_dict())
        for norm in (block.norm1, block.norm2):
            _shut_gates(norm.linear)
    return deep.float().cpu().eval()


@torch.no_grad()
def _shut_gates(linear: torch.nn.Linear) -> None:
    for parameter in (linear.weight, linear.bias):
        parts = parameter.chunk(NUM_MODULATIONS)
        for gate in GATES:
            parts[gate].zero_()


def main(arguments: list[str] | None = None) -> int:
    """Save a deeper copy of a base.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(
        prog="python -m training.deepen",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("base", help='diffusers folder of a base model; "mini": the shipped one')
    parser.add_argument("out", type=Path, help="where the deep one goes")
    parser.add_argument(
        "--blocks", type=int, required=True, metavar="N", help="how many the deep one has in all"
    )
    options = parser.parse_args(arguments)
    try:
        pipeline = load_pipeline(find_model_folder(options.base), torch.float32)
        transformer = deepen_transformer(pipeline.transformer, options.blocks)
    except TavidError as error:
        print(error, file=sys.stderr)
        return 2
    pipeline.register_modules(transformer=transformer)
    pipeline.save_pretrained(options.out)
    print(json.dumps({"base": str(options.out), "blocks": options.blocks}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
