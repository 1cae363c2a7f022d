"""Figures of evaluations, in any shape -> results with their protocols, `model-index` metadata and Markdown tables."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from huggingface_hub import EvalResult


_RETRIEVAL_KEY = re.compile(r"(?:(?P<protocol>.+)/)?(?P<direction>t2m|m2t)/(?P<figure>[^/]+)")
_CLASSIFICATION_KEY = re.compile(r"top\d+(/class_mean)?")
_DIRECTIONS = {"t2m": "text to motion", "m2t": "motion to text"}
_METRIC_TYPES = {"MedR": "median_rank", "MeanR": "mean_rank"}
_WRAPPERS = ("test", "evaluation_data")  # sections of the `results.json` of a training run


class HubError(ValueError):
    """A card, an export or an upload that cannot be made; the message names the remedy."""


@dataclass(frozen=True)
class Result:
    """Figures of one kind on one data set: `protocol` is `None` for accuracies."""

    data: str
    protocol: str | None
    values: dict[str, float]
    queries: int | None = None
    spread: dict | None = None
    intervals: dict | None = None


def collect_results(metrics, data: str = "test set") -> list[Result]:
    """Figures in any shape that the package makes -> a list with the data set and the protocol of each.

    Args:
        metrics: [`RetrievalMetrics`], [`ClassificationMetrics`], their `to_dict()` or `labelled()`, a list of them, a
            mapping from the name of a data set to any of these or to `{protocol: figures}`, or the `results.json` of a
            training run as a dictionary.
        data (`str`, *optional*): Name of the data set where the figures come without one.

    Returns:
        `list[Result]`

    Raises:
        HubError: Figures without a protocol, or a number that is not finite.
    """
    return list(_collect(metrics, (), data))


def _collect(metrics, path: tuple[str, ...], default: str):
    if metrics is None:
        return
    if isinstance(metrics, (str, bytes)) or not isinstance(metrics, Iterable):
        raise HubError(
            f"`metrics` holds {metrics!r:.60}{' under ' + '/'.join(path) if path else ''}; figures of retrieval_metrics "
            "or classification_metrics are needed."
        )
    if not isinstance(metrics, Mapping):
        for item in metrics:
            yield from _collect(item, path, default)
        return
    if isinstance(metrics.get("metrics"), Mapping):  # what to_dict() of either kind made
        if "label" in metrics or "protocol" in metrics:
            label = metrics.get("label") or metrics["protocol"]
            yield _retrieval(metrics["metrics"], path, default, label, metrics)
        else:
            yield _accuracies(metrics["metrics"], path, default, metrics.get("num_motions"))
        return
    if hasattr(metrics, "label") and hasattr(metrics, "num_queries"):
        yield _retrieval(metrics, path, default, metrics.label, vars(metrics))
        return
    if metrics and all(_CLASSIFICATION_KEY.fullmatch(str(key)) for key in metrics):
        yield _accuracies(metrics, path, default, getattr(metrics, "num_motions", None))
        return
    matches = {key: _RETRIEVAL_KEY.fullmatch(str(key)) for key in metrics}
    if metrics and all(matches.values()):
        by_protocol: dict[str | None, dict] = {}
        for key, match in matches.items():
            by_protocol.setdefault(match["protocol"], {})[f"{match['direction']}/{match['figure']}"] = metrics[key]
        for label, values in by_protocol.items():
            # {data set: {protocol: figures}}: the name right above is the protocol's
            if label is None and path and _is_protocol(path[-1]):
                yield _retrieval(values, path[:-1], default, path[-1], {})
            else:
                yield _retrieval(values, path, default, label, {})
        return
    if not path and _WRAPPERS[0] in metrics and _WRAPPERS[1] in metrics:
        metrics = {**metrics[_WRAPPERS[0]], **metrics[_WRAPPERS[1]]}
    for name, inner in metrics.items():
        yield from _collect(inner, (*path, str(name)), default)


def _is_protocol(label: str) -> bool:
    from .evaluation import PROTOCOLS

    return label.split("(")[0] in PROTOCOLS


def _retrieval(values, path, default: str, label: str | None, more: Mapping) -> Result:
    name = "/".join(path) or default
    if label is None or not _is_protocol(label):
        raise HubError(
            f"The figures of {name!r} ({', '.join(list(values)[:3])}, ...) come without the name of their protocol"
            f"{f' ({label!r} is none)' if label else ''}, and mean nothing without it; pass what retrieval_metrics "
            'returned, or {data set: {"all": figures}}.'
        )
    more = {key: more.get(key) for key in ("num_queries", "spread", "intervals")}
    return Result(name, label, _finite(values, name), more["num_queries"], more["spread"], more["intervals"])


def _accuracies(values, path, default: str, count: int | None) -> Result:
    name = "/".join(path) or default
    return Result(name, None, _finite(values, name), count)


def _finite(values, name: str) -> dict[str, float]:
    numbers = {}
    for key, value in values.items():
        try:
            numbers[str(key)] = float(value)
        except (TypeError, ValueError):
            numbers[str(key)] = math.nan
        if not math.isfinite(numbers[str(key)]):
            raise HubError(
                f"The figure {key!r} of {name!r} is {value!r}; a card holds finite numbers. Evaluate again."
            )
    return numbers


def eval_results(results: list[Result]) -> list[EvalResult]:
    """Results -> the entries of a card's `model-index`, the protocol in the name of each figure."""
    entries = []
    for result in results:
        retrieval = result.protocol is not None
        common = {
            "task_type": "motion-retrieval" if retrieval else "zero-shot-motion-classification",
            "task_name": "Text-motion retrieval" if retrieval else "Zero-shot motion classification",
            "dataset_name": result.data,
            "dataset_type": re.sub(r"[^\w.-]+", "-", result.data.lower()).strip("-") or "data",
            "dataset_split": "test",
        }
        for key, value in result.values.items():
            if retrieval:
                direction, figure = key.split("/", 1)
                name = f"{_DIRECTIONS[direction]} {figure} (protocol {result.protocol})"
                kind = f"recall_at_{figure[2:]}" if figure.startswith("R@") else _METRIC_TYPES.get(figure, figure)
            else:
                name = key.replace("top", "top-").replace("/class_mean", " accuracy, mean over classes")
                name, kind = name if "accuracy" in name else f"{name} accuracy", "accuracy"
            arguments = {"protocol": result.protocol} if retrieval else None
            entries.append(
                EvalResult(
                    **common, metric_type=kind, metric_value=round(value, 4), metric_name=name, metric_args=arguments
                )
            )
    return entries


