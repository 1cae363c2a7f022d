"""What the commands share: options, output, errors, and how a model and a motion are opened.

Nothing here imports torch, transformers or numpy before a command needs them, so that `--help` comes at once.
"""

import contextlib
import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from ..console import PACKAGE, without_loading_bars


EXIT_FAILURE = 1  # something unexpected; --debug shows where
EXIT_USAGE = 2  # arguments, files or data that cannot be used; the message says what to do
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE: whoever read the output has closed it


class CommandError(ValueError):
    """Arguments that a command cannot work with; the message says what was given, the rule and the remedy."""


# --------------------------------------------------------------------------------------------------------------------
# Options that several commands have

FpsOption = Annotated[
    float | None, typer.Option("--fps", metavar="RATE", help="Frames a second, overriding what the files say.")
]
SkeletonOption = Annotated[
    str | None,
    typer.Option("--skeleton", metavar="NAME", help="Skeleton of files that do not name their joints, e.g. smpl22."),
]
UpOption = Annotated[str | None, typer.Option("--up", metavar="AXIS", help="Upward axis of the files: y, z, -y, ...")]
UnitsOption = Annotated[
    str | None,
    typer.Option("--units", metavar="UNIT", help="Unit of the files: m, cm, mm, in, ft, or metres per unit."),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", metavar="NAME", help="Folder or Hub name of the model.", show_default="the packaged one"
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device", metavar="NAME", help="Where the model runs: auto (a GPU if there is one), cpu, cuda, cuda:1, ..."
    ),
]
PrecisionOption = Annotated[
    str,
    typer.Option(
        "--precision",
        metavar="NAME",
        help="What the model computes in: float32; bfloat16; or auto, which is bfloat16 where the device multiplies it "
        "natively, and then about twice as fast.",
    ),
]
BatchSizeOption = Annotated[int, typer.Option("--batch-size", metavar="N", min=1, help="Motions a forward pass.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else there.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")]
DataOptionsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        "-o",
        metavar="KEY=VALUE",
        help="An option of the data set's reader, e.g. max_items=100; repeatable.",
    ),
]


def epilog(*examples: str) -> str:
    """What stands below a command's help: examples, one a line, unwrapped."""
    lines = "\n".join(f"  {example}" for example in examples)
    return f"\b\n{'Example' if len(examples) == 1 else 'Examples'}:\n{lines}"


# --------------------------------------------------------------------------------------------------------------------
# Output


def emit(text: str) -> None:
    """Prints on stdout; ends the program quietly where nobody reads it any more (`motionpatch ... | head`)."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        drop_stdout()
        raise typer.Exit(EXIT_BROKEN_PIPE) from None
    except UnicodeEncodeError:  # a terminal that knows fewer letters than the captions have
        encoding = sys.stdout.encoding or "ascii"
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def emit_json(values) -> None:
    """Prints one JSON document on stdout."""
    emit(json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False))


def tell(text: str) -> None:
    """Prints on stderr: what is for people, not for programs."""
    encoding = sys.stderr.encoding or "ascii"
    with contextlib.suppress(BrokenPipeError):
        print(text.encode(encoding, "backslashreplace").decode(encoding), file=sys.stderr, flush=True)


def drop_stdout() -> None:
    """Sends what is still buffered nowhere, so that Python does not complain when it ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def stdout_for_json(wanted: bool) -> Iterator[None]:
    """With `wanted`, whatever a library prints within goes to stderr; stdout is for the document alone."""
    if not wanted:
        yield
        return
    with contextlib.redirect_stdout(sys.stderr):
        yield


def one_line(error: BaseException | str) -> str:
    """A message on one line."""
    return " ".join(str(error).split()) or type(error).__name__


# --------------------------------------------------------------------------------------------------------------------
# The package


def package():
    """Runs the package's own `__init__`, which registers models and pipelines with transformers."""
    module = importlib.import_module(PACKAGE)
    module.__version__  # noqa: B018 - where the command's launcher put the import off, this is the moment
    return module


def optional_module(name: str, what: str, remedy: str):
    """A module of the package that may be absent or lack its dependencies.

    Raises:
        CommandError: It cannot be imported.
    """
    package()
    try:
        return importlib.import_module(f"{PACKAGE}.{name}")
    except ImportError as error:
        raise CommandError(f"{what} is not available here ({one_line(error)}). {remedy}") from error


def choose_device(device: str):
    """`auto`, `cpu`, `cuda:1`, ... -> `torch.device`.

    Raises:
        CommandError: No such device here.
    """
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise CommandError(f"--device {device!r} cannot be used here: {one_line(error)}") from error
    return chosen


def place(model, device: str = "auto", precision: str = "float32"):
    """The model, ready to embed on that device and in that precision.

    Raises:
        CommandError: No such device here, or no such precision.
    """
    import torch

    from ..embedding_motionpatch import fast_dtype

    chosen = choose_device(device)
    dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16, "auto": fast_dtype(chosen)}
    if precision not in dtypes:
        raise CommandError(f"--precision {precision!r}: it must be one of {', '.join(dtypes)}.")
    return model.eval().to(chosen, dtypes[precision])


