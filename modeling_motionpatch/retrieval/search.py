"""Unit vectors (N, P) and queries (Q, P) -> the best rows by cosine similarity, and rows -> hits without duplicates.

Exact search is a matrix product in blocks of bounded memory; `index.py` has the approximate one for large galleries.
"""

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import torch


BLOCK_ROWS = 16_384  # rows scored at a time: 16 MB at P = 256 in float32, which stays near the processor
BLOCK_QUERIES = 256  # queries scored at a time: 16 MB of scores a block
FEW_QUERIES = (
    16  # so few columns at the right of the rows, two at least, read memory at its rate; other forms take 4 times
)
TOUCHING = 1e-3  # [s]; windows that share less than a millisecond do not overlap


@dataclass
class Hit:
    """A moment that was found; reads like a `dict`, too (`hit["score"]`).

    Args:
        id (`str`): Of the motion.
        score (`float`): Cosine similarity to the query.
        start, end (`float`, *optional*): The moment, in seconds from the motion's beginning.
        caption (`str`, *optional*): The motion's first caption.
        captions (`list[str]`): All of them.
        source (`str`, *optional*): The file it came from.
        index (`int`): Row in the gallery.
    """

    id: str | int
    score: float
    start: float | None = None
    end: float | None = None
    caption: str | None = None
    captions: list[str] = field(default_factory=list, repr=False)
    source: str | None = None
    index: int = field(default=-1, repr=False)

    def __getitem__(self, name: str):
        if name in self.__dataclass_fields__:
            return getattr(self, name)
        raise KeyError(f"A hit has no {name!r}; it has {', '.join(self.__dataclass_fields__)}.")

    def __contains__(self, name: str) -> bool:
        return name in self.__dataclass_fields__

    def keys(self) -> tuple[str, ...]:
        """Names of the fields, so that `dict(hit)` works."""
        return tuple(self.__dataclass_fields__)

    def get(self, name: str, default=None):
        """A field, or `default` where a hit has no such field."""
        return getattr(self, name) if name in self else default

    def to_dict(self) -> dict:
        """The fields as a `dict` that JSON can hold."""
        return asdict(self)


# --------------------------------------------------------------------------------------------------------------------
# Exact search


