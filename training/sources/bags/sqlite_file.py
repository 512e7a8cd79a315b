"""Messages of an SQLite bag file, in the order in which they were written.

SQLite has no checksums, so only damage of its own structure is seen. A file that was cut off is
opened all the same and read up to the first page that is missing.
"""

from __future__ import annotations

import contextlib
import sqlite3
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

from tavid_core.errors import InputError
from training.sources.bags.limits import BagLimits
from training.sources.bags.report import BagReport
from training.sources.bags.stored_message import StoredMessage
from training.sources.bags.typed_message import KNOWN_TYPES, MAX_DEFINITION_CHARACTERS

__all__ = ["SqliteFile"]

_SIGNATURE = b"SQLite format 3\0"
_MAX_METADATA_CHARACTERS = 4 * 1024 * 1024


class SqliteFile:
    """Reads one file from front to back.

    Args:
        path: The db3 file.
        name: What it is called in the report.
        limits: Sizes that are refused.
        report: Counts what is dropped; messages that come out are not counted here.
        is_wanted: Whether the content of a topic's messages is needed; others come out empty.

    Attributes:
        definitions: Message definition of known types by name, as (encoding, text); empty for old
            bags.
        share: How much of the file is read, 0..1.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        limits: BagLimits,
        report: BagReport,
        is_wanted: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._path, self._name = path, name
        self._limits, self._report = limits, report
        self._is_wanted = is_wanted
        self.definitions: dict[str, tuple[str, str]] = {}
        self.share = 0.0

    def read_metadata(self) -> dict[str, dict[str, str]]:
        """Read what the recorder wrote into the file itself, since Iron.

        Returns:
            Under "rosbag2" the text of a metadata.yaml; empty for older or damaged files.
        """
        query = "SELECT metadata FROM metadata WHERE length(metadata) <= ? ORDER BY id DESC LIMIT 1"
        try:
            with contextlib.closing(self._open()) as connection:
                row = connection.execute(query, (_MAX_METADATA_CHARACTERS,)).fetchone()
        except (sqlite3.Error, InputError):
            return {}
        return {"rosbag2": {"serialized_metadata": str(row[0])}} if row else {}

    def messages(self) -> Iterator[StoredMessage]:
        """Read the file once.

        Yields:
            Whole messages, in the order in which they were written.

        Raises:
            InputError: If it is no SQLite file, or none of a bag.
        """
        with contextlib.closing(self._open()) as connection:
            yield from self._read(connection)

    def _open(self) -> sqlite3.Connection:
        with self._path.open("rb") as file:
            if file.read(len(_SIGNATURE)) != _SIGNATURE:
                raise InputError(
                    f"{self._name} must be an SQLite file, got another beginning. "
                    "Is it a bag, and is it whole?"
                )
        name = urllib.parse.quote(str(self._path.absolute()))
        connection = sqlite3.connect(f"file:{name}?mode=ro&immutable=1", uri=True)
        # A table may hold text that is no UTF-8 after a bit flipped.
        connection.text_factory = lambda data: data.decode("utf-8", "replace")
        # Without this SQLite refuses a file with fewer pages than its header says.
        connection.execute("PRAGMA writable_schema=ON")
        return connection

    def _read(self, connection: sqlite3.Connection) -> Iterator[StoredMessage]:
        try:
            topics = self._read_topics(connection)
            self._read_definitions(connection)
        except sqlite3.Error as error:
            raise InputError(
                f"{self._name} must hold the tables of a bag, got {error}. Is it a bag?"
            ) from error
        last_id, end_id = None, _find_last_id(connection)
        try:
            for row_id, topic_id, received_ns, num_bytes, data in connection.execute(
                "SELECT id, topic_id, timestamp, length(data), "
                "CASE WHEN length(data) <= ? THEN data END FROM messages ORDER BY id",
                (self._limits.max_record_bytes,),
            ):
                last_id = row_id
                # In a damaged table a number may be something else.
                if isinstance(row_id, int):
                    self.share = min(1.0, max(0.0, row_id / max(1, end_id)))
                yield from self._make_message(topics, topic_id, received_ns, num_bytes, data)
        except (sqlite3.Error, OverflowError) as error:
            detail = f"{self._name}, behind message {last_id}: {error}"
            self._report.note("a file that is damaged or was cut off", detail, is_loss=True)

    def _read_topics(self, connection: sqlite3.Connection) -> dict[int, tuple[str, str, str]]:
        rows = connection.execute(
            "SELECT id, name, type, serialization_format FROM topics WHERE length(name) <= 1024 "
            "AND length(type) <= 1024 AND length(serialization_format) <= 1024 LIMIT 10000"
        )
        topics = {row[0]: tuple(str(value) for value in row[1:]) for row in rows}
        for name, type_name, _ in topics.values():
            self._report.topic(name, type_name)
        return topics

    def _read_definitions(self, connection: sqlite3.Connection) -> None:
        has_table = connection.execute(
            "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'message_definitions'"
        ).fetchone()
        if has_table:
            for row in connection.execute(
                "SELECT topic_type, substr(encoding, 1, 32), "
                "substr(encoded_message_definition, 1, ?) FROM message_definitions "
                "WHERE length(topic_type) <= 1024 LIMIT 10000",
                (MAX_DEFINITION_CHARACTERS + 1,),
            ):
                if row[0] not in KNOWN_TYPES:
                    continue
                self.definitions[str(row[0])] = (str(row[1]), str(row[2]))

    def _make_message(
        self,
        topics: dict[int, tuple[str, str, str]],
        topic_id: object,
        received_ns: object,
        num_bytes: object,
        data: object,
    ) -> Iterator[StoredMessage]:
        topic = topics.get(topic_id)
        if topic is None:
            self._report.drop("(unknown)", "of a topic that the file does not describe")
            return
        name, type_name, encoding = topic
        if encoding != "cdr":
            self._report.drop(name, f"encoded as {encoding[:32]!r}, not as cdr")
        elif data is None:
            self._report.drop(name, "larger than allowed", f"{num_bytes} bytes")
        elif not isinstance(data, bytes) or not isinstance(received_ns, int):
            self._report.drop(name, "stored as another type", self._name)
        else:
            wanted = data if self._is_wanted(name) else b""
            yield StoredMessage(name, type_name, received_ns, wanted)


def _find_last_id(connection: sqlite3.Connection) -> int:
    try:
        found = connection.execute("SELECT max(id) FROM messages").fetchone()[0]
    except (sqlite3.Error, OverflowError):
        return 0
    return found if isinstance(found, int) else 0
