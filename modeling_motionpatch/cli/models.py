"""`motionpatch train`, `evaluate`, `convert-official`, `push`, `demo`: what is done with whole models and folders."""

import inspect
from pathlib import Path
from typing import Annotated

import typer

from ..console import without_loading_bars
from . import common
from .common import CommandError


OFFICIAL_TOKENIZER = "distilbert-base-uncased"  # of the official code
DEFAULT_PORT = 7860  # what Gradio and Spaces use


def register(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.command(
        "train",
        short_help="Train a model from a recipe.",
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
        add_help_option=False,
        help="Train a model: --recipe NAME and key=value settings; `train --help` lists all of them.",
    )(train)
    app.command(
        "evaluate",
        short_help="Score models by named protocols.",
        epilog=common.epilog(
            "motionpatch evaluate my_model --data humanml3d --data-dir HumanML3D --protocol all --protocol all_strict",
            "motionpatch evaluate run/seed1 run/seed2 run/seed3 --data kitml --data-dir KIT-ML --output results.json",
            "motionpatch evaluate my_model --data babel --data-dir babel --split validation --task classification",
        ),
    )(evaluate)
    app.command(
        "convert-official",
        short_help="Turn a published checkpoint into a folder.",
        epilog=common.epilog(
            "motionpatch convert-official best_model.pt --mean Mean_raw.npy --std Std_raw.npy --output motionpatch-humanml3d"
        ),
    )(convert_official)
    app.command(
        "push",
        short_help="Upload a model, gallery or data set.",
        epilog=common.epilog(
            "motionpatch push my_model user/my-model --private", "motionpatch push gallery user/my-gallery"
        ),
    )(push)
    app.command(
        "demo",
        short_help="Search a gallery in the browser.",
        epilog=common.epilog("motionpatch demo gallery --port 7861"),
    )(demo)


# --------------------------------------------------------------------------------------------------------------------
# Train


def train(context: typer.Context):
    """Hands everything after `train` to the training package."""
    common.package()
    from ..training.main import main as train_main

    return train_main(list(context.args), program="motionpatch train")


# --------------------------------------------------------------------------------------------------------------------
# Evaluate


def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL...", help="Folders or Hub names; of several, the mean is printed too."),
    ],
    data: Annotated[
        str, typer.Option("--data", metavar="NAME", help="Name of the data set, e.g. humanml3d, or prepared.")
    ],
    data_dir: Annotated[str | None, typer.Option("--data-dir", metavar="DIR", help="Folder of the data set.")] = None,
    split: Annotated[str, typer.Option("--split", metavar="NAME", help="train, validation or test.")] = "test",
    task: Annotated[
        str,
        typer.Option(
            "--task",
            metavar="NAME",
            help="retrieval or classification.",
            show_default="retrieval; of babel classification",
        ),
    ] = "",
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            "--protocol",
            metavar="NAME",
            help="all (the paper's), all_strict, threshold, dissimilar or small_batches; repeatable.",
            show_default="all, all_strict",
        ),
    ] = None,
    rows: Annotated[
        str,
        typer.Option(
            "--rows",
            metavar="NAME",
            help="evaluation: the rows the official evaluation ranks (HumanML3D, KIT-ML); or all.",
        ),
    ] = "evaluation",
    caption_model: Annotated[
        str | None,
        typer.Option("--caption-model", metavar="NAME", help="Sentence model for threshold and dissimilar."),
    ] = None,
    caption_embeds: Annotated[
        str | None, typer.Option("--caption-embeds", metavar="FILE", help="The same as a .npy file, one row a pair.")
    ] = None,
    threshold: Annotated[float, typer.Option("--threshold", help="Of protocol threshold.")] = 0.95,
    seed: Annotated[int, typer.Option("--seed", help="Of batches, subsets and intervals.", min=0)] = 0,
    repeats: Annotated[int, typer.Option("--repeats", help="Draws of small_batches and dissimilar.", min=1)] = 1,
    confidence: Annotated[
        float | None,
        typer.Option("--confidence", help="Level of bootstrap intervals, e.g. 0.95.", show_default="none"),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels", metavar="A,B,C", help="Classes, separated by commas.", show_default="BABEL's; those that occur"
        ),
    ] = None,
    template: Annotated[
        str, typer.Option("--template", metavar="TEXT", help="Sentence of a class; {} stands for it.")
    ] = "A person {}.",
    long_motions: Annotated[
        str, typer.Option("--long-motions", metavar="NAME", help="first window (official) or mean of the windows.")
    ] = "first",
    output: Annotated[str | None, typer.Option("--output", metavar="PATH", help="Write the results as JSON.")] = None,
    update_card: Annotated[
        bool, typer.Option("--update-card", help="Write the figures into the README of the model's folder.")
    ] = False,
    batch_size: common.BatchSizeOption = 32,
    device: common.DeviceOption = "auto",
    precision: common.PrecisionOption = "float32",
    option: common.DataOptionsOption = None,
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,
):
    """Score models on a data set, by named protocols; figures of different protocols must not be compared."""
    common.package()
    from ..data import known_datasets
    from ..data.sources import split_name
    from ..evaluation.report import average_reports, update_model_card, write_json
    from ..evaluation.results import format_retrieval_table
    from ..evaluation.runner import check_protocols, evaluate_classification, evaluate_retrieval

    task = task or ("classification" if data == "babel" else "retrieval")
    if task not in ("retrieval", "classification"):
        raise CommandError(f"--task {task!r}: it must be retrieval or classification.")
    if data not in known_datasets():
        raise CommandError(f"--data {data!r} is no known data set; known: {', '.join(known_datasets())}.")
    if update_card and not all(Path(name).expanduser().is_dir() for name in models):
        raise CommandError("--update-card writes into the model's folder, but a MODEL is none; download it first.")
    options, split = common.parse_data_options(option), split_name(split)
    embeds = None if caption_embeds is None else _load_array("--caption-embeds", caption_embeds)
    if task == "retrieval":
        protocols = check_protocols(protocol or ["all", "all_strict"], caption_model is not None or embeds is not None)
    reports = []
    with common.stdout_for_json(as_json):
        dataset, left_out = common.load_split(data, data_dir, split, options, not quiet)
        for name in models:
            model, processor = common.load_model(name, device, precision)
            shared = {"name": data, "split": split, "batch_size": batch_size, "long_motions": long_motions}
            shared["progress"] = not quiet
            if task == "retrieval":
                report = evaluate_retrieval(
                    model,
                    processor,
                    dataset,
                    protocols,
                    rows=rows,
                    caption_model=caption_model,
                    caption_embeds=embeds,
                    threshold=threshold,
                    seed=seed,
                    repeats=repeats,
                    confidence=confidence,
                    **shared,
                )
            else:
                classes = _classes(labels, data, options)
                report = evaluate_classification(model, processor, dataset, classes, template=template, **shared)
            report.model = name
            report.data["reader"] = {"options": options, "left_out": {} if left_out is None else dict(left_out.counts)}
            reports.append(report)
            if update_card:
                update_model_card(Path(name).expanduser(), report)
    results: dict = {"reports": [report.to_dict() for report in reports]}
    mean = average_reports(reports) if len(reports) > 1 and task == "retrieval" else {}
    if mean:
        results["mean"] = {label: metrics.to_dict() for label, metrics in mean.items()}
    if len(reports) == 1:
        results = results["reports"][0]
    if output is not None:
        common.tell(f"written: {write_json(output, results)}")
    if as_json:
        common.emit_json(results)
        return
    for report in reports:
        if len(reports) > 1:
            common.emit(f"{report.model}:")
        common.emit(report.table())
        for why, count in report.data["left_out"].items():
            common.tell(f"note: {count} rows {why}")
    if mean:
        common.emit(f"mean of {len(reports)} models:")
        common.emit(format_retrieval_table(mean.values()))


