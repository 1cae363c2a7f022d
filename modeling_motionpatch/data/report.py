"""What a data set could not use -> a list with reasons, counted by kind, logged once and saved beside the data."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path


LISTED_IN_SUMMARY = 3  # ids named per kind in the one-line summary; the report holds all of them


class MotionDataError(ValueError):
    """A data set folder, an option or a metadata line that cannot be used; the message names the remedy."""


@dataclass
class SkipReport:
    """Items of a data set that were left out, each with its reason; nothing is left out without an entry here.

    Args:
        dataset (`str`): Name of the data set.
        skipped (`list[dict]`, *optional*):
            One entry an item: `split`, `item` (id, file name, or `file:line`), `kind` (what is counted) and `detail`.
        notes (`list[str]`, *optional*): What was guessed or converted for the set as a whole, such as units.

    Example:

    ```python
    >>> report = SkipReport("humanml3d")
    >>> report.add("train", "000001", "missing motion file")
    >>> report.counts
    {'missing motion file': 1}
    ```
    """

    dataset: str
    skipped: list[dict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, split: str, item: str, kind: str, detail: str = "") -> None:
        """Records one item that is left out."""
        self.skipped.append({"split": split, "item": str(item), "kind": kind, "detail": str(detail)})

    def note(self, text: str) -> None:
        """Records, once, something that holds for the whole set."""
        if text not in self.notes:
            self.notes.append(text)

    def __len__(self) -> int:
        return len(self.skipped)

    @property
    def counts(self) -> dict[str, int]:
        """Kind -> number of items left out, most frequent first."""
        return dict(Counter(entry["kind"] for entry in self.skipped).most_common())

    def summary(self) -> str:
        """One line: how many items were left out, by kind, with the first of each."""
        if not self.skipped:
            return f"{self.dataset}: nothing was left out."
        kinds = []
        for kind, count in self.counts.items():
            items = [entry["item"] for entry in self.skipped if entry["kind"] == kind][:LISTED_IN_SUMMARY]
            kinds.append(f"{count} {kind} ({', '.join(items)}{', ...' if count > len(items) else ''})")
        return f"{self.dataset}: {len(self.skipped)} left out: {'; '.join(kinds)}."

    def save(self, path: str | Path) -> None:
        """Writes the report as JSON."""
        content = {"dataset": self.dataset, "counts": self.counts, "notes": self.notes, "skipped": self.skipped}
        Path(path).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> "SkipReport":
        """Reads what [`SkipReport.save`] wrote."""
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        return cls(content["dataset"], content["skipped"], content["notes"])
