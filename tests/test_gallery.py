"""Galleries: search against brute force, windows, duplicates, files, resumed and shared builds, bad input."""

import copy
import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from conftest import random_motion, tiny_config

from modeling_motionpatch import MotionPatchFeatureExtractor, MotionPatchModel, MotionPatchProcessor, get_skeleton
from modeling_motionpatch.data.generated import generate_motion
from modeling_motionpatch.embedding_motionpatch import (
    encode_motion,
    encode_text,
    fast_dtype,
    window_frames,
    window_spans,
)
from modeling_motionpatch.gallery import GalleryError, MotionGallery
from modeling_motionpatch.io import Motion, save_motion
from modeling_motionpatch.rendering_moments import MotionSource
from modeling_motionpatch.retrieval import build as build_module
from modeling_motionpatch.retrieval.search import top_k, twin_key


LENGTHS = (30, 224, 250, 500, 60)  # frames at 20 fps: below, at, just above and far above the 224 that the model reads


@pytest.fixture(scope="module")
def motions():
    return [random_motion(length, seed=seed) for seed, length in enumerate(LENGTHS)]


@pytest.fixture
def gallery(tiny_model, processor, motions):
    captions = ["a man walks", ["a man runs", "running"], None, "a person kicks", "jumps"]
    return MotionGallery.build(tiny_model, processor, motions, captions=captions, progress=False)


def unit(rng, *shape):
    values = rng.standard_normal(shape, dtype=np.float32)
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


# --------------------------------------------------------------------------------------------------------------------
# Embeddings


def test_embeddings_are_those_of_the_model_one_by_one(tiny_model, processor, motions):
    short = [motions[0], motions[4], motions[1]]
    batched = encode_motion(tiny_model, processor, short, batch_size=2)
    for motion, embed in zip(short, batched):
        with torch.no_grad():
            inputs = processor(text="a", motions=motion, return_tensors="pt")
            expected = tiny_model(**inputs).motion_embeds[0].numpy()
        np.testing.assert_allclose(embed, expected, atol=1e-5)
    texts = ["a person waves", "the man", "a person waves with the left hand twice", "the man"]
    for text, embed in zip(texts, encode_text(tiny_model, processor, texts, batch_size=2)):
        with torch.no_grad():
            features = tiny_model.get_text_features(**processor(text=text, return_tensors="pt")).pooler_output
        np.testing.assert_allclose(embed, torch.nn.functional.normalize(features, dim=-1)[0].numpy(), atol=1e-5)
    assert batched.dtype == np.float32 and batched.shape == (3, 16)


def test_padding_with_zeros_is_not_trimmed(tiny_model, tokenizer, motions):
    extractor = MotionPatchFeatureExtractor(padding="zeros", normalization="none")
    processor = MotionPatchProcessor(extractor, tokenizer)
    with torch.no_grad():
        features = tiny_model.get_motion_features(**extractor(motions[0], return_tensors="pt")).pooler_output
    expected = torch.nn.functional.normalize(features, dim=-1).numpy()
    np.testing.assert_allclose(encode_motion(tiny_model, processor, motions[0]), expected, atol=1e-5)


def test_a_long_motion_is_the_mean_of_its_windows(tiny_model, processor, motions, gallery):
    long = encode_motion(tiny_model, processor, motions[3])[0]
    rows = [hit.index for hit in gallery if hit.id == "3"]
    mean = gallery.embeddings[rows].mean(axis=0)
    np.testing.assert_allclose(long, mean / np.linalg.norm(mean), atol=1e-5)
    first = encode_motion(tiny_model, processor, motions[3], long_motions="first")[0]
    np.testing.assert_allclose(first, gallery.embeddings[rows[0]], atol=1e-5)


