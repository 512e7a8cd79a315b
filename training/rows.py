"""The rows of the results: what each run trains and what it is compared for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

from tavid_core.errors import ConfigError

__all__ = ["CLIP_CURVES", "ROWS", "SAME_RUN", "SAME_RUN_GROUPS", "Row", "find_row"]

KINDS = ("base", "modulation", "modulation_all_frames", "adapter")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One row.

    Args:
        name: Its key in results.json.
        title: Its words in tables.
        group: The table it stands in.
        kind: "base" (nothing is trained), "modulation" (nor here; of the first latent frame),
            "modulation_all_frames" or "adapter".
        settings: Changes of the recipe, "key=value" as for `--set`; blocks are those of `mini`.
        num_clips: Clips it is trained on.
        paper: The paper's figure for it, by people's votes, or None.

    Raises:
        ConfigError: If the kind is unknown, or a row that trains nothing has settings.
    """

    name: str
    title: str
    group: str
    kind: str = "adapter"
    settings: tuple[str, ...] = ()
    num_clips: int = 1290
    paper: float | None = None

    def __post_init__(self) -> None:
        """Check the kind."""
        if self.kind not in KINDS or (self.kind != "adapter" and self.settings):
            raise ConfigError(
                f"kind must be one of {KINDS}, with settings for an adapter only, got "
                f"{self.kind!r} and {self.settings}. Correct the row."
            )


# No mask channel, no loss on the token: the same clips alone.
_WITHOUT_TARGET = ("use_mask=false", "attention_weight=0")

_ALL = (
    Row(name="base", title="base", group="main", kind="base", paper=0.592),
    Row(
        name="base_data",
        title="base + data, no target input",
        group="main",
        settings=_WITHOUT_TARGET,
        paper=0.692,
    ),
    Row(
        name="attention_modulation",
        title="base + attention modulation, first frame",
        group="main",
        kind="modulation",
        paper=0.613,
    ),
    Row(
        name="attention_modulation_all_frames",
        title="base + attention modulation, all frames",
        group="main",
        kind="modulation_all_frames",
        paper=0.613,
    ),
    Row(name="tavid", title="ours: mask channel + token loss", group="main", paper=0.896),
    Row(
        name="lambda_0",
        title="lambda 0 (mask channel only)",
        group="lambda",
        settings=("attention_weight=0",),
        paper=0.688,
    ),
    Row(
        name="lambda_0.01",
        title="lambda 0.01",
        group="lambda",
        settings=("attention_weight=0.01",),
        paper=0.756,
    ),
    Row(
        name="lambda_1",
        title="lambda 1.0",
        group="lambda",
        settings=("attention_weight=1.0",),
        paper=0.904,
    ),
    Row(
        name="token_only",
        title="token loss only, no mask channel",
        group="parts",
        settings=("use_mask=false",),
    ),
    Row(
        name="blocks_fixed",
        title="fixed blocks, 4 and 5",
        group="blocks",
        settings=("block_choice=fixed", "attention_blocks=4,5"),
    ),
    Row(
        name="blocks_uniform",
        title="uniform blocks, 1 and 4",
        group="blocks",
        settings=("block_choice=uniform",),
        paper=0.839,
    ),
    Row(
        name="blocks_random_all",
        title="two drawn of all blocks",
        group="blocks",
        settings=("attention_blocks=0,1,2,3,4,5",),
        paper=0.840,
    ),
    Row(
        name="t2v",
        title="text to video (T2V)",
        group="direction",
        settings=("attention_direction=t2v",),
        paper=0.784,
    ),
    *(
        Row(name=f"clips_{number}", title=f"{number:,} clips", group="clips", num_clips=number)
        for number in (40, 160, 640, 5000)
    ),
    *(
        Row(
            name=f"clips_{number}_lambda_0",
            title=f"{number:,} clips, lambda 0",
            group="clips",
            settings=("attention_weight=0",),
            num_clips=number,
        )
        for number in (40, 160, 640, 5000)
    ),
)

ROWS: Mapping[str, Row] = MappingProxyType({row.name: row for row in _ALL})

# Rows of the tables that are another row's run under the name that the table gives it.
SAME_RUN: Mapping[str, str] = MappingProxyType(
    {
        "lambda_0.1": "tavid",
        "blocks_semantic_random": "tavid",
        "v2t": "tavid",
        "clips_1290": "tavid",
        "mask_only": "lambda_0",
    }
)

# In which tables they stand.
SAME_RUN_GROUPS: Mapping[str, str] = MappingProxyType(
    {
        "lambda_0.1": "lambda",
        "blocks_semantic_random": "blocks",
        "v2t": "direction",
        "clips_1290": "clips",
        "mask_only": "parts",
    }
)

# Rows that differ in their clips only, under the row that each curve is named after.
CLIP_CURVES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "tavid": ("clips_40", "clips_160", "clips_640", "tavid", "clips_5000"),
        "lambda_0": (
            "clips_40_lambda_0",
            "clips_160_lambda_0",
            "clips_640_lambda_0",
            "lambda_0",
            "clips_5000_lambda_0",
        ),
    }
)


def find_row(name: str) -> Row:
    """Look up a row by its name or by the name a table gives it.

    Args:
        name: See `ROWS` and `SAME_RUN`.

    Returns:
        The row.

    Raises:
        ConfigError: If there is none.
    """
    name = SAME_RUN.get(name, name)
    if name not in ROWS:
        raise ConfigError(f"row must be one of {', '.join(ROWS)}, got {name!r}. Choose one.")
    return ROWS[name]
