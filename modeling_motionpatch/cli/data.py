"""`motionpatch prepare`: a data set -> shards; `motionpatch index`: motions -> a gallery that `search` opens."""

import contextlib
import json
import logging
import shutil
import time
from pathlib import Path
from typing import Annotated

import typer

from ..console import without_loading_bars
from . import common
from .common import CommandError
from .sources import MOTIONS_FILE, describe_source, open_source


NAMED = 3  # files that a note names
LISTED = 20  # files left out that are listed on the terminal; --json has all


def register(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.command(
        "prepare",
        short_help="Convert a data set once, to load, stream or push it.",
        epilog=common.epilog(
            "motionpatch prepare humanml3d --data-dir HumanML3D --output-dir humanml3d-parquet",
            "motionpatch prepare motionfolder --data-dir my_files --output-dir prepared -o units=cm -o num_proc=4",
        ),
    )(prepare)
    app.command(
        "index",
        short_help="Embed motions into a gallery.",
        epilog=common.epilog(
            "motionpatch index my_bvh_files --output gallery",
            "motionpatch index humanml3d --data-dir HumanML3D --split test --model my_model --output gallery",
            "accelerate launch -m modeling_motionpatch index my_bvh_files --output gallery",
        ),
    )(index)


def prepare(
    name: Annotated[
        str, typer.Argument(help="humanml3d, kitml, babel, interhuman, motionfolder or generated.", metavar="NAME")
    ],
    output_dir: Annotated[str, typer.Option("--output-dir", metavar="DIR", help="Folder to write; new or empty.")],
    data_dir: Annotated[str | None, typer.Option("--data-dir", metavar="DIR", help="Folder of the data set.")] = None,
    file_format: Annotated[
        str,
        typer.Option(
            "--format", metavar="NAME", help="parquet (small, opens anywhere) or arrow (memory-mapped as it is)."
        ),
    ] = "parquet",
    num_shards: Annotated[int | None, typer.Option("--num-shards", help="Files a split.", min=1)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier conversion.")] = False,
    option: common.DataOptionsOption = None,
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,
):
    """Convert a data set once, to be trained on, streamed, indexed or pushed.

    What cannot be used (missing files, NaN, broken captions) is left out, counted, and listed in skip_report.json.
    """
    from ..data import prepare_dataset
    from ..data.storage import MANIFEST

    options = common.parse_data_options(option)
    with common.stdout_for_json(as_json), _quiet_logger("data"):
        report = prepare_dataset(
            name,
            data_dir,
            output_dir,
            file_format=file_format,
            num_shards=num_shards,
            overwrite=overwrite,
            progress=not quiet,
            **options,
        )
    folder = Path(output_dir).expanduser()
    splits = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["splits"]
    rows = {split: entry["num_rows"] for split, entry in splits.items()}
    if as_json:
        common.emit_json(
            {
                "name": name,
                "output_dir": str(folder),
                "rows": rows,
                "left_out": report.counts,
                "notes": list(report.notes),
                "skipped": report.skipped,
            }
        )
        return
    for note in report.notes:
        common.tell(f"note: {note}")
    if len(report):
        common.tell(f"{report.summary()} The list is in {folder / 'skip_report.json'}.")
    counts = ", ".join(f"{split} {count}" for split, count in rows.items())
    common.emit(f"{name}: {sum(rows.values())} rows ({counts}) written to {folder}")


def index(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER_OR_DATASET",
            help="A folder of motion files, a folder that `prepare` wrote, or a data set's name (with --data-dir).",
        ),
    ],
    output: Annotated[
        str, typer.Option("--output", metavar="PATH", help="Folder of the gallery; new, empty, or an earlier gallery.")
    ],
    model: common.ModelOption = None,
    data_dir: Annotated[
        str | None, typer.Option("--data-dir", metavar="DIR", help="Folder of a data set given by name.")
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", metavar="NAME", help="Split of a data set.", show_default="all")
    ] = None,
    window: Annotated[
        float | None,
        typer.Option("--window", metavar="SECONDS", help="Seconds a window.", show_default="what the model reads"),
    ] = None,
    stride: Annotated[
        float | None,
        typer.Option(
            "--stride", metavar="SECONDS", help="Seconds from window to window.", show_default="half a window"
        ),
    ] = None,
    fps: common.FpsOption = None,
    skeleton: common.SkeletonOption = None,
    up: common.UpOption = None,
    units: common.UnitsOption = None,
    keep_t_pose: Annotated[
        bool,
        typer.Option(
            "--keep-t-pose", help="Embed the T pose that some files have in front, too, instead of leaving it out."
        ),
    ] = False,
    dtype: Annotated[
        str, typer.Option("--dtype", metavar="NAME", help="Of the stored embeddings: float32 or float16.")
    ] = "float32",
    file_format: Annotated[str, typer.Option("--format", metavar="NAME", help="arrow or parquet.")] = "arrow",
    batch_size: common.BatchSizeOption = 32,
    device: common.DeviceOption = "auto",
    precision: common.PrecisionOption = "float32",
    add: Annotated[bool, typer.Option("--add", help="Add to the gallery in --output, with its model.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the gallery in --output.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew instead of going on where an interrupted run was.")
    ] = False,
    include_model: Annotated[bool, typer.Option("--include-model", help="Put the model into the gallery.")] = False,
    option: common.DataOptionsOption = None,
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,
):
    """Embed motions into a gallery that `motionpatch search` opens.

    Takes of any length and skeleton; long ones are cut into windows. Files that cannot be read are left out and listed
    at the end. An interrupted run goes on where it was when the same command is given again. Under `accelerate launch`
    every process makes its share.
    """
    started = time.perf_counter()
    common.package()
    from ..gallery import MotionGallery
    from ..retrieval.build import OtherBuildError, launched_processes
    from ..retrieval.storage import FILE_FORMATS, MANIFEST, check_target

    target = Path(output).expanduser()
    check_target(target)
    if file_format not in FILE_FORMATS:
        raise CommandError(f"--format {file_format!r}: it must be one of {', '.join(FILE_FORMATS)}.")
    exists = (target / MANIFEST).is_file()
    if exists and not (add or overwrite):
        raise CommandError(f"{target} holds a gallery; pass --overwrite to replace it, or --add to add to it.")
    if add and (not exists or overwrite):
        raise CommandError(f"--add needs a gallery in {target}, and no --overwrite.")
    if add and (model or window or stride):
        raise CommandError("--add takes model and windows from the gallery; leave out --model, --window and --stride.")

    rank, processes = launched_processes()
    settings = {"fps": fps, "skeleton": skeleton, "up": up, "units": common.parse_units(units)}
    settings["keep_t_pose"] = keep_t_pose or None
    record = describe_source(source, data_dir, split, settings, common.parse_data_options(option))
    with common.stdout_for_json(as_json), _quiet_logger("gallery"), _quiet_logger("data"):
        motions, left_out, remarks = open_source(record, progress=not quiet)
        given = {"batch_size": batch_size, "progress": not quiet and rank == 0}
        if add:
            gallery = MotionGallery.load(target)
            with without_loading_bars():
                common.place(gallery.encoder()[0], device, precision)
            before = len(gallery.skipped), len(gallery.notes)
            gallery.add(motions, **given)
            skipped, notes = gallery.skipped[before[0] :], gallery.notes[before[1] :]
            record = {}  # its motions now lie in several places
        else:
            building = target.with_name(f".{target.name}.building")
            if restart and rank == 0:
                shutil.rmtree(building, ignore_errors=True)
            loaded, processor = common.load_model(model, _own_device(device, processes), precision)
            windows = {"window": window, "stride": stride, "dtype": dtype}
            try:
                gallery = MotionGallery.build(loaded, processor, motions, resume_dir=building, **windows, **given)
            except OtherBuildError as error:
                reason = str(error).partition(" Delete")[0]
                raise CommandError(f"{reason} Pass --restart to begin anew.") from error
            skipped, notes = gallery.skipped, gallery.notes
            if processes > 1:
                from accelerate import PartialState

                PartialState().wait_for_everyone()  # the shards go when all processes have read them
        if rank > 0:
            return
        skipped = [*left_out, *skipped]
        further = {MOTIONS_FILE: record} if record else {}
        gallery.save(target, file_format=file_format, include_model=include_model, further=further)
        if not add:
            shutil.rmtree(building, ignore_errors=True)
    _finish(target, gallery, skipped, notes, remarks, time.perf_counter() - started, as_json)


