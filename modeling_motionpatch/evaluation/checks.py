"""Arguments of the metrics -> checked numpy arrays; what cannot be scored is refused with the rule and the remedy."""

from collections.abc import Sequence

import numpy as np


class EvaluationError(ValueError):
    """Input that cannot be scored: wrong shapes or counts, values that are not finite, an unknown protocol."""


def to_numpy(value, name: str) -> np.ndarray:
    """Array, tensor (any device and float type, with or without gradient) or nested list -> float64 array."""
    if hasattr(value, "detach"):  # a torch tensor, recognised without importing torch
        value = value.detach().cpu().double().numpy()
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"dtype {array.dtype}")
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise EvaluationError(f"`{name}` is not an array of real numbers ({error}); pass numpy or torch.") from error


def check_embeddings(value, name: str, ndim: int = 2, minimum: int = 1) -> np.ndarray:
    """Finite float64 array `(n, D)` (or with `ndim` axes) of at least `minimum` rows.

    Raises:
        EvaluationError: Another number of axes, no row or no column, NaN or infinite values, too few rows.
    """
    array = to_numpy(value, name)
    if array.ndim != ndim:
        shape = "(n, D): one row an item" if ndim == 2 else "(texts, samples, D)"
        raise EvaluationError(f"`{name}` has shape {array.shape}; expected {ndim} axes {shape}.")
    if 0 in array.shape:
        raise EvaluationError(f"`{name}` has shape {array.shape}: it is empty, there is nothing to score.")
    check_finite(array, name)
    if len(array) < minimum:
        raise EvaluationError(f"`{name}` has {len(array)} rows; at least {minimum} are needed.")
    return array


def check_finite(array: np.ndarray, name: str) -> None:
    """Refuses NaN and infinite values, naming the first rows that hold them."""
    if np.isfinite(array).all():
        return
    bad = np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(axis=1))
    raise EvaluationError(
        f"`{name}` holds NaN or infinite values in {len(bad)} of {len(array)} rows (first: {bad[:5].tolist()}). "
        "Find out where they come from; they are not scored."
    )


def check_pair(
    first, second, names: tuple[str, str], minimum: int = 1, same_count: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Two embedding arrays of the same width D and, with `same_count`, of the same number of rows."""
    first = check_embeddings(first, names[0], minimum=minimum)
    second = check_embeddings(second, names[1], minimum=minimum)
    if same_count and len(first) != len(second):
        raise EvaluationError(
            f"`{names[0]}` has {len(first)} rows and `{names[1]}` {len(second)}; row i of one must belong to row i of "
            "the other."
        )
    if first.shape[1] != second.shape[1]:
        raise EvaluationError(
            f"`{names[0]}` is {first.shape[1]} wide and `{names[1]}` {second.shape[1]}; both must come from the same "
            "projected space."
        )
    return first, second


def unit_rows(array: np.ndarray, name: str) -> np.ndarray:
    """Rows scaled to length 1.

    Raises:
        EvaluationError: A row is zero: it has no direction and its cosine is undefined.
    """
    largest = np.abs(array).max(axis=1, keepdims=True)  # scaling first keeps tiny and huge rows from under/overflow
    zero = np.flatnonzero(largest[:, 0] == 0)
    if len(zero):
        raise EvaluationError(
            f"`{name}` has {len(zero)} zero rows (first: {zero[:5].tolist()}); the cosine with them is undefined."
        )
    array = array / largest
    return array / np.linalg.norm(array, axis=1, keepdims=True)


def caption_groups(captions, count: int) -> np.ndarray:
    """Captions -> int64 `(n,)`: the same number for the same string (compared as it is: case, spaces and all)."""
    if isinstance(captions, str) or not isinstance(captions, Sequence | np.ndarray):
        raise EvaluationError(f"`captions` must be a list of {count} strings, not {type(captions).__name__}.")
    captions = list(captions)
    if len(captions) != count:
        raise EvaluationError(
            f"There are {len(captions)} captions for {count} pairs; give the one caption of each text."
        )
    for index, caption in enumerate(captions):
        if not isinstance(caption, str):
            raise EvaluationError(
                f"captions[{index}] is {type(caption).__name__}, not a string; give the one caption that was embedded."
            )
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(str(caption), len(numbers)) for caption in captions], dtype=np.int64)


def check_ks(ks: Sequence[int]) -> tuple[int, ...]:
    """Places at which recall is read: distinct positive integers, ascending."""
    try:
        checked = tuple(sorted({int(k) for k in ks}))
        exact = all(int(k) == k for k in ks)
    except (TypeError, ValueError) as error:
        raise EvaluationError(f"ks={ks!r} is not a list of integers such as (1, 5, 10).") from error
    if not checked or checked[0] < 1 or not exact:
        raise EvaluationError(f"ks={ks!r}: give at least one k, each an integer from 1.")
    return checked


def check_count(value, name: str, minimum: int = 1) -> int:
    """An integer option of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < minimum:
        raise EvaluationError(f"{name}={value!r}; expected an integer of at least {minimum}.")
    return int(value)
