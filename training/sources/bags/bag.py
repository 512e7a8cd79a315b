"""One bag: a folder with metadata.yaml, or a single file; split or not, compressed or not."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePath

import yaml

from tavid_core.errors import InputError
from training.sources.bags.inflate import inflate, inflate_file
from training.sources.bags.limits import BagLimits
from training.sources.bags.mcap_file import McapFile
from training.sources.bags.report import BagReport
from training.sources.bags.sqlite_file import SqliteFile
from training.sources.bags.stored_message import StoredMessage

__all__ = ["Bag", "BagMetadata", "parse_metadata"]

_METADATA_NAME = "metadata.yaml"
_MAX_METADATA_BYTES = 4 * 1024 * 1024
_PROGRESS_SEC = 0.5
_SUFFIXES = (".mcap", ".db3", ".mcap.zstd", ".db3.zstd")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BagMetadata:
    """What metadata.yaml says, as far as it is used.

    Args:
        file_names: Of the storage files, in order; names only.
        is_message_compressed: Whether every message was compressed by itself (zstd).
        counts: Messages by topic; empty if unknown.
        custom: What the recorder was told to keep, e.g. a prompt.
    """

    file_names: tuple[str, ...] = ()
    is_message_compressed: bool = False
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    custom: Mapping[str, str] = dataclasses.field(default_factory=dict)


def parse_metadata(text: str) -> BagMetadata:
    """Read the text of a metadata.yaml.

    Args:
        text: YAML.

    Returns:
        What it says.

    Raises:
        InputError: If it is no metadata of a bag.
    """
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{_METADATA_NAME} must be YAML, got {reason}. Leave it out.") from error
    information = document.get("rosbag2_bagfile_information") if _is_map(document) else None
    # MCAP files keep the same thing without the outer key.
    information = document if information is None else information
    if not _is_map(information) or not isinstance(information.get("relative_file_paths"), list):
        raise InputError(
            f"{_METADATA_NAME} must hold rosbag2_bagfile_information, got something else. "
            "Is it of a bag? You can leave it out."
        )
    custom = information.get("custom_data")
    return BagMetadata(
        # Names only: a path could lead out of the bag.
        file_names=tuple(
            _printable(PurePath(name).name)
            for name in information["relative_file_paths"]
            if isinstance(name, str) and PurePath(name).name
        ),
        is_message_compressed=_is_word(information.get("compression_mode"), "message"),
        counts=_parse_counts(information.get("topics_with_message_count")),
        custom=_parse_custom(custom) if _is_map(custom) else {},
    )


def _is_map(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_word(value: object, word: str) -> bool:
    return isinstance(value, str) and value.lower() == word


def _printable(text: str) -> str:
    """Replace what a report cannot hold, such as halves of surrogate pairs."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _parse_custom(custom: Mapping[object, object]) -> dict[str, str]:
    # Plain values only: with aliases a list of lists can be longer as text than any memory.
    return {
        key: str(value)
        for key, value in custom.items()
        if isinstance(key, str)
        and (isinstance(value, str | float) or (isinstance(value, int) and abs(value) < 2**63))
    }


def _parse_counts(entries: object) -> dict[str, int]:
    counts: dict[str, int] = {}
    for entry in entries if isinstance(entries, list) else ():
        topic = entry.get("topic_metadata") if _is_map(entry) else None
        name = topic.get("name") if _is_map(topic) else None
        count = entry.get("message_count") if _is_map(entry) else None
        if isinstance(name, str) and type(count) is int and 0 <= count < 2**63:
            name = _printable(name)
            counts[name] = counts.get(name, 0) + count
    return counts


