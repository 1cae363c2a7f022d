"""A model, a folder or a data set -> a repository on the Hub that opens with transformers and timm alone.

`export` writes weights, configuration, processor, code and card to a folder; `push` uploads that in a single commit;
`push_dataset` uploads a `datasets.DatasetDict`. Nothing here deletes or changes what lies in a folder that is pushed.
"""

import json
import os
import tempfile
from pathlib import Path

from huggingface_hub import (
    CommitInfo,
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    ModelCard,
    get_token,
    is_offline_mode,
)
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError
from huggingface_hub.utils import validate_repo_id
from safetensors import SafetensorError

from .card_results import HubError, collect_results
from .cards import THIS_FOLDER, dataset_card, model_card, without_paths
from .hub_export import CARD, CONFIG, MODEL_TYPE, WEIGHTS, core_files, export, matches


RECIPE, RESULTS = "recipe.yaml", "results.json"
CODE = "*_motionpatch.py"
PROCESSOR = ("processor_config.json", "preprocessor_config.json")
PUBLISHED = (  # of a folder; checkpoints, logs and whatever else lies in it stay where they are
    *(CONFIG, *WEIGHTS, *PROCESSOR, CODE, CARD, RECIPE, RESULTS, "curves.png", "LICENSE*"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "vocab.txt", "merges.txt", "*.jinja", "*.model", "*.tiktoken"),
)
_FAILURES = (HfHubHTTPError, HTTPError, OSError)  # refused by the Hub, no way to it, a file that cannot be read


# --------------------------------------------------------------------------------------------------------------------
# Push


def push(
    folder_or_model,
    repo_id: str,
    *,
    processor=None,
    card: "ModelCard | str | None" = None,
    private: bool | None = None,
    revision: str | None = None,
    commit_message: str | None = None,
    commit_description: str | None = None,
    create_pr: bool = False,
    token: str | None = None,
    **card_options,
) -> CommitInfo:
    """Uploads a model with processor, code and card in one commit: the repository changes as a whole or not at all.

    Args:
        folder_or_model (`str`, `os.PathLike` or [`MotionPatchModel`]): A folder that [`export`], a training run or
            `save_pretrained` wrote (of which only what belongs to the model is uploaded: no checkpoints or logs), or a
            model, with `processor=`.
        repo_id (`str`): `user/name`; it is created where it does not exist.
        processor ([`MotionPatchProcessor`], *optional*): Of a model; a folder has its own.
        card (`ModelCard` or `str`, *optional*): The README.md; the folder's, or a new one, when not given.
        private (`bool`, *optional*): Of a new repository; the account's default when not given.
        revision (`str`, *optional*): Branch, created where it does not exist; the main branch when not given.
        commit_message, commit_description (`str`, *optional*): Of the commit.
        create_pr (`bool`, *optional*, defaults to `False`): Open a pull request instead of committing.
        token (`str`, *optional*): Of an account that may write; the one of `hf auth login`, or `HF_TOKEN`, when not
            given.
        card_options: Passed on to [`model_card`], for a card that is written here: `metrics`, `data`, `licenses`, ...

    Returns:
        `huggingface_hub.CommitInfo`: `commit_url`, `oid` and, of a pull request, `pr_url`.

    Raises:
        HubError: No token, a folder without a model or processor, a card that is broken, or an upload that failed. What
            is here stays as it is.

    Example:

    ```python
    >>> from modeling_motionpatch.hub import push
    >>> push("my-model", "user/my-model", private=True)  # doctest: +SKIP
    ```
    """
    api = _api(repo_id, token)
    if card is not None and card_options:
        raise HubError(f"`card` was given, so nobody reads {', '.join(sorted(card_options))}; pass one or the other.")
    target = {"private": private, "revision": revision, "create_pr": create_pr}
    message = {"commit_message": commit_message or "Upload MotionPatchModel", "commit_description": commit_description}
    if isinstance(folder_or_model, (str, os.PathLike)):
        if processor is not None:
            raise HubError("`processor` goes with a model; save it to the folder: processor.save_pretrained(folder).")
        folder = Path(folder_or_model).expanduser()
        operations = _operations(folder, repo_id, card, card_options)
        return _commit(api, repo_id, operations, f"The folder {str(folder)!r} is as it was", **target, **message)
    with tempfile.TemporaryDirectory() as work:
        options = {"card": card} if card is not None else {"repo_id": repo_id, **card_options}
        folder = export(folder_or_model, processor, Path(work) / "model", **options)
        operations = _operations(folder, repo_id, None, {})
        return _commit(api, repo_id, operations, "The model is in memory as it was", **target, **message)


def push_folder(folder: str | os.PathLike, repo_id: str, **options) -> CommitInfo:
    """[`push`] for a folder, by a name that says so."""
    return push(os.fspath(folder), repo_id, **options)


