"""Motion-language data sets -> `datasets.DatasetDict` with `id`, `motion`, `captions`, `fps` and `skeleton`.

`motion` is float32 `(T, J, 3)` in metres, Y up (`(T, 2, J, 3)` for two persons), `captions` a list of str, `fps` a
float, `skeleton` what `get_skeleton` reads. `load_motion_dataset` converts a folder once and maps the result from the
cache afterwards; `prepare_dataset` writes the conversion where one wants it.
"""

import inspect
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from .babel import babel_classes, babel_source
from .humanml3d import humanml3d_source
from .interhuman import interhuman_source
from .kitml import kitml_source
from .motionfolder import motionfolder_source
from .report import MotionDataError, SkipReport
from .sources import MotionSource, resolve_folder, split_name
from .storage import convert, fingerprint, is_converted, iter_motions, load_converted


__all__ = [
    "MotionDataError",
    "SkipReport",
    "babel_classes",
    "iter_motions",
    "known_datasets",
    "load_motion_dataset",
    "prepare_dataset",
]

logger = logging.getLogger(__name__)

_SOURCES: dict[str, Callable[..., MotionSource]] = {
    "humanml3d": humanml3d_source,
    "kitml": kitml_source,
    "babel": babel_source,
    "interhuman": interhuman_source,
    "motionfolder": motionfolder_source,
}
GENERATED, PREPARED = "generated", "prepared"


def known_datasets() -> tuple[str, ...]:
    """Names that [`load_motion_dataset`] knows."""
    return (*_SOURCES, GENERATED, PREPARED)


def load_motion_dataset(
    name: str,
    data_dir: str | Path | None = None,
    *,
    streaming: bool = False,
    cache_dir: str | Path | None = None,
    progress: bool = True,
    **kwargs,
):
    """Loads a motion-language data set; the first call converts it, later ones map the conversion into memory.

    Args:
        name (`str`):
            `"humanml3d"`, `"kitml"`, `"babel"`, `"interhuman"`, `"motionfolder"`, `"generated"`, or `"prepared"` for
            a folder that [`prepare_dataset`] wrote (which is recognised under the data set's own name, too).
        data_dir (`str` or `Path`, *optional*):
            The folder of the data set. `"generated"` needs none; it keeps its files in one that is given.
        streaming (`bool`, *optional*, defaults to `False`):
            Return a `datasets.IterableDatasetDict` that reads shards as they are needed.
        cache_dir (`str` or `Path`, *optional*):
            Where the conversion is kept; `motionpatch` in the datasets library's cache when not given. It is used
            again while the names, sizes and times of the folder's files and the options stay the same.
        progress (`bool`, *optional*, defaults to `True`): Whether converting shows a progress bar.
        **kwargs: The data set's own options, such as `splits`, `max_items`, `include_mirrored`; see the functions
            `humanml3d_source`, `kitml_source`, `babel_source`, `interhuman_source` and `motionfolder_source`.

    Returns:
        `datasets.DatasetDict`: with the splits the folder has, among `train`, `validation` and `test`. Items that
        could not be used are in its attribute `skip_report` and summed up in one logged warning.

    Raises:
        MotionDataError: Unknown name or option, a folder that is not in the data set's format, or no usable row.

    Example:

    ```python
    >>> from modeling_motionpatch import load_motion_dataset
    >>> data = load_motion_dataset("humanml3d", data_dir="HumanML3D", splits="test")  # doctest: +SKIP
    >>> data["test"][0]["motion"].shape  # doctest: +SKIP
    (199, 22, 3)
    ```
    """
    _check_name(name)
    folder = None
    if name == GENERATED:  # it needs no folder; one that is given is where its files are kept
        cache_dir = cache_dir or data_dir
    else:
        folder = resolve_folder(name, data_dir, "the data set, or what prepare_dataset wrote")
    if name == PREPARED or (folder is not None and is_converted(folder)):
        result = _load_prepared(name, folder, streaming, cache_dir, kwargs)
    else:
        source = _source(name, folder, kwargs)
        converted = _cache_folder(cache_dir) / f"{name}-{fingerprint(source)}"
        if not is_converted(converted):
            _convert_locked(source, converted, progress)
        result = load_converted(converted, streaming=streaming)
    _log(result.skip_report)
    return result


