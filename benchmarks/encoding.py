"""A gallery of clips -> embeddings: clips a second, against the official class with every clip padded to 224 frames.

    python -m benchmarks.encoding --official ../MotionPatches --size vit-base

| side | what is timed |
| --- | --- |
| official | its data set and its model in float32, batches of 128; its preprocessing was done before |
| official_preprocessing | its z-score and points of the same clips, where OpenCV and einops are installed |
| same_embeddings | `encode_motion` with the official preset in float32: joints to embeddings, equal to the official ones |
| ours | `encode_motion` with the default extractor: joints to embeddings, padding masked and cut off, in float32 |
| ours_bfloat16 | the same in bfloat16, where the device multiplies it natively |

All have the same weights. Ours are checked against their own clips one at a time, padded to 224 frames, in float32.
"""

import copy
import tempfile

import numpy as np

from . import common, models


OFFICIAL_BATCH = 128


def run(options) -> dict:
    """Times all sides; see the module."""
    import torch

    from modeling_motionpatch.embedding_motionpatch import encode_motion

    device = options.device
    motions = models.lengths_and_clips(options.clips, options.seed)
    captions = common.made_up_captions(len(motions), options.seed)
    preset, default = models.make_processors(motions, captions)
    model = models.make_model(options.size, options.seed).to(device)
    results: dict[str, np.ndarray] = {}

    def same():
        results["same_embeddings"] = encode_motion(model, preset, motions, batch_size=options.batch_size)

    def ours():
        results["ours"] = encode_motion(model, default, motions, batch_size=options.batch_size)

    def ours_bfloat16():
        results["ours_bfloat16"] = encode_motion(half, default, motions, batch_size=options.batch_size)

    sides = {"same_embeddings": same, "ours": ours}
    if common.has_bfloat16(device):
        half = copy.deepcopy(model).to(torch.bfloat16)
        sides["ours_bfloat16"] = ours_bfloat16
    note = None
    code = common.official_code(options)
    with tempfile.TemporaryDirectory() as folder:
        if code is not None:
            from torch.utils.data import DataLoader

            official = models.make_official(code, options.size, model).to(device)
            dataset, note = models.official_dataset(code, motions, captions, folder, preset.feature_extractor)

            def official_side():
                parts = []
                with torch.no_grad():
                    for _, values, _, _ in DataLoader(dataset, batch_size=OFFICIAL_BATCH):
                        features = official.encode_motion(values.to(device))
                        parts.append(torch.nn.functional.normalize(features, dim=-1))
                results["official"] = torch.cat(parts).cpu().numpy()

            sides = {"official": official_side, **sides}
            if note == "its data set class":

                def preprocessing():
                    for clip in dataset.data_dict.values():
                        dataset.use_kinematic((clip["motion"] - dataset.mean[None]) / dataset.std[None])

                sides["official_preprocessing"] = preprocessing
        times = common.interleave(sides, options.repeats, device)
        if "official_preprocessing" in times:
            parts = times["official"], times["official_preprocessing"]
            times["official_from_joints"] = {
                kind: [a + b for a, b in zip(parts[0][kind], parts[1][kind])] for kind in parts[0]
            }

    inputs = default.feature_extractor(motions[: options.checked], return_tensors="pt").to(device)
    with torch.inference_mode():
        plain = torch.cat(
            [
                model.get_motion_features(
                    **{name: value[i : i + 1] for name, value in inputs.items()}
                ).pooler_output.float()
                for i in range(len(inputs["motion_values"]))
            ]
        )
    plain = torch.nn.functional.normalize(plain, dim=-1).cpu().numpy()
    agreement = {
        f"{name}_against_one_at_a_time_float32": _agreement(results[name][: len(plain)], plain)
        for name in ("ours", "ours_bfloat16")
        if name in results
    }
    if "official" in results:
        # The official data set gives its clips in the order of their lengths.
        order = np.argsort([len(motion) for motion in motions], kind="stable")
        theirs = results["official"]
        if note == "its data set class":
            theirs = np.empty_like(theirs)
            theirs[order] = results["official"]
        agreement["same_embeddings_against_official"] = _agreement(results["same_embeddings"], theirs)
    return {
        "claim": "encoding",
        "goal": "2 times the official on CPU, 6 times on an H200, with ViT-B",
        "size": options.size,
        "device": device,
        "official_input": note,
        "share_of_patches_that_are_no_padding": round(
            float(np.mean([-(-len(motion) // 16) for motion in motions])) / 14, 3
        ),
        "mean_frames": round(float(np.mean([len(motion) for motion in motions])), 1),
        "sides": common.summary(times, len(motions), "clips"),
        "ratio": {
            f"{official}/{side}": common.ratios(times, official, side)
            for official in ("official_from_joints", "official")
            for side in ("ours_bfloat16", "ours", "same_embeddings")
        },
        "agreement": agreement,
    }


def _agreement(ours: np.ndarray, other: np.ndarray) -> dict:
    return {
        "largest_difference": float(np.abs(ours - other).max()),
        "lowest_cosine": float((ours * other).sum(axis=1).min()),
    }


def main(arguments=None) -> dict:
    """Command line."""
    parser = common.parser(__doc__, repeats=2)
    parser.add_argument("--size", default="vit-base", choices=tuple(models.SIZES))
    parser.add_argument("--clips", type=int, help="default: 4096 on a GPU, 128 on a CPU")
    parser.add_argument("--batch-size", type=int, help="of ours; default: 256 on a GPU, 8 on a CPU")
    parser.add_argument("--checked", type=int, default=32, help="clips encoded one at a time to compare with")
    options = parser.parse_args(arguments)
    common.start(options)
    on_gpu = options.device == "cuda"
    options.clips = options.clips or (4096 if on_gpu else 128)
    options.batch_size = options.batch_size or (256 if on_gpu else 8)
    return common.emit(run(options), options)


if __name__ == "__main__":
    main()
