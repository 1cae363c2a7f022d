"""Scores of N motions for C class texts -> zero-shot accuracy: top-k overall and by class, and the confusion.

The paper's Table 6 reads top-1 and top-5 on BABEL-60 with the texts "A person {action}". Level scores are shared as if
they were put in random order, so constant scores give chance, k / C, and not 100.
"""

from collections.abc import Sequence

import numpy as np

from .checks import EvaluationError, check_finite, check_ks, check_pair, to_numpy, unit_rows
from .ranks import count_ties, hits_at_k


COSINE_TOLERANCE = 1e-12  # as for retrieval: cosines this close are level


class ClassificationMetrics(dict):
    """`{"top1": float, "top5": float, "top1/class_mean": float, ...}` in per cent.

    Attributes:
        per_class (`dict[str, dict[str, float]]`): For each class that occurs: `"count"`, `"top1"`, ...
        confusion (`np.ndarray` of float64, shape `(C, C)`):
            Motions of class i (row) that were taken for class j (column); a motion whose best scores are level is
            shared between them. Its trace over its sum is top-1.
        class_names (`list[str]`): Names of the rows and columns.
        num_motions (`int`): N.
    """

    def __init__(self, values, *, per_class, confusion, class_names, num_motions):
        super().__init__(values)
        self.per_class = per_class
        self.confusion = confusion
        self.class_names = class_names
        self.num_motions = num_motions

    def to_dict(self) -> dict:
        """Everything, ready for JSON."""
        return {
            "metrics": dict(self),
            "num_motions": self.num_motions,
            "per_class": self.per_class,
            "class_names": self.class_names,
            "confusion": self.confusion.tolist(),
        }


def classification_metrics(
    scores,
    labels,
    *,
    ks: Sequence[int] = (1, 5),
    class_names: Sequence[str] | None = None,
    tolerance: float = 0.0,
) -> ClassificationMetrics:
    """Top-k accuracy over motions, its mean over classes, and the confusion.

    Args:
        scores (`np.ndarray` or `torch.Tensor` of shape `(N, C)`): Score of each motion for each class; higher is closer.
        labels (integers of shape `(N,)`, or `Sequence[str]` with `class_names`): The right class of each motion.
        ks (`Sequence[int]`, *optional*, defaults to `(1, 5)`): Where accuracy is read. From k = C on it is 100.
        class_names (`Sequence[str]` of length C, *optional*): Names in the result; `"0"`, `"1"`, ... by default.
        tolerance (`float`, *optional*, defaults to 0.0): Scores this close are level.

    Returns:
        [`ClassificationMetrics`]: per cent. `"topK"` weighs every motion alike, `"topK/class_mean"` every class that
        occurs.

    Raises:
        EvaluationError: Shapes that do not fit, scores that are not finite, a label that is no class.

    Example:

    ```python
    >>> from modeling_motionpatch.evaluation import classification_metrics
    >>> classification_metrics([[0.9, 0.1], [0.8, 0.3], [0.7, 0.2]], [0, 0, 1], ks=(1,))
    {'top1': 66.66666666666666, 'top1/class_mean': 50.0}
    ```
    """
    ks = check_ks(ks)
    scores = to_numpy(scores, "scores")
    if scores.ndim != 2 or 0 in scores.shape:
        raise EvaluationError(f"`scores` has shape {scores.shape}; expected (motions, classes).")
    check_finite(scores, "scores")
    count, num_classes = scores.shape
    names = [str(index) for index in range(num_classes)] if class_names is None else [str(n) for n in class_names]
    if len(names) != num_classes or len(set(names)) != num_classes:
        raise EvaluationError(f"`class_names` must be {num_classes} different names, one a column of `scores`.")
    targets = _class_indices(labels, names, count, named=class_names is not None)

    correct = targets[:, None] == np.arange(num_classes)
    hits = hits_at_k(count_ties(scores, correct, tolerance), ks)
    members = np.bincount(targets, minlength=num_classes)
    occurring = np.flatnonzero(members)
    by_class = np.stack([np.bincount(targets, weights=column, minlength=num_classes) for column in hits.T], axis=1)
    by_class = 100.0 * by_class[occurring] / members[occurring, None]
    values = {f"top{k}": float(value) for k, value in zip(ks, hits.mean(axis=0) * 100.0)}
    values |= {f"top{k}/class_mean": float(value) for k, value in zip(ks, by_class.mean(axis=0))}

    first = scores >= scores.max(axis=1, keepdims=True) - tolerance
    confusion = np.zeros((num_classes, num_classes))
    np.add.at(confusion, targets, first / first.sum(axis=1, keepdims=True))
    per_class = {
        names[index]: {"count": int(members[index]), **{f"top{k}": float(v) for k, v in zip(ks, row)}}
        for index, row in zip(occurring, by_class)
    }
    return ClassificationMetrics(
        values, per_class=per_class, confusion=confusion, class_names=names, num_motions=count
    )


def zero_shot_classification_metrics(motion_embeds, label_embeds, labels, **options) -> ClassificationMetrics:
    """The same from embeddings, compared by cosine.

    Args:
        motion_embeds (`np.ndarray` or `torch.Tensor` of shape `(N, D)`): Motions.
        label_embeds (`np.ndarray` or `torch.Tensor` of shape `(C, D)`): Texts of the classes ("A person walks").
        labels (integers of shape `(N,)`, or `Sequence[str]` with `class_names`): The right class of each motion.
        **options: `ks` and `class_names` of [`classification_metrics`].

    Returns:
        [`ClassificationMetrics`]

    Raises:
        EvaluationError: As [`classification_metrics`], and different widths or zero rows.
    """
    motions, classes = check_pair(motion_embeds, label_embeds, ("motion_embeds", "label_embeds"), same_count=False)
    scores = unit_rows(motions, "motion_embeds") @ unit_rows(classes, "label_embeds").T
    return classification_metrics(scores, labels, **{"tolerance": COSINE_TOLERANCE, **options})


def _class_indices(labels, names: list[str], count: int, named: bool) -> np.ndarray:
    """Labels as int64 `(N,)` in 0..C-1."""
    if hasattr(labels, "detach"):
        labels = labels.detach().cpu().numpy()
    labels = np.asarray(labels)
    if labels.shape != (count,):
        raise EvaluationError(f"`labels` has shape {labels.shape}; expected ({count},), one class a motion.")
    if labels.dtype.kind in "US" or labels.dtype == object:
        if not named:
            raise EvaluationError("`labels` are strings; pass `class_names` in the order of the columns of `scores`.")
        index = {name: position for position, name in enumerate(names)}
        unknown = sorted({str(label) for label in labels} - set(index))
        if unknown:
            raise EvaluationError(f"These labels are not in `class_names`: {', '.join(unknown[:10])}.")
        return np.array([index[str(label)] for label in labels], dtype=np.int64)
    if labels.dtype.kind not in "iu":
        raise EvaluationError(f"`labels` has dtype {labels.dtype}; expected integers from 0 or names of classes.")
    outside = np.flatnonzero((labels < 0) | (labels >= len(names)))
    if len(outside):
        raise EvaluationError(
            f"labels[{outside[0]}] is {labels[outside[0]]}, outside 0..{len(names) - 1} ({len(outside)} such labels)."
        )
    return labels.astype(np.int64)
