"""report.json and report.html of a conversion: numbers, clips, and what was left out."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from pathlib import Path

from training.sources.conversion_report import ConversionReport
from training.sources.job_state import write_atomically

__all__ = ["render_report", "write_report"]

MAX_CLIPS = 60
MAX_PER_REASON = 6
MAX_ROWS = 200

STYLE = """
body { font: 16px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 1300px; padding: 1.5rem;
  color: #1c2430; background: #fff; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .6rem; }
p.facts { margin: 0; color: #536074; }
table { border-collapse: collapse; } td, th { text-align: left; padding: .25rem .9rem .25rem 0;
  vertical-align: top; } td.number { text-align: right; font-variant-numeric: tabular-nums; }
.bar { display: inline-block; height: .75rem; background: #8aa4c8; border-radius: 2px; }
.bar.kept { background: #3f9d6b; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; } figure img { display: block; max-width: 100%; border-radius: 4px; }
figcaption { font-size: .85rem; color: #536074; max-width: 600px; overflow-wrap: anywhere; }
figure.one { width: 200px; }
.bad { background: #fdf0ee; border-left: 4px solid #c8493a; padding: .5rem 1rem; }
.target { color: #c96f00; font-weight: 600; } .actor { color: #0085c7; font-weight: 600; }
@media (prefers-color-scheme: dark) { body { color: #dfe6ef; background: #14181e; }
  p.facts, figcaption { color: #9aa7b8; } .bad { background: #3a211e; } }
"""


def write_report(out: Path, report: ConversionReport) -> None:
    """Write both files.

    Args:
        out: Clip folder.
        report: What to tell.
    """
    text = json.dumps(report.to_json(), ensure_ascii=False, indent=1, allow_nan=False)
    write_atomically(out / "report.json", text + "\n")
    write_atomically(out / "report.html", render_report(out, report))


def render_report(out: Path, report: ConversionReport) -> str:
    """Make the page.

    It loads nothing from anywhere; text of users is escaped.

    Args:
        out: Clip folder, for the pictures.
        report: What to tell.

    Returns:
        An HTML document.
    """
    num_rejected = sum(report.rejected.values())
    title = f"{report.num_clips} clips from {len(report.results)} files"
    body = [
        f"<h1>{title}</h1>",
        f'<p class="facts">{num_rejected} windows were left out. '
        "A window is a stretch around one contact.</p>",
        *_troubles(report),
        _bars(report),
        *_clips(out, report),
        *_rejected(out, report),
        *_notes(report),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _troubles(report: ConversionReport) -> list[str]:
    parts = []
    if report.failures:
        rows = [(name, why) for name, why in report.failures.items()]
        parts.append(f'<h2>Files not read to their end</h2><div class="bad">{_table(rows)}</div>')
    if report.losses:
        table = _list_notes(report, is_loss=True)
        parts.append(f'<h2>Lost or damaged data</h2><div class="bad">{table}</div>')
    return parts


def _notes(report: ConversionReport) -> list[str]:
    """What is no loss: for those who want to know it, behind the pictures."""
    if not report.remarks:
        return []
    return [f"<h2>Notes</h2>{_list_notes(report, is_loss=False)}"]


def _list_notes(report: ConversionReport, *, is_loss: bool) -> str:
    rows = [
        (result.name, str(note.count), note.reason, note.detail)
        for result in report.results
        for note in result.notes
        if note.is_loss == is_loss
    ]
    more = f"<p>and {len(rows) - MAX_ROWS} more in report.json</p>"
    return _table(rows[:MAX_ROWS]) + (more if len(rows) > MAX_ROWS else "")


def _table(rows: Sequence[Sequence[str]]) -> str:
    cells = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows)
    return "<table>" + "".join(f"<tr>{row}</tr>" for row in cells) + "</table>"


def _bars(report: ConversionReport) -> str:
    counts = [
        ("kept", report.num_clips, " kept"),
        *((r, n, "") for r, n in report.rejected.items()),
    ]
    most = max(1, *(count for _, count, _ in counts))
    rows = [
        f'<tr><td>{html.escape(name)}</td><td class="number">{count}</td><td><span class="bar'
        f'{kind}" style="width:{360 * count / most:.0f}px"></span></td></tr>'
        for name, count, kind in counts
    ]
    return f"<h2>Windows</h2><table>{''.join(rows)}</table>"


def _clips(out: Path, report: ConversionReport) -> list[str]:
    clips = [clip for result in report.results for clip in result.clips]
    if not clips:
        return []
    figures = []
    # Spread over all files rather than the first ones.
    step = max(1, -(-len(clips) // MAX_CLIPS))
    for clip in clips[::step]:
        record = clip.record
        told = f"{record.text} ({record.file_name}, contact in frame {record.contact_frame})"
        figures.append(_figure(out, clip.picture, told, "three"))
    shown = f"{len(figures)} of {len(clips)} clips: " if step > 1 else ""
    return [
        f'<h2>Kept</h2><p class="facts">{shown}frame 0 with <span class="target">target</span> and '
        '<span class="actor">actor</span>, the contact, the last frame.</p>',
        f'<div class="pictures">{"".join(figures)}</div>',
    ]


def _rejected(out: Path, report: ConversionReport) -> list[str]:
    parts = []
    for reason, count in report.rejected.items():
        entries = [
            (result, entry)
            for result in report.results
            for entry in result.rejected
            if entry.reason == reason and entry.picture
        ][:MAX_PER_REASON]
        figures = [
            _figure(
                out,
                entry.picture,
                f"{result.name} / {entry.recording}, frame {entry.start}"
                + (f": {entry.detail}" if entry.detail else ""),
                "one",
            )
            for result, entry in entries
        ]
        parts.append(f"<h2>Left out: {html.escape(reason)} ({count})</h2>")
        parts.append(f'<div class="pictures">{"".join(figures)}</div>')
    return parts


def _figure(out: Path, name: str, told: str, kind: str) -> str:
    path = out / name
    if not path.is_file():
        return ""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return (
        f'<figure class="{kind}"><img alt="" src="data:image/jpeg;base64,{data}">'
        f"<figcaption>{html.escape(told)}</figcaption></figure>"
    )
