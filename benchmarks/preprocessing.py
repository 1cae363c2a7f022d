"""Joints (T, 22, 3) -> padded patches (3, 224, 80): clips a second, against the official data set and a plain loop.

    python -m benchmarks.preprocessing --official ../MotionPatches

| side | what is timed for each clip |
| --- | --- |
| official | z-score, its `use_kinematic`, its `__getitem__` (window, zero padding, float tensor, transposition) |
| python_loop | the same result by interpolating each part of each frame on its own |
| official_preset, official_preset_one | `MotionPatchFeatureExtractor.official`, 32 clips a call and one a call: the same numbers |
| default, default_one | the default extractor: also on the floor, turned to face +Z, points along the bones, mask |
| read_and_write | reading the joints once and writing the patches once: what memory allows |

Reading files is in none of them.
"""

import tempfile

import numpy as np

from . import common


BATCH = 32
PATCH = 16
TOLERANCE = 1e-4  # of the golden data


def python_loop(joints, mean, std, chains, out) -> None:
    """The official numbers, frame by frame and part by part, with `np.interp`."""
    out[:] = 0
    points = np.arange(PATCH)
    for frame, pose in enumerate(joints):
        pose = (pose - mean) / std
        for part, chain in enumerate(chains):
            position = (points + 0.5) * len(chain) / PATCH - 0.5
            for axis in range(3):
                values = np.interp(position, np.arange(len(chain)), pose[chain, axis])
                out[axis, frame, part * PATCH : (part + 1) * PATCH] = values


def run(options) -> dict:
    """Times all sides; see the module."""
    from modeling_motionpatch import MotionPatchFeatureExtractor, get_skeleton

    motions = common.made_up_motions(common.humanml3d_lengths(options.clips, options.seed), options.seed)
    everything = np.concatenate(motions)
    mean, std = everything.mean(axis=0), everything.std(axis=0)
    preset = MotionPatchFeatureExtractor.official(mean, std)
    default = MotionPatchFeatureExtractor().fit(motions)
    skeleton = get_skeleton("smpl22")
    chains = [list(skeleton.chains[part]) for part in preset.part_order]
    few = motions[: options.slow_clips]  # the slow sides take milliseconds a clip
    buffer = np.empty((3, 224, 5 * PATCH), np.float32)

    def batches(extractor):
        for first in range(0, len(motions), BATCH):
            extractor(motions[first : first + BATCH])

    def one_by_one(extractor):
        for motion in motions:
            extractor(motion)

    def loop():
        for motion in few[: max(1, len(few) // 4)]:
            python_loop(motion, mean, std, chains, buffer)

    def read_and_write():
        for motion in motions:
            motion.max()
            buffer.fill(0)

    sides = {
        "python_loop": loop,
        "official_preset": lambda: batches(preset),
        "official_preset_one": lambda: one_by_one(preset),
        "default": lambda: batches(default),
        "default_one": lambda: one_by_one(default),
        "read_and_write": read_and_write,
    }
    counts = dict.fromkeys(sides, len(motions)) | {"python_loop": max(1, len(few) // 4)}
    reference = None
    code = common.official_code(options, with_dataset=True)
    if code is not None:
        from .official_data import write_official_folder

        with tempfile.TemporaryDirectory() as folder:
            clips = [
                {"id": f"{i:06d}", "joints": motion, "captions": ["a person moves"], "split": "train"}
                for i, motion in enumerate(few)
            ]
            write_official_folder(folder, clips)
            np.save(f"{folder}/Mean_raw.npy", mean)
            np.save(f"{folder}/Std_raw.npy", std)
            dataset = code.dataset(folder, "train", eval_mode=True)

        def official():
            for index, name in enumerate(dataset.name_list):
                clip = dataset.data_dict[name]
                normalized = (clip["motion"] - dataset.mean[np.newaxis, ...]) / dataset.std[np.newaxis, ...]
                clip["pre_motion"] = dataset.use_kinematic(normalized)
                dataset[index]

        sides = {"official": official, **sides}
        counts["official"] = len(dataset)
        clip = dataset.data_dict[dataset.name_list[0]]["motion"]
        reference = {"official": (clip, dataset[0][1].numpy())}
    python_loop(few[0], mean, std, chains, buffer)
    reference = {"python_loop": (few[0], buffer.copy()), **(reference or {})}
    errors = {
        f"official_preset_against_{name}": float(np.abs(preset(clip)["motion_values"][0] - values).max())
        for name, (clip, values) in reference.items()
    }
    if max(errors.values()) > TOLERANCE:
        raise AssertionError(f"The sides disagree by more than {TOLERANCE}: {errors}")

    times = common.interleave(sides, options.repeats)
    results = {name: common.summary({name: times[name]}, counts[name], "clips")[name] for name in times}
    ratio = {}
    for slow in ("official", "python_loop"):
        for fast in ("official_preset", "official_preset_one", "default", "default_one", "read_and_write"):
            if slow in times:
                ratio[f"{slow}/{fast}"] = common.ratios(times, slow, fast, counts[fast] / counts[slow])
    return {
        "claim": "preprocessing",
        "goal": "200 times the official clips a second; 100 times a per-frame, per-part Python loop",
        "mean_frames": round(float(np.mean([len(motion) for motion in motions])), 1),
        "sides": results,
        "ratio": ratio,
        "largest_difference": errors,
    }


def main(arguments=None) -> dict:
    """Command line."""
    parser = common.parser(__doc__, repeats=7)
    parser.add_argument("--clips", type=int, default=512)
    parser.add_argument("--slow-clips", type=int, default=32, help="clips of the official side (default: %(default)s)")
    options = parser.parse_args(arguments)
    common.start(options)
    return common.emit(run(options), options)


if __name__ == "__main__":
    main()
