"""Scores of generated motion against scipy, closed forms and loops."""

import warnings

import numpy as np
import pytest
import torch

from modeling_motionpatch.evaluation import (
    EvaluationError,
    diversity,
    frechet_distance,
    generation_metrics,
    multimodal_distance,
    multimodality,
    r_precision,
)


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


# --------------------------------------------------------------------------------------------------------------------
# FID


@pytest.mark.parametrize("seed", range(3))
def test_frechet_distance_agrees_with_the_matrix_root_of_scipy(seed):
    linalg = pytest.importorskip("scipy.linalg")
    mix = normal(seed, 12, 12)
    first, second = normal(seed + 10, 200, 12) @ mix, 0.5 + normal(seed + 20, 150, 12)
    covariances = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    root = linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = np.sum((first.mean(0) - second.mean(0)) ** 2) + np.trace(sum(covariances) - 2 * root)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(torch.tensor(second), torch.tensor(first)) == pytest.approx(expected, rel=1e-8)


def test_frechet_distance_in_closed_form():
    embeds = normal(0, 500, 6)
    assert frechet_distance(embeds, embeds) == pytest.approx(0, abs=1e-10)
    assert frechet_distance(embeds, embeds[::-1] + 2) == pytest.approx(4 * 6)  # only the means differ
    # Scaled by s, the covariance's root is s times the other: tr(S) (1 - s)^2, and the mean moves too.
    expected = np.trace(np.cov(embeds, rowvar=False)) * 4 + np.sum((2 * embeds.mean(0)) ** 2)
    assert frechet_distance(embeds, 3 * embeds) == pytest.approx(expected)


def test_frechet_distance_of_singular_covariances():
    flat = normal(0, 100, 8)
    flat[:, 4:] = flat[:, :4]  # rank 4: the general matrix root is not defined on it
    assert frechet_distance(flat, flat) == pytest.approx(0, abs=1e-6)
    shifted = flat + np.array([1.0] + [0.0] * 7)
    assert frechet_distance(flat, shifted) == pytest.approx(1, abs=1e-6)
    constant = np.ones((100, 8))
    assert frechet_distance(constant, 2 * constant) == pytest.approx(8)
    with pytest.warns(UserWarning, match="8 samples of width 8"):
        frechet_distance(normal(0, 8, 8), normal(1, 100, 8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frechet_distance(normal(0, 9, 8), normal(1, 100, 8))


# --------------------------------------------------------------------------------------------------------------------
# R-precision and distances


def test_r_precision_against_a_loop():
    texts = normal(0, 70, 5)
    motions = 3 * (texts + 0.6 * normal(1, 70, 5))
    scores = r_precision(texts, motions, seed=4)
    found = {1: 0, 2: 0, 3: 0}
    for batch in np.random.default_rng([4, 0]).permutation(70)[:64].reshape(2, 32):
        for own in batch:
            distances = [np.linalg.norm(texts[own] - motions[other]) for other in batch]
            nearer = sum(distance < distances[list(batch).index(own)] for distance in distances)
            for k in found:
                found[k] += nearer < k
    assert scores == pytest.approx({f"R_precision_top{k}": count / 64 for k, count in found.items()})
    assert scores == r_precision(torch.tensor(texts), torch.tensor(motions), seed=4)
    assert scores != r_precision(texts, motions, seed=5)
    more = r_precision(texts, motions, seed=4, repeats=20)
    assert more["R_precision_top1"] < more["R_precision_top2"] < more["R_precision_top3"] < 1


def test_r_precision_of_equal_motions_is_chance():
    scores = r_precision(normal(0, 64, 5), np.tile(normal(1, 5), (64, 1)))
    assert scores == pytest.approx({f"R_precision_top{k}": k / 32 for k in (1, 2, 3)})


def test_distances_by_hand():
    assert multimodal_distance([[0, 0], [1, 1]], [[3, 4], [1, 1]]) == 2.5
    # Half of the motions at 0 and half at 1: a pair differs with probability 1/2.
    halves = (np.arange(1000) % 2).astype(float)[:, None]
    assert diversity(halves, repeats=20) == pytest.approx(0.5, abs=0.03)
    assert diversity(2 * halves, seed=3) == 2 * diversity(halves, seed=3)
    assert diversity(halves, seed=3) != diversity(halves, seed=4)
    assert diversity(np.ones((301, 4))) == 0
    # Normal motions a text: the distance of two is sqrt(2) times a chi variable, of one dimension 2 / sqrt(pi).
    several = normal(0, 200, 30, 1) + 100 * normal(1, 200, 1, 1)
    assert multimodality(several, repeats=20) == pytest.approx(2 / np.sqrt(np.pi), rel=0.05)
    assert multimodality(np.repeat(normal(0, 5, 1, 3), 20, axis=1)) == 0


def test_all_scores_together():
    texts, motions = normal(0, 100, 6), normal(1, 100, 6)
    scores = generation_metrics(texts, motions, normal(2, 90, 6), normal(3, 4, 12, 6), diversity_pairs=50, seed=7)
    assert scores["FID"] == frechet_distance(motions, normal(2, 90, 6))
    assert scores["diversity"] == diversity(motions, num_pairs=50, seed=7)
    assert scores["multimodality"] == multimodality(normal(3, 4, 12, 6), seed=7)
    assert scores["multimodal_distance"] == multimodal_distance(texts, motions)
    assert scores.items() >= r_precision(texts, motions, seed=7).items()
    assert "FID" not in generation_metrics(texts, motions, diversity_pairs=50)


# --------------------------------------------------------------------------------------------------------------------
# Bad input


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: r_precision(normal(0, 31, 4), normal(1, 31, 4)), "batch_size=32.* only 31"),
        (lambda: r_precision(normal(0, 40, 4), normal(1, 39, 4)), "40 rows and .* 39"),
        (lambda: r_precision(normal(0, 40, 4), normal(1, 40, 3)), "4 wide"),
        (lambda: r_precision(normal(0, 40, 4), normal(1, 40, 4), ks=(33,)), "only 32 motions"),
        (lambda: r_precision(normal(0, 40, 4), normal(1, 40, 4), repeats=0), "repeats=0"),
        (lambda: multimodal_distance(normal(0, 4, 4), normal(0, 4, 4) / 0.0), "NaN or infinite"),
        (lambda: frechet_distance(normal(0, 1, 4), normal(0, 9, 4)), "at least 2"),
        (lambda: frechet_distance(normal(0, 9, 4), normal(0, 9, 5)), "4 wide"),
        (lambda: frechet_distance(1e200 * normal(0, 9, 4), normal(0, 9, 4)), "overflows"),
        (lambda: diversity(normal(0, 300, 4)), "more than 300 motions; there are 300"),
        (lambda: diversity(normal(0, 30, 4), num_pairs=0), "num_pairs=0"),
        (lambda: multimodality(normal(0, 3, 10, 4)), "more than 10 motions a text; there are 10"),
        (lambda: multimodality(normal(0, 30, 4)), r"expected 3 axes \(texts, samples, D\)"),
        (lambda: diversity(normal(0, 400, 4), seed=-1), "seed=-1"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_bad_input_is_refused(call, message):
    with pytest.raises(EvaluationError, match=message):
        call()