def _api(repo_id: str, token: str | None) -> HfApi:
    """The client, after everything that can be told without it: nothing is sent before a token and a name are there."""
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise HubError(f"`repo_id` is {repo_id!r}, which is no name for a repository: {error}") from error
    token = token if isinstance(token, str) and token else get_token()
    if not token:
        raise HubError(
            "There is no access token, so nothing was uploaded. Log in with `hf auth login`, set HF_TOKEN, or pass "
            "`token=` (one that may write, from https://huggingface.co/settings/tokens)."
        )
    if is_offline_mode():
        raise HubError("HF_HUB_OFFLINE is set, so nothing can be uploaded; unset it and start the program again.")
    return HfApi(token=token, library_name="modeling-motionpatch")


def _operations(folder: Path, repo_id: str, card, card_options: dict) -> list[CommitOperationAdd]:
    """What of a folder is uploaded, with the code and the card that it lacks; the folder itself is only read."""
    contents = _check_folder(folder)
    config = _without_local_names(json.loads((folder / CONFIG).read_text(encoding="utf-8")))
    if config.get("auto_map") and not config.get("custom_pipelines"):  # save_pretrained knows no pipelines
        from .pipeline_motionpatch import custom_pipelines

        contents |= {path.name: path for path in core_files()}
        config["custom_pipelines"] = custom_pipelines()
    contents[CONFIG] = (json.dumps(config, indent=2, sort_keys=True) + "\n").encode()
    if RECIPE in contents:
        contents[RECIPE] = _portable_recipe(folder / RECIPE)
    contents[CARD] = _card_of(folder, config, repo_id, card, card_options).encode()
    return [CommitOperationAdd(name, content) for name, content in sorted(contents.items())]


