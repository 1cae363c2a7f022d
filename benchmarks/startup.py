"""A fresh Python process -> seconds of the import, of `from_pretrained` and of the first query.

    python -m benchmarks.startup

Sides of the import: transformers' and timm's parts that any such model needs, alone and with the package. What the
package adds is the difference, taken in turn in fresh processes. Modules that must not be imported are checked, too.
"""

import json
import statistics
import subprocess
import sys
import tempfile

from . import common, models


BASE = "from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoProcessor, PreTrainedModel\nimport timm\n"
FORBIDDEN = ("datasets", "evaluate", "faiss", "matplotlib", "gradio")
TIMED = """
import json, sys, time
began = time.perf_counter()
{code}
print(json.dumps({{"seconds": time.perf_counter() - began, "modules": len(sys.modules),
                   "forbidden": [name for name in {forbidden!r} if name in sys.modules]}}))
"""
OPEN = """
import json, sys, time
import numpy as np
import modeling_motionpatch as mp
began = time.perf_counter()
model = mp.MotionPatchModel.from_pretrained({folder!r})
processor = mp.MotionPatchProcessor.from_pretrained({folder!r})
loaded = time.perf_counter()
gallery = mp.MotionGallery.from_embeddings(np.eye({dim}, dtype=np.float32), model=model, processor=processor)
first = time.perf_counter()
gallery.search("a person waves")
second = time.perf_counter()
gallery.search("a person jumps")
end = time.perf_counter()
print(json.dumps({{"from_pretrained_s": loaded - began, "first_query_s": second - first, "second_query_s": end - second}}))
"""


def fresh(code: str) -> dict:
    """Runs code in a new process and reads its last line."""
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=common.ROOT, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise RuntimeError(result.stderr[-2000:])
    return json.loads(result.stdout.splitlines()[-1])


def run(options) -> dict:
    """Times all sides; see the module."""
    sides = {"transformers_and_timm": BASE, "with_the_package": BASE + "import modeling_motionpatch\n"}
    codes = {name: TIMED.format(code=code, forbidden=FORBIDDEN) for name, code in sides.items()}
    found: dict[str, list[dict]] = {name: [] for name in codes}
    for number in range(options.repeats + 1):
        for name, code in codes.items():
            answer = fresh(code)
            if number:  # the first round reads the files from disk
                found[name].append(answer)
    base, ours = ([row["seconds"] for row in found[name]] for name in sides)
    motions = common.made_up_motions([40, 60], options.seed)
    captions = common.made_up_captions(20, options.seed)
    model = models.make_model(options.size, options.seed)
    _, processor = models.make_processors(motions, captions)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
        opened = [fresh(OPEN.format(folder=folder, dim=model.config.projection_dim)) for _ in range(options.repeats)]
    return {
        "claim": "startup",
        "goal": "the package adds little to the import of transformers and timm, and imports none of "
        + ", ".join(FORBIDDEN),
        "import_s": {
            name: round(statistics.median(row["seconds"] for row in rows), 3) for name, rows in found.items()
        },
        "added_s": round(statistics.median(b - a for a, b in zip(base, ours)), 3),
        "ratio": {
            "with_the_package/transformers_and_timm": round(statistics.median(b / a for a, b in zip(base, ours)), 3)
        },
        "forbidden_modules": sorted({name for row in found["with_the_package"] for name in row["forbidden"]}),
        "model": options.size,
        **{name: round(statistics.median(row[name] for row in opened), 3) for name in opened[0]},
    }


def main(arguments=None) -> dict:
    """Command line."""
    parser = common.parser(__doc__, repeats=3)
    parser.add_argument("--size", default="vit-base", choices=tuple(models.SIZES))
    options = parser.parse_args(arguments)
    common.start(options)
    return common.emit(run(options), options)


if __name__ == "__main__":
    main()
