"""A gallery -> a data set on the Hugging Face Hub, and back to a folder."""

import tempfile
from pathlib import Path

from .storage import MANIFEST, read_manifest, write_json


def push_gallery(gallery, repo_id, private, token, commit_message, file_format, include_model) -> str:
    """Uploads a gallery; see [`MotionGallery.push_to_hub`]."""
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    with tempfile.TemporaryDirectory() as temporary:
        folder = gallery.save(Path(temporary) / "gallery", file_format=file_format, include_model=include_model)
        _forget_local_paths(folder)
        repo_id = api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True).repo_id
        (folder / "README.md").write_text(card(gallery, repo_id), encoding="utf-8")
        commit = api.upload_folder(
            repo_id=repo_id, repo_type="dataset", folder_path=folder, commit_message=commit_message
        )
    return str(commit)


def download_gallery(repo_id: str, revision: str | None = None, token=None) -> Path:
    """Downloads the data set of a gallery and returns its folder in the cache."""
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(repo_id, repo_type="dataset", revision=revision, token=token))


def _forget_local_paths(folder: Path) -> None:
    """A model's folder on this computer means nothing elsewhere; its last part stays as a name."""
    manifest = read_manifest(folder)
    if manifest.get("model") and Path(manifest["model"]["name"]).is_absolute():
        manifest["model"]["name"] = Path(manifest["model"]["name"]).name
        write_json(folder / MANIFEST, manifest)


def card(gallery, repo_id: str) -> str:
    """The README of a gallery on the Hub."""
    made_by = Path(gallery.identity.name).name if gallery.identity else ""
    return f"""---
tags:
- motion-retrieval
- motionpatch-gallery
---

# Motion gallery

{len(gallery)} windows of {len(gallery.ids)} motions, embedded by `{made_by or "a model without a name"}`. One row a
window: `id`, `start` and `end` [s], `captions`, `source`, and `embedding`, {gallery.dim} numbers of unit length, so that
a dot product is the cosine similarity.

```python
from modeling_motionpatch import MotionGallery

gallery = MotionGallery.load("{repo_id}")
gallery.search("a person waves", k=5)
```
"""