def result_tables(results: list[Result]) -> list[dict[str, str]]:
    """Markdown tables, one a data set and kind of figures."""
    groups: dict[tuple[str, bool], list[Result]] = {}
    for result in results:
        groups.setdefault((result.data, result.protocol is not None), []).append(result)
    tables = []
    for (data, retrieval), members in groups.items():
        rows = []
        for result in members:
            for direction, title in _DIRECTIONS.items() if retrieval else ((None, None),):
                prefix = f"{direction}/" if retrieval else ""
                cells = {k.removeprefix(prefix): _cell(result, k) for k in result.values if k.startswith(prefix)}
                lead = [result.protocol, title] if retrieval else []
                rows.append(([*lead, str(result.queries or "-")], cells))
        figures = list(dict.fromkeys(name for _, cells in rows for name in cells))
        head = [*(["protocol", "direction", "queries"] if retrieval else ["motions"]), *figures]
        lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
        lines += ["| " + " | ".join([*lead, *(cells.get(f, "-") for f in figures)]) + " |" for lead, cells in rows]
        kind = "Retrieval" if retrieval else "Zero-shot classification"
        tables.append({"title": f"{kind} on {data}", "text": "\n".join(lines)})
    return tables


def _cell(result: Result, key: str) -> str:
    text = f"{result.values[key]:.2f}"
    if result.spread and key in result.spread:
        text += f" ± {result.spread[key]:.2f}"
    if result.intervals and key in result.intervals:
        low, high = result.intervals[key]
        text += f" [{low:.2f}, {high:.2f}]"
    return text


__all__ = ["HubError", "Result", "collect_results", "eval_results", "result_tables"]
