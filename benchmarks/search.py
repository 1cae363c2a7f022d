"""A text query over many windows -> milliseconds: text encoding, exact and approximate search, apart and together.

    python -m benchmarks.search --rows 10000 100000 1000000

Windows are random unit vectors: the hardest case for an approximate index, since nothing is near anything. The index is
therefore also built over vectors that lie in clusters, as embeddings of motions do. Recall is the share of exact search's
ten best that the index finds. No other side: the official code has no search.
"""

import statistics
import time

import numpy as np

from . import common, models


DEPTH = 10
CLUSTER_NOISE = 0.35  # of a unit vector's length around one of sqrt(N) centres
HUGE = 2_000_000  # windows above which rows are kept as float16 and fewer queries asked
HUGE_QUERIES = 20
BLOCK = 500_000  # vectors made at a time


def vectors(count: int, dim: int, clustered: bool, seed: int, dtype: str = "float32") -> np.ndarray:
    """Unit vectors `(count, dim)`."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((max(2, int(np.sqrt(count))), dim), dtype=np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    rows = np.empty((count, dim), dtype)
    for first in range(0, count, BLOCK):
        block = rng.standard_normal((min(BLOCK, count - first), dim), dtype=np.float32)
        if clustered:
            block *= np.float32(CLUSTER_NOISE / np.sqrt(dim))
            block += centres[rng.integers(len(centres), size=len(block))]
        block /= np.sqrt(np.einsum("np,np->n", block, block))[:, None]
        rows[first : first + len(block)] = block
    return rows


def percentiles(seconds: list[float]) -> dict:
    """Median and 99th percentile [ms]."""
    return {
        "p50_ms": round(1000 * statistics.median(seconds), 3),
        "p99_ms": round(1000 * float(np.percentile(seconds, 99)), 3),
        "queries": len(seconds),
    }


def queries_near(rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Noisy copies of rows, cosine about 0.8: what a text is to the motions it describes."""
    rng = np.random.default_rng(seed)
    queries = rows[rng.integers(len(rows), size=count)] + rng.normal(size=(count, rows.shape[1])) * (
        0.75 / np.sqrt(rows.shape[1])
    )
    return (queries / np.linalg.norm(queries, axis=1, keepdims=True)).astype(np.float32)


def time_queries(gallery, queries, exact: bool) -> tuple[dict, list[list[int]]]:
    """One query at a time, as a user asks them."""
    gallery.search_embeddings(queries[0], DEPTH, exact=exact)
    seconds, found = [], []
    for query in queries:
        began = time.perf_counter()
        hits = gallery.search_embeddings(query, DEPTH, exact=exact)
        seconds.append(time.perf_counter() - began)
        found.append([hit.index for hit in hits])
    return percentiles(seconds), found


def run(options) -> dict:
    """Times all sizes; see the module."""
    from modeling_motionpatch import MotionGallery
    from modeling_motionpatch.embedding_motionpatch import encode_text

    captions = common.made_up_captions(options.queries, options.seed)
    motions = common.made_up_motions([40, 60], options.seed)
    _, processor = models.make_processors(motions, captions)
    model = models.make_model(options.size, options.seed)
    dim = model.config.projection_dim
    encode_text(model, processor, captions[:1])
    text_seconds = []
    for caption in captions:
        began = time.perf_counter()
        encode_text(model, processor, caption)
        text_seconds.append(time.perf_counter() - began)

    sizes = []
    for count in options.rows:
        entry = {"windows": count}
        for kind in ("random", "clustered"):
            if kind == "clustered" and count <= options.no_index_below:
                continue
            dtype = "float16" if count > HUGE else "float32"
            rows = vectors(count, dim, kind == "clustered", options.seed, dtype)
            gallery = MotionGallery.from_embeddings(rows, dtype=dtype)
            asked = min(options.queries, HUGE_QUERIES) if count > HUGE else options.queries
            queries = queries_near(rows, asked, options.seed + 1)
            entry[kind] = {"dtype": dtype}
            entry[kind]["exact"], best = time_queries(gallery, queries, True)
            if count > options.no_index_below:
                try:
                    began = time.perf_counter()
                    gallery.build_index()
                except ImportError as error:
                    entry[kind]["index"] = f"skipped: {error}"
                    continue
                built = time.perf_counter() - began
                entry[kind]["index"], found = time_queries(gallery, queries, False)
                hits = [len(set(a) & set(b)) / len(b) for a, b in zip(found, best)]
                entry[kind]["index"] |= {
                    "recall_at_10": round(float(np.mean(hits)), 4),
                    "used_by_default": bool(gallery.index.useful),
                    "build_s": round(built, 1),
                }
            del gallery, rows
        sizes.append(entry)
    text = percentiles(text_seconds)
    for entry in sizes:
        side = entry["random"].get("index")
        chosen = side if isinstance(side, dict) and side["used_by_default"] else entry["random"]["exact"]
        entry["with_text_encoding_p50_ms"] = round(text["p50_ms"] + chosen["p50_ms"], 3)
    return {
        "claim": "search",
        "goal": "p50 and p99 of a text query over 10^4 to 10^7 windows",
        "dim": dim,
        "text_encoding": {"model": options.size, **text},
        "sizes": sizes,
    }


def main(arguments=None) -> dict:
    """Command line."""
    parser = common.parser(__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="windows")
    parser.add_argument(
        "--huge", action="store_true", help="10^7 windows, too: about 16 GB of memory and half an hour"
    )
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--no-index-below", type=int, default=100_000, help="windows up to which no index is built")
    parser.add_argument("--size", default="vit-base", choices=tuple(models.SIZES), help="whose text tower encodes")
    options = parser.parse_args(arguments)
    common.start(options)
    if options.huge:
        options.rows.append(10_000_000)
    return common.emit(run(options), options)


if __name__ == "__main__":
    main()
