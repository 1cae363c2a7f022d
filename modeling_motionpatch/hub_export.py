"""A model and its processor -> a folder that opens with transformers and timm, with this package or without it."""

import json
import os
import shutil
import tempfile
from pathlib import Path

from huggingface_hub import ModelCard
from safetensors import SafetensorError

from .card_results import HubError
from .cards import model_card


CONFIG, CARD = "config.json", "README.md"
MODEL_TYPE = "motionpatch"
WEIGHTS = ("model*.safetensors", "model*.safetensors.index.json")
UNFINISHED = ".export-"  # begins the name of a folder that is being written
MAX_SHARD_SIZE = "50GB"  # of a file of weights, as in transformers


def export(
    model,
    processor,
    folder: str | os.PathLike,
    *,
    card: "ModelCard | str | bool | None" = None,
    custom_code: bool = True,
    custom_pipelines: bool | None = None,
    max_shard_size: int | str = MAX_SHARD_SIZE,
    **card_options,
) -> Path:
    """Writes a folder that opens where transformers and timm are installed, with this package or without it.

    Args:
        model ([`MotionPatchModel`]): The whole dual encoder.
        processor ([`MotionPatchProcessor`]): Feature extractor and tokenizer.
        folder (`str` or `os.PathLike`): Where to. A file of the same name is replaced, all else in it stays; each file
            is whole or absent, and a new folder appears when all of it is written.
        card (`ModelCard`, `str`, or `False`, *optional*): The README.md; [`model_card`] writes one when not given, and
            `False` leaves it out.
        custom_code (`bool`, *optional*, defaults to `True`): Put the code of the model beside it, for
            `trust_remote_code=True`.
        custom_pipelines (`bool`, *optional*): The same for both pipelines; as `custom_code` when not given.
        max_shard_size (`int` or `str`, *optional*, defaults to `"50GB"`): Largest file of weights.
        card_options: Passed on to [`model_card`]: `metrics`, `recipe`, `data`, `licenses`, `repo_id`, ...

    Returns:
        `Path`: The folder.

    Raises:
        HubError: A model or processor of another kind, a path that is a file, options that contradict each other, or
            no room on the disk.

    Example:

    ```python
    >>> from modeling_motionpatch.hub import export
    >>> from transformers import pipeline
    >>> export(model, processor, "my-model", data="humanml3d", metrics={"HumanML3D": metrics})  # doctest: +SKIP
    >>> rank = pipeline("motion-retrieval", model="my-model", trust_remote_code=True)  # doctest: +SKIP
    ```
    """
    _check_parts(model, processor)
    pipelines = custom_code if custom_pipelines is None else custom_pipelines
    if pipelines and not custom_code:
        raise HubError("`custom_pipelines=True` needs `custom_code=True`: the pipelines run on the code of the model.")
    if card is not None and card_options:
        raise HubError(f"`card` was given, so nobody reads {', '.join(sorted(card_options))}; pass one or the other.")
    if card is None or card is True:
        options = {"custom_code": custom_code, "custom_pipelines": pipelines, **card_options}
        card = model_card(model, processor, **options)  # before anything is written: it refuses what it cannot say
    folder = Path(folder).expanduser()
    if folder.exists() and not folder.is_dir():
        raise HubError(f"{str(folder)!r} is a file; give a folder to export to.")
    work = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # On the same disk, so that finished files are only renamed
        work = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=folder if folder.exists() else folder.parent))
        processor.save_pretrained(work)
        model.save_pretrained(work, max_shard_size=max_shard_size)
        if custom_code:
            _add_code(work, pipelines)
        else:
            _remove_code(work)
        if card is not False:
            (work / CARD).write_text(str(card), encoding="utf-8")
        _publish(work, folder)
    except (OSError, SafetensorError) as error:
        raise HubError(
            f"The folder {str(folder)!r} could not be written ({error}); make room, or choose another, and try again."
        ) from error
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)
    return folder


def _check_parts(model, processor) -> None:
    whole = getattr(getattr(model, "config", None), "model_type", None) == MODEL_TYPE and hasattr(model, "logit_scale")
    if not whole:
        raise HubError(
            f"`model` is {type(model).__name__}; a MotionPatchModel is needed (unwrap what accelerate or torch.compile "
            "wrapped, and take the whole dual encoder rather than one tower)."
        )
    if not all(getattr(processor, name, None) is not None for name in ("feature_extractor", "tokenizer")):
        raise HubError(
            f"`processor` is {type(processor).__name__}; a MotionPatchProcessor with feature extractor and tokenizer is "
            "needed: without it nobody could prepare the inputs as the model was trained."
        )


def _add_code(folder: Path, pipelines: bool) -> None:
    """All core files of the package, one version of each, and the configuration's word about the pipelines."""
    from .pipeline_motionpatch import custom_pipelines

    for path in core_files(pipelines):
        shutil.copyfile(path, folder / path.name)
    if pipelines:
        _edit_json(folder / CONFIG, lambda config: {**config, "custom_pipelines": custom_pipelines()})


def core_files(pipelines: bool = True) -> list[Path]:
    """The files of the package that go to the Hub as custom code: what the Auto classes and pipelines name, and what
    those files import."""
    from transformers.dynamic_module_utils import get_relative_import_files

    package = Path(__file__).parent
    roots = ["configuration", "modeling", "feature_extraction", "processing", *(["pipeline"] if pipelines else [])]
    files = {package / f"{root}_{MODEL_TYPE}.py" for root in roots}
    files |= {Path(needed) for path in list(files) for needed in get_relative_import_files(path)}
    return sorted(files)


def _remove_code(folder: Path) -> None:
    for path in folder.glob("*.py"):
        path.unlink()
    for path in folder.glob("*config.json"):
        _edit_json(path, _without_auto_map)


def _without_auto_map(value):
    if isinstance(value, dict):
        return {
            key: _without_auto_map(item) for key, item in value.items() if key not in ("auto_map", "custom_pipelines")
        }
    return [_without_auto_map(item) for item in value] if isinstance(value, list) else value


def _edit_json(path: Path, edit) -> None:
    content = edit(json.loads(path.read_text(encoding="utf-8")))
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


def _publish(work: Path, folder: Path) -> None:
    """Moves a finished folder to its place: at once where there is none, else file by file, the weights last."""
    if not folder.exists():
        work.chmod(0o777 & ~_umask())  # mkdtemp made it for its owner alone
        os.rename(work, folder)
        return
    new = sorted(work.iterdir(), key=lambda path: (matches(path.name, WEIGHTS), path.name))
    names = {path.name for path in new}
    for path in new:
        os.replace(path, folder / path.name)
    for path in folder.iterdir():  # shards of an export before, which from_pretrained might take for these weights
        if path.name not in names and matches(path.name, WEIGHTS):
            path.unlink()


def remove_unfinished(folder: Path) -> None:
    """Removes from a folder what an [`export`] that was killed left in it."""
    for path in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(path, ignore_errors=True)


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(Path(name).match(pattern) for pattern in patterns)


__all__ = ["core_files", "export", "matches", "remove_unfinished"]