def prepare_dataset(
    name: str,
    data_dir: str | Path | None,
    output_dir: str | Path,
    *,
    file_format: str = "parquet",
    num_shards: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
    **kwargs,
):
    """Converts a data set into a folder of shards, to be loaded from there, streamed, or pushed to the Hub.

    Args:
        name (`str`): As for [`load_motion_dataset`].
        data_dir (`str` or `Path`, *optional*): The folder of the data set.
        output_dir (`str` or `Path`): The folder to write; it must not exist, or be empty, or be such a folder itself
            with `overwrite=True`.
        file_format (`str`, *optional*, defaults to `"parquet"`):
            `"parquet"` (small; opens with `datasets.load_dataset(output_dir)`, Spark, DuckDB, ...) or `"arrow"`
            (memory-mapped as it is).
        num_shards (`int`, *optional*):
            Shards per split. A multiple of the number of processes lets each stream its own files.
        overwrite (`bool`, *optional*, defaults to `False`): Replace an earlier conversion.
        progress (`bool`, *optional*, defaults to `True`): Whether a progress bar is shown.
        **kwargs: The data set's own options.

    Returns:
        `SkipReport`: what was left out; it is also written as `skip_report.json`.

    Raises:
        MotionDataError: As for [`load_motion_dataset`], or `output_dir` holds something else.
    """
    _check_name(name)
    if name == PREPARED:
        raise MotionDataError("A prepared folder cannot be prepared again; name the data set it comes from.")
    output = Path(output_dir).expanduser()
    replaced = is_converted(output)
    if output.exists() and (not output.is_dir() or any(output.iterdir())) and not (replaced and overwrite):
        remedy = "pass overwrite=True to replace it" if replaced else "choose a folder that is empty or absent"
        raise MotionDataError(f"output_dir={str(output_dir)!r} is not empty; {remedy}.")
    source = _source(name, data_dir, kwargs)

    finished = output.with_name(f".{output.name}.new") if replaced else output
    if finished.is_dir() and (replaced or not any(finished.iterdir())):
        shutil.rmtree(finished)
    convert(source, finished, file_format=file_format, num_shards=num_shards, progress=progress)
    if replaced:  # the earlier conversion goes only when the new one is complete
        shutil.rmtree(output)
        finished.rename(output)
    report = load_converted(output, streaming=True).skip_report
    _log(report)
    return report


def _check_name(name: str) -> None:
    if name not in known_datasets():
        raise MotionDataError(f"Unknown data set {name!r}; known are {', '.join(known_datasets())}.")


def _source(name: str, data_dir: str | Path | None, options: dict) -> MotionSource:
    if name == GENERATED:
        from .generated import generated_source as build  # a large sub-package that nobody else needs
    else:
        build = _SOURCES[name]
    _check_options(name, build, options)
    return build(data_dir, **options)


def _check_options(name: str, build: Callable, options: dict) -> None:
    known = [option for option in inspect.signature(build).parameters if option != "data_dir"]
    unknown = [option for option in options if option not in known]
    if unknown:
        raise MotionDataError(f"Data set {name!r} has no option {', '.join(unknown)}; it has {', '.join(known)}.")


def _cache_folder(cache_dir: str | Path | None) -> Path:
    if cache_dir is not None:
        return Path(cache_dir).expanduser()
    import datasets

    return Path(datasets.config.HF_DATASETS_CACHE) / "motionpatch"


def _convert_locked(source: MotionSource, converted: Path, progress: bool) -> None:
    """Converts unless another process has done so meanwhile: of several, one writes and the others wait."""
    from filelock import FileLock

    converted.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(str(converted) + ".lock"):
        if not is_converted(converted):
            for partial in converted.parent.glob(f".{converted.name}.*.partial"):  # of a process that was killed
                shutil.rmtree(partial, ignore_errors=True)
            convert(source, converted, progress=progress)


def _load_prepared(name: str, folder: Path, streaming: bool, cache_dir: str | Path | None, options: dict):
    if not is_converted(folder):
        raise MotionDataError(f"{folder} was not written by prepare_dataset; name the data set it holds.")
    unknown = [option for option in options if option != "splits"]
    if unknown:
        raise MotionDataError(
            f"{folder} is already converted, so {', '.join(unknown)} has no effect; pass it to prepare_dataset."
        )
    result_name = load_converted(folder, streaming=True).skip_report.dataset
    if name not in (PREPARED, result_name):
        raise MotionDataError(f"{folder} holds {result_name!r}, not {name!r}.")
    splits = options.get("splits")
    if splits is not None:
        splits = [split_name(split) for split in ([splits] if isinstance(splits, str) else splits)]
    return load_converted(folder, splits=splits, streaming=streaming, cache_dir=cache_dir)


def _log(report: SkipReport) -> None:
    """One line a load: what was left out, and what was guessed."""
    for note in report.notes:
        logger.warning("%s: %s", report.dataset, note)
    if len(report):
        logger.warning("%s The list is in `.skip_report`.", report.summary())