def _classes(labels: str | None, data: str, options: dict) -> list[str] | None:
    if labels is not None:
        return [label.strip() for label in labels.split(",") if label.strip()]
    if data != "babel":
        return None
    from ..data import babel_classes

    return list(babel_classes(options.get("num_classes", 60)))


def _load_array(option: str, path: str):
    import numpy as np

    file = Path(path).expanduser()
    if not file.is_file():
        raise CommandError(f"{option} {path!r}: there is no such file.")
    try:
        array = np.load(file, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise CommandError(f"{option} {path!r}: is no readable .npy file ({common.one_line(error)}).") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise CommandError(f"{option} {path!r}: holds no array of numbers.")
    return array


# --------------------------------------------------------------------------------------------------------------------
# Convert, push, demo


def convert_official(
    checkpoint: Annotated[str, typer.Argument(metavar="CKPT", help="A .pt file of the official code.")],
    mean: Annotated[str, typer.Option("--mean", metavar="FILE", help="Mean_raw.npy of its data set, (J, 3).")],
    std: Annotated[str, typer.Option("--std", metavar="FILE", help="Std_raw.npy of its data set, (J, 3).")],
    output: Annotated[str, typer.Option("--output", metavar="PATH", help="Folder to write; new or empty.")],
    skeleton: Annotated[str, typer.Option("--skeleton", help="smpl22 (HumanML3D) or kit21 (KIT-ML).")] = "smpl22",
    tokenizer: Annotated[
        str, typer.Option("--tokenizer", metavar="NAME", help="Folder or Hub name of the tokenizer.")
    ] = OFFICIAL_TOKENIZER,
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            metavar="FOLDER",
            help="Folder with the config.json of such a model, where the weights do not tell the number of heads.",
        ),
    ] = None,
    as_json: common.JsonOption = False,
):
    """Turn a published checkpoint into a folder that `from_pretrained` opens; nothing in the file is run."""
    common.package()
    from transformers import AutoTokenizer

    from ..convert_motionpatch import convert_official_checkpoint
    from ..feature_extraction_motionpatch import MotionPatchFeatureExtractor
    from ..processing_motionpatch import MotionPatchProcessor

    target = Path(output).expanduser()
    if target.is_file() or (target.is_dir() and any(target.iterdir())):
        raise CommandError(f"--output {output!r} is not an empty folder; choose another one.")
    statistics = _load_array("--mean", mean), _load_array("--std", std)
    with common.stdout_for_json(as_json):
        settings = None if config is None else _load_config(config)
        model = convert_official_checkpoint(Path(checkpoint).expanduser(), settings)
        motion = model.config.motion_config
        extractor = MotionPatchFeatureExtractor.official(
            *statistics, skeleton=skeleton, patch_size=motion.patch_size, max_frames=motion.max_frames
        )
        try:
            loaded = AutoTokenizer.from_pretrained(tokenizer)
        except (OSError, ValueError) as error:
            raise CommandError(
                f"--tokenizer {tokenizer!r} cannot be loaded ({common.one_line(error)}). Pass the folder of a downloaded "
                f"copy of {OFFICIAL_TOKENIZER}."
            ) from error
        if len(loaded) > model.config.text_config.vocab_size:
            raise CommandError(
                f"--tokenizer {tokenizer!r} has {len(loaded)} tokens, but the checkpoint {model.config.text_config.vocab_size}; "
                "it is not the one the checkpoint was trained with."
            )
        with without_loading_bars():
            model.save_pretrained(target)
            MotionPatchProcessor(extractor, loaded).save_pretrained(target)
    parameters = sum(value.numel() for value in model.parameters())
    if as_json:
        common.emit_json({"output": str(target), "parameters": parameters})
    else:
        common.emit(f"{target}: a MotionPatchModel of {parameters:,} parameters, with its processor")


