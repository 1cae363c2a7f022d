"""Retrieval figures against the official implementation's numbers, a slow second route, and values by hand."""

import json
import pickle
import time
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import pytest
import torch

from modeling_motionpatch.evaluation import (
    PROTOCOLS,
    EvaluationError,
    average_runs,
    bootstrap_intervals,
    format_retrieval_table,
    ranks_from_similarity,
    retrieval_metrics,
    retrieval_metrics_from_similarity,
)
from modeling_motionpatch.evaluation.ranks import count_ties, hits_at_k, places
from modeling_motionpatch.evaluation.subsets import dissimilar_subset


FIXTURES = Path(__file__).parent / "fixtures"
SHARED_GOLDEN = Path(__file__).resolve().parents[1].parent / "shared" / "golden"
KS = (1, 2, 3, 5, 10)


def golden(folder):
    with np.load(folder / "metrics.npz", allow_pickle=False) as arrays:
        embeds = arrays["text_embeds"], arrays["motion_embeds"]
    expected = json.loads((folder / "metrics.json").read_text())
    figures = {f"{way}/{name}": value for way in ("t2m", "m2t") for name, value in expected[way].items()}
    return (*embeds, expected["captions"], figures)


def random_set(seed, count=60, width=6, captions=40, noise=0.7):
    generator = np.random.default_rng(seed)
    texts = generator.normal(size=(count, width))
    motions = texts + noise * generator.normal(size=(count, width))
    return texts, motions, [f"caption {number}" for number in generator.integers(captions, size=count)]


def by_sorting(similarity, correct):
    """The plain way, for scores without ties: sort, and look for the first correct one."""
    ranks = []
    for scores, right in zip(similarity, correct):
        order = sorted(range(len(scores)), key=lambda item: -scores[item])
        ranks.append(1 + min(order.index(item) for item in np.flatnonzero(right)))
    ranks = np.array(ranks)
    return {f"R@{k}": 100 * np.mean(ranks <= k) for k in KS} | {"MedR": np.median(ranks)}


def both_ways(similarity, correct):
    ways = {"t2m": by_sorting(similarity, correct), "m2t": by_sorting(similarity.T, correct)}
    return {f"{way}/{name}": value for way, figures in ways.items() for name, value in figures.items()}


def cosines(first, second):
    first = first / np.linalg.norm(first, axis=1, keepdims=True)
    return first @ (second / np.linalg.norm(second, axis=1, keepdims=True)).T


# --------------------------------------------------------------------------------------------------------------------
# The official numbers


@pytest.mark.parametrize("folder", [FIXTURES, SHARED_GOLDEN], ids=["fixture", "shared"])
def test_all_agrees_with_the_official_implementation(folder):
    if not (folder / "metrics.npz").exists():
        pytest.skip("no golden data here")
    texts, motions, captions, expected = golden(folder)
    assert retrieval_metrics(texts, motions, captions) == expected
    order = np.random.default_rng(0).permutation(len(texts))
    permuted = retrieval_metrics(texts[order], motions[order], [captions[index] for index in order], protocol="all")
    assert permuted == expected


def test_inputs_of_every_kind_give_the_same():
    texts, motions, captions, expected = golden(FIXTURES)
    tensors = torch.tensor(texts, requires_grad=True), torch.tensor(motions)
    for given in (
        retrieval_metrics(*tensors, captions),
        retrieval_metrics(texts.tolist(), motions, np.array(captions)),
        retrieval_metrics(texts.astype(np.float32), 7.5 * motions, tuple(captions)),
        retrieval_metrics(texts, motions, captions, normalize=False),
        retrieval_metrics_from_similarity(texts @ motions.T, captions),
    ):
        assert given == expected
    coarse = retrieval_metrics(tensors[0].bfloat16(), tensors[1].bfloat16(), captions)
    assert coarse["t2m/R@10"] == pytest.approx(expected["t2m/R@10"], abs=5)


# --------------------------------------------------------------------------------------------------------------------
# Protocols against a second route


