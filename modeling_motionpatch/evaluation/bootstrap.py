"""Scores of single queries (or batches) -> percentile bootstrap intervals of their mean or median.

The units are drawn again with replacement and the statistic is taken of each draw (Efron 1979). The gallery stays as
it is: an interval says how far a figure would move with other queries, not with other training runs.
"""

import numpy as np

from .checks import EvaluationError, check_count


_DRAWN_AT_ONCE = 2_000_000  # values gathered at a time: 16 MB of float64


def check_confidence(confidence: float) -> float:
    """A level between 0 and 1, such as 0.95."""
    if isinstance(confidence, bool) or not isinstance(confidence, float) or not 0.0 < confidence < 1.0:
        raise EvaluationError(f"confidence={confidence!r}; expected a number between 0 and 1, such as 0.95.")
    return confidence


def bootstrap_intervals(
    values: np.ndarray,
    statistic: str = "mean",
    *,
    confidence: float = 0.95,
    num_bootstrap: int = 1000,
    sample_size: int | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Percentile interval of the mean or the median of each column.

    Args:
        values (`np.ndarray` of shape `(units, columns)`): One row a unit; all columns are drawn together.
        statistic (`str`, *optional*, defaults to `"mean"`): `"mean"` or `"median"`.
        confidence (`float`, *optional*, defaults to 0.95): Share of the draws inside the interval.
        num_bootstrap (`int`, *optional*, defaults to 1000): Number of draws.
        sample_size (`int`, *optional*):
            Units in a draw; all of them by default. Smaller where the units repeat each other, as the batches of
            several shuffles do, so that the interval is not made narrower by repeating.
        seed (`int`, *optional*, defaults to 0): The same seed gives the same interval.

    Returns:
        `np.ndarray` of float64, shape `(columns, 2)`: low and high end.

    Raises:
        EvaluationError: Fewer than two units, a confidence outside (0, 1), an unknown statistic.
    """
    confidence = check_confidence(confidence)
    num_bootstrap = check_count(num_bootstrap, "num_bootstrap")
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or len(values) < 2:
        raise EvaluationError(f"A bootstrap needs at least two units (rows); got an array of shape {values.shape}.")
    if statistic not in ("mean", "median"):
        raise EvaluationError(f"Unknown statistic {statistic!r}; known: mean, median.")
    size = len(values) if sample_size is None else check_count(sample_size, "sample_size", minimum=2)
    take = np.mean if statistic == "mean" else np.median
    generator = np.random.default_rng(seed)
    step = max(1, _DRAWN_AT_ONCE // (size * values.shape[1]))
    drawn = []
    for start in range(0, num_bootstrap, step):
        index = generator.integers(len(values), size=(min(step, num_bootstrap - start), size))
        drawn.append(take(values[index], axis=1))
    tail = 50.0 * (1.0 - confidence)
    return np.percentile(np.concatenate(drawn), [tail, 100.0 - tail], axis=0).T
