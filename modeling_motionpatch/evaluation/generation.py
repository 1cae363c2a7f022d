"""Embeddings of generated motions (with their texts, and of real motions) -> the scores of text-to-motion work.

Definitions of Guo et al., "Generating Diverse and Natural 3D Human Motions from Text" (CVPR 2022), Sec. 5, on the
embeddings of any text-motion model. Distances are Euclidean, in the units of the embeddings, so figures compare only
between generators scored with the same model and the same normalisation. R-precision is a share from 0 to 1, as that
literature prints it.
"""

import warnings
from collections.abc import Sequence

import numpy as np

from .checks import EvaluationError, check_count, check_embeddings, check_ks, check_pair
from .ranks import count_ties, hits_at_k
from .subsets import random_batches


R_PRECISION_BATCH = 32  # one right motion among 31 others
DIVERSITY_PAIRS = 300
MULTIMODALITY_PAIRS = 10  # a text, of at least as many generated motions
_DISTANCE_TOLERANCE = 1e-10  # of the largest squared distance: what rounding in float64 leaves between equal ones
_BLOCK_BATCHES = 256  # batches of 32 x 32 distances at a time


def r_precision(
    text_embeds,
    motion_embeds,
    *,
    ks: Sequence[int] = (1, 2, 3),
    batch_size: int = R_PRECISION_BATCH,
    seed: int = 0,
    repeats: int = 1,
) -> dict[str, float]:
    """Share of texts whose own motion is among the k nearest of a random batch.

    Args:
        text_embeds (`np.ndarray` or `torch.Tensor` of shape `(n, D)`): Row i is the text that motion i was made from.
        motion_embeds (`np.ndarray` or `torch.Tensor` of shape `(n, D)`): Generated (or real) motions.
        ks (`Sequence[int]`, *optional*, defaults to `(1, 2, 3)`): Where precision is read.
        batch_size (`int`, *optional*, defaults to 32): Motions that a text is held against; a last incomplete batch is
            left out. Motions at the same distance are counted as if in random order.
        seed (`int`, *optional*, defaults to 0): Of the shuffling.
        repeats (`int`, *optional*, defaults to 1): Shuffles to average.

    Returns:
        `dict[str, float]`: `{"R_precision_top1": ..., ...}` from 0 to 1.

    Raises:
        EvaluationError: Different counts or widths, values that are not finite, fewer pairs than one batch.
    """
    texts, motions = check_pair(text_embeds, motion_embeds, ("text_embeds", "motion_embeds"))
    ks = check_ks(ks)
    batch_size = check_count(batch_size, "batch_size", minimum=2)
    if max(ks) > batch_size:
        raise EvaluationError(f"ks={ks}: there are only {batch_size} motions in a batch.")
    generators = _generators(seed, repeats)
    batches = np.concatenate([random_batches(len(texts), batch_size, generator) for generator in generators])
    own = np.eye(batch_size, dtype=bool)
    tolerance = _DISTANCE_TOLERANCE * max(np.square(texts).sum(1).max(), np.square(motions).sum(1).max())
    hits = []
    for start in range(0, len(batches), _BLOCK_BATCHES):
        index = batches[start : start + _BLOCK_BATCHES]
        distances = _squared_distances(texts[index], motions[index])
        hits.append(hits_at_k(count_ties(-distances, own, tolerance), ks).reshape(-1, len(ks)))
    return {f"R_precision_top{k}": float(value) for k, value in zip(ks, np.concatenate(hits).mean(axis=0))}


def multimodal_distance(text_embeds, motion_embeds) -> float:
    """Mean Euclidean distance between each motion and its own text ("MM-Dist"); lower is better.

    Args:
        text_embeds (`np.ndarray` or `torch.Tensor` of shape `(n, D)`): Texts.
        motion_embeds (`np.ndarray` or `torch.Tensor` of shape `(n, D)`): The motions made from them.

    Returns:
        `float`: in the units of the embeddings.

    Raises:
        EvaluationError: Different counts or widths, values that are not finite.
    """
    texts, motions = check_pair(text_embeds, motion_embeds, ("text_embeds", "motion_embeds"))
    return float(np.linalg.norm(texts - motions, axis=1).mean())


