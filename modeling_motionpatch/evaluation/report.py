"""What an evaluation found -> a table, JSON, and the results on a model's card, each figure with its protocol."""

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .checks import EvaluationError
from .classification import ClassificationMetrics
from .results import RetrievalMetrics, average_runs, format_retrieval_table


@dataclass
class EvaluationReport:
    """Figures of one model on one split, and what they were measured with.

    Args:
        model (`str`): Name or folder of the model.
        data (`dict`): `name`, `split`, `num_rows` (in the figures) and `left_out` (reason -> number).
        task (`str`): `"retrieval"` or `"classification"`.
        retrieval (`dict[str, RetrievalMetrics]`): By the protocol's label, such as `"small_batches(32)"`.
        classification (`ClassificationMetrics`, *optional*): For the task of that name.
        settings (`dict`): What else decided the figures.
        seconds (`dict[str, float]`): How long the parts took.
    """

    model: str
    data: dict
    task: str
    retrieval: dict[str, RetrievalMetrics] = field(default_factory=dict)
    classification: ClassificationMetrics | None = None
    settings: dict = field(default_factory=dict)
    seconds: dict = field(default_factory=dict)

    def to_dict(self) -> dict:
        """Everything, ready for JSON; NaN does not occur."""
        values = {"model": self.model, "data": dict(self.data), "task": self.task}
        if self.task == "retrieval":
            values["protocols"] = {label: metrics.to_dict() for label, metrics in self.retrieval.items()}
        else:
            values["classification"] = self.classification.to_dict()
        return {**values, "settings": dict(self.settings), "seconds": dict(self.seconds), "versions": _versions()}

    def save(self, path: str | os.PathLike) -> Path:
        """Writes [`to_dict`] as JSON; the file appears when it is complete."""
        return write_json(path, self.to_dict())

    def table(self) -> str:
        """The figures as a Markdown table; every line names its protocol."""
        if self.task == "retrieval":
            return format_retrieval_table(self.retrieval.values())
        figures = self.classification
        names = list(figures)
        lines = ["| task | motions | classes | " + " | ".join(names) + " |", "|" + " --- |" * (len(names) + 3)]
        cells = " | ".join(f"{figures[name]:.2f}" for name in names)
        lines.append(f"| zero-shot | {figures.num_motions} | {len(figures.class_names)} | {cells} |")
        return "\n".join(lines)


def average_reports(reports: Sequence[EvaluationReport]) -> dict[str, RetrievalMetrics]:
    """Retrieval reports of several models (seeds of training) on one split -> the mean by protocol, with its spread.

    Raises:
        EvaluationError: Reports of different data or protocols; their figures do not mean the same.
    """
    reports = list(reports)
    if not reports:
        raise EvaluationError("There is no report to average.")
    first = reports[0]
    for report in reports[1:]:
        if report.data != first.data or report.retrieval.keys() != first.retrieval.keys():
            raise EvaluationError(
                f"{first.model!r} and {report.model!r} were evaluated on different data or protocols; their figures are "
                "not averaged."
            )
    return {label: average_runs(report.retrieval[label] for report in reports) for label in first.retrieval}


# --------------------------------------------------------------------------------------------------------------------
# Card and files


def update_model_card(folder: str | os.PathLike, reports: EvaluationReport | Iterable[EvaluationReport]) -> Path:
    """Writes figures into the README of a model's folder: its metadata (`model-index`) and a table in its text.

    Figures of the same data, split and protocol that are there already are replaced, all others stay.

    Args:
        folder (`str` or `os.PathLike`): Folder of the model; the README is made where there is none.
        reports ([`EvaluationReport`] or several): What to write.

    Returns:
        `Path`: the README.

    Raises:
        EvaluationError: No folder, or a README whose metadata cannot be read.
    """
    from huggingface_hub import ModelCard, ModelCardData

    folder = Path(folder)
    if not folder.is_dir():
        raise EvaluationError(f"{str(folder)!r} is no folder, so it has no card to update; give a model's folder.")
    path = folder / "README.md"
    if path.is_file():
        try:
            card = ModelCard(path.read_text(encoding="utf-8"))
        except Exception as error:  # YAML errors of several kinds
            raise EvaluationError(f"{path}: the metadata at its top cannot be read ({error}); repair it.") from error
    else:
        data = ModelCardData(library_name="transformers", tags=["motion-retrieval", "motionpatch"])
        card = ModelCard(f"---\n{data.to_yaml()}\n---\n\n# {folder.resolve().name}\n")
    for report in [reports] if isinstance(reports, EvaluationReport) else list(reports):
        new, section = _card_parts(report)
        old = [item for item in card.data.eval_results or [] if not any(_same_figure(item, other) for other in new)]
        card.data.eval_results = old + new
        card.text = _with_section(card.text, f"{report.data['name']}/{report.data['split']} {report.task}", section)
    card.data.model_name = card.data.model_name or folder.resolve().name
    card.save(path)
    return path


def write_json(path: str | os.PathLike, values: Mapping) -> Path:
    """Writes JSON so that a half-written file never has the name."""
    path = Path(path).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _card_parts(report: EvaluationReport) -> tuple[list, str]:
    """Entries of the card's metadata, and the tables of its text, as a card that is written at once has them."""
    from ..card_results import collect_results, eval_results, result_tables

    figures = list(report.retrieval.values()) if report.task == "retrieval" else report.classification
    results = collect_results(figures, report.data["name"] or "unnamed")
    entries = eval_results(results)
    for entry in entries:
        entry.dataset_split = report.data["split"] or None
    split = f", split {report.data['split']}" if report.data["split"] else ""
    tables = "\n\n".join(f"{table['title']}{split}:\n\n{table['text']}" for table in result_tables(results))
    note = "\n\nFigures of different protocols must not be compared." if report.task == "retrieval" else ""
    return entries, tables + note


def _same_figure(one, other) -> bool:
    keys = ("task_type", "dataset_type", "dataset_split", "metric_type", "metric_name")
    return all(getattr(one, key) == getattr(other, key) for key in keys)


def _with_section(text: str, what: str, section: str) -> str:
    """The card's text with tables in it, between marks by which the next update finds them."""
    start, end = f"<!-- evaluation: {what} -->", "<!-- end of evaluation -->"
    marked = f"{start}\n{section}\n{end}"
    pattern = re.compile(re.escape(start) + r".*?" + re.escape(end), re.DOTALL)
    if pattern.search(text):
        return pattern.sub(lambda _: marked, text, count=1)
    heading = re.compile(r"^## Evaluation[ \t]*\n(\s*Not evaluated\.[ \t]*\n)?", re.MULTILINE)
    if heading.search(text):
        return heading.sub(lambda _: f"## Evaluation\n\n{marked}\n", text, count=1)
    return f"{text.rstrip()}\n\n## Evaluation\n\n{marked}\n"


def _versions() -> dict:
    import importlib.metadata as metadata

    found = {}
    for package in ("modeling-motionpatch", "torch", "transformers", "timm", "numpy"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


__all__ = ["EvaluationReport", "average_reports", "update_model_card", "write_json"]
