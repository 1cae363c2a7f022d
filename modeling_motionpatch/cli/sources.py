"""What `index` was given -> motions to embed, and later, from the record in the gallery's folder, to show again."""

import json
from pathlib import Path

from . import common
from .common import CommandError


MOTIONS_FILE = "motions.json"  # in a gallery's folder: where its motions are; not part of what is pushed to the Hub
FILE_SETTINGS = ("fps", "skeleton", "up", "units", "keep_t_pose")


def describe_source(source: str, data_dir: str | None, split: str | None, settings: dict, options: dict) -> dict:
    """Arguments of `index` -> a record from which [`open_source`] makes the same motions again.

    Args:
        source (`str`): A folder of motion files, one motion file, a folder that `prepare` wrote, or a data set's name.
        data_dir, split, options: Of a data set.
        settings (`dict`): `fps`, `skeleton`, `up`, `units` and `keep_t_pose` of files, `None` where not given.

    Raises:
        CommandError: There is no such thing, or arguments that belong to another kind of source.
    """
    from ..data import known_datasets

    path = Path(source).expanduser()
    is_name = source in known_datasets() and (data_dir is not None or not path.exists())
    if not is_name and not path.exists():
        known = ", ".join(known_datasets())
        raise CommandError(f"{source!r} is neither a folder or file nor a data set; known data sets: {known}.")
    if not is_name and data_dir is not None:
        raise CommandError(f"--data-dir belongs to a data set's name, but {source!r} is a folder or file.")
    if not is_name and common.is_prepared(path):
        source, data_dir, is_name = "prepared", str(path), True
    settings = {key: settings.get(key) for key in FILE_SETTINGS}
    if is_name:
        given = [f"--{key.replace('_', '-')}" for key, value in settings.items() if value is not None]
        if given:
            raise CommandError(f"{' and '.join(given)} are for files; options of {source!r} are given by --option.")
        place = None if data_dir is None else str(Path(data_dir).expanduser().resolve())
        return {"dataset": source, "data_dir": place, "split": split, "options": options}
    if split is not None or (options and not path.is_dir()):
        raise CommandError("--split and --option belong to data sets; files are indexed as a whole.")
    return {"files": str(path.resolve()), "settings": settings, "options": options}


def open_source(record: dict, progress: bool = False):
    """A record -> what [`MotionGallery.build`] takes, and what its reader left out.

    Returns:
        `tuple`: a path, a `datasets.Dataset` or a list; `(item, reason)` of every row that could not be used; and what
        the reader guessed or left out, as sentences.

    Raises:
        CommandError: The motions are not there any more.
    """
    if "dataset" in record:
        dataset, report = common.load_split(
            record["dataset"], record.get("data_dir"), record.get("split"), dict(record.get("options") or {}), progress
        )
        return dataset, _left_out(report, record.get("split")), list(report.notes) if report is not None else []
    path = Path(record["files"]).expanduser()
    if not path.exists():
        raise CommandError(f"{path}: there are no motions any more; pass the folder where they are with --motions.")
    settings = {key: value for key, value in (record.get("settings") or {}).items() if value is not None}
    drop = not settings.pop("keep_t_pose", False)
    options = {**settings, **({} if drop else {"drop_t_pose": False}), **(record.get("options") or {})}
    if not options:
        return path, [], []
    if path.is_file():
        motion = common.read_motion(str(path), **settings, drop_t_pose=drop)
        values = {"joints": motion.joints, "skeleton": motion.skeleton, "fps": motion.fps}
        return [{"id": path.stem, **values}], [], [f"{path}: {note}" for note in motion.notes]
    dataset, report = common.load_split("motionfolder", str(path), None, options, progress)
    return dataset, _left_out(report, None), list(report.notes) if report is not None else []


def motions_of_gallery(gallery, moved_to: str | None = None):
    """Where the motions of a gallery are, for showing its hits; `None` where the gallery does not say.

    Args:
        gallery (`Path` or `str`): The folder of a gallery, or its name on the Hub.
        moved_to (`str`, *optional*): The folder they are in now.

    Raises:
        CommandError: They are not there.
    """
    record: dict = {}
    file = Path(str(gallery)).expanduser() / MOTIONS_FILE
    if file.is_file():
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
            if not isinstance(record, dict) or not {"dataset", "files"} & record.keys():
                raise ValueError("neither `dataset` nor `files` is in it")
        except (ValueError, OSError) as error:
            raise CommandError(f"{file}: cannot be read ({common.one_line(error)}); pass --motions.") from error
    if moved_to is not None:
        place = Path(moved_to).expanduser()
        if not place.exists():
            raise CommandError(f"--motions {moved_to!r}: there is no such folder.")
        record = {**record, "data_dir": str(place)} if "dataset" in record else {**record, "files": str(place)}
    return open_source(record)[0] if record else None


def _left_out(report, split: str | None) -> list[tuple[str, str]]:
    """Entries of a skip report of the chosen split, as (item, reason)."""
    if report is None:
        return []
    from ..data.sources import split_name

    wanted = (None,) if split is None else (split, split_name(split))
    return [
        (entry["item"], f"{entry['kind']}: {entry['detail']}" if entry["detail"] else entry["kind"])
        for entry in report.skipped
        if split is None or entry["split"] in wanted
    ]
