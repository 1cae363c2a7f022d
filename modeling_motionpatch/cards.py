"""A model or a data set, its figures and its licences -> the README.md that the Hub shows, from Jinja templates.

The templates are in `hub_cards/`. Figures go into the card's table and into its `model-index` metadata, each with the
protocol that gives it a meaning; one without a protocol is refused.
"""

import math
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path, PurePosixPath, PureWindowsPath

import yaml
from huggingface_hub import DatasetCard, DatasetCardData, ModelCard, ModelCardData

from .card_results import HubError, collect_results, eval_results, result_tables


THIS_FOLDER = "path/of/this/folder"  # stands in a card for the repository's name until that is known
LIBRARY, PIPELINE_TAG = "transformers", "feature-extraction"
TAGS = ("motion-retrieval", "human-motion", "motion-capture", "motion-language", "motionpatch")
PAPER = "arxiv:2405.04771"  # as a tag, it links the Hub's page of the paper
CODE_LICENSE = "Apache-2.0"
NOT_STATED = "not stated"
MODEL_TEMPLATE, DATASET_TEMPLATE = "model_card.md", "dataset_card.md"

# Identifiers of the Hub (huggingface.co/docs/hub/repositories-licenses); any other name is filed under "other".
LICENSE_IDS = (
    *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "gpl-3.0", "lgpl-3.0", "openrail", "unlicense", "cc0-1.0"),
    *("cc-by-4.0", "cc-by-sa-4.0", "cc-by-nd-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0", "odc-by"),
)
# Title, page and what binds whoever uses the data, as far as the sources themselves say it.
KNOWN_DATA = {
    "generated": ("generated motions", None, "made by the package itself, Apache-2.0"),
    "humanml3d": (
        *("HumanML3D", "https://github.com/EricGuo5513/HumanML3D"),
        "under its own terms and those of AMASS, which its motions come from",
    ),
    "kitml": ("KIT Motion-Language", "https://motion-annotation.humanoids.kit.edu/dataset/", "under its own terms"),
    "babel": ("BABEL", "https://babel.is.tue.mpg.de", "under its own terms and those of AMASS"),
    "interhuman": ("InterHuman", "https://github.com/tr3e/InterGen", "under its own terms"),
}
_LANGUAGES = {"en": "English", "de": "German", "fr": "French", "es": "Spanish", "ja": "Japanese", "zh": "Chinese"}


def find_template(name: str) -> Path:
    """A template by its name, from the installed package or from a checkout.

    Args:
        name (`str`): `"model_card.md"`, `"dataset_card.md"`, or a file of the Space such as `"space/app.py"`.

    Raises:
        HubError: There is no such template.
    """
    package = Path(str(resources.files("modeling_motionpatch")))
    folders = [package / "hub_cards", package.parent / "hub_cards"]
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    raise HubError(
        f"There is no card template {name!r} in {' or '.join(map(str, folders))}; install the package anew."
    )


# --------------------------------------------------------------------------------------------------------------------
# Licences, data, recipe


def license_metadata(name: str | None) -> dict[str, str]:
    """A licence's name -> the fields that the Hub understands; what it does not list becomes `other` with that name."""
    if not name or name == NOT_STATED:
        return {"license": "unknown"}
    identifier = re.sub(r"\s+", "-", name.strip().lower())
    if identifier in LICENSE_IDS:
        return {"license": identifier}
    return {"license": "other", "license_name": re.sub(r"[^\w.]+", "-", identifier).strip("-") or "see-card"}


def _data_entries(data) -> list[dict]:
    """Names or descriptions of data sets -> `title`, `url`, `note`, `license`, `id` of each."""
    if data is None:
        return []
    entries = []
    for item in [data] if isinstance(data, (str, Mapping)) else data:
        item = {"name": item} if isinstance(item, str) else dict(item)
        name = item.get("name") or item.get("id")
        if not isinstance(name, str):
            raise HubError(f"`data` holds {item!r:.80}; a name, or a dictionary with one under `name`, is needed.")
        title, url, note = KNOWN_DATA.get(name, (name, None, None))
        own = "Apache-2.0" if name == "generated" else None
        entries.append(
            {
                "title": item.get("title", title),
                "url": item.get("url", url),
                "note": item.get("description", item.get("note", note)),
                "license": item.get("license", own),
                "id": item.get("id"),
            }
        )
    return entries


