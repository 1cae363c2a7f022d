"""`metadata.jsonl` or `metadata.csv` of a motionfolder -> one `MotionEntry` a file, in the order of the lines.

A line has `file_name` (relative to the folder), `captions` (a text or a list) or `text`, and optionally `id`, `split`,
`label`, `fps`, `skeleton`, and further fields, whose single values become columns.
"""

import csv
import io
import json
import ntpath
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .report import MotionDataError
from .sources import read_text, split_name


METADATA_FILES = ("metadata.jsonl", "metadata.csv")
CAPTION_FIELDS = ("captions", "caption", "text")
RESERVED = ("file_name", "id", "split", "fps", "skeleton", "motion", *CAPTION_FIELDS)
INTEGER = r"-?(0|[1-9]\d{0,17})"  # fits 64 bits; no leading zeros, which only codes have
NUMBER = r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d{1,2})?"
SPLIT_PATTERN = r"\w+(\.\w+)*"  # what the datasets library accepts


@dataclass
class MotionEntry:
    """What the metadata says about one motion file.

    Args:
        file_name (`str`): Path inside the folder, with forward slashes.
        captions (`list[str]`): May be empty, for folders that are only searched.
        split (`str`): Where the row goes.
        fps (`float`, *optional*): For files that do not say.
        skeleton (`str` or `dict`, *optional*): For files that do not say.
        row_id (`str`, *optional*): The row's id.
        extras (`dict`): Single values that become columns.
        where (`str`): The line, for messages.
    """

    file_name: str
    captions: list[str] = field(default_factory=list)
    split: str = "train"
    fps: float | None = None
    skeleton: str | dict | None = None
    row_id: str | None = None
    extras: dict = field(default_factory=dict)
    where: str = ""


def read_metadata(path: Path) -> list[MotionEntry]:
    """Reads a metadata file.

    Several lines of one file (a caption each, as tables often have it) become one entry with all captions.

    Raises:
        MotionDataError: A line is broken, lacks `file_name`, names a file outside the folder, or contradicts an
            earlier line; the message names the line.
    """
    entries: dict[str, MotionEntry] = {}
    lines = _csv_lines(path) if path.suffix == ".csv" else _json_lines(path)
    for where, fields in lines:
        entry = _entry(where, fields)
        earlier = entries.get(entry.file_name)
        if earlier is None:
            entries[entry.file_name] = entry
            continue
        for name in ("split", "fps", "skeleton", "row_id", "extras"):
            if getattr(entry, name) != getattr(earlier, name):
                raise MotionDataError(
                    f"{where}: {entry.file_name!r} was listed before ({earlier.where}) with another {name}; give a "
                    "file one line, or lines that differ in nothing but the caption."
                )
        earlier.captions.extend(caption for caption in entry.captions if caption not in earlier.captions)
    _check_ids(entries)
    return list(entries.values())


def _check_ids(entries: dict[str, MotionEntry]) -> None:
    seen: dict[str, str] = {}
    for entry in entries.values():
        if entry.row_id is not None and seen.setdefault(entry.row_id, entry.where) != entry.where:
            raise MotionDataError(f"{entry.where}: the id {entry.row_id!r} was used before ({seen[entry.row_id]}).")


def _json_lines(path: Path) -> Iterator[tuple[str, dict]]:
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            fields = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise MotionDataError(f"{where}: no valid JSON ({error}); each line is one JSON object.") from None
        if not isinstance(fields, dict):
            raise MotionDataError(f"{where}: is {type(fields).__name__}, not an object with file_name and captions.")
        yield where, fields


def _csv_lines(path: Path) -> Iterator[tuple[str, dict]]:
    reader = csv.DictReader(io.StringIO(read_text(path)), strict=True)
    records = []
    try:
        for record in reader:
            where = f"{path}, line {reader.line_num}"
            if None in record:
                raise MotionDataError(f"{where}: has more cells than the header; put texts with commas in quotes.")
            if None in record.values():
                raise MotionDataError(f"{where}: has fewer cells than the header ({', '.join(record)}).")
            records.append((where, record))
    except csv.Error as error:
        raise MotionDataError(f"{path}, line {reader.line_num}: no valid CSV ({error}).") from None
    for name in reader.fieldnames or ():
        if name not in RESERVED and name != "label":  # a table's cells are text; numbers are told by the whole column
            convert = _number_type([record[name] for _, record in records])
            for _, record in records:
                record[name] = convert(record[name])
    for where, record in records:
        for name in CAPTION_FIELDS:
            cell = (record.get(name) or "").strip()
            if cell.startswith("[") and cell.endswith("]"):
                try:
                    record[name] = json.loads(cell)
                except json.JSONDecodeError:
                    pass  # a text in brackets
        yield where, {name: value for name, value in record.items() if value != ""}


def _number_type(cells: list[str]) -> type:
    """int or float where every cell is written as one (`007` is a text), else str."""
    if cells and all(re.fullmatch(INTEGER, cell) for cell in cells):
        return int
    if cells and all(re.fullmatch(NUMBER, cell) for cell in cells):
        return float
    return str


def _entry(where: str, fields: dict) -> MotionEntry:
    file_name = fields.get("file_name")
    if not isinstance(file_name, str) or not file_name.strip():
        raise MotionDataError(f"{where}: has no file_name; each line names one motion file of the folder.")
    fps = fields.get("fps")
    if fps is not None:
        try:
            fps = float(fps)
        except (TypeError, ValueError):
            raise MotionDataError(f"{where}: fps is {fps!r}; give frames a second as a number.") from None
    skeleton = fields.get("skeleton")
    if skeleton is not None and not isinstance(skeleton, (str, dict)):
        raise MotionDataError(f"{where}: skeleton is {skeleton!r}; give a registered name or joints and parents.")
    split = fields.get("split")
    split = "train" if split is None else split
    if not isinstance(split, str) or not re.fullmatch(SPLIT_PATTERN, split_name(split)):
        raise MotionDataError(f"{where}: split is {split!r}; give a word such as train, validation or test.")
    row_id = fields.get("id")
    extras = {
        name: value
        for name, value in fields.items()
        if name not in RESERVED and isinstance(value, (str, int, float, bool))
    }
    return MotionEntry(
        file_name=_inside(where, file_name.strip()),
        captions=_captions(where, fields),
        split=split_name(split),
        fps=fps,
        skeleton=skeleton,
        row_id=None if row_id is None else str(row_id),
        extras=extras,
        where=where,
    )


def _captions(where: str, fields: dict) -> list[str]:
    for name in CAPTION_FIELDS:
        value = fields.get(name)
        if value is None:
            continue
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(text is None or isinstance(text, str) for text in texts):
            raise MotionDataError(f"{where}: {name} is {value!r}; give a text or a list of texts.")
        return [text.strip() for text in texts if text and text.strip()]
    return []


def _inside(where: str, file_name: str) -> str:
    """The name with forward slashes; one that leads out of the folder is refused."""
    name = file_name.replace("\\", "/")
    normal = posixpath.normpath(name)
    if (
        "\0" in name
        or name.startswith("/")
        or ntpath.splitdrive(name)[0]
        or normal == ".."
        or normal.startswith("../")
    ):
        raise MotionDataError(f"{where}: file_name {file_name!r} leads out of the folder; name a file inside it.")
    return normal