def _load_config(path: str):
    from ..configuration_motionpatch import MotionPatchConfig

    if not Path(path).expanduser().is_dir():
        raise CommandError(f"--config {path!r} is no folder; give one that holds a config.json.")
    try:
        return MotionPatchConfig.from_pretrained(Path(path).expanduser())
    except (OSError, ValueError) as error:
        raise CommandError(f"--config {path!r} cannot be read: {common.one_line(error)}") from error


def push(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Folder of a model, a gallery or a prepared data set.")],
    repo_id: Annotated[str, typer.Argument(metavar="REPO_ID", help="user/name on the Hugging Face Hub.")],
    private: Annotated[
        bool | None, typer.Option("--private/--public", help="Of a new repository.", show_default="the account's")
    ] = None,
    revision: Annotated[
        str | None, typer.Option("--revision", metavar="NAME", help="Branch to write to.", show_default="main")
    ] = None,
    message: Annotated[str | None, typer.Option("--message", metavar="TEXT", help="Of the commit.")] = None,
    license: Annotated[
        str | None, typer.Option("--license", metavar="TERMS", help="Terms of a data set, for its card.")
    ] = None,
    as_json: common.JsonOption = False,
):
    """Upload a model with its code and card, a gallery, or a prepared data set. Log in first: `hf auth login`."""
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise CommandError(f"{folder!r} is no folder.")
    if repo_id.count("/") != 1 or not all(repo_id.split("/")):
        raise CommandError(f"{repo_id!r} is no name on the Hub; it has the form user/name.")
    common.package()
    from ..retrieval.storage import MANIFEST

    given = {"private": private, "revision": revision, "commit_message": message, "license": license}
    with common.stdout_for_json(as_json):
        if (path / MANIFEST).is_file():
            from ..gallery import MotionGallery

            upload = MotionGallery.load(path).push_to_hub
            address = upload(repo_id, **_supported(upload, given))
        else:
            hub = common.optional_module("hub", "Pushing", "Update the package.")
            prepared = common.is_prepared(path)
            if not prepared and not (path / "config.json").is_file():
                raise CommandError(
                    f"{folder!r} holds no model, gallery or prepared data set; `train` or `index` makes one."
                )
            if prepared:
                address = hub.push_dataset(path, repo_id, **_supported(hub.push_dataset, given))
            else:
                address = hub.push(path, repo_id, **_supported(hub.push, given, without=("license",)))
    address = str(getattr(address, "commit_url", address))
    if as_json:
        common.emit_json({"repo_id": repo_id, "address": address})
    else:
        common.emit(address)


