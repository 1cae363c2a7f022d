"""Windows with unit-length embeddings (N, P) -> what a gallery does without a model: search by vectors, ids, removal."""

import logging
from collections.abc import Iterator, Sequence

import numpy as np

from .index import EXACT_LIMIT, FaissIndex
from .search import Hit, gather_rows, score_rows, top_k, without_duplicates
from .sources import as_captions, check_id
from .storage import DTYPES, GalleryError, Windows


logger = logging.getLogger(__name__)

UNIT_TOLERANCE = 1e-3  # float16 rounds the length of a unit vector by less
CANDIDATES = 4  # windows looked at for each hit wanted, before duplicates are left out; more follow where needed


class VectorGallery:
    """Rows of [`Windows`], searched by vectors; [`MotionGallery`] adds models, motions and files.

    Args:
        parts (`Sequence[Windows]`): The rows, in memory or mapped from disk.
        dim (`int`): P.
        dtype (`"float32"` or `"float16"`, *optional*, defaults to `"float32"`): Of the stored embeddings.
    """

    def __init__(self, parts: Sequence[Windows], dim: int, dtype: str = "float32"):
        self.dim, self.dtype = dim, check_dtype(dtype)
        self._set_parts(parts)

    def _set_parts(self, parts: Sequence[Windows]) -> None:
        self._parts = [part for part in parts if len(part)]
        self._offsets = np.cumsum([0, *[len(part) for part in self._parts]])
        self._blocks = [part.embeddings for part in self._parts]
        self._index = None

    def remove(self, ids) -> int:
        """Takes motions out of the gallery, with all their windows.

        Args:
            ids: An id or several.

        Returns:
            `int`: number of windows that were removed.

        Raises:
            GalleryError: An id that is not in the gallery; nothing is removed then.
        """
        wanted = {str(ids)} if isinstance(ids, (str, int, np.integer)) else {str(value) for value in ids}
        unknown = wanted - {str(value) for value in self.ids}
        if unknown:
            raise GalleryError(f"The gallery has no {', '.join(sorted(unknown)[:10])}; nothing was removed.")
        before, parts = len(self), []
        for part in self._parts:
            keep = np.array([str(value) not in wanted for value in part.ids])
            parts.append(part if keep.all() else part.take(np.flatnonzero(keep)))
        self._set_parts(parts)
        return before - len(self)

    # ------------------------------------------------------------------------------------------------ looking inside

    def __len__(self) -> int:
        """Number of windows."""
        return int(self._offsets[-1])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} windows, {self.dim} x {self.dtype})"

    @property
    def ids(self) -> list:
        """The motions' ids, each once, in order."""
        return list(dict.fromkeys(value for part in self._parts for value in part.ids))

    @property
    def embeddings(self) -> np.ndarray:
        """All rows, `(N, P)` in the stored dtype; a copy where they lie in several blocks."""
        if len(self._blocks) == 1:
            return self._blocks[0]
        return np.concatenate(self._blocks) if self._blocks else np.empty((0, self.dim), self.dtype)

    def __iter__(self) -> Iterator[Hit]:
        """Every window in order, as a hit with score NaN."""
        return (self._hit(float("nan"), row) for row in range(len(self)))

    def _locate(self, row: int) -> tuple[Windows, int]:
        number = int(np.searchsorted(self._offsets, row, side="right")) - 1
        return self._parts[number], int(row - self._offsets[number])

    def _moment(self, row: int) -> tuple:
        part, inside = self._locate(row)
        start, end = part.starts[inside], part.ends[inside]
        return (part.ids[inside], None, None) if np.isnan(start) else (part.ids[inside], float(start), float(end))

    def _hit(self, score: float, row: int) -> Hit:
        part, inside = self._locate(row)
        motion_id, start, end = self._moment(row)
        captions = list(part.captions[inside] or [])
        caption = captions[0] if captions else None
        return Hit(check_id(motion_id), float(score), start, end, caption, captions, part.sources[inside], int(row))

    # ------------------------------------------------------------------------------------------------ searching

    def search_embeddings(
        self,
        queries,
        k: int = 10,
        *,
        merge: bool = True,
        max_overlap: float = 0.0,
        mirrored: str = "once",
        exact: bool | None = None,
    ):
        """Finds motions by vectors.

        Args:
            queries (`np.ndarray` or `torch.Tensor` of shape `(P,)` or `(Q, P)`): Scaled to unit length.
            k (`int`, *optional*, defaults to 10): Hits a query.
            merge (`bool`, *optional*, defaults to `True`):
                Leave out a window that overlaps a better one of the same take, and mirrored twins.
            max_overlap (`float`, *optional*, defaults to 0): Share of the shorter window that two hits may have in common.
            mirrored (`"once"` or `"all"`, *optional*, defaults to `"once"`): Whether of a motion and its mirrored twin
                (`012314` and `M012314`, see [`twin_key`]) only the better is a hit.
            exact (`bool`, *optional*): Search every window, or with the FAISS index. By default the index is used where
                there is one that was measured to find 99 % of what exact search finds.

        Returns:
            `list[Hit]`, best first, for `(P,)`; a list of such lists for `(Q, P)`. `score` is the cosine similarity.

        Raises:
            GalleryError: Vectors of another width, NaN, or an unknown option.
        """
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
            raise GalleryError(f"`k` is {k!r}; it must be a whole number of at least 1.")
        if mirrored not in ("once", "all"):
            raise GalleryError(f"`mirrored` is {mirrored!r}; it must be 'once' or 'all'.")
        single = np.ndim(queries) == 1
        queries = unit_rows(queries[None] if single and hasattr(queries, "shape") else queries, "queries", single)
        if queries.shape[1] != self.dim:
            raise GalleryError(
                f"`queries` have {queries.shape[1]} numbers each, but this gallery's embeddings have {self.dim}; they "
                "come from another model."
            )
        hits = self._search(queries.astype(np.float32, copy=False), int(k), merge, max_overlap, mirrored, exact)
        return hits[0] if single else hits

    def _search(self, queries, k, merge, max_overlap, mirrored, exact) -> list[list[Hit]]:
        results: list[list[Hit] | None] = [None] * len(queries)
        pending, depth = np.arange(len(queries)), min(len(self), k * CANDIDATES if merge else k)
        while len(pending):
            scores, rows = self.top_k(queries[pending], depth, exact)
            open_queries = []
            for query, row_scores, row_numbers in zip(pending, scores, rows):
                candidates = zip(row_scores.tolist(), row_numbers.tolist())
                candidates = [pair for pair in candidates if pair[1] >= 0]
                if merge:
                    found = without_duplicates(iter(candidates), self._moment, k, max_overlap, mirrored)
                else:
                    found = candidates[:k]
                if len(found) < min(k, len(self)) and merge and depth < len(self):
                    open_queries.append(query)  # too many duplicates: look at more windows
                else:
                    results[query] = [self._hit(score, row) for score, row in found]
            pending, depth = np.asarray(open_queries, dtype=np.int64), min(len(self), depth * 4)
        return results

    def top_k(self, queries: np.ndarray, k: int, exact: bool | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The raw rows behind [`MotionGallery.search_embeddings`], nothing merged.

        Args:
            queries (`np.ndarray` of shape `(Q, P)`): Unit length, float32.
            k (`int`): Rows a query.
            exact (`bool`, *optional*): As of [`MotionGallery.search_embeddings`].

        Returns:
            `tuple`: scores `(Q, k)` float32, best first, and rows `(Q, k)`; -1 where an index found fewer.
        """
        if exact is False and self._index is None:
            raise GalleryError("`exact=False` needs an index; call `build_index()` first.")
        if exact or self._index is None or (exact is None and not self._index.useful):
            return top_k(self._blocks, queries, k)
        k = min(k, len(self))
        scores, rows = np.full((len(queries), k), -np.inf, np.float32), np.full((len(queries), k), -1, np.int64)
        for index, candidates in enumerate(self._index.search(queries, k)):
            exactly = score_rows(self._blocks, queries[index], candidates)
            order = np.lexsort((candidates, -exactly))
            scores[index, : len(order)], rows[index, : len(order)] = exactly[order], candidates[order]
        return scores, rows

    def similar(self, motion_id, k: int = 10, **options) -> list[Hit]:
        """Motions like one of the gallery's own: those nearest to the mean of its windows, itself left out.

        Args:
            motion_id (`str` or `int`): An id of the gallery.
            k (`int`, *optional*, defaults to 10): Number of hits.
            options: Of [`MotionGallery.search_embeddings`].

        Raises:
            GalleryError: There is no such id.
        """
        own = [
            int(self._offsets[number]) + inside
            for number, part in enumerate(self._parts)
            for inside, value in enumerate(part.ids)
            if str(value) == str(motion_id)
        ]
        if not own:
            raise GalleryError(f"The gallery has no motion {motion_id!r}.")
        mean = gather_rows(self._blocks, np.asarray(own)).mean(axis=0)
        hits = self.search_embeddings(mean, k + len(own), **options)
        return [hit for hit in hits if str(hit.id) != str(motion_id)][:k]

    # ------------------------------------------------------------------------------------------------ the index

    @property
    def index(self) -> FaissIndex | None:
        """The FAISS index, where one was built."""
        return self._index

    def build_index(self) -> "VectorGallery":
        """Builds a FAISS index, for galleries of more than about 10^5 windows; see [`FaissIndex`].

        Raises:
            ImportError: faiss is not installed.
        """
        if not len(self):
            raise GalleryError("An empty gallery needs no index.")
        self._index = FaissIndex.build(self._blocks)
        if not self._index.useful:
            logger.warning(
                f"The index finds {self._index.recall:.1%} of what exact search finds among these {len(self)} windows, "
                "so searches stay exact unless `exact=False` is given."
            )
        return self

    def _maybe_index(self, index) -> None:
        if index not in (True, False, "auto"):
            raise GalleryError(f"`index` is {index!r}; it must be True, False or 'auto'.")
        if index is True:
            self.build_index()
        elif index == "auto" and len(self) > EXACT_LIMIT:
            try:
                self.build_index()
            except ImportError as error:
                logger.warning(f"{len(self)} windows are searched exactly, without an index. {error}")


# --------------------------------------------------------------------------------------------------------------------
# Vectors -> windows


def check_dtype(dtype: str) -> str:
    """Returns `dtype` if embeddings can be stored as it, else raises a `GalleryError`."""
    if dtype not in DTYPES:
        raise GalleryError(f"`dtype` is {dtype!r}; embeddings are stored as one of {DTYPES}.")
    return dtype


def windows_of_vectors(
    embeddings, ids=None, captions=None, starts=None, ends=None, sources=None, dtype="float32"
) -> Windows:
    """Vectors that were made elsewhere -> windows; see [`MotionGallery.from_embeddings`]."""
    embeddings = unit_rows(embeddings, "embeddings").astype(check_dtype(dtype), copy=False)
    total = len(embeddings)

    def column(values, name, convert, default):
        if values is None:
            return default
        if len(values) != total:
            raise GalleryError(f"{total} embeddings but {len(values)} `{name}`; give one a row.")
        return convert(values)

    if (starts is None) != (ends is None):
        raise GalleryError("`starts` and `ends` come together; one of them is missing.")
    nothing = np.full(total, np.nan)
    starts = column(starts, "starts", lambda values: np.asarray(values, np.float64), nothing)
    ends = column(ends, "ends", lambda values: np.asarray(values, np.float64), nothing)
    if (ends < starts).any():
        raise GalleryError(f"Row {int(np.flatnonzero(ends < starts)[0])} ends before it starts.")
    return Windows(
        column(ids, "ids", _ids, _Counted(total)),
        starts,
        ends,
        column(captions, "captions", lambda values: [as_captions(value) for value in values], _Same([], total)),
        column(sources, "sources", list, _Same(None, total)),
        embeddings,
    )


def unit_rows(values, name: str, single: bool = False) -> np.ndarray:
    """Numbers `(n, P)`, or `(P,)` with `single`, -> rows of unit length; a copy only where the lengths are others.

    Raises:
        GalleryError: Another shape, or rows that are not finite or all zeros.
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = (values if str(values.dtype) in ("torch.float16", "torch.float32") else values.float()).numpy()
    array = np.asarray(values)
    if single and array.ndim == 1:
        array = array[None]
    if array.ndim != 2 or array.dtype.kind not in "fiu" or not array.shape[1]:
        raise GalleryError(f"`{name}` has shape {array.shape} and dtype {array.dtype}; numbers (n, P) are needed.")
    if array.dtype not in (np.float16, np.float32):
        array = array.astype(np.float32)
    lengths = np.sqrt(np.einsum("np,np->n", array, array, dtype=np.float32))
    if not np.isfinite(lengths).all():
        raise GalleryError(f"`{name}`: row {int(np.flatnonzero(~np.isfinite(lengths))[0])} holds NaN or infinity.")
    if not lengths.all():
        raise GalleryError(f"`{name}`: row {int(np.flatnonzero(lengths == 0)[0])} is all zeros and has no direction.")
    if np.abs(lengths - 1).max(initial=0) < UNIT_TOLERANCE:
        return array
    return (array / lengths[:, None]).astype(array.dtype)


class _Counted(Sequence):
    """`"0"`, `"1"`, ... without a million strings."""

    def __init__(self, length: int):
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> str:
        if not 0 <= index < self.length:
            raise IndexError(index)
        return str(index)


class _Same(Sequence):
    """One value, many times."""

    def __init__(self, value, length: int):
        self.value, self.length = value, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int):
        if not 0 <= index < self.length:
            raise IndexError(index)
        return self.value


def _ids(values):
    values = values.tolist() if isinstance(values, np.ndarray) else list(values)
    for value in values:
        check_id(value)
    return values
