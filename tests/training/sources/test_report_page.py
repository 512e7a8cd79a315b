"""The page of a conversion: what was lost first, then pictures, then notes; nothing of it runs."""

import html.parser

import cv2
import numpy as np

from training.clips import ClipRecord
from training.sources.conversion_report import ConversionReport
from training.sources.job_state import JobResult, KeptClip, RejectedEntry
from training.sources.recording import SourceNote
from training.sources.report_page import MAX_ROWS, render_report

EVIL = "<script>alert(1)</script>\"'&"


class Reader(html.parser.HTMLParser):
    """Gathers tags, text and pictures."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.words, self.pictures = [], [], []
        self.feed(page)
        self.text = " ".join(self.words)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "img":
            self.pictures.append(dict(attrs)["src"])

    def handle_data(self, data):
        self.words.append(data)


def make_report(num_notes=1, **changes):
    record = ClipRecord(
        file_name="clips/a/take_000000.mp4", text=EVIL, fps=8.0, mask_file="m.png", source="bags",
        licence="CC0-1.0", contact_frame=6,
    )  # fmt: skip
    result = JobResult(
        name="evening",
        stamp="",
        clips=(KeptClip(record, "kept.jpg"),),
        rejected=(
            RejectedEntry("take", 7, "target too small", EVIL, "small.jpg"),
            RejectedEntry("take", 9, "target too small", "", "gone.jpg"),
        ),
        notes=(
            SourceNote("messages of /image lost: in a damaged part", 3, "evening.mcap"),
            *[SourceNote("messages of /image read", 97, EVIL, is_loss=False)] * num_notes,
        ),
        **changes,
    )
    return ConversionReport.of([result])


def render(tmp_path, report):
    for name in ("kept.jpg", "small.jpg"):
        cv2.imwrite(str(tmp_path / name), np.zeros((8, 8, 3), np.uint8))
    return Reader(render_report(tmp_path, report))


def test_what_was_lost_comes_before_the_pictures_and_notes_behind_them(tmp_path):
    page = render(tmp_path, make_report(error="file must be whole, got a part."))
    headings = [
        "Files not read to their end",
        "Lost or damaged data",
        "Windows",
        "Kept",
        "Left out: target too small (2)",
        "Notes",
    ]
    places = [page.text.index(heading) for heading in headings]
    assert places == sorted(places)
    # Which file, how many, what, and where.
    assert "evening 3 messages of /image lost: in a damaged part evening.mcap" in page.text
    assert "1 clips from 1 files" in page.text


def test_pictures_lie_in_the_page(tmp_path):
    page = render(tmp_path, make_report())
    assert len(page.pictures) == 2
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.pictures)


def test_text_of_bags_stays_text(tmp_path):
    page = render(tmp_path, make_report())
    assert "script" not in page.tags
    assert page.text.count("<script>alert(1)</script>") >= 3


def test_long_lists_end(tmp_path):
    page = render(tmp_path, make_report(num_notes=MAX_ROWS + 5))
    assert "and 5 more in report.json" in page.text