@pytest.mark.parametrize(
    "capabilities, expected",
    [
        ({"avx512_bf16": True, "amx_bf16": False}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
        ({"avx2": True, "avx512_bf16": False}, torch.float32),
        (None, torch.float32),  # a torch that does not tell
    ],
)
def test_fast_dtype_of_processors(monkeypatch, capabilities, expected):
    if capabilities is None:
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert fast_dtype() is expected and fast_dtype("meta") is torch.float32


@pytest.mark.parametrize("capability, expected", [((7, 5), torch.float32), ((8, 0), torch.bfloat16)])
def test_fast_dtype_of_gpus(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert fast_dtype("cuda:1") is expected


def test_bfloat16_gives_nearly_the_same_embeddings(tiny_model, processor, motions):
    full = encode_motion(tiny_model, processor, motions)
    half = encode_motion(tiny_model.bfloat16(), processor, motions)
    assert half.dtype == np.float32 and 0 < np.abs(half - full).max() < 0.02
    assert (half * full).sum(axis=1).min() > 0.999


def test_the_models_mode_is_restored(tiny_model, processor):
    tiny_model.train()
    first, second = (encode_text(tiny_model, processor, "a man") for _ in range(2))
    assert tiny_model.training and np.array_equal(first, second)  # dropout was off


def test_errors_in_the_worker_thread_reach_the_caller(tiny_model, processor, motions):
    broken = motions[0].copy()
    broken[3] = np.nan
    with pytest.raises(ValueError, match="motion 1.*NaN"):
        encode_motion(tiny_model, processor, [motions[0], broken])
    with pytest.raises(ValueError, match="must be strings"):
        encode_text(tiny_model, processor, ["a", 3])


# --------------------------------------------------------------------------------------------------------------------
# Windows


@pytest.mark.parametrize("num_frames", [2, 9, 10, 11, 15, 16, 40, 43])
def test_windows_cover_a_take_and_end_with_it(num_frames):
    spans = window_spans(num_frames, window=10, stride=5)
    covered = np.zeros(num_frames, bool)
    for start, end in spans:
        assert end - start == min(10, num_frames)
        covered[start:end] = True
    assert covered.all() and spans[-1][1] == num_frames
    assert all(0 < b[0] - a[0] <= 5 for a, b in zip(spans, spans[1:]))


def test_window_options(processor):
    extractor = processor.feature_extractor
    assert window_frames(extractor) == (224, 112)
    assert window_frames(extractor, 2.0, 0.5) == (40, 10)
    for options in ({"window": 20.0}, {"window": 0.0}, {"window": 2.0, "stride": 3.0}, {"stride": float("nan")}):
        with pytest.raises(ValueError, match="window|stride"):
            window_frames(extractor, **options)


def test_times_are_seconds_of_the_take(tiny_model, processor):
    take = Motion(random_motion(900, seed=1), fps=60.0, skeleton="smpl22")  # 15 s
    gallery = MotionGallery.build(tiny_model, processor, [take], progress=False)
    times = [(hit.start, hit.end) for hit in gallery]
    assert times[0] == (0.0, 11.2) and times[-1][1] == pytest.approx(15.0)
    assert gallery.window == pytest.approx(11.2) and gallery.stride == pytest.approx(5.6)


# --------------------------------------------------------------------------------------------------------------------
# Search


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("count", [1, 5, 40])
def test_search_agrees_with_brute_force(dtype, count):
    rng = np.random.default_rng(0)
    rows, queries = unit(rng, 40_000, 24), unit(rng, count, 24)
    gallery = MotionGallery.from_embeddings(rows, [f"m{index}" for index in range(len(rows))], dtype=dtype)
    exact = queries.astype(np.float64) @ rows.astype(dtype).astype(np.float64).T
    for row, hits in zip(exact, gallery.search_embeddings(queries, k=7)):
        assert [hit.index for hit in hits] == np.argsort(-row)[:7].tolist()
        np.testing.assert_allclose([hit.score for hit in hits], np.sort(row)[::-1][:7], atol=1e-6)
        assert [hit.id for hit in hits] == [f"m{hit.index}" for hit in hits]


def test_top_k_with_ties_many_blocks_and_large_k():
    rng = np.random.default_rng(1)
    rows = rng.integers(-2, 3, (60, 4)).astype(np.float32)  # exact in float32, with many equal scores
    everything = rng.integers(-2, 3, (20, 4)).astype(np.float32)
    for k, queries in itertools.product((1, 13, 60, 100), (everything[:1], everything[:6], everything)):
        scores, found = top_k([rows[:7], rows[7:8], rows[8:]], queries, k)
        expected = np.argsort(-(queries @ rows.T), axis=1, kind="stable")[:, :k]
        assert np.array_equal(found, expected)
        assert np.array_equal(scores, np.take_along_axis(queries @ rows.T, expected, 1))


def test_vectors_are_scaled_and_queries_shaped():
    gallery = MotionGallery.from_embeddings(np.diag([3.0, 4.0, 5.0]), ids=[10, 20, 30])
    assert gallery.search_embeddings(np.array([0.0, 7.0, 1.0]), k=1)[0].id == 20
    assert [[hit["id"] for hit in hits] for hits in gallery.search_embeddings(torch.eye(3)[1:], k=1)] == [[20], [30]]
    hit = gallery.search_embeddings([1, 0, 0], k=5)[0]
    assert hit["score"] == hit.score == pytest.approx(1.0) and dict(hit)["id"] == 10 and hit.get("nothing") is None
    json.dumps(hit.to_dict())
    with pytest.raises(KeyError):
        hit["nothing"]


def test_overlapping_hits_of_one_take_are_merged(gallery, tiny_model, processor):
    assert len(gallery) == 1 + 1 + 2 + 4 + 1
    hits = gallery.search("a man", k=9)
    for one in hits:
        for other in hits:
            if one is not other and one.id == other.id:
                assert one.end <= other.start or other.end <= one.start
    everything = gallery.search("a man", k=9, merge=False)
    assert len(everything) == 9 and everything[0] == hits[0]
    expected = encode_text(tiny_model, processor, "a man")[0] @ gallery.embeddings.T
    np.testing.assert_allclose([hit.score for hit in everything], np.sort(expected)[::-1], atol=1e-6)


def test_merging_looks_further_until_there_are_k_hits():
    """One take fills the first hundred places; k hits are still found."""
    rng = np.random.default_rng(0)
    near, far = unit(rng, 1, 8) + 0.01 * unit(rng, 100, 8), unit(rng, 5, 8)
    starts = [*np.linspace(0, 1, 100), *[0] * 5]
    gallery = MotionGallery.from_embeddings(
        np.concatenate([near, far]), ["take"] * 100 + list("abcde"), starts=starts, ends=np.asarray(starts) + 3
    )
    assert sorted(hit.id for hit in gallery.search_embeddings(near[0], k=6)) == [*"abcde", "take"]


def test_mirrored_twins_are_shown_once():
    rng = np.random.default_rng(0)
    base = unit(rng, 8)
    ids = ["012314", "M012314", "set/M00001", "set/00001", "wave", "wave_mirrored", "Mark"]
    rows = np.stack([base + 0.01 * (index + 1) * unit(rng, 8) for index in range(len(ids))])
    times = {"starts": [0.0] * 7, "ends": [4.0] * 7}
    for extra in (times, {}):  # windows, and vectors without times
        gallery = MotionGallery.from_embeddings(rows, ids, **extra)
        assert {twin_key(hit.id) for hit in gallery.search_embeddings(base, 7)} == {
            "012314",
            "set/00001",
            "wave",
            "Mark",
        }
        assert len(gallery.search_embeddings(base, 7)) == 4
        assert len(gallery.search_embeddings(base, 7, mirrored="all")) == 7


@pytest.mark.filterwarnings(
    "ignore::modeling_motionpatch.io.MotionFileWarning"
)  # random joints have no person's proportions
def test_queries_of_every_kind(gallery, motions, tmp_path, processor, tiny_model):
    motion = Motion(motions[4], 20.0, "smpl22")
    save_motion(tmp_path / "query.npz", motion)
    expected = gallery.search(motions[4], k=2)
    assert expected[0].id == "4" and expected[0].score == pytest.approx(1.0, abs=1e-5)
    others = [motion, str(tmp_path / "query.npz"), tmp_path / "query.npz", {"joints": motions[4], "fps": 20.0}]
    for hits in gallery.search(others, k=2):
        assert [hit.id for hit in hits] == [hit.id for hit in expected]
    mixed = gallery.search(["a man", motions[4]], k=2)
    alone = gallery.search("a man", k=2)
    assert [hit.index for hit in mixed[0]] == [hit.index for hit in alone] and mixed[1][0].id == "4"
    assert gallery.search([], k=2) == []
    with pytest.raises(ValueError, match="gone.bvh"):
        gallery.search("gone.bvh")
    slow = gallery.search(motions[4], fps=10.0, k=1)[0]  # the same frames, played at half the speed
    assert slow.score < 1 - 1e-4


def test_encode_gives_the_vectors_that_are_searched_with(gallery, motions):
    vectors = gallery.encode(["a person walks", motions[0]])
    assert vectors.shape == (2, gallery.dim) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    for query, vector in zip(["a person walks", motions[0]], vectors):
        expected = [(hit.index, hit.score) for hit in gallery.search(query, k=3)]
        found = [(hit.index, hit.score) for hit in gallery.search_embeddings(vector, k=3)]
        assert [row for row, _ in found] == [row for row, _ in expected]
        np.testing.assert_allclose([score for _, score in found], [score for _, score in expected], atol=1e-6)
    with pytest.raises(GalleryError, match="put it into a list"):
        gallery.encode("a person walks")


def test_similar_leaves_the_motion_itself_out(gallery):
    hits = gallery.similar("3", k=3)
    assert len(hits) == 3 and "3" not in [hit.id for hit in hits]
    with pytest.raises(GalleryError, match="no motion"):
        gallery.similar("nobody")


def test_localize(tiny_model, processor, gallery, motions):
    found = gallery.localize(motions[3], "a person kicks", k=3)
    assert found.duration == 25.0 and found.window == 4.0 and len(found.times) == len(found.scores) == 43
    assert np.all(np.diff(found.times) > 0) and found.times[0] == 2.0 and found.times[-1] == 23.0
    best = found.moments[0]
    assert best.score == found.scores.max()
    cut = motions[3][round(best.start * 20) : round(best.end * 20)]  # the moment, cut out by hand
    by_hand = encode_motion(tiny_model, processor, cut) @ encode_text(tiny_model, processor, "a person kicks").T
    assert best.score == pytest.approx(float(by_hand[0, 0]), abs=1e-5)
    times = sorted((hit.start, hit.end) for hit in found.moments)
    assert all(a[1] <= b[0] + 1e-6 for a, b in zip(times, times[1:]))
    json.dumps(found.to_dict())


# --------------------------------------------------------------------------------------------------------------------
# Files


@pytest.mark.parametrize("file_format", ["arrow", "parquet"])
def test_saved_and_loaded_galleries_agree(gallery, tiny_model, processor, tmp_path, file_format):
    folder = gallery.save(tmp_path / "gallery", file_format=file_format)
    loaded = MotionGallery.load(folder, tiny_model, processor)
    assert loaded.search("a man", k=4) == gallery.search("a man", k=4)
    assert loaded.ids == gallery.ids and loaded.window == gallery.window and loaded.dtype == "float32"
    if file_format == "arrow":
        table = datasets.load_from_disk(str(folder))
    else:
        table = datasets.Dataset.from_parquet(str(folder / "data" / "*.parquet"), cache_dir=str(tmp_path / "cache"))
    np.testing.assert_array_equal(np.asarray(table["embedding"], np.float32), gallery.embeddings)
    assert table["captions"][:3] == [["a man walks"], ["a man runs", "running"], []]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_half_precision_is_half_the_size_and_nearly_the_same(gallery, tmp_path):
    half = MotionGallery.load(gallery.save(tmp_path / "half", dtype="float16"))
    assert half.dtype == "float16" and half.embeddings.dtype == np.float16
    np.testing.assert_allclose(half.embeddings.astype(np.float32), gallery.embeddings, atol=1e-3)


def test_saving_over_a_gallery_is_all_or_nothing(gallery, tmp_path, monkeypatch):
    folder = gallery.save(tmp_path / "gallery")
    smaller = MotionGallery.load(folder)
    smaller.remove(["0", "3"])
    import modeling_motionpatch.gallery as module

    def full_disk(*args):
        raise OSError("No space left on device")

    with monkeypatch.context() as context:
        context.setattr(module, "write_json", full_disk)
        with pytest.raises(OSError, match="No space"):
            smaller.save(folder)
    assert len(MotionGallery.load(folder)) == len(gallery) and len(list(tmp_path.iterdir())) == 1
    smaller.save(folder)  # over the very files that are mapped into memory
    assert len(MotionGallery.load(folder)) == len(smaller) == len(gallery) - 5
    shutil.move(folder, tmp_path / ".gallery.old")  # killed between the two renames
    assert len(MotionGallery.load(folder)) == len(smaller)


def test_broken_folders_are_refused(gallery, tmp_path):
    folder = gallery.save(tmp_path / "gallery")
    with pytest.raises(GalleryError, match="holds no gallery"):
        MotionGallery.load(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(GalleryError, match="not replaced"):
        gallery.save(other)
    data = next(folder.glob("*.arrow"))
    whole = data.read_bytes()
    data.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(GalleryError, match="cannot be read|windows"):
        MotionGallery.load(folder)
    data.unlink()
    with pytest.raises(GalleryError, match="cannot be read"):
        MotionGallery.load(folder)
    (folder / "gallery.json").write_text("{")
    with pytest.raises(GalleryError, match="cannot be read"):
        MotionGallery.load(folder)
    manifest = {"format": "motionpatch-gallery", "version": 99}
    (folder / "gallery.json").write_text(json.dumps(manifest))
    with pytest.raises(GalleryError, match="version 99"):
        MotionGallery.load(folder)
    manifest = {**manifest, "version": 1, "files": ["../x.arrow"], "dim": 16, "dtype": "float32", "num_windows": 1}
    (folder / "gallery.json").write_text(json.dumps(manifest))
    with pytest.raises(GalleryError, match="outside"):
        MotionGallery.load(folder)
    gallery.save(folder)
    manifest = json.loads((folder / "gallery.json").read_text())
    for name, values in (
        ("files", [5, "data", [3]]), ("dim", ["8", -1, True]), ("dtype", ["int8", []]), ("num_windows", ["8", -1, 999]),
        ("version", ["1", 0, True]), ("window_seconds", ["x"]), ("index", [5, {}]), ("model", [5, {"name": "x"}]),
        ("skipped", [5, [5], [["a", 1]]]), ("notes", [[["a"]]]),
    ):  # fmt: skip
        for value in values:
            (folder / "gallery.json").write_text(json.dumps({**manifest, name: value}))
            with pytest.raises(GalleryError, match="gallery.json"):
                MotionGallery.load(folder)


def test_another_model_is_refused(gallery, tiny_model, processor, tokenizer, tmp_path):
    folder = gallery.save(tmp_path / "gallery")
    torch.manual_seed(1)
    with pytest.raises(GalleryError, match="other weights"):
        MotionGallery.load(folder, MotionPatchModel(tiny_config()), processor)
    with pytest.raises(GalleryError, match="32 wide"):
        MotionGallery.load(folder, MotionPatchModel(tiny_config(projection_dim=32)), processor)
    with pytest.raises(GalleryError, match="pooling"):
        MotionGallery.load(folder, MotionPatchModel(tiny_config({"pooling": "cls"})), processor)
    untrained = MotionPatchProcessor(MotionPatchFeatureExtractor(fps=30.0), tokenizer)
    with pytest.raises(GalleryError, match="fps=30.0 instead of 20.0.*statistics"):
        MotionGallery.load(folder, tiny_model, untrained)
    for dtype in (torch.float16, torch.bfloat16):  # the same weights, rounded
        MotionGallery.load(folder, copy.deepcopy(tiny_model).to(dtype), processor)
    with torch.no_grad():
        for parameter in tiny_model.parameters():
            parameter.mul_(1.1)
    with pytest.raises(GalleryError, match="other weights"):
        MotionGallery.load(folder, tiny_model, processor)


def test_the_model_named_in_a_gallery_is_loaded_when_needed(tiny_model, processor, motions, tmp_path):
    for part in (tiny_model, processor):
        part.save_pretrained(tmp_path / "model")
    model = MotionPatchModel.from_pretrained(tmp_path / "model")
    gallery = MotionGallery.build(model, processor, motions[:2], progress=False)
    loaded = MotionGallery.load(gallery.save(tmp_path / "gallery"))
    assert loaded.model is None and loaded.search("a man", k=2) == gallery.search("a man", k=2)
    alone = gallery.save(tmp_path / "alone", include_model=True)
    shutil.rmtree(tmp_path / "model")
    with pytest.raises(GalleryError, match="cannot be loaded"):
        MotionGallery.load(tmp_path / "gallery").search("a man")
    assert MotionGallery.load(alone).search("a man", k=2) == gallery.search("a man", k=2)
    with pytest.raises(GalleryError, match="no model"):
        MotionGallery.from_embeddings(np.eye(3)).search("a man")


def test_a_model_set_later_is_checked_too(gallery, tiny_model, processor, tmp_path):
    loaded = MotionGallery.load(gallery.save(tmp_path / "gallery"))
    loaded.model, loaded.processor = tiny_model, processor
    assert loaded.search("a man", k=2) == gallery.search("a man", k=2)
    loaded.model = MotionPatchModel(tiny_config())
    with pytest.raises(GalleryError, match="other weights"):
        loaded.search("a man")


def test_a_gallery_on_the_hub(gallery, tiny_model, processor, tmp_path, monkeypatch):
    """The client is replaced: what is uploaded is a folder that `load` gets back."""
    import huggingface_hub

    class Api:
        def __init__(self, token=None):
            pass

        def create_repo(self, repo_id, repo_type, **kwargs):
            assert repo_type == "dataset"
            return huggingface_hub.RepoUrl(f"https://huggingface.co/datasets/{repo_id}")

        def upload_folder(self, folder_path, **kwargs):
            shutil.copytree(folder_path, tmp_path / "remote")
            return "commit"

    gallery.identity.name = "/home/somebody/my-model"
    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *args, **kwargs: str(tmp_path / "remote"))
    assert gallery.push_to_hub("somebody/gallery") == "commit"
    assert "somebody/gallery" in (tmp_path / "remote" / "README.md").read_text()
    assert "/home" not in (tmp_path / "remote" / "gallery.json").read_text()
    loaded = MotionGallery.load("somebody/gallery", tiny_model, processor)
    assert loaded.search("a man", k=3) == gallery.search("a man", k=3)
    with pytest.raises(GalleryError, match="holds no gallery"):
        MotionGallery.load(tmp_path / "somebody" / "gallery")


def test_two_persons(tokenizer):
    extractor = MotionPatchFeatureExtractor(num_persons=2, normalization="none")
    processor = MotionPatchProcessor(extractor, tokenizer)
    torch.manual_seed(0)
    model = MotionPatchModel(tiny_config(num_persons=2)).eval()
    pairs = [np.stack([random_motion(300, seed=s), random_motion(300, seed=s + 1)], axis=1) for s in (0, 5)]
    gallery = MotionGallery.build(model, processor, pairs, progress=False)
    assert len(gallery) == 4 and gallery.search(pairs[1], k=1)[0].id == "1"


def test_add_and_remove(gallery, motions, tmp_path):
    before = gallery.search("a man", k=9, merge=False)
    loaded = MotionGallery.load(gallery.save(tmp_path / "gallery"), gallery.model, gallery.processor)
    assert loaded.remove("3") == 4 and len(loaded) == 5
    with pytest.raises(GalleryError, match="no 3"):
        loaded.remove(["0", "3"])
    assert "0" in loaded.ids
    loaded.add([motions[3]], ids=["3"], captions=["a person kicks"], progress=False)
    after = loaded.search("a man", k=9, merge=False)
    assert sorted((hit.id, hit.start) for hit in after) == sorted((hit.id, hit.start) for hit in before)
    np.testing.assert_allclose([hit.score for hit in after], [hit.score for hit in before], atol=1e-6)
    with pytest.raises(GalleryError, match="already has 0"):
        loaded.add([motions[0]], ids=["0"], progress=False)
    loaded.add([motions[0]], progress=False)  # without ids: the next free number
    assert loaded.ids[-1] == "5"
    again = MotionGallery.load(loaded.save(tmp_path / "gallery"))
    assert again.ids == loaded.ids and len(again) == len(loaded)


# --------------------------------------------------------------------------------------------------------------------
# Sources


@pytest.mark.filterwarnings("ignore::modeling_motionpatch.io.MotionFileWarning")
def test_a_folder_with_broken_files(tiny_model, processor, motions, tmp_path):
    for name, motion in zip(("a", "b", "sub/a"), motions):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        save_motion(tmp_path / f"{name}.npz", Motion(motion, 20.0, "smpl22"))
    (tmp_path / "bad.bvh").write_text("HIERARCHY\nROOT")
    (tmp_path / "worse.npz").write_bytes(b"PK\x03\x04 no zip")
    lines = [{"file_name": "a.npz", "captions": ["first", "second"]}, {"file_name": "gone.npz", "text": "x"}]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    gallery = MotionGallery.build(tiny_model, processor, tmp_path, progress=False)
    assert gallery.ids == ["a", "b", "sub/a"]
    assert [path for path, _ in gallery.skipped] == ["bad.bvh", "worse.npz", "gone.npz"]
    assert all(reason for _, reason in gallery.skipped)
    first = next(iter(gallery))
    assert first.captions == ["first", "second"] and first.caption == "first" and first.source == "a.npz"
    assert MotionGallery.load(gallery.save(tmp_path / "g")).skipped == gallery.skipped
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "bad.bvh").write_text("HIERARCHY")
    with pytest.raises(GalleryError, match="None of 1 motions.*bad.bvh"):
        MotionGallery.build(tiny_model, processor, tmp_path / "only", progress=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no motion file"):
        MotionGallery.build(tiny_model, processor, tmp_path / "empty", progress=False)


@pytest.mark.filterwarnings("ignore::UserWarning")  # a wave at six times its speed
def test_a_t_pose_before_a_take_is_left_out_and_noted(tiny_model, processor, tmp_path):
    """At 120 fps the joints would have to jump from the T pose into the take."""
    skeleton = get_skeleton("smpl22")
    take = generate_motion("wave", rng=0).joints
    pose = take[0].copy()
    for side, part in ((1, "left_arm"), (-1, "right_arm")):
        chain = skeleton.chains[part]
        lengths = np.linalg.norm(np.diff(pose[list(chain)], axis=0), axis=1)
        for parent, child, length in zip(chain, chain[1:], lengths):
            pose[child] = pose[parent] + [side * length, 0, 0]
    save_motion(tmp_path / "posed.npz", Motion(np.concatenate([pose[None], take]), 120.0, "smpl22"))
    save_motion(tmp_path / "plain.npz", Motion(take, 120.0, "smpl22"))
    build = {"model": tiny_model, "processor": processor, "motions": tmp_path, "progress": False}
    gallery = MotionGallery.build(**build, resume_dir=tmp_path / "shards")
    plain, posed = gallery.embeddings
    np.testing.assert_allclose(posed, plain, atol=1e-6)
    ((path, note),) = gallery.notes
    assert path == "posed.npz" and "T or rest pose" in note and "left out" in note
    assert gallery.search(tmp_path / "posed.npz", k=1)[0].score == pytest.approx(1, abs=1e-5)
    assert MotionGallery.load(gallery.save(tmp_path / "gallery")).notes == gallery.notes
    kept = MotionGallery.build(**build, keep_t_pose=True)
    assert not kept.notes and np.abs(kept.embeddings[1] - plain).max() > 1e-4
    with pytest.raises(GalleryError, match="takes changed"):
        MotionGallery.build(**build, keep_t_pose=True, resume_dir=tmp_path / "shards")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_names_of_files_that_are_no_utf8(tiny_model, processor, motions, tmp_path):
    good, bad = (os.fsencode(tmp_path) + b"/\xff" + suffix for suffix in (b"1.npy", b"2.npy"))
    try:
        with open(good, "wb") as file:
            np.save(file, motions[0])
    except OSError:
        pytest.skip("this file system stores only UTF-8")
    Path(os.fsdecode(bad)).write_bytes(b"nothing")
    gallery = MotionGallery.build(tiny_model, processor, tmp_path, progress=False, resume_dir=tmp_path / "shards")
    loaded = MotionGallery.load(gallery.save(tmp_path / "gallery"))
    assert loaded.ids == ["\\udcff1"] and loaded.skipped[0][0] == "\\udcff2.npy"
    assert len(MotionSource(tmp_path).moment(next(iter(loaded))).joints) == len(motions[0])


def test_a_dataset_gives_what_the_arrays_give(tiny_model, processor, motions, gallery):
    broken = motions[0].copy()
    broken[2] = np.inf
    columns = {
        "id": [*"vwxyz", "broken"],
        "motion": [motion.tolist() for motion in [*motions, broken]],
        "captions": [["one"]] * 6,
        "fps": [20.0] * 6,
        "skeleton": ["smpl22"] * 6,
    }
    features = datasets.Features(
        {
            "id": datasets.Value("string"),
            "motion": datasets.Array3D((None, 22, 3), "float32"),
            "captions": datasets.List(datasets.Value("string")),
            "fps": datasets.Value("float64"),
            "skeleton": datasets.Value("string"),
        }
    )
    data = datasets.Dataset.from_dict(columns, features=features)
    built = MotionGallery.build(tiny_model, processor, data, progress=False)
    np.testing.assert_allclose(built.embeddings, gallery.embeddings, atol=1e-6)
    assert built.ids == [*"vwxyz"] and "broken" in built.skipped[0][0] and "infinite" in built.skipped[0][1]
    with pytest.raises(ValueError, match="choose a split"):
        MotionGallery.build(tiny_model, processor, datasets.DatasetDict({"train": data}))
    with pytest.raises(ValueError, match="column `motion`"):
        MotionGallery.build(tiny_model, processor, data.remove_columns("motion"))


def test_bad_input_is_named(tiny_model, processor, motions):
    def build(*args, **kwargs):
        return MotionGallery.build(tiny_model, processor, *args, progress=False, **kwargs)

    for message, args, kwargs in (
        ("empty", ([],), {}),
        ("3 `ids`", (motions[:2],), {"ids": ["a", "b", "c"]}),
        ("1 `captions`", (motions[:2],), {"captions": ["a"]}),
        ("occur twice: a", (motions[:2],), {"ids": ["a", "a"]}),
        ("ids are texts", (motions[:1],), {"ids": [1.5]}),
        ("motion 1.*J = 22|motion 1.*22 joints", ([motions[0], motions[0][:, :20]],), {}),
        ("fps", (motions[:1],), {"fps": 0}),
        ("[Uu]nknown skeleton", (motions[:1],), {"skeleton": "octopus"}),
        ("batch_size", (motions[:1],), {"batch_size": 0}),
        ("`dtype` is 'int8'", (motions[:1],), {"dtype": "int8"}),
        ("list of arrays", (3,), {}),
    ):
        with pytest.raises(ValueError, match=message):
            build(*args, **kwargs)
    vectors = np.eye(4, dtype=np.float32)
    for message, kwargs in (
        ("row 2 holds NaN", {"embeddings": np.where(np.eye(4)[2][:, None], np.nan, vectors)}),
        ("row 0 is all zeros", {"embeddings": np.zeros((2, 3))}),
        ("shape \\(4,\\)", {"embeddings": np.ones(4)}),
        ("3 `ids`", {"embeddings": vectors, "ids": ["a", "b", "c"]}),
        ("together", {"embeddings": vectors, "starts": [0] * 4}),
        ("ends before", {"embeddings": vectors, "starts": [1] * 4, "ends": [0] * 4}),
    ):
        with pytest.raises(GalleryError, match=message):
            MotionGallery.from_embeddings(**kwargs)
    gallery = MotionGallery.from_embeddings(vectors)
    for message, args, kwargs in (
        ("3 numbers each", (np.ones(3),), {}),
        ("`k` is 0", (np.ones(4), 0), {}),
        ("mirrored", (np.ones(4),), {"mirrored": "never"}),
        ("build_index", (np.ones(4),), {"exact": False}),
    ):
        with pytest.raises(GalleryError, match=message):
            gallery.search_embeddings(*args, **kwargs)


# --------------------------------------------------------------------------------------------------------------------
# Resumed and shared builds


def test_a_killed_build_goes_on_where_it_was(tiny_model, processor, motions, gallery, tmp_path, monkeypatch):
    monkeypatch.setattr(build_module, "SHARD_TAKES", 2)
    read, calls = build_module.cut_take, []

    def killed_at_the_fourth(*args):
        calls.append(args[-1])
        if len(calls) == 4:
            raise KeyboardInterrupt
        return read(*args)

    def build(**kwargs):
        return MotionGallery.build(
            tiny_model, processor, motions, progress=False, resume_dir=tmp_path / "shards", **kwargs
        )

    monkeypatch.setattr(build_module, "cut_take", killed_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        build()
    assert len(list((tmp_path / "shards").glob("shard-*"))) == 1
    (tmp_path / "shards" / ".shard-00001-of-00003.arrow.7").write_bytes(b"half")  # what a kill while writing leaves
    resumed = build()
    assert calls == [f"motion {index}" for index in (0, 1, 2, 3, 2, 3, 4)]
    np.testing.assert_allclose(resumed.embeddings, gallery.embeddings, atol=1e-6)
    assert [(hit.id, hit.start, hit.end) for hit in resumed] == [(hit.id, hit.start, hit.end) for hit in gallery]
    with pytest.raises(GalleryError, match="window changed"):
        build(window=3.0)
    with pytest.raises(GalleryError, match="takes changed"):
        MotionGallery.build(tiny_model, processor, motions[::-1], progress=False, resume_dir=tmp_path / "shards")


def test_processes_share_a_build(tiny_model, processor, motions, gallery, tmp_path, monkeypatch):
    monkeypatch.setattr(build_module, "SHARD_TAKES", 1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    shards = tmp_path / "shards"

    def run(rank):
        monkeypatch.setenv("RANK", str(rank))
        return MotionGallery.build(
            tiny_model, processor, motions, ids=[5, 6, 7, 8, 9], progress=False, resume_dir=shards
        )

    class OtherProcessIsNotThere(Exception):
        pass

    def nobody(seconds):
        raise OtherProcessIsNotThere

    with monkeypatch.context() as context:
        context.setattr(build_module.time, "sleep", nobody)
        with pytest.raises(OtherProcessIsNotThere):
            run(1)
    assert sorted(path.name[:11] for path in shards.glob("shard-*")) == ["shard-00001", "shard-00003"]
    shared = run(0)
    np.testing.assert_allclose(shared.embeddings, gallery.embeddings, atol=1e-6)
    assert shared.ids == [5, 6, 7, 8, 9] and len(run(1)) == len(gallery)


@pytest.mark.filterwarnings("ignore::UserWarning")  # random joints are no people
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes are forks")
def test_kills_at_random_moments_change_nothing(tiny_model, processor, tmp_path):
    """SIGKILL, several times, with one process and with two; the gallery at the end is that of an undisturbed build."""
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(24):
        save_motion(folder / f"{number:02d}.npz", Motion(random_motion(30 + 9 * number, seed=number), 20.0, "smpl22"))
    (folder / "17a.bvh").write_text("HIERARCHY\n")
    tiny_model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    common = {"model": str(tmp_path / "model"), "motions": str(folder), "kills": 3}
    jobs = [
        {**common, "processes": n, "seed": n, "shards": str(tmp_path / f"shards{n}"), "output": str(tmp_path / f"{n}")}
        for n in (1, 2)
    ]
    (tmp_path / "jobs.json").write_text(json.dumps(jobs))
    worker = Path(__file__).with_name("gallery_worker.py")
    subprocess.run([sys.executable, str(worker), str(tmp_path / "jobs.json")], check=True, timeout=300)
    undisturbed = MotionGallery.build(tiny_model, processor, folder, progress=False)
    for job in json.loads((tmp_path / "jobs.json").read_text()):
        assert job["codes"] == [0] * job["processes"]
        assert job["seen"] == sorted(job["seen"]) and 0 < max(job["seen"])  # what was finished is never lost
        built = MotionGallery.load(job["output"])
        assert [(hit.id, hit.start, hit.end) for hit in built] == [(hit.id, hit.start, hit.end) for hit in undisturbed]
        np.testing.assert_allclose(built.embeddings, undisturbed.embeddings, atol=1e-6)
        assert built.skipped == undisturbed.skipped and len(built.skipped) == 1


# --------------------------------------------------------------------------------------------------------------------
# The index


def test_an_index_finds_what_exact_search_finds_or_is_not_used(tmp_path):
    pytest.importorskip("faiss")
    rng = np.random.default_rng(0)
    centres = unit(rng, 40, 16)
    rows = centres[rng.integers(40, size=3000)] + 0.2 * unit(rng, 3000, 16)
    gallery = MotionGallery.from_embeddings(rows, index=True)
    assert gallery.index.useful
    queries = unit(rng, 20, 16) * 0.3 + centres[:20]
    exact = gallery.search_embeddings(queries, 5, exact=True)
    found = gallery.search_embeddings(queries, 5)
    agreement = np.mean([a.id == b.id for one, other in zip(exact, found) for a, b in zip(one, other)])
    assert agreement > 0.95
    loaded = MotionGallery.load(gallery.save(tmp_path / "gallery"))
    assert loaded.search_embeddings(queries, 5) == found
    loaded.remove("7")
    assert loaded.index is None  # it would name other rows


def test_without_faiss_searches_are_exact(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "faiss", None)
    gallery = MotionGallery.from_embeddings(np.eye(4))
    with pytest.raises(ImportError, match="modeling-motionpatch\\[faiss\\]"):
        gallery.build_index()
    assert gallery.search_embeddings(np.eye(4)[2], 1)[0].id == "2"