class Bag:
    """Reads a bag once, from front to back.

    Args:
        path: A folder, or a file that ends with .mcap, .db3, .mcap.zstd or .db3.zstd.
        limits: Sizes that are refused.
        on_progress: Told now and then, while messages are read, how much is read, 0..1.

    Attributes:
        report: What was read and what was not; complete after `messages`.
        metadata: Of metadata.yaml, or of the first file that has some.
        definitions: Message definition by type name, as (encoding, text), as far as met.

    Raises:
        InputError: If there is no bag.
    """

    def __init__(
        self,
        path: Path,
        limits: BagLimits | None = None,
        on_progress: Callable[[float], None] | None = None,
    ) -> None:
        self._on_progress, self._told_sec, self._share = on_progress, time.monotonic(), 0.0
        self.report = BagReport()
        self.definitions: dict[str, tuple[str, str]] = {}
        self._limits = limits or BagLimits()
        self._folder = path if path.is_dir() else path.parent
        self.metadata = self._read_metadata() if path.is_dir() else BagMetadata()
        self._files = self._list_files() if path.is_dir() else [path]
        if not self._files or not all(map(_is_storage, self._files)):
            has_bags = path.is_dir() and any(map(_is_storage, path.glob("*/*")))
            advice = f"Name the bags in it: {path}/*" if has_bags else "Check the path."
            raise InputError(
                f"bag must be a folder with, or a file that ends with, {', '.join(_SUFFIXES)}, "
                f"got {path}. {advice}"
            )
        for file in [*self._files]:
            if not file.is_file():
                self.report.note("a file of the bag that is missing", file.name, is_loss=True)
                self._files.remove(file)
        if not self._files:
            raise InputError(f"bag must have its files, got none of them: {path}. Copy it again.")

    def messages(
        self, is_wanted: Callable[[str], bool] = lambda _: True
    ) -> Iterator[StoredMessage]:
        """Read the bag once.

        Args:
            is_wanted: Whether the content of a topic's messages is needed; others come out empty.

        Yields:
            Whole messages, in the order in which they were written, counted as kept. Whoever
            finds one of them unusable spoils it in `report`.

        Raises:
            InputError: If no file of the bag can be read.
        """
        errors = []
        for number, file in enumerate(self._files):
            try:
                for message, share in self._read_file(file, is_wanted):
                    self.report.keep(message.topic)
                    yield message
                    self._share = (number + share) / len(self._files)
                    self.tell()
            except InputError as error:
                errors.append(error)
                self.report.note("a file that cannot be read", str(error)[:200], is_loss=True)
        self.report.expect(dict(self.metadata.counts))
        if len(errors) == len(self._files):
            raise errors[0]

    def tell(self) -> None:
        """Tell `on_progress`, if it was not told just now; for whoever works on what was read."""
        now_sec = time.monotonic()
        # Whoever waits for a word waits for many of these.
        pause_sec = min(_PROGRESS_SEC, self._limits.max_silence_sec / 100)
        if self._on_progress is not None and now_sec - self._told_sec >= pause_sec:
            self._told_sec = now_sec
            self._on_progress(self._share)

    def _read_file(
        self, file: Path, is_wanted: Callable[[str], bool]
    ) -> Iterator[tuple[StoredMessage, float]]:
        if file.suffix != ".zstd":
            yield from self._read_plain(file, file.name, is_wanted)
            return
        with tempfile.NamedTemporaryFile(prefix="tavid-bag-") as plain:
            is_whole = inflate_file(file, plain, self._limits.max_file_bytes)
            plain.flush()
            if not is_whole:
                self.report.note("a file that was cut off", file.name, is_loss=True)
            yield from self._read_plain(Path(plain.name), file.stem, is_wanted)

    def _read_plain(
        self, file: Path, name: str, is_wanted: Callable[[str], bool]
    ) -> Iterator[tuple[StoredMessage, float]]:
        if name.endswith(".db3"):
            database = SqliteFile(file, name, self._limits, self.report, is_wanted)
            self.definitions = database.definitions
            self._take_metadata(database.read_metadata())
            for message in self._inflate_messages(database.messages()):
                yield message, database.share
            return
        with file.open("rb") as stream:
            mcap = McapFile(stream, name, self._limits, self.report, is_wanted)
            self.definitions = mcap.definitions
            self._take_metadata(mcap.read_metadata())
            for message in self._inflate_messages(mcap.messages()):
                yield message, mcap.share

    def _inflate_messages(self, messages: Iterator[StoredMessage]) -> Iterator[StoredMessage]:
        for message in messages:
            if not self.metadata.is_message_compressed or not message.data:
                yield message
                continue
            try:
                data = inflate(message.data, "zstd", self._limits.max_chunk_bytes)
                yield dataclasses.replace(message, data=data)
            except InputError as error:
                self.report.drop(message.topic, "cannot be inflated", str(error))

    def _take_metadata(self, found: Mapping[str, Mapping[str, str]]) -> None:
        """Add what the file itself says to what metadata.yaml says."""
        custom = {key: text for values in found.values() for key, text in values.items()}
        stored = custom.pop("serialized_metadata", None)
        is_message_compressed = self.metadata.is_message_compressed
        if stored is not None:
            try:
                own = parse_metadata(stored)
            except InputError:
                own = BagMetadata()
            custom |= own.custom
            is_message_compressed |= own.is_message_compressed
        self.metadata = dataclasses.replace(
            self.metadata,
            custom={**custom, **self.metadata.custom},
            is_message_compressed=is_message_compressed,
        )

    def _read_metadata(self) -> BagMetadata:
        file = self._folder / _METADATA_NAME
        try:
            if file.stat().st_size > _MAX_METADATA_BYTES:
                raise InputError(f"it has more than {_MAX_METADATA_BYTES} bytes")
            return parse_metadata(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            self.report.note("no metadata.yaml; the files of the folder are read", is_loss=False)
        except (OSError, UnicodeDecodeError, InputError) as error:
            detail = str(error)[:200]
            self.report.note("a metadata.yaml that cannot be read", detail, is_loss=False)
        return BagMetadata()

    def _list_files(self) -> list[Path]:
        if self.metadata.file_names:
            return [self._folder / name for name in self.metadata.file_names]
        return sorted(path for path in self._folder.iterdir() if _is_storage(path))


def _is_storage(path: Path) -> bool:
    return path.name.endswith(_SUFFIXES)
