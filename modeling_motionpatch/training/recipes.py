"""Names of recipes and `key=value` overrides -> one dictionary of settings -> [`TrainArguments`].

Later ones win: defaults, the built-in preset, the recipe that `base:` names, the recipe itself, its section for the
chosen preset, the command line. Dictionaries are merged key by key, lists are replaced.
"""

import copy
import re
from importlib import resources
from pathlib import Path

import yaml

from .arguments import PRESETS, TrainArguments, TrainingError, check_keys, unknown_key


DEFAULT_RECIPE = "demo"
_SUFFIXES = (".yaml", ".yml")
_RECIPE_KEYS = ("base", "presets", "description")  # beside the knobs
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


def recipe_folders() -> list[Path]:
    """Where recipes are: in the installed package, and beside it in a checkout."""
    folders = [Path(str(resources.files("modeling_motionpatch"))) / "recipes"]
    folders.append(folders[0].parents[1] / "recipes")
    return [folder for folder in folders if folder.is_dir()]


def known_recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    names = {path.stem for folder in recipe_folders() for path in folder.iterdir() if path.suffix in _SUFFIXES}
    return sorted(names, key=lambda name: [int(t) if t.isdigit() else t for t in re.split(r"(\d+)", name)])


def find_recipe(name: str | Path) -> Path:
    """The file of a recipe.

    Args:
        name (`str` or `Path`): A path of a YAML file, or the name of a recipe that comes with the package.

    Raises:
        TrainingError: Neither a file nor a known name.
    """
    path = Path(name).expanduser()
    if path.is_file() or path.is_absolute() or not path.parts:
        if path.is_file():
            return path
        raise TrainingError(f"There is no recipe at {str(name)!r}.")
    for folder in recipe_folders():
        inner = path.relative_to("recipes") if path.parts[0] == "recipes" else path
        for candidate in (folder / inner, *(folder / f"{inner}{suffix}" for suffix in _SUFFIXES)):
            if candidate.is_file() and candidate.suffix in _SUFFIXES:
                return candidate
    known = known_recipes()
    error = unknown_key(path.stem, known, "the recipes")
    raise TrainingError(f"There is no recipe {str(name)!r}, neither as a file nor in the package. {error}") from None


def read_recipe(name: str | Path, _seen: tuple[Path, ...] = ()) -> dict:
    """A recipe's settings with those of its `base` under them; `presets` stays a section of its own."""
    path = find_recipe(name)
    if path in _seen:
        raise TrainingError(f"Recipe {path} is its own base: {' -> '.join(p.name for p in (*_seen, path))}.")
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise TrainingError(f"Recipe {path} is no readable YAML: {error}") from error
    settings = {} if settings is None else settings
    if not isinstance(settings, dict):
        raise TrainingError(f"Recipe {path} holds {type(settings).__name__}; keys and values are expected.")
    settings = _numbers(settings)
    knobs = TrainArguments.__dataclass_fields__
    check_keys(settings, (*knobs, *_RECIPE_KEYS), f"recipe {path}")
    presets = settings.get("presets") or {}
    check_keys(presets, PRESETS, f"`presets` of recipe {path}")
    for preset, section in presets.items():
        check_keys(section or {}, knobs, f"`presets.{preset}` of recipe {path}")
    base = settings.pop("base", None)
    if base is not None:
        beside = path.parent / f"{base}.yaml"
        inherited = read_recipe(beside if beside.is_file() else base, (*_seen, path))
        settings = merge(inherited, settings)
    return settings