@pytest.mark.parametrize("seed", range(3))
def test_whole_galleries_agree_with_sorting(seed):
    texts, motions, captions = random_set(seed, captions=12, noise=1.5)
    similarity, same = cosines(texts, motions), np.array(captions)[:, None] == np.array(captions)
    assert retrieval_metrics(texts, motions, captions) == pytest.approx(both_ways(similarity, same))
    strict = retrieval_metrics(texts, motions, captions, protocol="all_strict")
    assert strict == pytest.approx(both_ways(similarity, np.eye(len(texts), dtype=bool)))
    assert strict["t2m/R@1"] < retrieval_metrics(texts, motions, captions)["t2m/R@1"]
    sentences = np.random.default_rng(seed + 100).normal(size=(len(texts), 3))
    alike = cosines(sentences, sentences) > 0.9  # TMR's 0.95 on the scale (1 + cosine) / 2
    assert alike.sum() > len(texts)
    lenient = retrieval_metrics(texts, motions, protocol="threshold", caption_embeds=sentences)
    assert lenient == pytest.approx(both_ways(similarity, alike))
    matrix = cosines(sentences, sentences)
    assert lenient == retrieval_metrics(texts, motions, protocol="threshold", caption_similarity=matrix, threshold=0.9)


@pytest.mark.parametrize("duplicates", ["correct", "wrong"])
def test_small_batches_are_the_mean_over_seeded_batches(duplicates):
    texts, motions, captions = random_set(3, count=70, captions=15)
    options = {"protocol": "small_batches", "batch_size": 16, "duplicates": duplicates}
    metrics = retrieval_metrics(texts, motions, captions, seed=5, **options)
    order = np.random.default_rng([5, 0]).permutation(70)[:64].reshape(4, 16)  # 6 of 70 are left out
    parts = []
    for batch in order:
        names = np.array(captions)[batch]
        right = names[:, None] == names if duplicates == "correct" else np.eye(16, dtype=bool)
        parts.append(both_ways(cosines(texts[batch], motions[batch]), right))
    assert metrics == pytest.approx({name: np.mean([part[name] for part in parts]) for name in parts[0]})
    assert metrics.num_queries == 64 and metrics.num_pairs == 70
    assert metrics == retrieval_metrics(texts, motions, captions, seed=5, **options)
    assert metrics != retrieval_metrics(texts, motions, captions, seed=6, **options)
    repeated = retrieval_metrics(texts, motions, captions, seed=5, repeats=3, **options)
    assert repeated.spread["t2m/R@1"] > 0 and not metrics.spread
    matrix = retrieval_metrics_from_similarity(cosines(texts, motions), captions, seed=5, **options)
    assert matrix == pytest.approx(metrics)


def test_dissimilar_takes_pairs_that_are_far_apart():
    generator = np.random.default_rng(0)
    topics = np.eye(8)[np.arange(80) % 8]
    sentences = topics + 0.01 * generator.normal(size=(80, 8))
    texts, motions, _ = random_set(1, count=80)
    metrics = retrieval_metrics(
        texts, motions, protocol="dissimilar", num_dissimilar=8, caption_embeds=sentences, seed=3
    )
    distances = (1 - cosines(sentences, sentences)) / 2
    chosen = dissimilar_subset(lambda item: distances[item], 80, 8, np.random.default_rng([3, 0]))
    assert sorted(chosen % 8) == list(range(8))  # one of each topic
    assert metrics == pytest.approx(both_ways(cosines(texts[chosen], motions[chosen]), np.eye(8, dtype=bool)))
    similarity = 1 - 2 * distances
    again = retrieval_metrics(
        texts, motions, protocol="dissimilar", num_dissimilar=8, caption_similarity=similarity, seed=3
    )
    assert again == metrics and metrics.label == "dissimilar(8)" and metrics.num_queries == 8


