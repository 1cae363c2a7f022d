"""BVH files -> joints: megabytes a second, against a plain Python parser that is written here.

    python -m benchmarks.bvh_parsing --files a.bvh b.bvh

Without `--files`, a made-up one of a million numbers. Sides: `read_bvh` (checks, numbers, forward kinematics),
`load_motion` (also units, up axis and skeleton), `numbers_alone` (numpy's own text parser on the rows: no checks, no
kinematics), `plain_python` (a line at a time, `float`, a rotation matrix a joint and frame; on a part of the frames).
"""

import math
import tempfile
from pathlib import Path

import numpy as np

from . import common


JOINTS = 60
NUMBERS = 1_000_000


def made_up_bvh(numbers: int, seed: int = 0) -> str:
    """A chain of joints with three rotations each; six decimals, as most exporters write."""
    width = 6 + 3 * (JOINTS - 1)
    frames = max(2, numbers // width)
    lines = ["HIERARCHY", "ROOT Hips", "{", "OFFSET 0 90 0"]
    lines += ["CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation"]
    for index in range(1, JOINTS):
        lines += [f"JOINT joint{index}", "{", "OFFSET 0 3.5 0.25", "CHANNELS 3 Zrotation Xrotation Yrotation"]
    lines += ["End Site", "{", "OFFSET 0 1 0", "}", *["}"] * JOINTS]
    values = np.random.default_rng(seed).uniform(-90, 90, size=(frames, width))
    rows = "\n".join(" ".join(f"{value:.6f}" for value in row) for row in values)
    return "\n".join(lines) + f"\nMOTION\nFrames: {frames}\nFrame Time: 0.0333333\n{rows}\n"


def plain_python(text: str, share: float = 1.0) -> list:
    """World positions `(T, J, 3)` of the first share of the frames, with lists and loops alone."""
    head, motion = text.split("MOTION", 1)
    parents, offsets, channels, stack = [], [], [], []
    tokens = iter(head.split())
    for token in tokens:
        if token in ("ROOT", "JOINT", "End"):
            next(tokens)
            parents.append(stack[-1] if stack else -1)
            offsets.append(None)
            channels.append([])
        elif token == "{":
            stack.append(len(parents) - 1)
        elif token == "}":
            stack.pop()
        elif token == "OFFSET":
            offsets[-1] = [float(next(tokens)) for _ in range(3)]
        elif token == "CHANNELS":
            channels[-1] = [next(tokens) for _ in range(int(next(tokens)))]
    rows = motion.strip().splitlines()[2:]
    result = []
    for row in rows[: max(1, int(len(rows) * share))]:
        values = iter([float(value) for value in row.split()])
        turns, places = [], []
        for parent, offset, names in zip(parents, offsets, channels):
            offset = list(offset)
            turn = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
            for name in names:
                value, axis = next(values), "XYZ".index(name[0])
                if name.endswith("position"):
                    offset[axis] = value
                else:
                    turn = _product(turn, _rotation(axis, math.radians(value)))
            if parent < 0:
                places.append(offset)
                turns.append(turn)
            else:
                above, start = turns[parent], places[parent]
                places.append([start[i] + sum(above[i][k] * offset[k] for k in range(3)) for i in range(3)])
                turns.append(_product(above, turn))
        result.append(places)
    return result


def _rotation(axis: int, angle: float) -> list[list[float]]:
    c, s = math.cos(angle), math.sin(angle)
    return [
        [[1, 0, 0], [0, c, -s], [0, s, c]],
        [[c, 0, s], [0, 1, 0], [-s, 0, c]],
        [[c, -s, 0], [s, c, 0], [0, 0, 1]],
    ][axis]


def _product(a, b) -> list[list[float]]:
    return [[sum(a[i][k] * b[k][j] for k in range(3)) for j in range(3)] for i in range(3)]


def run(options) -> dict:
    """Times all sides on each file; see the module."""
    from modeling_motionpatch.io import load_motion
    from modeling_motionpatch.io.bvh import read_bvh

    results = []
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(path) for path in options.files]
        if not files:
            files = [Path(folder) / "made_up.bvh"]
            files[0].write_text(made_up_bvh(options.numbers, options.seed))
        for path in files:
            text = path.read_text()
            size = path.stat().st_size / 1e6
            rows = text.split("MOTION", 1)[1].split("\n", 3)[3]
            read = read_bvh(path, end_sites=True)
            plain = np.asarray(plain_python(text, options.plain_share), np.float32)
            difference = float(np.abs(read.joints[: len(plain)] - plain).max() / np.abs(plain).max())
            if difference > 1e-4:
                raise AssertionError(
                    f"{path.name}: the parsers disagree by {difference:.2g} of the size of the scene."
                )
            sides = {
                "plain_python": lambda text=text: plain_python(text, options.plain_share),
                "read_bvh": lambda path=path: read_bvh(path),
                "numbers_alone": lambda rows=rows: np.fromstring(rows, sep=" "),
            }
            if options.files:
                sides["load_motion"] = lambda path=path: load_motion(path)
            times = common.interleave(sides, options.repeats)
            share = len(plain) / len(read.joints)
            sizes = dict.fromkeys(sides, size) | {"plain_python": size * share}
            results.append(
                {
                    "file": path.name,
                    "megabytes": round(size, 2),
                    "frames": len(read.joints),
                    "sides": {
                        name: {
                            "mb_per_s": round(
                                sizes[name] / sorted(times[name]["wall_s"])[len(times[name]["wall_s"]) // 2], 2
                            )
                        }
                        for name in sides
                    },
                    "ratio": {
                        "plain_python/read_bvh": common.ratios(times, "plain_python", "read_bvh", 1 / share),
                        "numbers_alone/read_bvh": common.ratios(times, "numbers_alone", "read_bvh"),
                    },
                    "largest_difference": difference,
                }
            )
    return {"claim": "bvh_parsing", "goal": "a BVH of a million numbers parses at numpy speed", "files": results}


def main(arguments=None) -> dict:
    """Command line."""
    parser = common.parser(__doc__, repeats=5)
    parser.add_argument("--files", nargs="*", default=[], help="BVH files (default: a made-up one)")
    parser.add_argument("--numbers", type=int, default=NUMBERS, help="of the made-up file (default: %(default)s)")
    parser.add_argument("--plain-share", type=float, default=0.05, help="of the frames for the plain parser")
    options = parser.parse_args(arguments)
    common.start(options)
    return common.emit(run(options), options)


if __name__ == "__main__":
    main()