def _check_folder(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise HubError(f"There is no folder {str(folder)!r} to push.")
    contents = {p.name: p for p in folder.iterdir() if p.is_file() and p.name[0] != "." and matches(p.name, PUBLISHED)}
    try:
        kind = json.loads((folder / CONFIG).read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise HubError(
            f"{str(folder / CONFIG)!r} is no readable configuration ({error}); push a saved model."
        ) from error
    if kind != MODEL_TYPE:
        raise HubError(f"{str(folder)!r} holds a model of type {kind!r}; {MODEL_TYPE!r} is needed.")
    if not any(name.endswith(".safetensors") for name in contents):
        raise HubError(
            f"{str(folder)!r} holds no weights (*.safetensors); save the model there: save_pretrained(folder)."
        )
    if not any(name in contents for name in PROCESSOR):
        raise HubError(f"{str(folder)!r} holds no processor; save it there: processor.save_pretrained(folder).")
    return contents


def _without_local_names(value):
    """A configuration without the folders that its towers were loaded from."""
    if isinstance(value, dict):
        return {k: without_paths(v) if k == "_name_or_path" else _without_local_names(v) for k, v in value.items()}
    return value


def _portable_recipe(path: Path) -> bytes:
    import yaml

    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise HubError(f"{str(path)!r} is no readable YAML ({error}); repair or remove it.") from error
    return yaml.safe_dump(without_paths(settings), sort_keys=False, allow_unicode=True).encode()


def _card_of(folder: Path, config: dict, repo_id: str, card, card_options: dict) -> str:
    """The card that is given, the folder's, or a new one; with the repository's name in its examples."""
    path = folder / CARD
    if card is None and path.is_file() and not card_options:
        card = path.read_text(encoding="utf-8")
    if card is None:
        from .modeling_motionpatch import MotionPatchModel
        from .processing_motionpatch import MotionPatchProcessor

        options = {"custom_code": bool(config.get("auto_map")), "repo_id": repo_id, **card_options}
        if (folder / RECIPE).is_file():
            options.setdefault("recipe", folder / RECIPE)
        if (folder / RESULTS).is_file():
            options.setdefault("metrics", _test_figures(folder / RESULTS))
        try:
            model, processor = MotionPatchModel.from_pretrained(folder), MotionPatchProcessor.from_pretrained(folder)
        except (OSError, ValueError, SafetensorError) as error:
            raise HubError(f"{str(folder)!r} does not open, so nobody could use it: {error}") from error
        card = model_card(model, processor, **options)
    text = str(card).replace(THIS_FOLDER, repo_id)
    try:
        ModelCard(text)
    except Exception as error:  # YAML, a block that is no mapping, figures without a type: all mean the same here
        raise HubError(f"The metadata on top of the card cannot be read ({error}); repair the README.md.") from error
    return text


def _test_figures(path: Path) -> dict | None:
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        figures = {key: results.get(key) or {} for key in ("test", "evaluation_data")}
        collect_results(figures)
        return figures
    except (OSError, ValueError, AttributeError):
        return None  # a file of another program by that name


def _commit(api, repo_id, operations, kept: str, *, private, revision, create_pr, **message) -> CommitInfo:
    """Creates repository and branch where needed, then uploads all in one commit, stale weights removed by it."""
    try:
        repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        if revision is not None and not revision.startswith("refs/pr/"):
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        new = {operation.path_in_repo for operation in operations}
        for name in api.list_repo_files(repo_id, revision=revision):
            # Shards, or a single file, of weights before: from_pretrained might prefer them to the new ones.
            if name not in new and "/" not in name and matches(name, WEIGHTS):
                operations = [*operations, CommitOperationDelete(name)]
        return api.create_commit(repo_id, operations, revision=revision, create_pr=create_pr, **message)
    except _FAILURES as error:
        raise HubError(
            f"The upload to {repo_id!r} failed ({error}). Its files were not changed, since they all come in one commit. "
            f"{kept}; try again."
        ) from error


# --------------------------------------------------------------------------------------------------------------------
# Data sets


def push_dataset(
    dataset,
    repo_id: str,
    *,
    name: str | None = None,
    description: str | None = None,
    source: str | None = None,
    license: str | None = None,
    language: str = "en",
    private: bool | None = None,
    revision: str | None = None,
    commit_message: str | None = None,
    max_shard_size: int | str | None = None,
    token: str | None = None,
) -> CommitInfo:
    """Uploads a motion-language data set as Parquet, with a card; `load_dataset(repo_id)` reads it without this package.

    Most motion capture may not be passed on: look at the terms of the source first, and state them in `license`.

    Args:
        dataset (`datasets.DatasetDict`, `datasets.Dataset`, `str` or `os.PathLike`): What [`load_motion_dataset`]
            returned, or the folder that `prepare_dataset` (`motionpatch prepare`) wrote.
        repo_id (`str`): `user/name`; it is created where it does not exist.
        name, description, source, license, language: What the card says, see [`dataset_card`].
        private (`bool`, *optional*): Of a new repository; the account's default when not given.
        revision (`str`, *optional*): Branch, created where it does not exist.
        commit_message (`str`, *optional*): Of both commits, that of the data and that of the card.
        max_shard_size (`int` or `str`, *optional*): Largest Parquet file, 500 MB when not given.
        token (`str`, *optional*): As for [`push`].

    Returns:
        `huggingface_hub.CommitInfo` of the card, which comes last.

    Raises:
        HubError: No token, a data set without rows or columns that belong to it, or an upload that failed.

    Example:

    ```python
    >>> from modeling_motionpatch import load_motion_dataset
    >>> from modeling_motionpatch.hub import push_dataset
    >>> data = load_motion_dataset("motionfolder", "my-recordings")
    >>> push_dataset(data, "user/my-recordings", license="CC BY 4.0", private=True)  # doctest: +SKIP
    ```
    """
    from datasets import Dataset, DatasetDict
    from huggingface_hub import DatasetCard

    api = _api(repo_id, token)
    if isinstance(dataset, (str, os.PathLike)):
        from .data import load_motion_dataset

        dataset = load_motion_dataset("prepared", dataset)
    if isinstance(dataset, Dataset):
        dataset = DatasetDict({str(dataset.split or "train"): dataset})
    if not isinstance(dataset, DatasetDict) or not dataset:
        raise HubError(
            f"`dataset` is {type(dataset).__name__}; a datasets.DatasetDict with at least one split is needed."
        )
    options = {"name": name, "description": description, "source": source, "license": license, "language": language}
    card = dataset_card(dataset, repo_id=repo_id, **options)  # checks splits and columns before anything is sent
    plain = DatasetDict({split: rows.with_format(None) for split, rows in dataset.items()})
    message = commit_message or "Upload motion-language data set"
    try:
        plain.push_to_hub(
            *(repo_id,),
            private=private,
            revision=revision,
            commit_message=message,
            max_shard_size=max_shard_size,
            token=api.token,
        )
        # The library has described files and features on top of the README; they stay, and the rest is ours.
        path = api.hf_hub_download(repo_id, CARD, repo_type="dataset", revision=revision)
        described = DatasetCard.load(path).data.to_dict()
        for key, value in described.items():
            if key in ("configs", "dataset_info"):
                setattr(card.data, key, value)
        operation = CommitOperationAdd(CARD, str(card).encode())
        return api.create_commit(repo_id, [operation], repo_type="dataset", revision=revision, commit_message=message)
    except _FAILURES as error:
        raise HubError(
            f"The upload of the data set to {repo_id!r} failed ({error}). The data here is as it was; try again: what is "
            "uploaded already is not sent twice."
        ) from error


__all__ = ["HubError", "dataset_card", "export", "model_card", "push", "push_dataset", "push_folder"]