def top_k(blocks: Sequence[np.ndarray], queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k rows with the largest dot products, exactly.

    Args:
        blocks (`Sequence[np.ndarray]`): Rows `(n, P)`, float16 or float32, in memory or mapped from disk; N in all.
        queries (`np.ndarray` of shape `(Q, P)`): float32.
        k (`int`): Cut to N.

    Returns:
        `tuple`: scores `(Q, k)` float32, best first, and rows `(Q, k)` int64, counted over all blocks. Equal scores
        are in the order of their rows. Memory beyond the result: `BLOCK_QUERIES * (BLOCK_ROWS + 2 k)` scores and one
        block of rows.
    """
    total = sum(len(block) for block in blocks)
    k = min(k, total)
    scores = np.full((len(queries), k), -np.inf, np.float32)
    rows = np.zeros((len(queries), k), np.int64)
    if not k:
        return scores, rows
    for first in range(0, len(queries), BLOCK_QUERIES):
        some = torch.from_numpy(np.ascontiguousarray(queries[first : first + BLOCK_QUERIES], dtype=np.float32))
        best = scores[first : first + len(some)], rows[first : first + len(some)]
        for offset, chunk in row_chunks(blocks):
            similarity = _similarity(some, chunk)
            # Only rows above the k-th best score so far can still enter; few are after the first blocks.
            above = similarity > best[0][:, -1:]
            if above.any():
                values, columns = _best_columns(similarity, above, min(k, similarity.shape[1]))
                best = _merge(best, (values, columns + offset), k)
        scores[first : first + len(some)], rows[first : first + len(some)] = best
    return scores, rows


def _similarity(queries: torch.Tensor, rows: torch.Tensor) -> np.ndarray:
    """Dot products `(Q, n)` of queries `(Q, P)` and rows `(n, P)`."""
    if len(queries) > FEW_QUERIES:
        return (queries @ rows.T).numpy()
    columns = queries if len(queries) > 1 else torch.cat([queries, queries])
    return (rows @ columns.T)[:, : len(queries)].T.contiguous().numpy()


def score_rows(blocks: Sequence[np.ndarray], query: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Dot products of one query `(P,)` with some rows, float32."""
    return gather_rows(blocks, rows) @ query.astype(np.float32)


def gather_rows(blocks: Sequence[np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Rows by their numbers over all blocks, `(n, P)` float32."""
    offsets = np.cumsum([0, *[len(block) for block in blocks]])
    rows = np.asarray(rows, dtype=np.int64)
    gathered = np.empty((len(rows), blocks[0].shape[1]), np.float32)
    for number, block in enumerate(blocks):
        inside = (rows >= offsets[number]) & (rows < offsets[number + 1])
        if inside.any():
            gathered[inside] = block[rows[inside] - offsets[number]]
    return gathered


def row_chunks(blocks: Sequence[np.ndarray]) -> Iterator[tuple[int, torch.Tensor]]:
    """(first row, rows as float32) of at most `BLOCK_ROWS` rows; float16 is widened into one reused buffer."""
    offset, buffer = 0, None
    for block in blocks:
        for start in range(0, len(block), BLOCK_ROWS):
            chunk = _as_tensor(block[start : start + BLOCK_ROWS])
            if chunk.dtype != torch.float32:
                if buffer is None:
                    buffer = torch.empty(BLOCK_ROWS, chunk.shape[1])
                chunk = buffer[: len(chunk)].copy_(chunk)
            yield offset + start, chunk
        offset += len(block)


def _as_tensor(array: np.ndarray) -> torch.Tensor:
    with warnings.catch_warnings():  # what is mapped from disk is read-only, and nothing here writes to it
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _best_columns(similarity: np.ndarray, eligible: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k largest eligible entries of each row, best first, equal ones from left to right; then -inf."""
    values = np.full((len(similarity), k), -np.inf, np.float32)
    columns = np.zeros((len(similarity), k), np.int64)
    for index in range(len(similarity)):
        chosen = np.flatnonzero(eligible[index])
        row = similarity[index, chosen]
        if len(row) > k:
            threshold = np.partition(row, len(row) - k)[len(row) - k]
            above = np.flatnonzero(row > threshold)
            level = np.flatnonzero(row == threshold)[: k - len(above)]  # ties: the first rows
            best = np.concatenate([above, level])
            chosen, row = chosen[best], row[best]
        order = np.lexsort((chosen, -row))
        values[index, : len(order)], columns[index, : len(order)] = row[order], chosen[order]
    return values, columns


def _merge(best, new, k: int) -> list[np.ndarray]:
    values = np.concatenate([best[0], new[0]], axis=1)
    rows = np.concatenate([best[1], new[1]], axis=1)
    order = np.argsort(-values, axis=1, kind="stable")[:, :k]  # earlier rows come first among equals
    return [np.take_along_axis(values, order, 1), np.take_along_axis(rows, order, 1)]


# --------------------------------------------------------------------------------------------------------------------
# Hits without duplicates

_MIRRORED_ID = re.compile(r"^(?P<before>(?:.*[/\\_-])?)M(?P<number>\d{5,}.*)$")  # HumanML3D M012314, KIT-ML M00001
_MIRRORED_SUFFIX = re.compile(r"[_-](?:mirror|mirrored|flipped)$", re.IGNORECASE)


def twin_key(motion_id) -> str:
    """What a motion and its mirrored twin have in common: `"M012314"` and `"012314"` -> `"012314"`.

    An id is a mirrored one if an `M` stands in front of a number of at least five digits (HumanML3D, KIT-ML), or if it
    ends in `_mirror`, `_mirrored` or `_flipped`.
    """
    name = str(motion_id)
    match = _MIRRORED_ID.match(name)
    if match:
        return match["before"] + match["number"]
    return _MIRRORED_SUFFIX.sub("", name)


def without_duplicates(
    candidates: Iterator[tuple[float, int]],
    moment: Callable[[int], tuple],
    k: int,
    max_overlap: float = 0.0,
    mirrored: str = "once",
) -> list[tuple[float, int]]:
    """Non-maximum suppression: best first, a row is left out if it overlaps a better one of the same motion.

    Args:
        candidates (`Iterator`): `(score, row)`, best first.
        moment (`Callable`): Row -> `(id, start, end)`; rows without times are never merged with rows of the same id.
        k (`int`): Number of rows wanted.
        max_overlap (`float`, *optional*, defaults to 0): Share of the shorter window that two hits may have in common.
        mirrored (`"once"` or `"all"`, *optional*, defaults to `"once"`): Whether a motion and its mirrored twin
            ([`twin_key`]) count as the same motion.

    Returns:
        `list[tuple[float, int]]`: at most k of the candidates.
    """
    kept: list[tuple[float, int]] = []
    taken: dict[str, list[tuple]] = {}
    for score, row in candidates:
        motion_id, start, end = moment(row)
        key = twin_key(motion_id) if mirrored == "once" else str(motion_id)
        others = taken.setdefault(key, [])
        if not any(_same_moment((motion_id, start, end), other, max_overlap) for other in others):
            others.append((motion_id, start, end))
            kept.append((score, row))
            if len(kept) == k:
                break
    return kept


def _same_moment(one: tuple, other: tuple, max_overlap: float) -> bool:
    if one[1] is None or other[1] is None:
        return str(one[0]) != str(other[0])  # without times: a mirrored twin, while rows of one id stay apart
    shared = min(one[2], other[2]) - max(one[1], other[1])
    shorter = min(one[2] - one[1], other[2] - other[1])
    return shared > max(TOUCHING, max_overlap * shorter) if shorter > TOUCHING else shared >= 0