def resolve_arguments(recipe: str | Path | None = None, overrides: "list[str] | dict | None" = None) -> TrainArguments:
    """A recipe and overrides -> the arguments of a run.

    Args:
        recipe (`str` or `Path`, *optional*): Name or file; the demo when not given.
        overrides (`list[str]` or `dict`, *optional*): `"key=value"`, keys of inner settings with dots
            (`"model.motion_config.pooling=cls"`), values in YAML; or the settings as a dictionary.

    Returns:
        `TrainArguments`

    Raises:
        TrainingError: An unknown recipe or key, or a value that a knob does not take.

    Example:

    ```python
    >>> from modeling_motionpatch.training import resolve_arguments
    >>> resolve_arguments("demo", ["epochs=2", "batch_size=64"]).epochs
    2
    ```
    """
    settings = read_recipe(recipe or DEFAULT_RECIPE)
    settings.pop("description", None)
    sections = settings.pop("presets", None) or {}
    if not isinstance(overrides, dict):
        overrides = parse_overrides(overrides or [], settings)
    overrides = _place_data_dir(overrides, settings)
    check_keys(overrides, TrainArguments.__dataclass_fields__, "the overrides")
    preset = overrides.get("preset", settings.get("preset", "ours"))
    if preset not in PRESETS:
        raise TrainingError(f"`preset` is {preset!r}; it must be one of {', '.join(PRESETS)}.")
    result = merge(PRESETS[preset], settings)
    result = merge(result, sections.get(preset) or {})
    return TrainArguments(**merge(result, overrides))


def parse_overrides(items: list[str], settings: dict | None = None) -> dict:
    """`["a.b=1", "c=x"]` -> `{"a": {"b": 1}, "c": "x"}`; a number in a key picks from a list of `settings`."""
    result: dict = {}
    for item in items:
        key, equals, text = item.partition("=")
        key = key.strip().lstrip("-")
        if not equals or not key:
            raise TrainingError(f"Override {item!r} is not understood; write key=value, e.g. epochs=10.")
        try:
            value = _numbers(yaml.safe_load(text))
        except yaml.YAMLError as error:
            raise TrainingError(f"The value of override {item!r} is no YAML: {error}") from error
        parts = key.split(".")
        if parts[0] not in TrainArguments.__dataclass_fields__ and key != "data_dir":
            raise unknown_key(parts[0], TrainArguments.__dataclass_fields__, f"override {item!r}")
        _assign(result, parts, value, settings or {}, item)
    return result


def _place_data_dir(overrides: dict, settings: dict) -> dict:
    """`data_dir=X`, short where a recipe has one data set that needs a folder: where X goes."""
    overrides = dict(overrides)
    if "data_dir" not in overrides:
        return overrides
    folder = overrides.pop("data_dir")
    data = overrides.get("data") or settings.get("data") or {}
    if isinstance(data, dict) and data:
        return merge(overrides, {"data": {**overrides.get("data", {}), "data_dir": folder}})
    further = overrides.get("evaluation_data") or settings.get("evaluation_data") or []
    if not data and len(further) == 1:
        return {**overrides, "evaluation_data": [{**further[0], "data_dir": folder}]}
    raise TrainingError("The recipe has several data sets; write data.0.data_dir=..., data.1.data_dir=... .")


def _assign(target: dict, parts: list[str], value, settings, item: str) -> None:
    head, *rest = parts
    if not rest:
        target[head] = value
        return
    below = settings.get(head) if isinstance(settings, dict) else None
    if isinstance(below, list) and rest[0].isdigit():
        items = target.setdefault(head, copy.deepcopy(below))
        index = int(rest[0])
        if index >= len(items) or len(rest) < 2:
            raise TrainingError(f"Override {item!r}: `{head}` has {len(items)} entries; write {head}.0.key=value.")
        _assign(items[index], rest[1:], value, below[index], item)
        return
    inner = target.setdefault(head, {})
    if not isinstance(inner, dict):
        raise TrainingError(f"Override {item!r}: `{head}` is no group of settings.")
    _assign(inner, rest, value, below or {}, item)


def merge(below: dict, above: dict) -> dict:
    """`above` over `below`, dictionaries key by key; neither is changed. Another data set brings its own options."""
    result = copy.deepcopy(below)
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict) and not _other_data(key, result[key], value):
            result[key] = merge(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def _other_data(key: str, below: dict, above: dict) -> bool:
    return key == "data" and "name" in below and above.get("name", below["name"]) != below["name"]


def _numbers(value):
    """YAML 1.1 reads 1e-4, without a dot, as text; here it is a number."""
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    if isinstance(value, str) and ("e" in value or "E" in value) and _NUMBER.fullmatch(value):
        return float(value)
    return value


__all__ = ["find_recipe", "known_recipes", "merge", "parse_overrides", "read_recipe", "resolve_arguments"]
