"""What a conversion kept and left out, as numbers."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

from training.sources.job_state import JobResult

__all__ = ["ConversionReport"]


@dataclasses.dataclass(frozen=True)
class ConversionReport:
    """The results of all files, added up.

    Args:
        results: In the order of the clips.
    """

    results: tuple[JobResult, ...]

    @classmethod
    def of(cls, results: Sequence[JobResult]) -> ConversionReport:
        """Make a report.

        Args:
            results: In the order of the clips.

        Returns:
            The report.
        """
        return cls(tuple(results))

    @property
    def num_clips(self) -> int:
        """Clips kept."""
        return sum(len(result.clips) for result in self.results)

    @property
    def rejected(self) -> dict[str, int]:
        """Windows left out by reason, the most frequent first."""
        counts = Counter(entry.reason for result in self.results for entry in result.rejected)
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    @property
    def losses(self) -> dict[str, int]:
        """Notes of sources about lost or damaged data, added up by reason."""
        return self._count_notes(is_loss=True)

    @property
    def remarks(self) -> dict[str, int]:
        """Other notes of sources, added up by reason."""
        return self._count_notes(is_loss=False)

    @property
    def failures(self) -> dict[str, str]:
        """Files that could not be read, or not to their end, and why."""
        return {result.name: result.error for result in self.results if result.error}

    @property
    def exit_code(self) -> int:
        """0 all fine, 2 nothing usable, 3 something was lost or could not be read."""
        if not self.num_clips:
            return 2
        return 3 if self.losses or self.failures else 0

    def to_json(self) -> dict[str, Any]:
        """Write the numbers as JSON values.

        Returns:
            Counts, and per file what became of it.
        """
        return {
            "num_files": len(self.results),
            "num_clips": self.num_clips,
            "num_rejected": sum(self.rejected.values()),
            "rejected": self.rejected,
            "losses": self.losses,
            "remarks": self.remarks,
            "failures": self.failures,
            "exit_code": self.exit_code,
            "files": [_describe(result) for result in self.results],
        }

    def describe(self) -> str:
        """Tell it in some lines.

        Returns:
            Text for a terminal.
        """
        lines = [f"{self.num_clips} clips from {len(self.results)} files"]
        lines += [f"  left out {count:6d}  {reason}" for reason, count in self.rejected.items()]
        lines += [f"  lost     {count:6d}  {reason}" for reason, count in self.losses.items()]
        lines += [f"  note     {count:6d}  {reason}" for reason, count in self.remarks.items()]
        lines += [f"  not read to its end: {name}: {why}" for name, why in self.failures.items()]
        return "\n".join(lines)

    def _count_notes(self, is_loss: bool) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for result in self.results:
            for note in result.notes:
                if note.is_loss == is_loss:
                    counts[note.reason] += note.count
        return dict(sorted(counts.items()))


def _describe(result: JobResult) -> dict[str, Any]:
    return {
        "name": result.name,
        "clips": [clip.record.file_name for clip in result.clips],
        "rejected": [
            {
                "recording": entry.recording,
                "start": entry.start,
                "reason": entry.reason,
                "detail": entry.detail,
            }
            for entry in result.rejected
        ],
        "notes": [
            {
                "reason": note.reason,
                "count": note.count,
                "detail": note.detail,
                "is_loss": note.is_loss,
            }
            for note in result.notes
        ],
        "error": result.error,
    }