def demo(
    gallery: Annotated[
        str | None,
        typer.Argument(metavar="[GALLERY]", help="Folder or Hub name of a gallery.", show_default="generated motions"),
    ] = None,
    motions: Annotated[
        str | None,
        typer.Option("--motions", metavar="DIR", help="Where the gallery's files are now, if they were moved."),
    ] = None,
    model: common.ModelOption = None,
    host: Annotated[
        str,
        typer.Option("--host", metavar="ADDRESS", help="Address to bind to; the default is reached from here only."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = DEFAULT_PORT,
    title: Annotated[str, typer.Option("--title", metavar="TEXT", help="Of the page.")] = "Motion search",
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
):
    """Search a gallery in the browser: type a sentence or upload a motion file, and watch the hits.

    Without a gallery it searches generated motions; it works offline.
    """
    if gallery is not None and not Path(gallery).expanduser().is_dir() and gallery.count("/") != 1:
        raise CommandError(f"{gallery!r}: there is no such gallery; `motionpatch index` makes one.")
    module = common.optional_module(
        "demo", "The demo", "Install the package again: pip install -U modeling-motionpatch."
    )
    from .sources import motions_of_gallery

    found = None if gallery is None else motions_of_gallery(gallery, motions)
    loaded = (None, None) if model is None else common.load_model(model, "cpu")
    with without_loading_bars():
        app = module.build_app(gallery, *loaded, motions=found, title=title)
    app.launch(host, port, open_browser=browser)


def _supported(function, values: dict, without: tuple[str, ...] = ()) -> dict:
    """Those values that were given; one that the function does not take is refused."""
    known = [name for name in inspect.signature(function).parameters if name not in without]
    given = {key: value for key, value in values.items() if value is not None}
    for key in given:
        if key not in known:
            raise CommandError(f"--{key.removeprefix('commit_')} is not for what this folder holds.")
    return given
