"""Generated motions beside real ones -> what a model then makes of recordings, skeletons and words it was not trained on.

    python -m benchmarks.transfer --mocap ../shared/mocap --seeds 0 1 2

The recipe of [`training_quality`] on `bandai` alone, on generated motions alone (three skeletons, 2,000 clips),
and on both together; and the packaged checkpoint as it is. Each is scored on the test split of `bandai` (`split_unseen`)
and reads `cmu_daz` (retrieval by description) and `hdm05` (zero-shot classification over 11 actions) untouched, against
chance. None sees a clip of the latter two.
"""

import numpy as np

from . import common, real_training


GENERATED = {"name": "generated", "num_train": 2000, "num_validation": 300, "num_test": 500}
PACKAGED = "the packaged checkpoint"


def sets_of(folders) -> dict[str, "dict | list"]:
    """Training data -> `data`."""
    bandai = {"name": "motionfolder", "data_dir": str(folders["bandai"]), "label": "bandai"}
    return {"bandai": bandai, "generated": GENERATED, "bandai and generated": [bandai, GENERATED]}


def run(options) -> dict:
    """All training sets and seeds; see the module."""
    from importlib import resources

    folders = real_training.unpack(options.mocap, options.work)
    bandai = {"name": "motionfolder", "data_dir": str(folders["bandai"]), "task": "retrieval", "label": "bandai"}
    further = [*real_training.further_data(folders), bandai]
    scores: dict[str, list[dict]] = {}
    for seed in options.seeds:
        for name, data in sets_of(folders).items():
            output = options.work / f"{name.replace(' ', '-')}-seed{seed}"
            settings = real_training.settings_of(folders, options.epochs, seed, output)
            settings |= {"data": data, "evaluation_data": further}
            scores.setdefault(name, []).append(_figures(real_training.train(settings, options)))
    settings = {
        "init_from": str(resources.files("modeling_motionpatch") / "checkpoints" / "motionpatch-demo"),
        "epochs": 0,
        "output_dir": str(options.work / "packaged"),
        "evaluation_data": further,
        "progress": False,
    }
    scores[PACKAGED] = [_figures(real_training.train(settings, options))]
    chance = real_training.chance(folders)
    return {
        "claim": "transfer",
        "goal": "far above chance on recordings, skeletons and actions that training has not seen",
        "protocol": "all",
        "epochs": options.epochs,
        "test": {
            name: {data: real_training.spread([row[data] for row in rows]) for data in rows[0]}
            for name, rows in scores.items()
        },
        "chance": chance,
        "times_chance_on_hdm05": {
            name: round(float(np.mean([row["hdm05"]["top1"] for row in rows])) / chance["hdm05"]["top1"], 2)
            for name, rows in scores.items()
        },
    }


def _figures(results: dict) -> dict[str, dict[str, float]]:
    return {
        "bandai": real_training.under_all(results["evaluation_data"]["bandai"]),
        **real_training.further_figures(results),
    }


def main(arguments=None) -> dict:
    """Command line."""
    options = real_training.read_options(__doc__, "transfer", 12, arguments)
    return common.emit(run(options), options)


if __name__ == "__main__":
    main()