def frechet_distance(motion_embeds, reference_embeds) -> float:
    """Frechet distance between Gaussians fitted to two sets of embeddings (FID); lower is better, 0 is equal.

    ``|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))`` with covariances over n - 1. The trace of the root is the sum of the
    singular values of ``S1^(1/2) S2^(1/2)``, from symmetric eigendecompositions: it stays real and finite for singular
    covariances, where the general matrix root does not.

    Args:
        motion_embeds (`np.ndarray` or `torch.Tensor` of shape `(n, D)`): Generated motions.
        reference_embeds (`np.ndarray` or `torch.Tensor` of shape `(m, D)`): Real motions; m need not be n.

    Returns:
        `float`: in the squared units of the embeddings, not below 0.

    Raises:
        EvaluationError: Fewer than two rows on a side, different widths, values that are not finite.

    A warning is given when a side has no more rows than columns: its covariance is then singular and the figure, which
    is biased upwards for small samples, depends mostly on their number.
    """
    generated, reference = check_pair(
        motion_embeds, reference_embeds, ("motion_embeds", "reference_embeds"), minimum=2, same_count=False
    )
    fewest, width = min(len(generated), len(reference)), generated.shape[1]
    if fewest <= width:
        warnings.warn(
            f"FID of {fewest} samples of width {width}: the covariance is singular and the figure is biased upwards; "
            f"use more than {width} samples on both sides, and the same number for everything you compare.",
            UserWarning,
            stacklevel=2,
        )
    means, roots, traces = [], [], []
    for embeds in (generated, reference):
        with np.errstate(over="ignore", invalid="ignore"):
            mean = embeds.mean(axis=0)
            covariance = (embeds - mean).T @ (embeds - mean) / (len(embeds) - 1)
        if not np.isfinite(covariance).all():
            raise EvaluationError("The embeddings are so large that their covariance overflows; scale them down.")
        means.append(mean)
        roots.append(_symmetric_root(covariance))
        traces.append(np.trace(covariance))
    root_trace = np.linalg.svd(roots[0] @ roots[1], compute_uv=False).sum()
    distance = np.square(means[0] - means[1]).sum() + traces[0] + traces[1] - 2.0 * root_trace
    return float(max(distance, 0.0))  # rounding may leave -1e-16 for equal sets


def diversity(motion_embeds, *, num_pairs: int = DIVERSITY_PAIRS, seed: int = 0, repeats: int = 1) -> float:
    """Mean distance between two random subsets of `num_pairs` motions each, taken pair by pair.

    Both subsets are drawn without replacement from the whole set, independently, as in the definition. A generator
    should come near the diversity of the real motions.

    Args:
        motion_embeds (`np.ndarray` or `torch.Tensor` of shape `(n, D)`): Motions, more than `num_pairs`.
        num_pairs (`int`, *optional*, defaults to 300): Pairs.
        seed (`int`, *optional*, defaults to 0): Of the subsets.
        repeats (`int`, *optional*, defaults to 1): Draws to average.

    Returns:
        `float`: in the units of the embeddings.

    Raises:
        EvaluationError: No more motions than pairs, values that are not finite.
    """
    motions = check_embeddings(motion_embeds, "motion_embeds")
    num_pairs = check_count(num_pairs, "num_pairs")
    if len(motions) <= num_pairs:
        raise EvaluationError(
            f"Diversity over {num_pairs} pairs needs more than {num_pairs} motions; there are {len(motions)}. Give more "
            "motions or a smaller num_pairs, and state it beside the figure."
        )
    means = []
    for generator in _generators(seed, repeats):
        first, second = (generator.choice(len(motions), num_pairs, replace=False) for _ in range(2))
        means.append(np.linalg.norm(motions[first] - motions[second], axis=1).mean())
    return float(np.mean(means))


def multimodality(motion_embeds, *, num_pairs: int = MULTIMODALITY_PAIRS, seed: int = 0, repeats: int = 1) -> float:
    """How much motions made from one text differ: mean distance of `num_pairs` random pairs a text.

    Args:
        motion_embeds (`np.ndarray` or `torch.Tensor` of shape `(texts, samples, D)`): Several motions of each text.
        num_pairs (`int`, *optional*, defaults to 10): Pairs a text, from two subsets drawn without replacement.
        seed (`int`, *optional*, defaults to 0): Of the subsets.
        repeats (`int`, *optional*, defaults to 1): Draws to average.

    Returns:
        `float`: in the units of the embeddings.

    Raises:
        EvaluationError: No more samples a text than pairs, another number of axes, values that are not finite.
    """
    motions = check_embeddings(motion_embeds, "motion_embeds", ndim=3)
    num_pairs = check_count(num_pairs, "num_pairs")
    samples = motions.shape[1]
    if samples <= num_pairs:
        raise EvaluationError(
            f"Multimodality over {num_pairs} pairs needs more than {num_pairs} motions a text; there are {samples}. "
            "Generate more a text or give a smaller num_pairs, and state it beside the figure."
        )
    means = []
    for generator in _generators(seed, repeats):
        first, second = (generator.choice(samples, num_pairs, replace=False) for _ in range(2))
        means.append(np.linalg.norm(motions[:, first] - motions[:, second], axis=-1).mean())
    return float(np.mean(means))


