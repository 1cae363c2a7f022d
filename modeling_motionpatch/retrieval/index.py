"""Unit vectors (N, P) -> a FAISS index that narrows a search down to a few candidates, where it was measured to be right."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .search import gather_rows, row_chunks, top_k


EXACT_LIMIT = 100_000  # rows; up to here exact search takes some milliseconds, so an index gains nothing
TARGET_RECALL = 0.99  # of exact search's ten best; an index that does not reach it is not used
TRAINING_ROWS = 40  # vectors a list to train with; FAISS warns below 39
TRAINING_ROUNDS = 10  # of k-means; the lists change little afterwards, and the time is most of the building
MAX_LISTS = 4096
RECALL_QUERIES = 64
RECALL_DEPTH = 10


class FaissIndex:
    """An inverted file of FAISS over the rows of a gallery, with the number of lists to visit measured, not guessed.

    Args:
        index: The FAISS index.
        recall (`float`): Share of exact search's ten best rows that it found, measured when it was built.

    Inner products, float16 storage (2 P bytes a row), about 4 sqrt(N) lists.
    """

    FILE_NAME = "index.faiss"

    def __init__(self, index, recall: float):
        self.index, self.recall = index, recall

    @classmethod
    def build(cls, blocks: Sequence[np.ndarray], seed: int = 0) -> "FaissIndex":
        """Builds and tunes an index.

        Its recall is measured with noisy copies of rows (cosine about 0.8 to the row they were made of), and lists are
        visited until it reaches [`TARGET_RECALL`], or until half of them are: then exact search is as fast.

        Raises:
            ImportError: faiss is not installed.
        """
        faiss = import_faiss()
        total, width = sum(len(block) for block in blocks), blocks[0].shape[1]
        lists = max(1, int(min(4 * np.sqrt(total), total / TRAINING_ROWS, MAX_LISTS)))
        rng = np.random.default_rng(seed)
        index = faiss.index_factory(width, f"IVF{lists},SQfp16", faiss.METRIC_INNER_PRODUCT)
        faiss.extract_index_ivf(index).cp.niter = TRAINING_ROUNDS
        sample = np.sort(rng.choice(total, min(total, TRAINING_ROWS * lists), replace=False))
        index.train(gather_rows(blocks, sample))
        for _, chunk in row_chunks(blocks):
            index.add(chunk.numpy())
        queries = gather_rows(blocks, np.sort(rng.choice(total, min(total, RECALL_QUERIES), replace=False)))
        queries += rng.normal(size=queries.shape).astype(np.float32) * (0.75 / np.sqrt(width))
        queries /= np.linalg.norm(queries, axis=1, keepdims=True)
        _, exact = top_k(blocks, queries, RECALL_DEPTH)
        built, visited = cls(index, 0.0), min(8, lists)
        while True:
            index.nprobe = visited
            _, found = index.search(queries, RECALL_DEPTH)
            built.recall = float(np.mean([len(set(a) & set(b)) / exact.shape[1] for a, b in zip(exact, found)]))
            if built.recall >= TARGET_RECALL or visited >= max(lists // 2, 1):
                break
            visited *= 2
        return built

    @property
    def useful(self) -> bool:
        """Whether the measured recall allows to search with it."""
        return self.recall >= TARGET_RECALL

    def __len__(self) -> int:
        return self.index.ntotal

    def search(self, queries: np.ndarray, k: int) -> list[np.ndarray]:
        """Rows that may be the k best of each query, in no order; fewer where the visited lists hold fewer."""
        _, rows = self.index.search(np.ascontiguousarray(queries, dtype=np.float32), min(k, len(self)))
        return [row[row >= 0] for row in rows]

    def save(self, folder: Path) -> None:
        """Writes `index.faiss`."""
        import_faiss().write_index(self.index, str(folder / self.FILE_NAME))

    @classmethod
    def load(cls, folder: Path, recall: float) -> "FaissIndex":
        """Maps `index.faiss` into memory; its lists are read as they are visited."""
        faiss = import_faiss()
        return cls(faiss.read_index(str(folder / cls.FILE_NAME), faiss.IO_FLAG_MMAP), recall)


def import_faiss():
    """The `faiss` module.

    Raises:
        ImportError: It is not installed; the message says what to install and that exact search needs none.
    """
    try:
        import faiss
    except ImportError as error:
        raise ImportError(
            "An approximate index needs faiss: pip install 'modeling-motionpatch[faiss]'. Without it every search is "
            "exact, and takes about a tenth of a second for each 10^6 rows of 256 float32 numbers."
        ) from error
    return faiss
