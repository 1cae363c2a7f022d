"""Retrieval figures that carry the name of their protocol: a dict of percentages, tables, means over runs.

The same weights score 10.80 under one protocol and about 7.3 under another, so a figure without its protocol says
nothing. [`RetrievalMetrics`] behaves as the plain dict `{"t2m/R@1": ..., "t2m/MedR": ..., "m2t/R@1": ...}` and knows
how it was made; figures of different protocols are not averaged.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from .checks import EvaluationError


DIRECTIONS = ("t2m", "m2t")  # text-to-motion, motion-to-text


class RetrievalMetrics(dict):
    """`{"t2m/R@1": float, ..., "t2m/MedR": float, "m2t/R@1": ...}`, R@k in per cent, MedR in ranks from 1.

    Attributes:
        protocol (`str`): `"all"`, `"all_strict"`, `"threshold"`, `"dissimilar"` or `"small_batches"`.
        label (`str`): The protocol with the option that defines it, such as `"small_batches(32)"`.
        num_pairs (`int`): Pairs that were given.
        num_queries (`int`): Queries a direction that the figures are taken over, in one draw.
        options (`dict`): Seed, number of draws, rule for ties and what else decided the figures.
        intervals (`dict[str, tuple[float, float]]`): Bootstrap interval of each figure, when one was asked for.
        spread (`dict[str, float]`): Standard deviation over draws or runs, when there was more than one.
    """

    def __init__(self, values, *, protocol, label, num_pairs, num_queries, options=None, intervals=None, spread=None):
        super().__init__(values)
        self.protocol = protocol
        self.label = label
        self.num_pairs = num_pairs
        self.num_queries = num_queries
        self.options = dict(options or {})
        self.intervals = dict(intervals or {})
        self.spread = dict(spread or {})

    def copy(self) -> "RetrievalMetrics":
        """A copy that keeps the protocol (`dict.copy` would drop it)."""
        return RetrievalMetrics(self, **self.__dict__)

    def labelled(self) -> dict[str, float]:
        """The figures with their protocol in each name, for trackers: `{"all/t2m/R@1": ...}`."""
        return {f"{self.label}/{name}": value for name, value in self.items()}

    def to_dict(self) -> dict:
        """Everything, ready for JSON."""
        return {
            "protocol": self.protocol,
            "label": self.label,
            "num_pairs": self.num_pairs,
            "num_queries": self.num_queries,
            "options": dict(self.options),
            "metrics": dict(self),
            "intervals": {name: list(interval) for name, interval in self.intervals.items()},
            "spread": dict(self.spread),
        }

    def __repr__(self):
        return f"RetrievalMetrics({self.label!r}, {self.num_queries} queries, {dict(self)!r})"


def average_runs(runs: Iterable[RetrievalMetrics]) -> RetrievalMetrics:
    """Mean over runs (seeds of training, say) with the standard deviation between them in `.spread`.

    Args:
        runs (iterable of [`RetrievalMetrics`]): At least one, all with the same protocol, options and number of pairs.

    Returns:
        [`RetrievalMetrics`]: the means. Intervals of the single runs are not combined.

    Raises:
        EvaluationError: No run, or runs whose figures do not mean the same.
    """
    runs = list(runs)
    if not runs:
        raise EvaluationError("There is no run to average.")
    first = runs[0]
    for run in runs:
        for name in ("label", "num_pairs", "num_queries"):
            if getattr(run, name) != getattr(first, name):
                raise EvaluationError(
                    f"Runs differ in {name}: {getattr(first, name)!r} and {getattr(run, name)!r}; their figures do not "
                    "mean the same and are not averaged."
                )
        if run.keys() != first.keys() or run.options.get("ties") != first.options.get("ties"):
            raise EvaluationError(
                "Runs have different figures or rules for ties; evaluate them with the same options."
            )
    values = {name: float(np.mean([run[name] for run in runs])) for name in first}
    spread = {name: float(np.std([run[name] for run in runs], ddof=1)) for name in first} if len(runs) > 1 else {}
    return RetrievalMetrics(
        values,
        protocol=first.protocol,
        label=first.label,
        num_pairs=first.num_pairs,
        num_queries=first.num_queries,
        options={**first.options, "runs": len(runs)},
        spread=spread,
    )


def format_retrieval_table(
    results: RetrievalMetrics | Iterable[RetrievalMetrics] | Mapping[str, RetrievalMetrics], digits: int = 2
) -> str:
    """A Markdown table, one line a direction, each with its protocol; intervals in brackets, spread after ±.

    Args:
        results ([`RetrievalMetrics`], an iterable of them, or a mapping from a row's name to one): What to print.
        digits (`int`, *optional*, defaults to 2): Decimals.

    Returns:
        `str`: The table, without a newline at its end.
    """
    if isinstance(results, RetrievalMetrics):
        results = [results]
    named = results.items() if isinstance(results, Mapping) else [("", result) for result in results]
    rows = [(name, result, direction) for name, result in named for direction in DIRECTIONS]
    if not rows:
        raise EvaluationError("There is no result to print.")
    figures = list(dict.fromkeys(key.split("/", 1)[1] for _, result, _ in rows for key in result))
    titled = any(name for name, _, _ in rows)
    header = [*(["what"] if titled else []), "protocol", "queries", "direction", *figures]

    def cell(result: RetrievalMetrics, key: str) -> str:
        if key not in result:
            return "-"
        text = f"{result[key]:.{digits}f}"
        if key in result.spread:
            text += f" ± {result.spread[key]:.{digits}f}"
        if key in result.intervals:
            text += " [{:.{d}f}, {:.{d}f}]".format(*result.intervals[key], d=digits)
        return text

    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    for name, result, direction in rows:
        cells = [*([name] if titled else []), result.label, str(result.num_queries), direction]
        cells += [cell(result, f"{direction}/{figure}") for figure in figures]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