def load_model(name: str | None = None, device: str = "auto", precision: str = "float32"):
    """A folder or a name of the Hub -> `(model, processor)`; the packaged checkpoint where none is named.

    Raises:
        CommandError: There is no such model, or it cannot be read; or no such device or precision.
    """
    package()
    import torch

    from ..modeling_motionpatch import MotionPatchModel
    from ..pipeline_motionpatch import DEFAULT_CHECKPOINT
    from ..processing_motionpatch import MotionPatchProcessor

    chosen = choose_device(device)
    if name is None:
        if not DEFAULT_CHECKPOINT.is_dir():
            raise CommandError("This installation has no packaged checkpoint; name a model with --model.")
        name = str(DEFAULT_CHECKPOINT)
    _check_model_name(name)
    try:
        with without_loading_bars():
            model = MotionPatchModel.from_pretrained(name, dtype=torch.float32)
            processor = MotionPatchProcessor.from_pretrained(name)
    except KeyboardInterrupt:
        raise
    except Exception as error:  # safetensors, Hub client and transformers have errors of their own
        raise CommandError(f"--model {name!r} cannot be loaded: {one_line(error)}") from error
    return place(model, chosen, precision), processor


def _check_model_name(name: str) -> None:
    path = Path(name).expanduser()
    if path.is_file():
        remedy = " A checkpoint of the official code is turned into one by `motionpatch convert-official`."
        raise CommandError(f"--model {name!r} is a file; the folder of a model is needed.{remedy}")
    if path.is_dir():
        config = path / "config.json"
        if not config.is_file():
            raise CommandError(f"--model {name!r} holds no model: there is no config.json in this folder.")
        try:
            model_type = json.loads(config.read_text(encoding="utf-8"))["model_type"]
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise CommandError(f"{config}: is no configuration of a model ({one_line(error)}).") from error
        if model_type != "motionpatch":
            raise CommandError(f"--model {name!r} is a {model_type!r}; a model of the type 'motionpatch' is needed.")
    elif name.count("/") > 1 or name.startswith((".", "/", "~")) or " " in name or os.sep not in name:
        raise CommandError(f"--model {name!r}: there is no such folder, and names on the Hub have the form user/name.")


# --------------------------------------------------------------------------------------------------------------------
# Motions and data


def parse_units(units: str | None) -> str | float | None:
    """`cm` stays, `0.01` becomes a number."""
    if units is None:
        return None
    try:
        return float(units)
    except ValueError:
        return units


def read_motion(path: str, fps=None, skeleton=None, up=None, units=None, drop_t_pose=False):
    """A motion file -> `Motion`."""
    from ..io import load_motion

    settings = {"fps": fps, "skeleton": skeleton, "up": up, "units": parse_units(units)}
    return load_motion(Path(path).expanduser(), drop_t_pose=drop_t_pose, **settings)


def read_query_motion(paths: list[str], fps=None, skeleton=None, up=None, units=None):
    """One file -> its `Motion`; one file a person -> a dict with joints `(T, P, J, 3)`, cut to the shortest.

    Raises:
        CommandError: Persons whose skeletons or frame rates differ.
    """
    motions = [read_motion(path, fps, skeleton, up, units, drop_t_pose=True) for path in paths]  # as when indexed
    if len(motions) == 1:
        return motions[0]
    import numpy as np

    first = motions[0]
    for path, motion in zip(paths, motions):
        if motion.skeleton != first.skeleton or motion.fps != first.fps:
            raise CommandError(
                f"{path}: has {motion.skeleton.num_joints} joints of {motion.skeleton.name!r} at {motion.fps:g} fps, but "
                f"{paths[0]} {first.skeleton.num_joints} of {first.skeleton.name!r} at {first.fps:g}; persons of one "
                "motion must have the same skeleton and frame rate."
            )
    length = min(motion.num_frames for motion in motions)
    joints = np.stack([motion.joints[:length] for motion in motions], axis=1)
    return {"joints": joints, "skeleton": first.skeleton, "fps": first.fps}


def expand_files(paths: list[str]) -> list[str]:
    """Files as they are, folders as the motion files in them.

    Raises:
        CommandError: A folder without motion files.
    """
    from ..io import find_motion_files

    files = []
    for path in paths:
        if Path(path).expanduser().is_dir():
            found = find_motion_files(Path(path).expanduser())
            if not found:
                raise CommandError(f"{path}: no motion file was found in this folder or below it.")
            files += map(str, found)
        else:
            files.append(path)
    return files


def parse_data_options(items: list[str] | None) -> dict:
    """`["max_items=10"]` -> `{"max_items": 10}`; values are read as YAML.

    Raises:
        CommandError: An item without `=`, or a value that is no YAML.
    """
    import yaml

    options = {}
    for item in items or []:
        key, equals, value = item.partition("=")
        if not equals or not key.strip():
            raise CommandError(f"--option {item!r} is not of the form key=value.")
        try:
            options[key.strip().replace("-", "_")] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise CommandError(f"--option {item!r}: the value cannot be read ({one_line(error)}).") from error
    return options


def load_split(name: str, data_dir: str | None, split: str | None, options: dict, progress: bool = True):
    """A data set of [`load_motion_dataset`] -> one split, or all of them one after the other; and what was left out.

    Returns:
        `tuple`: `datasets.Dataset`, and `SkipReport` or `None`.

    Raises:
        CommandError: There is no such split.
    """
    from ..data import load_motion_dataset
    from ..data.sources import split_name

    data = load_motion_dataset(name, data_dir, progress=progress, **options)
    report = getattr(data, "skip_report", None)
    if split is None:
        import datasets

        return datasets.concatenate_datasets(list(data.values())), report
    chosen = split_name(split)
    if chosen not in data:
        raise CommandError(f"{name!r} has no split {split!r} but {', '.join(data)}.")
    return data[chosen], report


def is_prepared(path: Path) -> bool:
    """Whether `motionpatch prepare` wrote this folder."""
    from ..data.storage import is_converted

    return path.is_dir() and is_converted(path)