@pytest.mark.parametrize("seed", range(5))
def test_dissimilar_subset_is_near_the_best_one(seed):
    generator = np.random.default_rng(seed)
    points = generator.normal(size=(12, 3))
    distances = (1 - cosines(points, points)) / 2
    chosen = dissimilar_subset(lambda item: distances[item], 12, 4, generator)
    sums = [distances[np.ix_(subset, subset)].sum() for subset in combinations(range(12), 4)]
    assert len(set(chosen)) == 4
    assert distances[np.ix_(chosen, chosen)].sum() >= 0.97 * max(sums)
    everything = dissimilar_subset(lambda item: distances[item], 12, 12, generator)
    assert everything.tolist() == list(range(12))


def test_blocks_do_not_change_figures(monkeypatch):
    texts, motions, captions = random_set(4)
    whole = retrieval_metrics(texts, motions, captions)
    monkeypatch.setattr("modeling_motionpatch.evaluation.protocols._BLOCK_VALUES", 7 * len(texts))
    assert retrieval_metrics(texts, motions, captions) == whole
    monkeypatch.setattr("modeling_motionpatch.evaluation.protocols._WHOLE_VALUES", 1)
    assert retrieval_metrics(texts, motions, captions) == whole


def test_a_gallery_of_5000_is_fast():
    generator = np.random.default_rng(0)
    texts = generator.normal(size=(5000, 256)).astype(np.float32)
    captions = [str(number) for number in generator.integers(4000, size=5000)]
    start = time.process_time()  # of all threads, so that other work on the machine does not count
    metrics = retrieval_metrics(texts, texts, captions)
    assert time.process_time() - start < 4.0  # two cores for 2 seconds
    assert metrics["t2m/R@1"] == metrics["m2t/R@1"] == 100.0


# --------------------------------------------------------------------------------------------------------------------
# Ties


def over_all_orders(scores, right, ks):
    """Mean over every order of the candidates, each sorted stably: what `expected` must equal."""
    places_seen = []
    for order in permutations(range(len(scores))):
        ranked = sorted(order, key=lambda item: -scores[item])
        places_seen.append(min(ranked.index(item) for item in range(len(scores)) if right[item]))
    return float(np.mean(places_seen)), [float(np.mean([place < k for place in places_seen])) for k in ks]


@pytest.mark.parametrize("seed", range(6))
def test_expected_is_the_mean_over_all_orders(seed):
    generator = np.random.default_rng(seed)
    similarity = generator.integers(3, size=(4, 6)).astype(float)
    correct = generator.random((4, 6)) < 0.4
    correct[:, seed] = True
    ks = (1, 2, 3, 5, 10)
    counts = count_ties(similarity, correct)
    for query in range(4):
        place, hits = over_all_orders(similarity[query], correct[query], ks)
        assert places(counts)[query] == pytest.approx(place)
        assert hits_at_k(counts, ks)[query] == pytest.approx(hits)


@pytest.mark.parametrize("seed", range(4))
def test_strict_ties_take_their_average_place(seed):
    """Each query's pair gets the mean of the sorted positions that hold its score, as TMR states it."""
    generator = np.random.default_rng(seed)
    similarity = generator.integers(8, size=(30, 30)).astype(float)
    metrics = retrieval_metrics_from_similarity(similarity, protocol="all_strict")
    for way, matrix in (("t2m", similarity), ("m2t", similarity.T)):
        positions = [np.flatnonzero(np.sort(-row) == -row[index]).mean() for index, row in enumerate(matrix)]
        assert metrics[f"{way}/MedR"] == np.median(positions) + 1
        for k in KS:
            assert metrics[f"{way}/R@{k}"] == pytest.approx(100 * np.mean(np.array(positions) < k))


