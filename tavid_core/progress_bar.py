"""One bar on the terminal that follows a plan's stages."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from tqdm import tqdm

from tavid_core.types import PlanProgress

__all__ = ["ProgressBar"]


class ProgressBar:
    """Follows a planner; silent where there is no terminal.

    Attributes:
        prefix: Shown before the stage, for example which plan of several it is.
    """

    def __init__(self) -> None:
        self.prefix = ""
        # disable=None: off when the output goes to a file or a pipe.
        self._bar: Any = tqdm(total=1, desc="load", leave=False, disable=None, unit="step")
        self._stage = "load"

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()

    def name(self, stage: str, total: int = 1) -> None:
        """Begin a stage.

        Args:
            stage: Shown on the left.
            total: Its steps.
        """
        self._stage = self.prefix + stage
        self._bar.set_description_str(self.prefix + stage, refresh=False)
        self._bar.reset(total=total)

    def show(self, progress: PlanProgress) -> None:
        """Follow the planner.

        Args:
            progress: As the planner reports it.
        """
        if self.prefix + progress.stage != self._stage:
            self.name(progress.stage, progress.total_steps)
        self._bar.n = progress.step
        if progress.remaining_sec is not None:
            self._bar.set_postfix_str(f"{progress.remaining_sec:.0f} s left", refresh=False)
        self._bar.refresh()
