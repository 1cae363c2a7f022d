"""Zero-shot accuracy and confusion against values by hand and a loop over motions."""

import json

import numpy as np
import pytest
import torch

from modeling_motionpatch.evaluation import (
    EvaluationError,
    classification_metrics,
    zero_shot_classification_metrics,
)


def test_values_by_hand():
    scores = [[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1], [0.5, 0.3, 0.2]]
    metrics = classification_metrics(
        scores, ["walk", "walk", "walk", "run"], ks=(1, 2), class_names=["walk", "run", "sit"]
    )
    assert metrics == pytest.approx(
        {"top1": 50, "top2": 100, "top1/class_mean": 100 / 3, "top2/class_mean": 100}  # nobody sits: two classes
    )
    assert metrics.confusion.tolist() == [[2, 1, 0], [1, 0, 0], [0, 0, 0]]
    assert metrics.per_class["run"] == {"count": 1, "top1": 0, "top2": 100}
    assert "sit" not in metrics.per_class
    assert json.loads(json.dumps(metrics.to_dict()))["metrics"] == metrics


@pytest.mark.parametrize("seed", range(3))
def test_against_a_loop(seed):
    generator = np.random.default_rng(seed)
    motions, classes = generator.normal(size=(50, 6)), generator.normal(size=(9, 6))
    labels = generator.integers(9, size=50)
    metrics = zero_shot_classification_metrics(torch.tensor(motions), torch.tensor(classes), torch.tensor(labels))
    inside = {1: [], 5: []}
    for motion, label in zip(motions, labels):
        cosines = [motion @ text / np.linalg.norm(motion) / np.linalg.norm(text) for text in classes]
        order = np.argsort(cosines)[::-1]
        for k, found in inside.items():
            found.append(label in order[:k])
    for k, found in inside.items():
        assert metrics[f"top{k}"] == pytest.approx(100 * np.mean(found))
        means = [np.mean(np.array(found)[labels == label]) for label in set(labels.tolist())]
        assert metrics[f"top{k}/class_mean"] == pytest.approx(100 * np.mean(means))
    assert np.trace(metrics.confusion) / metrics.confusion.sum() * 100 == pytest.approx(metrics["top1"])
    order = generator.permutation(50)
    assert zero_shot_classification_metrics(motions[order], classes, labels[order]) == pytest.approx(metrics)


def test_constant_scores_give_chance():
    metrics = classification_metrics(np.ones((30, 10)), np.arange(30) % 10)
    assert metrics == pytest.approx({"top1": 10, "top5": 50, "top1/class_mean": 10, "top5/class_mean": 50})
    assert metrics.confusion == pytest.approx(np.full((10, 10), 0.3))


@pytest.mark.parametrize(
    "scores, labels, options, message",
    [
        (np.ones(3), [0, 0, 0], {}, r"shape \(3,\)"),
        (np.ones((3, 2)), [0, 1], {}, r"`labels` has shape \(2,\)"),
        (np.ones((3, 2)), [0, 1, 2], {}, r"labels\[2\] is 2, outside 0..1"),
        (np.ones((3, 2)), [0, -1, 1], {}, r"labels\[1\] is -1"),
        (np.ones((3, 2)), [0.0, 1.0, 1.0], {}, "dtype float64"),
        (np.ones((3, 2)), ["a", "b", "b"], {}, "pass `class_names`"),
        (np.ones((3, 2)), ["a", "b", "c"], {"class_names": ["a", "b"]}, "not in `class_names`: c"),
        (np.ones((3, 2)), [0, 1, 1], {"class_names": ["a", "a"]}, "2 different names"),
        (np.full((3, 2), np.nan), [0, 1, 1], {}, "NaN"),
        (np.ones((3, 2)), [0, 1, 1], {"ks": (0,)}, "integer from 1"),
    ],
)
def test_bad_input_is_refused(scores, labels, options, message):
    with pytest.raises(EvaluationError, match=message):
        classification_metrics(scores, labels, **options)


def test_bad_embeddings_are_refused():
    with pytest.raises(EvaluationError, match="4 wide and `label_embeds` 3"):
        zero_shot_classification_metrics(np.ones((5, 4)), np.ones((2, 3)), np.zeros(5, dtype=int))
    with pytest.raises(EvaluationError, match="zero rows"):
        zero_shot_classification_metrics(np.ones((5, 4)), np.zeros((2, 4)), np.zeros(5, dtype=int))