def generation_metrics(
    text_embeds,
    motion_embeds,
    reference_embeds=None,
    multimodal_embeds=None,
    *,
    batch_size: int = R_PRECISION_BATCH,
    diversity_pairs: int = DIVERSITY_PAIRS,
    multimodality_pairs: int = MULTIMODALITY_PAIRS,
    seed: int = 0,
    repeats: int = 1,
) -> dict[str, float]:
    """All scores of a text-to-motion generator.

    Args:
        text_embeds (`np.ndarray` or `torch.Tensor` of shape `(n, D)`): Texts.
        motion_embeds (`np.ndarray` or `torch.Tensor` of shape `(n, D)`): The motions generated from them.
        reference_embeds (`np.ndarray` or `torch.Tensor` of shape `(m, D)`, *optional*):
            Real motions: adds `"FID"` and `"diversity_reference"`.
        multimodal_embeds (`np.ndarray` or `torch.Tensor` of shape `(texts, samples, D)`, *optional*):
            Several motions of each of some texts: adds `"multimodality"`.
        batch_size (`int`, *optional*, defaults to 32): Of R-precision.
        diversity_pairs (`int`, *optional*, defaults to 300): Of diversity.
        multimodality_pairs (`int`, *optional*, defaults to 10): Of multimodality, a text.
        seed (`int`, *optional*, defaults to 0): Of every random choice.
        repeats (`int`, *optional*, defaults to 1): Draws to average where there is a choice.

    Returns:
        `dict[str, float]`: `"R_precision_top1"` to `"R_precision_top3"` (0 to 1), `"multimodal_distance"`,
        `"diversity"`, and what the optional inputs add.

    Raises:
        EvaluationError: Anything the single scores refuse.

    Example:

    ```python
    >>> import numpy as np
    >>> from modeling_motionpatch.evaluation import generation_metrics
    >>> embeds = np.random.default_rng(0).normal(size=(400, 8))
    >>> scores = generation_metrics(embeds, embeds, reference_embeds=embeds)
    >>> scores["R_precision_top1"], round(scores["FID"], 6)
    (1.0, 0.0)
    ```
    """
    draws = {"seed": seed, "repeats": repeats}
    scores = r_precision(text_embeds, motion_embeds, batch_size=batch_size, **draws)
    scores["multimodal_distance"] = multimodal_distance(text_embeds, motion_embeds)
    scores["diversity"] = diversity(motion_embeds, num_pairs=diversity_pairs, **draws)
    if reference_embeds is not None:
        scores["FID"] = frechet_distance(motion_embeds, reference_embeds)
        scores["diversity_reference"] = diversity(reference_embeds, num_pairs=diversity_pairs, **draws)
    if multimodal_embeds is not None:
        scores["multimodality"] = multimodality(multimodal_embeds, num_pairs=multimodality_pairs, **draws)
    return scores


def _generators(seed: int, repeats: int) -> list[np.random.Generator]:
    seed, repeats = check_count(seed, "seed", minimum=0), check_count(repeats, "repeats")
    return [np.random.default_rng([seed, draw]) for draw in range(repeats)]


def _squared_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances `(..., a, b)` of rows `(..., a, D)` to rows `(..., b, D)`."""
    cross = first @ np.swapaxes(second, -1, -2)
    return np.square(first).sum(-1)[..., :, None] + np.square(second).sum(-1)[..., None, :] - 2.0 * cross


def _symmetric_root(covariance: np.ndarray) -> np.ndarray:
    """Square root of a positive semi-definite matrix; eigenvalues that rounding made negative count as 0."""
    eigenvalues, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(eigenvalues, 0.0))) @ vectors.T