def test_optimistic_and_pessimistic_bracket_the_others():
    generator = np.random.default_rng(0)
    similarity = generator.integers(6, size=(40, 40)).astype(float)
    captions = [str(number) for number in generator.integers(20, size=40)]
    by_rule = {
        ties: retrieval_metrics_from_similarity(similarity, captions, ties=ties)
        for ties in ("optimistic", "expected", "average", "pessimistic")
    }
    assert by_rule["pessimistic"]["t2m/R@5"] < by_rule["expected"]["t2m/R@5"] < by_rule["optimistic"]["t2m/R@5"]
    assert by_rule["optimistic"]["t2m/MedR"] <= by_rule["average"]["t2m/MedR"] <= by_rule["pessimistic"]["t2m/MedR"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_constant_embeddings_score_no_better_than_chance(protocol):
    constant = np.tile(np.random.default_rng(0).normal(size=16), (64, 1))
    captions = [f"caption {index}" for index in range(64)]
    sentences = np.random.default_rng(1).normal(size=(64, 30))
    metrics = retrieval_metrics(
        constant, constant, captions, protocol, caption_embeds=sentences, num_dissimilar=32, batch_size=32
    )
    gallery = 64 if protocol in ("all", "all_strict", "threshold") else 32
    for way in ("t2m", "m2t"):
        assert metrics[f"{way}/MedR"] == (gallery + 1) / 2
        for k in KS:
            chance = 100 * k / gallery if protocol in ("all", "small_batches") else 0
            assert metrics[f"{way}/R@{k}"] == pytest.approx(chance)


def test_equal_vectors_are_level_whatever_their_scale_and_place():
    generator = np.random.default_rng(0)
    directions = generator.normal(size=(5, 33)).astype(np.float32)
    texts = directions[np.arange(40) % 5] * generator.uniform(0.1, 9, size=(40, 1))
    metrics = retrieval_metrics(texts, directions[np.arange(40) % 5], protocol="all_strict")
    assert metrics["t2m/MedR"] == metrics["m2t/MedR"] == 4.5  # each is level with the other 7 of its direction
    assert metrics["t2m/R@3"] == 0 and metrics["t2m/R@5"] == 100


def test_values_by_hand():
    similarity = [[0.9, 0.8, 0.1], [0.9, 0.8, 0.7], [0.1, 0.2, 0.3]]
    # Text 1 prefers motion 0. Motions 0 and 1 like texts 0 and 1 equally, motion 2 prefers text 1.
    t2m = {"t2m/R@1": 200 / 3, "t2m/R@2": 100, "t2m/MedR": 1}
    strict = retrieval_metrics_from_similarity(similarity, protocol="all_strict", ks=(1, 2))
    assert strict == pytest.approx(t2m | {"m2t/R@1": 200 / 3, "m2t/R@2": 100, "m2t/MedR": 1.5})
    distinct = retrieval_metrics_from_similarity(similarity, ["a", "b", "c"], ks=(1, 2))
    assert distinct == pytest.approx(t2m | {"m2t/R@1": 100 / 3, "m2t/R@2": 100, "m2t/MedR": 1.5})
    twins = retrieval_metrics_from_similarity(similarity, ["a", "a", "c"], ks=(1, 2))
    expected = {"t2m/R@1": 100, "t2m/R@2": 100, "t2m/MedR": 1, "m2t/R@1": 200 / 3, "m2t/R@2": 100, "m2t/MedR": 1}
    assert twins == pytest.approx(expected)
    spaced = retrieval_metrics_from_similarity(similarity, ["a", "a ", "c"], ks=(1, 2))
    assert spaced == distinct  # another string is another caption
    assert ranks_from_similarity(similarity).tolist() == [1, 2, 1]
    assert ranks_from_similarity([[1, 1, 1]], [[True, False, False]], ties="average").tolist() == [2]
    assert ranks_from_similarity([[1, 1, 1]], [[True, False, True]]).tolist() == [1 + 1 / 3]


# --------------------------------------------------------------------------------------------------------------------
# Labels, intervals, tables


def test_figures_carry_their_protocol():
    texts, motions, captions = random_set(0)
    metrics = retrieval_metrics(texts, motions, captions)
    assert list(metrics) == [f"{way}/{name}" for way in ("t2m", "m2t") for name in [*(f"R@{k}" for k in KS), "MedR"]]
    assert all(type(value) is float for value in metrics.values())
    assert metrics.protocol == "all" and metrics.labelled()["all/t2m/R@1"] == metrics["t2m/R@1"]
    assert json.loads(json.dumps(metrics.to_dict()))["metrics"] == metrics
    for copy in (metrics.copy(), pickle.loads(pickle.dumps(metrics))):
        assert copy == metrics and copy.label == "all" and copy.num_pairs == 60
    strict = retrieval_metrics(texts, motions, protocol="all_strict")
    with pytest.raises(EvaluationError, match="'all' and 'all_strict'"):
        average_runs([metrics, strict])
    table = format_retrieval_table([metrics, strict])
    assert "| all | 60 | t2m |" in table and "| all_strict | 60 | m2t |" in table
    assert len({line.count("|") for line in table.splitlines()}) == 1


def test_average_of_runs():
    runs = [retrieval_metrics(*random_set(seed)) for seed in range(3)]
    mean = average_runs(runs)
    assert mean["m2t/R@5"] == pytest.approx(sum(run["m2t/R@5"] for run in runs) / 3)
    assert mean.spread["m2t/R@5"] == pytest.approx(np.std([run["m2t/R@5"] for run in runs], ddof=1))
    assert "±" in format_retrieval_table({"ours": mean})
    with pytest.raises(EvaluationError):
        average_runs([])


def test_bootstrap_of_a_share_agrees_with_the_normal_approximation():
    values = (np.arange(400) < 120).astype(float)[:, None]
    low, high = bootstrap_intervals(values, confidence=0.95, num_bootstrap=4000, seed=1)[0]
    half = 1.96 * np.sqrt(0.3 * 0.7 / 400)
    assert (low, high) == pytest.approx((0.3 - half, 0.3 + half), abs=0.01)
    narrow = bootstrap_intervals(values, confidence=0.5, seed=1)[0]
    assert low < narrow[0] < 0.3 < narrow[1] < high
    quarter = bootstrap_intervals(values, sample_size=100, num_bootstrap=4000, seed=1)[0]
    assert np.ptp(quarter) == pytest.approx(2 * (high - low), rel=0.15)
    medians = bootstrap_intervals(np.arange(101.0)[:, None], "median", seed=0)[0]
    assert medians[0] < 50 < medians[1]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_intervals_hold_their_figure_and_are_seeded(protocol):
    texts, motions, captions = random_set(2, count=120)
    options = {
        "captions": captions,
        "protocol": protocol,
        "caption_embeds": np.random.default_rng(9).normal(size=(120, 4)),
        "num_dissimilar": 40,
        "batch_size": 24,
        "confidence": 0.99,
        "num_bootstrap": 300,
    }
    metrics = retrieval_metrics(texts, motions, **options)
    assert metrics.intervals.keys() == metrics.keys()
    for name, (low, high) in metrics.intervals.items():
        assert low <= metrics[name] <= high
    assert metrics.intervals["t2m/R@1"][0] < metrics.intervals["t2m/R@1"][1]
    assert metrics.intervals == retrieval_metrics(texts, motions, **options).intervals
    assert metrics == retrieval_metrics(texts, motions, **{**options, "confidence": None})


# --------------------------------------------------------------------------------------------------------------------
# Bad input


def with_value(array, value):
    array = array.copy()
    array[3] = value
    return array


BAD = {
    "counts": (lambda t, m, c: ((t, m[:-1], c), {}), "60 rows and .* 59"),
    "widths": (lambda t, m, c: ((t, m[:, :-1], c), {}), "6 wide and .* 5"),
    "nan": (lambda t, m, c: ((t, with_value(m, np.nan), c), {}), r"`motion_embeds` holds NaN.*first: \[3\]"),
    "infinite": (lambda t, m, c: ((with_value(t, np.inf), m, c), {}), r"`text_embeds` holds NaN or infinite"),
    "zero": (lambda t, m, c: ((with_value(t, 0), m, c), {}), r"1 zero rows \(first: \[3\]\)"),
    "one axis": (lambda t, m, c: ((t[0], m[0], c), {}), r"shape \(6,\)"),
    "three axes": (lambda t, m, c: ((t[None], m[None], c), {}), r"shape \(1, 60, 6\)"),
    "empty": (lambda t, m, c: ((t[:0], m[:0], []), {}), "empty"),
    "strings": (lambda t, m, c: ((c, m, c), {}), "`text_embeds` is not an array"),
    "no captions": (lambda t, m, c: ((t, m), {}), "needs `captions`.*all_strict"),
    "no captions in batches": (lambda t, m, c: ((t, m), {"protocol": "small_batches"}), "duplicates='wrong'"),
    "few captions": (lambda t, m, c: ((t, m, c[1:]), {}), "59 captions for 60 pairs"),
    "one string": (lambda t, m, c: ((t, m, "a person walks"), {}), "not str"),
    "lists of captions": (lambda t, m, c: ((t, m, [[caption] for caption in c]), {}), r"captions\[0\] is list"),
    "protocol": (lambda t, m, c: ((t, m, c, "strict"), {}), "'strict'; known: all, all_strict"),
    "batch": (lambda t, m, c: ((t, m, c, "small_batches"), {"batch_size": 61}), "batch_size=61.* only 60"),
    "batch of none": (lambda t, m, c: ((t, m, c, "small_batches"), {"batch_size": 0}), "batch_size=0"),
    "subset": (lambda t, m, c: ((t, m, c, "dissimilar"), {"caption_embeds": t}), "num_dissimilar=100.* only 60"),
    "no similarity": (lambda t, m, c: ((t, m, c, "threshold"), {}), "caption_embeds.*neither was"),
    "both": (
        lambda t, m, c: ((t, m, c, "threshold"), {"caption_embeds": t, "caption_similarity": t @ t.T}),
        "both were",
    ),
    "few sentences": (lambda t, m, c: ((t, m, c, "threshold"), {"caption_embeds": t[1:]}), "59 rows for 60"),
    "matrix": (lambda t, m, c: ((t, m, c, "threshold"), {"caption_similarity": t}), r"expected \(60, 60\)"),
    "not symmetric": (lambda t, m, c: ((t, m, c, "threshold"), {"caption_similarity": t @ m.T}), "not symmetric"),
    "threshold": (
        lambda t, m, c: ((t, m, c, "threshold"), {"caption_embeds": t, "threshold": None}),
        "threshold=None",
    ),
    "ks": (lambda t, m, c: ((t, m, c), {"ks": (0, 1)}), "each an integer from 1"),
    "fractional ks": (lambda t, m, c: ((t, m, c), {"ks": (1.5,)}), "each an integer from 1"),
    "no ks": (lambda t, m, c: ((t, m, c), {"ks": ()}), "at least one k"),
    "ties": (lambda t, m, c: ((t, m, c), {"ties": "lucky"}), "'lucky'; known: expected"),
    "confidence": (lambda t, m, c: ((t, m, c), {"confidence": 95}), "confidence=95"),
    "repeats": (lambda t, m, c: ((t, m, c), {"repeats": 0}), "repeats=0"),
    "duplicates": (lambda t, m, c: ((t, m, c), {"duplicates": True}), "duplicates=True"),
    "huge": (lambda t, m, c: ((t * 1e200, m * 1e200, c), {"normalize": False}), "overflow"),
    "one batch": (
        lambda t, m, c: ((t, m, c, "small_batches"), {"batch_size": 60, "confidence": 0.9}),
        "at least two batches",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(case):
    change, message = BAD[case]
    positional, named = change(*random_set(0))
    with pytest.raises(EvaluationError, match=message):
        retrieval_metrics(*positional, **named)


def test_bad_matrices_are_refused():
    with pytest.raises(EvaluationError, match=r"\(2, 3\)"):
        retrieval_metrics_from_similarity(np.zeros((2, 3)), protocol="all_strict")
    with pytest.raises(EvaluationError, match="not square"):
        ranks_from_similarity(np.zeros((2, 3)))
    with pytest.raises(EvaluationError, match="no correct"):
        ranks_from_similarity(np.zeros((2, 2)), np.zeros((2, 2), dtype=bool))
    with pytest.raises(EvaluationError, match="`correct` has shape"):
        ranks_from_similarity(np.zeros((2, 2)), np.eye(3))


def test_tiny_and_huge_vectors_have_a_direction():
    texts, motions, captions = random_set(0)
    assert retrieval_metrics(texts * 1e-200, motions * 1e200, captions) == retrieval_metrics(texts, motions, captions)
