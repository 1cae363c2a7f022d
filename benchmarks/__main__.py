"""All benchmarks of a CPU, one after the other, in under 15 minutes on two cores -> a folder of JSON and a summary.

    python -m benchmarks --official ../MotionPatches --output results

Each runs in a process of its own, so that none inherits the memory or the threads of another. `training_quality`, which
trains for half an hour, and `gpu` are started by their own names.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from . import common


SCRIPTS = {  # name -> arguments; the times are those of two idle cores
    "startup": [],  # 1 min
    "preprocessing": [],  # 1 min
    "bvh_parsing": [],  # 1 min
    "search": [],  # 2 min
    "encoding": ["--size", "vit-base"],  # 3 min
    "encoding vit-tiny": ["--size", "vit-tiny"],  # 1 min
    "training_step": [],  # 2 min
    "training_step vit-base": ["--size", "vit-base", "--precision", "auto"],  # 2 min
    "training_step processes": ["--processes", "2"],  # 1 min
}
SMALL = {  # tiny settings, to see that everything starts
    "startup": ["--size", "tiny-test", "--repeats", "1"],
    "preprocessing": ["--clips", "8", "--slow-clips", "4", "--repeats", "1"],
    "bvh_parsing": ["--numbers", "20000", "--repeats", "1"],
    "search": ["--size", "tiny-test", "--rows", "500", "2000", "--no-index-below", "1000", "--queries", "5"],
    "encoding": ["--size", "tiny-test", "--clips", "6", "--repeats", "1", "--checked", "2"],
    "training_step": ["--size", "tiny-test", "--batch-size", "4", "--steps", "1", "--repeats", "1"],
}


def main(arguments=None) -> dict:
    """Command line; returns and prints the ratios of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--official", help="path of a clone of the official repository; without it, that side is skipped"
    )
    parser.add_argument("--output", type=Path, default=Path("benchmark-results"), help="folder (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="threads of torch and OpenCV")
    parser.add_argument("--only", nargs="*", choices=tuple(SCRIPTS), help="default: all")
    parser.add_argument("--small", action="store_true", help="tiny settings, to see that everything starts")
    options = parser.parse_args(arguments)
    summary: dict = {}
    for name, extra in SCRIPTS.items():
        if options.only and name not in options.only:
            continue
        script = name.split()[0]
        path = options.output.resolve() / f"{name.replace(' ', '_')}.json"
        command = [sys.executable, "-m", f"benchmarks.{script}", "--device", "cpu", "--output", str(path)]
        command += (SMALL[script] + (extra if "processes" in name else [])) if options.small else extra
        command += ["--threads", str(options.threads)] if options.threads else []
        command += ["--official", str(Path(options.official).resolve())] if options.official else []
        print(f"{name} ...", file=sys.stderr, flush=True)
        began = time.perf_counter()
        done = subprocess.run(command, cwd=common.ROOT, stdout=subprocess.DEVNULL, check=False)
        entry: dict = {"seconds": round(time.perf_counter() - began, 1)}
        if done.returncode:
            entry["failed"] = done.returncode
        else:
            report = json.loads(path.read_text())
            entry |= {key: report[key] for key in ("goal", "ratio", "agreement") if key in report}
        summary[name] = entry
        common.write_text(options.output / "summary.json", json.dumps(summary, indent=1) + "\n")
    print(json.dumps(summary, indent=1))
    return summary


if __name__ == "__main__":
    sys.exit(any("failed" in entry for entry in main().values()))
