"""Each choice of ours undone alone -> retrieval scores on real clips never seen in training, over several seeds.

    python -m benchmarks.ablation --mocap ../shared/mocap --seeds 0 1 2

Trains the recipe of [`training_quality`] on `bandai` (`split_unseen`) once as it is and once with each choice replaced by
what the official code or the paper does (Table 4: no patches; point or joint statistics; masked or attended padding; mean or
class token; equal captions in the softmax or not; batch sizes ...). The checkpoint is chosen on validation, test is
reported. Seeds are the outer loop, so that an interrupted run leaves whole rows; runs that are in `--work` already count.
"""

import statistics

from . import common, real_training


BASE = "ours"
VARIANTS = {  # name -> settings over those of the recipe
    BASE: {},
    "equal captions left out": {"duplicates": "ignore"},
    "no patches, a token a frame": {
        "model.motion_config.input_kind": "frames",
        "extractor": {"normalization": "joint"},
    },
    "statistics of joints": {"extractor": {"normalization": "joint"}},
    "padding attended to": {"extractor": {"padding": "zeros"}},
    "not canonical": {"extractor": {"do_canonicalize": False}},
    "points by half pixels": {"extractor": {"interpolation": "half_pixel"}},
    "class token of the ViT": {"model.motion_config.pooling": "cls"},
    "first token of the text": {"model.text_pooling": "cls"},
    "batches of 64": {"batch_size": 64},
    "batches of 256": {"batch_size": 256},
    "windows of at least 70 %": {"sub_crop": 0.7},
    "half of the clips mirrored": {"mirror": 0.5},
    "towers of the official size": real_training.OFFICIAL_SIZES,
}
SCORE = ("t2m/R@1", "m2t/R@1", "t2m/R@10", "m2t/R@10")


def run(options) -> dict:
    """All variants and seeds; see the module."""
    folders = real_training.unpack(options.mocap, options.work)
    names = [BASE, *(name for name in VARIANTS if name in options.variants and name != BASE)]
    rows: dict[str, list[dict]] = {name: [] for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for seed in options.seeds:
        for name in names:
            output = options.work / f"{name.replace(' ', '-').replace(',', '')}-seed{seed}"
            settings = real_training.settings_of(folders, options.epochs, seed, output) | VARIANTS[name]
            settings |= {"evaluation_data": [], "protocols": ["all"]}
            results = real_training.train(settings, options)
            rows[name].append(real_training.test_figures(results))
            seconds[name].append(results["seconds"]["training"])
    table = {name: real_training.spread(rows[name]) for name in names}
    return {
        "claim": "ablation",
        "goal": "the package's defaults are what measures best",
        "data": "bandai, split_unseen",
        "protocol": "all",
        "epochs": options.epochs,
        "test": table,
        "training_seconds": {name: round(statistics.median(values), 1) for name, values in seconds.items()},
        "gained_by_ours": {
            name: {figure: round(table[BASE][figure]["mean"] - table[name][figure]["mean"], 2) for figure in SCORE}
            for name in names[1:]
        },
    }


def main(arguments=None) -> dict:
    """Command line."""
    options = real_training.read_options(
        __doc__,
        "ablation",
        8,
        arguments,
        variants={"nargs": "+", "choices": tuple(VARIANTS), "default": list(VARIANTS), "help": "default: all"},
    )
    return common.emit(run(options), options)


if __name__ == "__main__":
    main()
