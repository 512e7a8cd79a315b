"""`tavid download`: weights onto this machine, once."""

from __future__ import annotations

import argparse
from pathlib import Path

from tavid_core.download import MODELS, download_model

__all__ = ["add_download_command", "run_download_command"]

EXAMPLE = """\
example:
  tavid download 5b --dest models/cogvideox-5b-i2v
  tavid plan --model models/cogvideox-5b-i2v --adapter models/my_adapter --device cuda ...
"""


def add_download_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command.

    Args:
        commands: Of the main parser.
    """
    parser = commands.add_parser(
        "download",
        help="fetch the weights of a large model",
        description="Fetch a model into a folder, or go on with an interrupted download, and check "
        "that it is whole. 22 GB for 5b. The embedded model needs none of this.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = ", ".join(f"{name} ({hub_id})" for name, hub_id in MODELS.items())
    parser.add_argument("model", help=f"{names}, or another Hub id")
    parser.add_argument("--dest", type=Path, required=True, metavar="DIR", help="where to")
    parser.add_argument(
        "--revision", default="main", metavar="NAME", help="branch, tag or commit [main]"
    )


def run_download_command(options: argparse.Namespace) -> str:
    """Fetch the model.

    Args:
        options: As parsed.

    Returns:
        One line: where it is, and what to do with it.

    Raises:
        TavidError: If it cannot be fetched or is not whole.
        OSError: If the folder cannot be written.
    """
    folder = download_model(options.model, options.dest, revision=options.revision)
    num_bytes = sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
    return f"{folder} is whole, {num_bytes / 1e9:.1f} GB of weights; use it as --model {folder}"
