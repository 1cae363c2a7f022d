"""The benchmarks that need a GPU, in one call of under nine minutes -> one JSON.

    python -m benchmarks.gpu --official ../MotionPatches --output gpu.json

Needs torch, timm, transformers, accelerate and safetensors alone. Each part writes what it has to `--output` as soon as it
has it, and parts that would not fit into `--seconds` are left out and listed, so that a call that is cut off has results.
"""

import gc
import json
import time
import traceback

from . import common


PARTS = (  # name, script, its arguments, seconds that it takes at most on an H200
    ("training_step 256", "training_step", ["--batch-size", "256"], 90),
    ("encoding vit-base", "encoding", ["--size", "vit-base"], 90),
    ("training_step 256 compiled", "training_step", ["--batch-size", "256", "--compile", "--without-official"], 90),
    ("training_step 64", "training_step", ["--batch-size", "64"], 45),
    (
        "training_step 1024",
        "training_step",
        ["--batch-size", "1024", "--steps", "3", "--length-chunks", "4", "--without-official"],
        60,
    ),
    ("training_step 256 two parts", "training_step", ["--length-chunks", "2", "--without-official"], 45),
    ("training_step 256 four parts", "training_step", ["--length-chunks", "4", "--without-official"], 45),
    ("encoding vit-tiny", "encoding", ["--size", "vit-tiny"], 45),
)


def main(arguments=None) -> dict:
    """Command line."""
    import importlib

    import torch

    parser = common.parser(__doc__, repeats=3)
    parser.add_argument("--seconds", type=float, default=500, help="no part is begun that would end later")
    parser.add_argument("--only", nargs="*", help="names of parts; default: all")
    parser.add_argument("--small", action="store_true", help="tiny sizes, to see that everything starts")
    options = parser.parse_args(arguments)
    common.start(options)
    began = time.perf_counter()
    report: dict = {"claim": "gpu", "device": options.device, "parts": {}, "left_out": []}
    for name, script, extra, seconds in PARTS:
        if options.only and name not in options.only:
            continue
        spent = time.perf_counter() - began
        if spent + seconds > options.seconds:
            report["left_out"].append(name)
            continue
        extra = list(extra)
        with_official = "--without-official" not in extra
        extra = [item for item in extra if item != "--without-official"]
        if with_official and options.official:
            extra += ["--official", options.official]
        extra += ["--device", options.device, "--repeats", str(options.repeats)]
        if options.small:
            extra += ["--size", "tiny-test"]
            extra += ["--batch-size", "4"] + (["--steps", "1"] if script == "training_step" else ["--clips", "6"])
        try:
            module = importlib.import_module(f".{script}", __package__)
            result = module.main(extra)
            report["parts"][name] = {
                key: value for key, value in result.items() if key not in ("hardware", "versions")
            }
        except Exception:  # the parts after it still run
            report["parts"][name] = {"failed": traceback.format_exc()[-3000:]}
        report["seconds"] = round(time.perf_counter() - began, 1)
        if options.output:
            common.write_text(options.output, json.dumps(report, indent=1) + "\n")
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return common.emit(report, options)


if __name__ == "__main__":
    main()
