"""Seeded sub-samples of an evaluation set: random batches, and pairs whose captions are far from one another."""

from collections.abc import Callable

import numpy as np

from .checks import EvaluationError


# A swap must raise the subset's mean distance by more than rounding does, or the search could go round in circles.
_LEAST_GAIN = 1e-9
_MOST_SWAPS_PER_MEMBER = 10  # far above what is needed: some tenths of a swap a member on real captions


def random_batches(count: int, batch_size: int, generator: np.random.Generator) -> np.ndarray:
    """Shuffles `count` items and cuts them into whole batches; the rest is left out.

    Returns:
        `np.ndarray` of int64, shape `(count // batch_size, batch_size)`.

    Raises:
        EvaluationError: The set does not fill one batch.
    """
    if batch_size > count:
        raise EvaluationError(
            f"batch_size={batch_size}, but there are only {count} pairs: not one whole batch. Give more pairs or a "
            "smaller batch_size."
        )
    order = generator.permutation(count)
    return order[: count // batch_size * batch_size].reshape(-1, batch_size)


def dissimilar_subset(
    distance_to: Callable[[int], np.ndarray], count: int, size: int, generator: np.random.Generator
) -> np.ndarray:
    """Chooses `size` of `count` items with a large sum of distances to one another.

    TMR states this subset as a quadratic knapsack, which is solved approximately. Here: a random first item (by the
    seed), then always the item with the largest summed distance to those chosen, then swaps of one chosen item for one
    outside, best first, until no swap raises the sum. Takes O(count * size) a step and never holds count x count.

    Args:
        distance_to (`Callable[[int], np.ndarray]`): Index -> distances `(count,)` of all items to that one.
        count (`int`): Items to choose from.
        size (`int`): Items to choose, at least 2.
        generator (`np.random.Generator`): Chooses the first item.

    Returns:
        `np.ndarray` of int64, shape `(size,)`, ascending.

    Raises:
        EvaluationError: More items asked for than there are.
    """
    if size > count:
        raise EvaluationError(
            f"num_dissimilar={size}, but there are only {count} pairs. Give more pairs or a smaller num_dissimilar."
        )
    chosen = [int(generator.integers(count))]
    rows = np.empty((size, count))  # distances of the chosen items to all
    rows[0] = distance_to(chosen[0])
    total = rows[0].copy()  # of each item to the chosen ones
    outside = np.ones(count, dtype=bool)
    outside[chosen[0]] = False
    for place in range(1, size):
        item = int(np.argmax(np.where(outside, total, -np.inf)))
        outside[item] = False
        rows[place] = distance_to(item)
        total += rows[place]
        chosen.append(item)
    chosen = np.array(chosen)
    if size < count:
        for _ in range(_MOST_SWAPS_PER_MEMBER * size):
            # Gain of taking item j in for member i: j's distances to the other members minus i's own.
            gain = (total - rows) - total[chosen][:, None]  # (size, count)
            gain[:, ~outside] = -np.inf
            member, item = np.unravel_index(np.argmax(gain), gain.shape)
            if gain[member, item] <= _LEAST_GAIN * size:
                break
            outside[chosen[member]], outside[item] = True, False
            total -= rows[member]
            chosen[member] = item
            rows[member] = distance_to(int(item))
            total += rows[member]
    return np.sort(chosen)
