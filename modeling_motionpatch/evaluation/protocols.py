"""Text and motion embeddings of n pairs -> recall and median rank in both directions, by five named protocols.

| protocol | gallery | correct | ties |
| --- | --- | --- | --- |
| `all` | all n | every item whose caption is the same string (the paper's Tables 2, 3) | expected |
| `all_strict` | all n | only the pair itself (TMR) | average |
| `threshold` | all n | items whose captions are more alike than a threshold (TMR, 0.95) | average |
| `dissimilar` | 100 pairs with captions far apart | only the pair itself (TMR) | average |
| `small_batches` | random batches of 32 | the same caption string in the batch (the paper's Table 2) | expected |

Ties. The official code sorts with an unstable sort, so a correct item that is level with wrong ones lands anywhere
among them. `expected` is the exact mean over all such orders: constant embeddings score chance. TMR gives level items
their mean place, counted from 0, and calls it a hit at k when that is below k: of two level items either is a hit at
1. `ties=` overrides the rule; see `ranks.py`. Cosines are taken in float64 and are level when they differ by no more
than `TIE_TOLERANCE`, which is far above float64's rounding and far below the steps of float32 embeddings.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from .bootstrap import bootstrap_intervals, check_confidence
from .checks import (
    EvaluationError,
    caption_groups,
    check_count,
    check_embeddings,
    check_finite,
    check_ks,
    check_pair,
    to_numpy,
    unit_rows,
)
from .ranks import TIE_RULES, TieCounts, count_ties, hits_at_k, places
from .results import DIRECTIONS, RetrievalMetrics
from .subsets import dissimilar_subset, random_batches


PROTOCOLS = ("all", "all_strict", "threshold", "dissimilar", "small_batches")
DEFAULT_KS = (1, 2, 3, 5, 10)  # what the official code and TMR print
DEFAULT_TIES = {
    "all": "expected",
    "all_strict": "average",
    "threshold": "average",
    "dissimilar": "average",
    "small_batches": "expected",
}
TIE_TOLERANCE = 1e-12  # of a cosine; a dot product of 10^4 float64 terms is off by about 1e-14
_BLOCK_VALUES = 2_000_000  # similarities compared at a time: 16 MB of float64
_WHOLE_VALUES = 32_000_000  # similarities kept instead of made twice: 256 MB of float64, 5,656 pairs


class _Similarity:
    """Similarities of n texts to n motions: read from a matrix, or made from embeddings, block by block if many."""

    def __init__(self, texts: np.ndarray | None = None, motions: np.ndarray | None = None, matrix=None):
        self.texts, self.motions, self.matrix = texts, motions, matrix
        self.count = len(texts) if matrix is None else len(matrix)

    def block(self, direction: str, rows: np.ndarray, columns: np.ndarray | None = None) -> np.ndarray:
        """Queries `rows` against candidates `columns` (all by default); both may be batches `(..., b)` of indices."""
        if columns is None and self.matrix is None and self.count**2 <= _WHOLE_VALUES:
            self.matrix = self.texts @ self.motions.T  # one product serves both directions
        if self.matrix is not None:
            matrix = self.matrix if direction == "t2m" else self.matrix.T
            return matrix[rows] if columns is None else matrix[rows[..., :, None], columns[..., None, :]]
        queries, candidates = (self.texts, self.motions) if direction == "t2m" else (self.motions, self.texts)
        if columns is not None:
            candidates = candidates[columns]
        return queries[rows] @ np.swapaxes(candidates, -1, -2)


def retrieval_metrics(
    text_embeds,
    motion_embeds,
    captions: Sequence[str] | None = None,
    protocol: str = "all",
    *,
    ks: Sequence[int] = DEFAULT_KS,
    normalize: bool = True,
    caption_embeds=None,
    caption_similarity=None,
    threshold: float = 0.95,
    num_dissimilar: int = 100,
    batch_size: int = 32,
    duplicates: str = "correct",
    seed: int = 0,
    repeats: int = 1,
    confidence: float | None = None,
    num_bootstrap: int = 1000,
    ties: str | None = None,
) -> RetrievalMetrics:
    """Text-to-motion (t2m) and motion-to-text (m2t) recall and median rank of n pairs, by one named protocol.

    Args:
        text_embeds (`np.ndarray` or `torch.Tensor` of shape `(n, D)`): Row i is the text of pair i. Any float type.
        motion_embeds (`np.ndarray` or `torch.Tensor` of shape `(n, D)`): Row i is the motion of pair i.
        captions (`Sequence[str]` of length n, *optional*):
            The caption that each text embedding was made of. Needed by `"all"` and `"small_batches"`.
        protocol (`str`, *optional*, defaults to `"all"`):
            `"all"`, `"all_strict"`, `"threshold"`, `"dissimilar"` or `"small_batches"`; the table at the top of the
            module says what each counts. Their figures must not be compared with one another.
        ks (`Sequence[int]`, *optional*, defaults to `(1, 2, 3, 5, 10)`): Where recall is read.
        normalize (`bool`, *optional*, defaults to `True`): Compare by cosine; `False` compares by dot product.
        caption_embeds (`np.ndarray` or `torch.Tensor` of shape `(n, E)`, *optional*):
            Sentence embeddings of the captions from a model apart from the one evaluated (TMR: all-mpnet-base-v2).
            `"threshold"` and `"dissimilar"` need these or `caption_similarity`. Their cosine c becomes the similarity
            (1 + c) / 2, as in TMR's code, so its threshold 0.95 is a cosine of 0.9.
        caption_similarity (array of shape `(n, n)`, *optional*):
            Symmetric similarities of the captions, instead of `caption_embeds`; compared with `threshold` as they are.
        threshold (`float`, *optional*, defaults to 0.95): For `"threshold"`: captions more alike than this count.
        num_dissimilar (`int`, *optional*, defaults to 100): For `"dissimilar"`: pairs in the subset.
        batch_size (`int`, *optional*, defaults to 32): For `"small_batches"`; an incomplete last batch is left out.
        duplicates (`str`, *optional*, defaults to `"correct"`):
            For `"small_batches"`: whether another item with the identical caption is `"correct"` (official code) or
            `"wrong"` (TMR; captions are then not needed, and ties take their average place).
        seed (`int`, *optional*, defaults to 0): Of the batches, the subset's first pair and the bootstrap.
        repeats (`int`, *optional*, defaults to 1):
            For `"small_batches"` and `"dissimilar"`: draws to average; `.spread` has their standard deviation.
        confidence (`float`, *optional*):
            Level, such as 0.95, of the bootstrap intervals in `.intervals`: over queries, or over batches for
            `"small_batches"`.
        num_bootstrap (`int`, *optional*, defaults to 1000): Bootstrap draws.
        ties (`str`, *optional*): Another rule for level scores than the protocol's own; see `ranks.py`.

    Returns:
        [`RetrievalMetrics`]: a dict `{"t2m/R@1": ..., "t2m/MedR": ..., "m2t/R@1": ...}`, R@k in per cent, MedR in ranks
        from 1, with `.protocol`, `.label`, `.intervals`, `.spread` and `.options`.

    Raises:
        EvaluationError: Different counts or widths, NaN or infinite values, zero rows, captions missing where the
            protocol needs them, more pairs asked for than given, an unknown protocol.

    Example:

    ```python
    >>> import numpy as np
    >>> from modeling_motionpatch import retrieval_metrics
    >>> embeds = np.eye(3)
    >>> metrics = retrieval_metrics(embeds, embeds[[0, 2, 1]], ["walk", "run", "run"], protocol="all")
    >>> metrics["t2m/R@1"], metrics.label
    (100.0, 'all')
    ```
    """
    _check_protocol(protocol)
    texts, motions = check_pair(text_embeds, motion_embeds, ("text_embeds", "motion_embeds"))
    if normalize:
        texts, motions = unit_rows(texts, "text_embeds"), unit_rows(motions, "motion_embeds")
        tolerance = TIE_TOLERANCE
    else:
        with np.errstate(over="ignore"):
            longest = [np.linalg.norm(embeds, axis=1).max() for embeds in (texts, motions)]
            tolerance = TIE_TOLERANCE * float(longest[0] * longest[1])
        if not np.isfinite(tolerance):
            raise EvaluationError("The embeddings are so large that their dot products overflow; scale them down.")
    return _evaluate(
        _Similarity(texts, motions),
        captions,
        protocol,
        tolerance,
        ks=ks,
        caption_embeds=caption_embeds,
        caption_similarity=caption_similarity,
        threshold=threshold,
        num_dissimilar=num_dissimilar,
        batch_size=batch_size,
        duplicates=duplicates,
        seed=seed,
        repeats=repeats,
        confidence=confidence,
        num_bootstrap=num_bootstrap,
        ties=ties,
    )


def retrieval_metrics_from_similarity(
    similarity, captions: Sequence[str] | None = None, protocol: str = "all", **options
) -> RetrievalMetrics:
    """The same figures from a matrix of scores, for models whose score is not a dot product of two vectors.

    Args:
        similarity (array of shape `(n, n)`):
            Score of text i (row) with motion j (column); higher is closer. Scores are level only when equal.
        captions, protocol: As for [`retrieval_metrics`].
        **options: The keyword arguments of [`retrieval_metrics`], without `normalize`.

    Returns:
        [`RetrievalMetrics`]

    Raises:
        EvaluationError: As for [`retrieval_metrics`], and a matrix that is not square.
    """
    _check_protocol(protocol)
    similarity = to_numpy(similarity, "similarity")
    if similarity.ndim != 2 or similarity.shape[0] != similarity.shape[1] or not len(similarity):
        raise EvaluationError(f"`similarity` has shape {similarity.shape}; expected (n texts, n motions) of n pairs.")
    check_finite(similarity, "similarity")
    return _evaluate(_Similarity(matrix=similarity), captions, protocol, 0.0, **options)


def _check_protocol(protocol: str) -> None:
    if protocol not in PROTOCOLS:
        raise EvaluationError(f"Unknown protocol {protocol!r}; known: {', '.join(PROTOCOLS)}.")


def _evaluate(
    scores: _Similarity,
    captions: Sequence[str] | None,
    protocol: str,
    tolerance: float,
    *,
    ks: Sequence[int] = DEFAULT_KS,
    caption_embeds=None,
    caption_similarity=None,
    threshold: float = 0.95,
    num_dissimilar: int = 100,
    batch_size: int = 32,
    duplicates: str = "correct",
    seed: int = 0,
    repeats: int = 1,
    confidence: float | None = None,
    num_bootstrap: int = 1000,
    ties: str | None = None,
) -> RetrievalMetrics:
    count = scores.count
    ks = check_ks(ks)
    repeats = check_count(repeats, "repeats")
    seed = check_count(seed, "seed", minimum=0)
    if duplicates not in ("correct", "wrong"):
        raise EvaluationError(f"duplicates={duplicates!r}; expected 'correct' or 'wrong'.")
    only_pair = protocol == "small_batches" and duplicates == "wrong"
    if ties is None:
        ties = "average" if only_pair else DEFAULT_TIES[protocol]
    elif ties not in TIE_RULES:
        raise EvaluationError(f"Unknown rule for ties {ties!r}; known: {', '.join(TIE_RULES)}.")
    if confidence is not None:
        check_confidence(confidence)
    groups = np.arange(count) if captions is None else caption_groups(captions, count)
    if captions is None and (protocol == "all" or (protocol == "small_batches" and not only_pair)):
        instead = "protocol='all_strict'" if protocol == "all" else "duplicates='wrong'"
        raise EvaluationError(
            f"Protocol {protocol!r} counts every item with an identical caption as correct, so it needs `captions`. "
            f"To count only the pair itself, pass {instead}; the figures are then other ones."
        )
    if protocol in ("all_strict", "dissimilar") or only_pair:
        groups = np.arange(count)

    options = {"ties": ties}
    if protocol in ("all", "all_strict"):
        label, spans = protocol, [_by_block(count)]
        judge = partial(_same_group, groups)
    elif protocol == "threshold":
        alike, _ = _caption_relations(caption_embeds, caption_similarity, count, protocol)
        label, spans = f"threshold({_check_threshold(threshold):g})", [_by_block(count)]
        judge = partial(_more_alike, alike, threshold)
    else:
        options |= {"seed": seed, "repeats": repeats}
        generators = [np.random.default_rng([seed, draw]) for draw in range(repeats)]
        judge = partial(_same_group, groups)
        if protocol == "dissimilar":
            size = check_count(num_dissimilar, "num_dissimilar", minimum=2)
            _, distance_to = _caption_relations(caption_embeds, caption_similarity, count, protocol)
            label = f"dissimilar({size})"
            draws = [dissimilar_subset(distance_to, count, size, generator)[None] for generator in generators]
        else:
            size = check_count(batch_size, "batch_size")
            label = f"small_batches({size}{', only the pair' if only_pair else ''})"
            draws = [random_batches(count, size, generator) for generator in generators]
        spans = [[(draw, draw)] for draw in draws]

    # For each draw and direction: hits (queries, len(ks)) in [0, 1] and ranks (queries,), or with batches in front.
    values: dict[str, list] = {direction: [] for direction in DIRECTIONS}
    for span in spans:
        counts = {direction: [] for direction in DIRECTIONS}
        for rows, columns in span:
            correct = judge(rows, columns)  # symmetric: the same items are correct in both directions
            for direction in DIRECTIONS:
                counts[direction].append(count_ties(scores.block(direction, rows, columns), correct, tolerance))
        for direction in DIRECTIONS:
            joined = TieCounts(*(np.concatenate(parts) for parts in zip(*counts[direction])))
            values[direction].append((hits_at_k(joined, ks, ties), places(joined, ties) + 1.0))

    batched = protocol == "small_batches"
    names = [f"R@{k}" for k in ks] + ["MedR"]
    figures = {
        direction: np.array([_figures(hits, ranks, batched) for hits, ranks in values[direction]])
        for direction in DIRECTIONS
    }
    result = RetrievalMetrics(
        {f"{d}/{name}": float(value) for d in DIRECTIONS for name, value in zip(names, figures[d].mean(axis=0))},
        protocol=protocol,
        label=label,
        num_pairs=count,
        num_queries=values[DIRECTIONS[0]][0][1].size,
        options=options,
    )
    if len(spans) > 1:
        spread = {d: figures[d].std(axis=0, ddof=1) for d in DIRECTIONS}
        result.spread = {f"{d}/{name}": float(value) for d in DIRECTIONS for name, value in zip(names, spread[d])}
    if confidence is not None:
        result.options |= {"confidence": confidence, "num_bootstrap": num_bootstrap, "bootstrap_seed": seed}
        for direction in DIRECTIONS:
            low_high = _intervals(values[direction], batched, confidence, num_bootstrap, seed)
            result.intervals |= {f"{direction}/{name}": tuple(map(float, ends)) for name, ends in zip(names, low_high)}
    return result


# --------------------------------------------------------------------------------------------------------------------
# What is correct


def _same_group(groups: np.ndarray, rows: np.ndarray, columns: np.ndarray | None) -> np.ndarray:
    others = groups if columns is None else groups[columns]
    return groups[rows][..., :, None] == others[..., None, :]


def _more_alike(
    alike: Callable[[np.ndarray], np.ndarray], threshold: float, rows: np.ndarray, columns: None
) -> np.ndarray:
    correct = alike(rows) > threshold
    correct[np.arange(len(rows)), rows] = True  # the pair itself, whatever the similarities say
    return correct


def _check_threshold(threshold: float) -> float:
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not np.isfinite(threshold):
        raise EvaluationError(f"threshold={threshold!r}; expected a number such as 0.95.")
    return threshold


def _caption_relations(
    caption_embeds, caption_similarity, count: int, protocol: str
) -> tuple[Callable[[np.ndarray], np.ndarray], Callable[[int], np.ndarray]]:
    """Functions for the similarities `(r, n)` of some captions to all, and for the distances `(n,)` to one."""
    if (caption_embeds is None) == (caption_similarity is None):
        given = "both were" if caption_embeds is not None else "neither was"
        raise EvaluationError(
            f"Protocol {protocol!r} compares captions: pass `caption_embeds` (sentence embeddings, from a model apart "
            f"from the one evaluated) or `caption_similarity`; {given} given."
        )
    if caption_embeds is not None:
        embeds = check_embeddings(caption_embeds, "caption_embeds")
        if len(embeds) != count:
            raise EvaluationError(f"`caption_embeds` has {len(embeds)} rows for {count} pairs; give one a pair.")
        embeds = unit_rows(embeds, "caption_embeds")
        return (lambda rows: (1.0 + embeds[rows] @ embeds.T) / 2.0), (lambda item: (1.0 - embeds @ embeds[item]) / 2.0)
    matrix = to_numpy(caption_similarity, "caption_similarity")
    if matrix.shape != (count, count):
        raise EvaluationError(f"`caption_similarity` has shape {matrix.shape}; expected {(count, count)}.")
    check_finite(matrix, "caption_similarity")
    # float32 or float16 products of normalised embeddings may differ from their transpose by rounding.
    if not np.allclose(matrix, matrix.T, rtol=0.0, atol=1e-3 * max(1.0, float(np.abs(matrix).max()))):
        raise EvaluationError("`caption_similarity` is not symmetric; give the captions' similarities to one another.")
    return (lambda rows: matrix[rows]), (lambda item: matrix[item, item] - matrix[item])


# --------------------------------------------------------------------------------------------------------------------
# From queries to figures


def _by_block(count: int) -> Iterator[tuple[np.ndarray, None]]:
    """Consecutive queries against all candidates, a few million similarities at a time."""
    step = max(1, _BLOCK_VALUES // count)
    for start in range(0, count, step):
        yield np.arange(start, min(start + step, count)), None


def _figures(hits: np.ndarray, ranks: np.ndarray, batched: bool) -> np.ndarray:
    """Recall and median `(len(ks) + 1,)` of one draw; of batches, the mean over them."""
    if batched:
        return np.append(_per_cent(hits, axis=1).mean(axis=0), np.median(ranks, axis=1).mean())
    return np.append(_per_cent(hits.reshape(-1, hits.shape[-1]), axis=0), np.median(ranks))


def _per_cent(hits: np.ndarray, axis: int) -> np.ndarray:
    """Mean of hits in [0, 1], in per cent."""
    return hits.mean(axis=axis) * 100.0


def _intervals(values: list, batched: bool, confidence: float, num_bootstrap: int, seed: int) -> np.ndarray:
    """Bootstrap intervals `(len(ks) + 1, 2)`; the units of all draws are one pool, a sample is as large as one draw."""
    options = {"confidence": confidence, "num_bootstrap": num_bootstrap, "seed": seed}
    if batched:
        units = np.concatenate(
            [np.column_stack([_per_cent(hits, axis=1), np.median(ranks, axis=1)]) for hits, ranks in values]
        )
        if len(values[0][1]) < 2:
            raise EvaluationError("An interval over batches needs at least two batches; give more pairs.")
        return bootstrap_intervals(units, sample_size=len(values[0][1]), **options)
    hits = np.concatenate([100.0 * part.reshape(-1, part.shape[-1]) for part, _ in values])
    ranks = np.concatenate([part.reshape(-1, 1) for _, part in values])
    size = values[0][1].size
    recall = bootstrap_intervals(hits, sample_size=size, **options)
    median = bootstrap_intervals(ranks, "median", sample_size=size, **options)
    return np.concatenate([recall, median])