def _finish(target: Path, gallery, skipped: list, notes: list, remarks: list, seconds: float, as_json: bool) -> None:
    if as_json:
        common.emit_json(
            {
                "gallery": str(target),
                "windows": len(gallery),
                "motions": len(gallery.ids),
                "window_seconds": gallery.window,
                "stride_seconds": gallery.stride,
                "skipped": [{"path": str(path), "reason": str(reason)} for path, reason in skipped],
                "notes": [*remarks, *(f"{path}: {note}" for path, note in notes)],
                "seconds": seconds,
            }
        )
        return
    for path, reason in skipped[:LISTED]:
        text = common.one_line(reason)
        common.tell(f"left out: {text if str(path) in text else f'{path}: {text}'}")
    if len(skipped) > LISTED:
        common.tell(f"left out: {len(skipped) - LISTED} more (--json lists all)")
    for remark in remarks:
        common.tell(f"note: {remark}")
    if notes:
        named = ", ".join(str(path) for path, _ in notes[:NAMED]) + (", ..." if len(notes) > NAMED else "")
        common.tell(f"note: {len(notes)} takes without the T pose in front of them ({named}); --keep-t-pose keeps it")
    left_out = f", {len(skipped)} left out" if skipped else ""
    common.emit(f"{target}: {len(gallery)} windows of {len(gallery.ids)} motions{left_out}, in {seconds:.1f} s")


def _own_device(device: str, processes: int) -> str:
    """Of several processes on one machine each takes a GPU of its own."""
    if processes == 1 or device != "auto":
        return device
    from accelerate import PartialState

    return str(PartialState().device)


@contextlib.contextmanager
def _quiet_logger(module: str):
    """Without the one-line summary of what was left out, which the command lists itself."""
    logger = logging.getLogger(f"{common.PACKAGE}.{module}")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
