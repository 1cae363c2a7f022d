"""Similarities (Q queries x C candidates) -> the place of each query's best correct candidate, with ties defined.

A query may have several correct candidates; the best of them counts. Three numbers say everything about its place:
how many candidates score higher than it (all of them wrong), and how many correct and wrong ones score the same.
Sorting is not needed, and no order of the candidates can change the result. Four rules turn the numbers into a place:

| rule | place (from 0) | share of hits at k |
| --- | --- | --- |
| `"expected"` | mean over all orders of the tied ones, `better + wrong / (correct + 1)` | the share of those orders in which a correct one is among the first k |
| `"average"` | mean place of the tied ones, `better + (correct + wrong - 1) / 2`, as TMR takes it | 1 where the place is below k |
| `"optimistic"` | a correct one comes first, `better` | 1 where the place is below k |
| `"pessimistic"` | the wrong ones come first, `better + wrong` | 1 where the place is below k |

Without ties the four agree. `"expected"` gives constant embeddings exactly the score of chance. `"optimistic"` gives
them 100 and is here only for comparison with code that counts so.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .checks import EvaluationError, check_finite, to_numpy


TIE_RULES = ("expected", "average", "optimistic", "pessimistic")


class TieCounts(NamedTuple):
    """For each query: candidates above its best correct one, and correct and wrong ones level with it (int64)."""

    better: np.ndarray
    tied_correct: np.ndarray
    tied_wrong: np.ndarray


def count_ties(similarity: np.ndarray, correct: np.ndarray, tolerance: float = 0.0) -> TieCounts:
    """Counts the candidates above and level with each query's best correct one.

    Args:
        similarity (`np.ndarray` of shape `(..., Q, C)`): Higher is closer.
        correct (`np.ndarray` of bool, broadcastable to `(..., Q, C)`): Which candidates are right; at least one a query.
        tolerance (`float`, *optional*, defaults to 0.0):
            Scores that differ by no more than this are level, for scores with rounding errors.

    Returns:
        [`TieCounts`] of arrays `(..., Q)`.
    """
    best = np.max(similarity, axis=-1, keepdims=True, where=correct, initial=-np.inf)
    if np.isneginf(best).any():
        raise EvaluationError("A query has no correct candidate; at least its own pair must be correct.")
    not_below = similarity >= best - tolerance
    better = np.count_nonzero(similarity > best + tolerance, axis=-1)
    level = np.count_nonzero(not_below, axis=-1) - better
    tied_correct = np.count_nonzero(not_below & correct, axis=-1)
    return TieCounts(better, tied_correct, level - tied_correct)


def places(counts: TieCounts, ties: str = "expected") -> np.ndarray:
    """Place from 0 of each query's best correct candidate under a rule for ties (table at the top), float64."""
    better = counts.better.astype(np.float64)
    if ties == "expected":
        return better + counts.tied_wrong / (counts.tied_correct + 1)
    if ties == "average":
        return better + (counts.tied_correct + counts.tied_wrong - 1) / 2
    if ties == "optimistic":
        return better
    if ties == "pessimistic":
        return better + counts.tied_wrong
    raise EvaluationError(f"Unknown rule for ties {ties!r}; known: {', '.join(TIE_RULES)}.")


def hits_at_k(counts: TieCounts, ks: Sequence[int], ties: str = "expected") -> np.ndarray:
    """Whether a correct candidate is among the first k, float64 `(..., Q, len(ks))` in [0, 1]."""
    ks = tuple(ks)
    if ties != "expected":
        return (places(counts, ties)[..., None] < np.array(ks)).astype(np.float64)
    hits = np.empty((*counts.better.shape, len(ks)))
    # Probability that the first `slot` of the level candidates, in random order, are all wrong.
    all_wrong = np.ones(counts.better.shape)
    level = counts.tied_correct + counts.tied_wrong
    last = int((counts.better + level).max())  # from here on every query has its hit
    for k in range(1, min(max(ks), last) + 1):
        slot = k - 1 - counts.better  # which of the level candidates stands at place k - 1; negative before them
        drawn = (slot >= 0) & (slot < level)
        left_wrong = np.maximum(counts.tied_wrong - slot, 0)
        all_wrong = np.where(drawn, all_wrong * left_wrong / np.where(drawn, level - slot, 1), all_wrong)
        for index in np.flatnonzero(np.array(ks) == k):
            hits[..., index] = 1.0 - all_wrong
    hits[..., np.array(ks) > last] = 1.0
    return hits


def ranks_from_similarity(similarity, correct=None, *, ties: str = "expected", tolerance: float = 0.0) -> np.ndarray:
    """Rank from 1 of each query's best correct candidate.

    Args:
        similarity (array of shape `(Q, C)`): Score of each candidate for each query; higher is closer.
        correct (array of bool of shape `(Q, C)`, *optional*): Defaults to the diagonal: candidate i belongs to query i.
        ties (`str`, *optional*, defaults to `"expected"`): `"expected"`, `"average"`, `"optimistic"`, `"pessimistic"`.
        tolerance (`float`, *optional*, defaults to 0.0): Scores this close are level.

    Returns:
        `np.ndarray` of float64, shape `(Q,)`; fractional where candidates are level.

    Raises:
        EvaluationError: Shapes that do not fit, scores that are not finite, a query with nothing correct.

    Example:

    ```python
    >>> from modeling_motionpatch.evaluation import ranks_from_similarity
    >>> ranks_from_similarity([[0.9, 0.1], [0.7, 0.2]])
    array([1., 2.])
    ```
    """
    similarity = to_numpy(similarity, "similarity")
    if similarity.ndim != 2 or 0 in similarity.shape:
        raise EvaluationError(f"`similarity` has shape {similarity.shape}; expected (queries, candidates).")
    check_finite(similarity, "similarity")
    if correct is None:
        if similarity.shape[0] != similarity.shape[1]:
            raise EvaluationError(
                f"`similarity` has shape {similarity.shape}: not square, so say which are `correct`."
            )
        correct = np.eye(len(similarity), dtype=bool)
    correct = to_numpy(correct, "correct") != 0
    if correct.shape != similarity.shape:
        raise EvaluationError(
            f"`correct` has shape {correct.shape} and `similarity` {similarity.shape}; make them equal."
        )
    return places(count_ties(similarity, correct, tolerance), ties) + 1.0