def _licenses(licenses, data: list[dict], only_generated: bool) -> dict[str, str]:
    licenses = dict(licenses or {})
    unknown = sorted(set(licenses) - {"code", "weights", "data"})
    if unknown:
        raise HubError(f"`licenses` has the key {unknown[0]!r}; it may have 'code', 'weights' and 'data'.")
    terms = [f"{item['title']}: {item['license'] or item['note'] or NOT_STATED}" for item in data]
    return {
        "code": licenses.get("code") or CODE_LICENSE,
        # Weights trained from scratch on the package's own motions are free of other people's terms; no others are.
        "weights": licenses.get("weights") or (CODE_LICENSE if only_generated else NOT_STATED),
        "data": licenses.get("data") or "; ".join(terms) or NOT_STATED,
    }


def read_recipe(recipe) -> dict:
    """Settings of a run, as an object with `to_dict`, a dictionary or a YAML file -> a dictionary without local paths."""
    if recipe is None:
        return {}
    if isinstance(recipe, (str, Path)):
        try:
            recipe = yaml.safe_load(Path(recipe).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise HubError(f"The recipe {str(recipe)!r} cannot be read: {error}") from error
    elif hasattr(recipe, "to_dict"):
        recipe = recipe.to_dict()
    if not isinstance(recipe, Mapping):
        raise HubError(f"`recipe` is {type(recipe).__name__}; settings by their names are needed.")
    return without_paths(dict(recipe))


def without_paths(value):
    """The same settings with every absolute path cut to its last part: the rest tells about a machine and its user."""
    if isinstance(value, Mapping):
        return {str(key): without_paths(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_paths(item) for item in value]
    if isinstance(value, (str, Path)):
        text = str(value)
        for kind in (PurePosixPath, PureWindowsPath):
            if kind(text).is_absolute() or text.startswith("~"):
                return kind(text).name
        return text
    return value


# --------------------------------------------------------------------------------------------------------------------
# Cards


def _model_facts(model, processor, language: str) -> dict:
    config = model.config
    motion, text = config.motion_config, config.text_config
    extractor = getattr(processor, "feature_extractor", None)
    override = ", ".join(f"{key} {value}" for key, value in (motion.architecture_kwargs or {}).items())
    parameters = sum(parameter.numel() for parameter in model.parameters())
    unit = "patches" if motion.input_kind == "patches" else "frames"
    table = [
        (
            "motion tower",
            f"timm `{motion.architecture}`{f' ({override})' if override else ''}, {motion.pooling} pooling",
        ),
        ("text tower", f"`{text.model_type}`, width {text.hidden_size}, {config.text_pooling} pooling"),
        ("parameters", f"{parameters:,}"),
        ("embedding", f"{config.projection_dim} numbers"),
        ("motion input", f"{motion.num_body_parts} body parts, {motion.patch_size} points a part, read as {unit}"),
    ]
    if extractor is not None:
        skeleton = extractor.skeleton if isinstance(extractor.skeleton, str) else extractor.skeleton.get("name")
        seconds = extractor.max_frames / extractor.fps
        table += [
            ("longest motion", f"{extractor.max_frames} frames at {extractor.fps:g} a second ({seconds:g} s)"),
            ("skeleton", f"`{skeleton}` where none is given; any with five body parts can be read"),
            ("normalisation", f"by {extractor.normalization}, padding by {extractor.padding}"),
        ]
    if config.num_persons > 1:
        table.append(("persons a motion", str(config.num_persons)))
    return {
        "projection_dim": config.projection_dim,
        "language_name": _LANGUAGES.get(language, language),
        "table": table,
    }


def model_card(
    model,
    processor=None,
    *,
    name: str | None = None,
    repo_id: str | None = None,
    description: str | None = None,
    metrics=None,
    recipe=None,
    data=None,
    licenses: Mapping[str, str] | None = None,
    base_model: str | list[str] | None = None,
    language: str = "en",
    custom_code: bool = True,
    custom_pipelines: bool = True,
) -> ModelCard:
    """Describes a model as the Hub expects it: metadata on top, then use, model, limits, data, figures, licences.

    Args:
        model ([`MotionPatchModel`]): The model.
        processor ([`MotionPatchProcessor`], *optional*): Its processor.
        name (`str`, *optional*): Heading; the repository's name, or "Motion Patches", when not given.
        repo_id (`str`, *optional*): `user/name`, for the code examples; [`push`] fills it in where it is not known yet.
        description (`str`, *optional*): A paragraph in Markdown.
        metrics (*optional*): Figures on test data; [`collect_results`] lists the shapes it takes.
        recipe (`TrainArguments`, `dict` or path of a YAML file, *optional*): Settings of the training run. Absolute
            paths in it are cut to their last part.
        data (`str`, `dict`, or a list of them, *optional*): Training data: names, or dictionaries with `name` and
            optionally `title`, `url`, `description`, `license` and `id` (its name on the Hub). The recipe's, when not
            given.
        licenses (`Mapping[str, str]`, *optional*): Terms by what they bind, `"code"`, `"weights"` and `"data"`. The code
            is Apache-2.0; terms of weights that are not given are called "not stated", but those of a model that was
            trained from scratch on generated motions alone are Apache-2.0.
        base_model (`str` or `list[str]`, *optional*): Hub names of the models that the towers started from.
        language (`str`, *optional*, defaults to `"en"`): Of the captions, by its ISO code.
        custom_code (`bool`, *optional*, defaults to `True`): Whether the repository holds the code of the model.
        custom_pipelines (`bool`, *optional*, defaults to `True`): Whether it holds that of the pipelines.

    Returns:
        `huggingface_hub.ModelCard`

    Raises:
        HubError: Figures without a protocol, licences or data that are not understood.

    Example:

    ```python
    >>> from modeling_motionpatch.hub import model_card
    >>> card = model_card(model, processor, metrics={"HumanML3D": metrics}, data="humanml3d")  # doctest: +SKIP
    >>> card.save("README.md")  # doctest: +SKIP
    ```
    """
    settings = read_recipe(recipe)
    if data is None:
        data = settings.get("data")
        data = data["name"] if isinstance(data, dict) and "name" in data else data
        data = [item["name"] for item in data] if isinstance(data, list) else data
    entries = _data_entries(data)
    pretrained = settings.get("motion_pretrained") or settings.get("text_pretrained") or settings.get("init_from")
    scratch = bool(settings) and not pretrained and not base_model
    only_generated = scratch and bool(entries) and all(e["title"] == KNOWN_DATA["generated"][0] for e in entries)
    licenses = _licenses(licenses, entries, only_generated)
    results = collect_results(metrics, entries[0]["title"] if len(entries) == 1 else "test set")
    title = name or (repo_id.split("/")[-1] if repo_id else "Motion Patches")
    card_data = ModelCardData(
        **license_metadata(licenses["weights"]),
        language=language,
        library_name=LIBRARY,
        pipeline_tag=PIPELINE_TAG,
        tags=[*TAGS, PAPER],
        datasets=[entry["id"] for entry in entries if entry["id"]] or None,
        base_model=base_model,
        model_name=title if results else None,
        eval_results=eval_results(results) or None,
    )
    return ModelCard.from_template(
        card_data,
        template_path=str(find_template(MODEL_TEMPLATE)),
        title=title,
        repo_id=repo_id or THIS_FOLDER,
        description=description,
        facts=_model_facts(model, processor, language),
        custom_code=custom_code,
        custom_pipelines=custom_code and custom_pipelines,
        data=entries,
        recipe=yaml.safe_dump(settings, sort_keys=False, allow_unicode=True) if settings else None,
        tables=result_tables(results),
        licenses=licenses,
    )


COLUMNS = ("id", "motion", "captions", "fps", "skeleton")
_EXTRA_MEANING = {"label": "the class of the motion", "mirrored": "whether left and right were swapped"}
_SIZES = ((1e3, "n<1K"), (1e4, "1K<n<10K"), (1e5, "10K<n<100K"), (1e6, "100K<n<1M"), (math.inf, "1M<n<10M"))


def dataset_card(
    dataset,
    *,
    name: str | None = None,
    repo_id: str | None = None,
    description: str | None = None,
    source: str | None = None,
    license: str | None = None,
    language: str = "en",
) -> DatasetCard:
    """Describes a motion-language data set: columns, splits with hours and captions, source and licence.

    Args:
        dataset (`datasets.DatasetDict`): With the columns `id`, `motion`, `captions`, `fps` and `skeleton`.
        name (`str`, *optional*): Heading.
        repo_id (`str`, *optional*): `user/name`, for the code example.
        description (`str`, *optional*): A paragraph in Markdown.
        source (`str`, *optional*): Where the motions and captions come from, in Markdown.
        license (`str`, *optional*): Terms of the data; "not stated" when not given.
        language (`str`, *optional*, defaults to `"en"`): Of the captions, by its ISO code.

    Returns:
        `huggingface_hub.DatasetCard`

    Raises:
        HubError: A split without rows or without one of the columns.
    """
    facts = _dataset_facts(dataset)
    title = name or (repo_id.split("/")[-1] if repo_id else "Human motion with descriptions")
    terms = license_metadata(license)
    card_data = DatasetCardData(
        **terms,
        language=[language],
        pretty_name=title,
        size_categories=[next(size for limit, size in _SIZES if facts["clips"] < limit)],
        tags=[*TAGS, "3d"],
    )
    return DatasetCard.from_template(
        card_data,
        template_path=str(find_template(DATASET_TEMPLATE)),
        title=title,
        repo_id=repo_id or THIS_FOLDER,
        description=description,
        source=source,
        license=license or "Not stated",
        facts=facts,
        extra_meaning=_EXTRA_MEANING,
    )


def _dataset_facts(dataset) -> dict:
    from .data.storage import iter_motions

    splits, clips, seconds = [], 0, 0.0
    for split, rows in dataset.items():
        absent = [column for column in COLUMNS if column not in rows.column_names]
        if absent or not len(rows):
            what = f"lacks the columns {', '.join(absent)}" if absent else "has no rows"
            raise HubError(f"The split {split!r} {what}; load the data with load_motion_dataset.")
        table = rows.with_format("arrow").select_columns(["captions", "fps", "skeleton"])[:]
        fps = table["fps"].to_pylist()
        frames = [len(motion) for motion in iter_motions(rows)]
        split_seconds = sum(count / rate for count, rate in zip(frames, fps))
        skeletons = sorted({_skeleton_name(text) for text in set(table["skeleton"].to_pylist())})
        splits.append(
            {
                "name": str(split),
                "clips": f"{len(rows):,}",
                "captions": f"{sum(len(captions) for captions in table['captions'].to_pylist()):,}",
                "hours": f"{split_seconds / 3600:.2f}",
                "skeletons": ", ".join(f"`{name}`" for name in skeletons),
            }
        )
        clips, seconds = clips + len(rows), seconds + split_seconds
    first = next(iter(dataset.values()))
    shape = getattr(first.features["motion"], "shape", None)
    return {
        "clips": clips,
        "total": f"{clips:,} clips, {seconds / 3600:.2f} hours",
        "first_split": splits[0]["name"],
        "splits": splits,
        "motion_shape": "`(T, " + ", ".join(map(str, shape[1:])) + ")`" if shape else "nested lists `(T, J, 3)`",
        "extra_columns": [(c, _type_name(first.features[c])) for c in first.column_names if c not in COLUMNS],
    }


def _skeleton_name(text: str) -> str:
    from .skeletons_motionpatch import get_skeleton

    return get_skeleton(text).name


def _type_name(feature) -> str:
    return str(getattr(feature, "dtype", type(feature).__name__.lower()))


__all__ = ["dataset_card", "find_template", "model_card", "read_recipe"]
