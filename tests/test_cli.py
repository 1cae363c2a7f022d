"""The `motionpatch` command: every command in-process on tiny models, exit codes and streams in processes of their own."""

import importlib
import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import GOLDEN, random_motion, tiny_config
from fixtures_data import ACTIONS, moving_person, write_motion_npz, write_motionfolder

import modeling_motionpatch
from modeling_motionpatch import (
    MotionGallery,
    MotionPatchFeatureExtractor,
    MotionPatchModel,
    MotionPatchProcessor,
    encode_motion,
)
from modeling_motionpatch import cli as cli_package
from modeling_motionpatch.cli import common, main
from modeling_motionpatch.data.generated import generate_motion
from modeling_motionpatch.io import Motion, save_motion
from modeling_motionpatch.skeletons_motionpatch import get_skeleton


ROOT = Path(__file__).resolve().parents[1]
COMMANDS = (
    "prepare",
    "index",
    "search",
    "classify",
    "render",
    "skeleton",
    "train",
    "evaluate",
    "convert-official",
    "push",
    "demo",
)
pytest.importorskip("PIL", reason="pictures need Pillow")


def save_model(folder: Path, tokenizer, seed: int = 0, **kwargs) -> Path:
    torch.manual_seed(seed)
    config = tiny_config({"max_frames": 64}, **kwargs)
    extractor = MotionPatchFeatureExtractor(max_frames=64, num_persons=kwargs.get("num_persons", 1))
    if kwargs.get("num_persons", 1) == 1:
        extractor = extractor.fit([moving_person(action, 40) for action in list(ACTIONS)[:4]])
    else:
        extractor = extractor.fit(
            [np.stack([random_motion(40, seed=s), random_motion(40, seed=s + 9)], 1) for s in (0, 1)]
        )
    MotionPatchModel(config).eval().save_pretrained(folder)
    MotionPatchProcessor(extractor, tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Conversions of data sets stay out of the user's cache."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory, tokenizer):
    return save_model(tmp_path_factory.mktemp("model") / "tiny", tokenizer)


@pytest.fixture(scope="module")
def takes(tmp_path_factory):
    """A folder with spaces and other letters in its name: short takes, a long one, and two files that are broken."""
    folder = tmp_path_factory.mktemp("Aufnahmen mit Lücken 动作")
    for number, action in enumerate(ACTIONS):
        write_motion_npz(
            folder / "sub" / f"{action} {number}.npz", moving_person(action, 40 + number, seed=number), 20.0
        )
    write_motion_npz(folder / "long übung.npz", random_motion(200, seed=5), 20.0)
    (folder / "broken.bvh").write_text("HIERARCHY\nROOT Hips\n{\n")
    (folder / "noise.npz").write_bytes(bytes(range(256)) * 4)
    return folder


@pytest.fixture(scope="module")
def gallery_dir(tmp_path_factory, model_dir, takes):
    folder = tmp_path_factory.mktemp("galleries") / "gallery of takes"
    assert main(["index", str(takes), "--output", str(folder), "--model", str(model_dir), "-q"]) == 0
    return folder


def run(capsys, *arguments) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    streams = capsys.readouterr()
    return code, streams.out, streams.err


def refused(capsys, *arguments) -> str:
    """The command is refused: exit code 2, nothing on stdout, one line on stderr."""
    code, out, err = run(capsys, *arguments)
    lines = [line for line in err.splitlines() if "error:" in line or "failed:" in line]
    assert code == 2, err
    assert out == ""
    assert len(lines) == 1 and err.endswith(lines[0] + "\n"), err
    assert "Traceback" not in err
    return lines[0]


# --------------------------------------------------------------------------------------------------------------------
# Help and usage


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command(command, capsys):
    code, out, err = run(capsys, command, "--help")
    assert code == 0 and err == ""
    assert "usage" in out.lower()
    assert "Example" in out or command == "train"  # the training package has a help of its own


def test_help_lists_all_commands_with_whole_sentences(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    listed = {line.split()[0]: line for line in out.splitlines() if line.startswith("  ") and line.split()}
    for command in COMMANDS:
        assert listed[command].endswith("."), "a description was cut off"
        assert not listed[command].endswith("...")
    assert run(capsys)[0] == 2  # no command


def test_version(capsys):
    assert run(capsys, "--version") == (0, f"motionpatch {modeling_motionpatch.__version__}\n", "")


def test_usage_errors_are_one_line(capsys):
    assert "'search'" in refused(capsys, "serch")
    assert "GALLERY_OR_TAKE" in refused(capsys, "search")
    assert "--nope" in refused(capsys, "search", "x", "y", "--nope")
    assert "--top-k" in refused(capsys, "search", "x", "y", "--top-k", "many")
    assert "--output" in refused(capsys, "index", "folder")


def test_unexpected_failures_end_with_1_and_a_hint(capsys, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(common, "read_motion", fail)
    code, out, err = run(capsys, "skeleton", "a.bvh")
    assert (code, out) == (1, "")
    assert err == "motionpatch: failed: RuntimeError: two lines (--debug shows where)\n"
    code, _, err = run(capsys, "skeleton", "a.bvh", "--debug")
    assert code == 1 and "Traceback" in err and "in fail" in err


def test_value_errors_of_other_libraries_are_failures(capsys, monkeypatch):
    monkeypatch.setattr(common, "read_motion", lambda *args: int("no number"))
    monkeypatch.setattr(common, "parse_units", lambda units: units)
    code, _, err = run(capsys, "skeleton", "a.bvh")
    # the lambda is not in the package, as numpy's code would not be
    assert code == 1 and err.startswith("motionpatch: failed: ValueError")


def test_interrupted(capsys, monkeypatch):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(common, "read_motion", stop)
    code, out, err = run(capsys, "skeleton", "a.bvh")
    assert (code, out, err) == (130, "", "motionpatch: interrupted\n")


def test_warnings_are_one_line(capsys, takes, tmp_path):
    path = tmp_path / "a.npz"
    shutil.copy(next(takes.rglob("*0.npz")), path)
    original = common.read_motion

    def warn(*args, **kwargs):
        import warnings

        warnings.warn("first\nsecond", UserWarning, stacklevel=2)
        return original(*args, **kwargs)

    common.read_motion = warn
    try:
        code, _, err = run(capsys, "skeleton", path)
    finally:
        common.read_motion = original
    assert code == 0 and err == "motionpatch: warning: first second\n"


# --------------------------------------------------------------------------------------------------------------------
# Index and search


def test_index_leaves_out_broken_files_and_lists_them(capsys, takes, model_dir, tmp_path):
    output = tmp_path / "neue Galerie"
    code, out, err = run(capsys, "index", takes, "--output", output, "--model", model_dir, "--json", "-q")
    assert code == 0
    result = json.loads(out)
    assert {Path(item["path"]).name for item in result["skipped"]} == {"broken.bvh", "noise.npz"}
    assert all(item["reason"] for item in result["skipped"])
    assert result["motions"] == len(ACTIONS) + 1 and result["windows"] > result["motions"]
    # the second route: the gallery made in Python
    model = MotionPatchModel.from_pretrained(model_dir)
    processor = MotionPatchProcessor.from_pretrained(model_dir)
    gallery = MotionGallery.build(model, processor, takes, progress=False)
    saved = MotionGallery.load(output)
    assert len(saved) == len(gallery) == result["windows"]
    queries = np.eye(saved.dim, dtype=np.float32)[:3]
    for one, other in zip(saved.search_embeddings(queries, 4), gallery.search_embeddings(queries, 4)):
        assert [(hit.id, hit.start) for hit in one] == [(hit.id, hit.start) for hit in other]
        np.testing.assert_allclose([hit.score for hit in one], [hit.score for hit in other], atol=1e-5)
    assert not list(tmp_path.glob(".*building")), "the shards go when the gallery is there"


def test_index_names_what_was_left_out(capsys, takes, model_dir, tmp_path):
    code, out, err = run(capsys, "index", takes, "--output", tmp_path / "g", "--model", model_dir)
    assert code == 0
    assert "broken.bvh" in err and "noise.npz" in err and "Indexing" in err  # the progress bar, too
    assert "2 left out" in out


def test_index_windows_add_and_overwrite(capsys, takes, model_dir, tmp_path):
    folder, output = tmp_path / "one", tmp_path / "g"
    write_motion_npz(folder / "a.npz", random_motion(100, seed=1), 20.0)
    arguments = ["index", folder, "--output", output, "--model", model_dir, "-q", "--window", "2", "--stride", "1"]
    code, out, _ = run(capsys, *arguments, "--json")
    assert code == 0 and json.loads(out)["windows"] == 4  # 5 s: 0-2, 1-3, 2-4, 3-5
    assert "--overwrite" in refused(capsys, *arguments)
    assert run(capsys, *arguments, "--overwrite")[0] == 0
    write_motion_npz(tmp_path / "two" / "b.npz", random_motion(40, seed=2), 20.0)
    code, out, _ = run(capsys, "index", tmp_path / "two", "--output", output, "--add", "-q", "--json")
    assert code == 0 and json.loads(out)["motions"] == 2
    assert "b" in refused(capsys, "index", tmp_path / "two", "--output", output, "--add", "-q")  # it is in already


def test_index_in_bfloat16(capsys, model_dir, tmp_path):
    """Half the precision, the same neighbours; a query's model need not have it."""
    folder = tmp_path / "files"
    for seed in range(4):
        write_motion_npz(folder / f"{seed}.npz", random_motion(60, seed=seed), 20.0)
    arguments = ["index", folder, "--model", model_dir, "-q", "--output"]
    assert run(capsys, *arguments, tmp_path / "full")[0] == 0
    assert run(capsys, *arguments, tmp_path / "half", "--precision", "bfloat16")[0] == 0
    full, half = (MotionGallery.load(tmp_path / name) for name in ("full", "half"))
    assert (full.identity.dtype, half.identity.dtype) == ("float32", "bfloat16")
    assert half.embeddings.dtype == np.float32 and (half.embeddings != full.embeddings).any()
    assert (half.embeddings * full.embeddings).sum(axis=1).min() > 0.999
    code, out, _ = run(capsys, "search", tmp_path / "half", "--motion", folder / "2.npz", "--json")
    assert code == 0 and json.loads(out)["hits"][0]["id"] == "2"
    write_motion_npz(tmp_path / "more" / "b.npz", random_motion(40, seed=9), 20.0)
    add = ["index", tmp_path / "more", "--output", tmp_path / "full", "--add", "-q", "--precision"]
    assert "bfloat16" in refused(capsys, *add, "half")
    assert run(capsys, *add, "bfloat16")[0] == 0
    (row,) = MotionGallery.load(tmp_path / "full").embeddings[-1:]
    model, processor = (kind.from_pretrained(model_dir) for kind in (MotionPatchModel, MotionPatchProcessor))
    expected = encode_motion(model, processor, random_motion(40, seed=9), skeleton="smpl22", fps=20.0)[0]
    assert row @ expected > 0.999 and np.abs(row - expected).max() > 1e-6, "it was made in bfloat16"


def test_a_gallery_knows_its_motions_from_the_start(capsys, takes, model_dir, tmp_path, monkeypatch):
    """Killed right after the gallery appeared: its hits can be shown all the same."""
    from modeling_motionpatch.cli import data

    remove = shutil.rmtree

    def killed(path, **kwargs):
        if Path(path).name == ".g.building":
            raise KeyboardInterrupt
        remove(path, **kwargs)

    monkeypatch.setattr(data.shutil, "rmtree", killed)
    assert run(capsys, "index", takes, "--output", tmp_path / "g", "--model", model_dir, "-q")[0] == 130
    monkeypatch.undo()
    page = tmp_path / "hits.html"
    assert run(capsys, "search", tmp_path / "g", "a person walks", "-k", "2", "--html", page)[0] == 0
    assert "a person walks" in page.read_text(encoding="utf-8")


def test_index_goes_on_after_an_interruption(capsys, takes, model_dir, tmp_path, monkeypatch):
    from modeling_motionpatch.retrieval import build

    monkeypatch.setattr(build, "SHARD_TAKES", 2)
    original, calls = build.embed_takes, []

    def interrupted(*args, **kwargs):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(1)
        return original(*args, **kwargs)

    monkeypatch.setattr(build, "embed_takes", interrupted)
    arguments = ["index", takes, "--output", tmp_path / "g", "--model", model_dir, "-q", "--json"]
    assert run(capsys, *arguments)[0] == 130
    assert not (tmp_path / "g").exists()
    monkeypatch.setattr(build, "embed_takes", lambda *args, **kwargs: calls.append(1) or original(*args, **kwargs))
    code, out, _ = run(capsys, *arguments)
    shards = -(-(len(ACTIONS) + 3) // 2)
    assert code == 0 and len(calls) == shards, "each shard was made once"
    assert json.loads(out)["motions"] == len(ACTIONS) + 1


@pytest.mark.parametrize("extra", [(), ("--up", "y")])
def test_index_leaves_out_a_t_pose_and_says_so(capsys, model_dir, tmp_path, extra):
    """With and without options for files, which take another way through the package."""
    skeleton, take = get_skeleton("smpl22"), generate_motion("wave", rng=0).joints
    pose = take[0].copy()
    for side, part in ((1, "left_arm"), (-1, "right_arm")):
        chain = list(skeleton.chains[part])
        lengths = np.linalg.norm(np.diff(pose[chain], axis=0), axis=1)
        for parent, child, length in zip(chain, chain[1:], lengths):
            pose[child] = pose[parent] + [side * length, 0, 0]
    folder, output = tmp_path / "files", tmp_path / "g"
    folder.mkdir()
    save_motion(folder / "posed.npz", Motion(np.concatenate([pose[None], take]), 120.0, skeleton))
    arguments = ["index", folder, "--output", output, "--model", model_dir, "-q", *extra]
    code, out, _ = run(capsys, *arguments, "--json")
    (note,) = [note for note in json.loads(out)["notes"] if "T or rest pose" in note]
    assert code == 0 and "posed.npz" in note and "left out" in note
    code, out, _ = run(capsys, "search", output, "--motion", folder / "posed.npz", "--json")
    assert code == 0 and json.loads(out)["hits"][0]["end"] == pytest.approx(len(take) / 120)
    assert json.loads(out)["hits"][0]["score"] == pytest.approx(1, abs=1e-5)
    code, out, err = run(capsys, *arguments, "--overwrite", "--keep-t-pose")
    assert code == 0 and "left out" not in err
    code, out, _ = run(capsys, "search", output, "a person waves", "--json")
    assert code == 0 and json.loads(out)["hits"][0]["end"] == pytest.approx((len(take) + 1) / 120)


def test_index_begins_anew_when_told(capsys, model_dir, tmp_path):
    folder, output = tmp_path / "files", tmp_path / "g"
    write_motion_npz(folder / "a.npz", random_motion(40, seed=1), 20.0)
    (tmp_path / ".g.building").mkdir()
    (tmp_path / ".g.building" / "plan.json").write_text("{}")  # of a build of other files
    arguments = ["index", folder, "--output", output, "--model", model_dir, "-q"]
    assert "--restart" in refused(capsys, *arguments)
    assert run(capsys, *arguments, "--restart")[0] == 0 and output.is_dir()


def test_index_of_data_sets_and_search_of_them(capsys, model_dir, tmp_path):
    data = write_motionfolder(tmp_path / "data")
    prepared, output = tmp_path / "prepared", tmp_path / "g"
    code, out, _ = run(capsys, "prepare", "motionfolder", "--data-dir", data, "--output-dir", prepared, "--json", "-q")
    assert code == 0
    result = json.loads(out)
    assert result["rows"] == {"train": 4, "validation": 2, "test": 2}
    assert sum(result["left_out"].values()) == len(result["skipped"]) == 3
    code, out, _ = run(capsys, "index", prepared, "--output", output, "--model", model_dir, "-q", "--json")
    assert code == 0 and json.loads(out)["motions"] == 8
    page = tmp_path / "hits.html"
    code, out, _ = run(capsys, "search", output, "a person walks", "-k", "2", "--json", "--html", page)
    hits = json.loads(out)["hits"]
    assert code == 0 and len(hits) == 2 and hits[0]["caption"].startswith("a person")
    assert hits[0]["caption"] in page.read_text(encoding="utf-8")
    arguments = ["index", "motionfolder", "--data-dir", data, "--split", "val", "--model", model_dir, "-q", "--json"]
    code, out, _ = run(capsys, *arguments, "--output", tmp_path / "h")
    assert code == 0 and json.loads(out)["motions"] == 2
    assert "no split" in refused(capsys, *arguments, "--output", tmp_path / "i", "--split", "dev2")


def test_search_agrees_with_the_gallery(capsys, gallery_dir, model_dir, takes):
    code, out, err = run(capsys, "search", gallery_dir, "a person walks", "--top-k", "3", "--json")
    assert code == 0
    result = json.loads(out)
    expected = MotionGallery.load(gallery_dir).search("a person walks", k=3)
    assert [hit["id"] for hit in result["hits"]] == [hit.id for hit in expected]
    np.testing.assert_allclose([hit["score"] for hit in result["hits"]], [hit.score for hit in expected], atol=1e-6)
    code, out, _ = run(capsys, "search", gallery_dir, "a person walks", "-k", "3", "--model", model_dir)
    assert code == 0 and len(out.splitlines()) == 3 and out.splitlines()[0].split()[0] == "1"


def test_search_by_motion_finds_itself(capsys, gallery_dir, takes):
    path = sorted((takes / "sub").iterdir())[2]
    for arguments in (("--motion", path), (path,)):
        code, out, _ = run(capsys, "search", gallery_dir, *arguments, "-k", "1", "--json")
        (hit,) = json.loads(out)["hits"]
        assert code == 0 and hit["id"] == f"sub/{path.stem}" and hit["score"] == pytest.approx(1.0, abs=1e-4)


def test_a_query_file_that_is_not_there_is_named(capsys, gallery_dir):
    code, out, err = run(capsys, "search", gallery_dir, "missing.bvh")
    assert code == 2 and not out and err.strip() == "motionpatch: error: missing.bvh: no such file."


def test_search_writes_pictures(capsys, gallery_dir, takes, tmp_path):
    page, strips = tmp_path / "neu" / "Treffer.html", tmp_path / "hits.png"
    code, out, _ = run(capsys, "search", gallery_dir, "walks", "-k", "2", "--html", page, "--plot", strips)
    assert code == 0 and str(page) in out
    assert page.read_text(encoding="utf-8").count("data-clip=") == 2
    assert strips.stat().st_size > 1000
    moved = tmp_path / "moved"
    shutil.copytree(takes, moved)
    record = json.loads((gallery_dir / "motions.json").read_text(encoding="utf-8"))
    copy = tmp_path / "copy"
    shutil.copytree(gallery_dir, copy)
    (copy / "motions.json").write_text(json.dumps({**record, "files": str(tmp_path / "gone")}))
    assert "--motions" in refused(capsys, "search", copy, "walks", "--html", page)
    assert run(capsys, "search", copy, "walks", "-k", "2", "--html", page, "--motions", moved)[0] == 0
    assert page.read_text(encoding="utf-8").count("data-clip=") == 2
    (copy / "motions.json").unlink()  # as in a gallery from the Hub: a page without moving hits, which says so
    assert run(capsys, "search", copy, "walks", "-k", "2", "--html", page)[0] == 0
    assert page.read_text(encoding="utf-8").count("not at hand") == 2
    assert "not at hand" in refused(capsys, "search", copy, "walks", "--plot", strips)


def test_search_in_one_take(capsys, takes, model_dir, tmp_path):
    pytest.importorskip("matplotlib")
    curve, page = tmp_path / "curve.png", tmp_path / "moments.html"
    take = takes / "long übung.npz"
    arguments = ["search", take, "a person $walks", "-m", model_dir, "-k", "2", "--window", "2", "--stride", "0.5"]
    code, out, _ = run(capsys, *arguments, "--json", "--plot", curve, "--html", page)
    result = json.loads(out)
    assert code == 0 and result["duration"] == pytest.approx(10.0)
    assert len(result["times"]) == len(result["scores"]) == 17  # (10 - 2) / 0.5 + 1
    best = int(np.argmax(result["scores"]))
    assert result["hits"][0]["score"] == pytest.approx(result["scores"][best])
    first, second = result["hits"]
    assert first["start"] <= result["times"][best] <= first["end"]
    assert first["end"] <= second["start"] or second["end"] <= first["start"]
    from PIL import Image

    with Image.open(curve) as picture:
        assert picture.width > picture.height > 100
    assert page.read_text(encoding="utf-8").count("data-clip=") == 2


def test_two_persons(capsys, tokenizer, tmp_path):
    model_dir = save_model(tmp_path / "pair", tokenizer, num_persons=2)
    model = MotionPatchModel.from_pretrained(model_dir)
    processor = MotionPatchProcessor.from_pretrained(model_dir)
    pairs = [np.stack([random_motion(40, seed=seed), random_motion(40, seed=seed + 50)], axis=1) for seed in range(3)]
    gallery = MotionGallery.build(model, processor, pairs, ids=["x", "y", "z"], progress=False)
    gallery.save(tmp_path / "g")
    for person in (0, 1):
        write_motion_npz(tmp_path / f"{person}.npz", pairs[1][:, person], 20.0)
    files = ["--motion", tmp_path / "0.npz", "--motion", tmp_path / "1.npz"]
    code, out, _ = run(capsys, "search", tmp_path / "g", *files, "-k", "1", "--json")
    (hit,) = json.loads(out)["hits"]
    assert code == 0 and hit["id"] == "y" and hit["score"] == pytest.approx(1.0, abs=1e-4)
    two = [tmp_path / "0.npz", tmp_path / "1.npz"]
    code, out, _ = run(capsys, "classify", *two, "--persons", "2", "--labels", "a,b", "-m", model_dir, "--json")
    assert code == 0 and len(json.loads(out)) == 1
    assert "persons" in refused(capsys, "classify", two[0], "--persons", "2", "--labels", "a,b", "-m", model_dir)


# --------------------------------------------------------------------------------------------------------------------
# Classify, render, skeleton


def test_classify(capsys, takes, model_dir):
    files = sorted((takes / "sub").iterdir())[:2]
    labels = "walks,waves,sits down"
    code, out, err = run(capsys, "classify", *files, "--labels", labels, "-m", model_dir, "--json")
    assert code == 0
    results = json.loads(out)
    from modeling_motionpatch.embedding_motionpatch import encode_motion, encode_text
    from modeling_motionpatch.io import load_motion

    model = MotionPatchModel.from_pretrained(model_dir)
    processor = MotionPatchProcessor.from_pretrained(model_dir)
    texts = encode_text(model, processor, [f"A person {label}." for label in labels.split(",")])
    for result, file in zip(results, files):
        scores = {item["label"]: item["score"] for item in result["labels"]}
        logits = texts @ encode_motion(model, processor, load_motion(file))[0] * model.logit_scale_value().item()
        expected = torch.tensor(logits).softmax(-1)
        np.testing.assert_allclose([scores[label] for label in labels.split(",")], expected, atol=1e-5)
    code, out, err = run(capsys, "classify", takes, "--labels", labels, "-m", model_dir, "--top-k", "1")
    assert code == 2 and len(out.splitlines()) == len(ACTIONS) + 1
    assert err.count("left out:") == 2 and "broken.bvh" in err


@pytest.mark.parametrize("name", ["a.png", "b.gif", "c.html"])
def test_render(capsys, takes, tmp_path, name):
    source, out = next(takes.rglob("*0.npz")), tmp_path / "neu" / name
    code, text, _ = run(capsys, "render", source, out, "--start", "0.5", "--end", "1.5", "--size", "64")
    assert code == 0 and out.stat().st_size > 500 and "20 frames" in text
    if name.endswith(".html"):
        clips = out.read_text(encoding="utf-8").split('id="clips">')[1].split("</script>")[0]
        assert len(json.loads(clips)[0]["frames"]) == 20


def test_render_patches(capsys, takes, model_dir, tmp_path):
    out = tmp_path / "patches.png"
    assert run(capsys, "render", next(takes.rglob("*0.npz")), out, "--patches", "-m", model_dir)[0] == 0
    from PIL import Image

    with Image.open(out) as picture:
        assert picture.width == 5 * 16 * 3


def test_render_attention(capsys, takes, model_dir, tmp_path):
    pytest.importorskip("modeling_motionpatch.rendering_attention")
    out = tmp_path / "attention.png"
    source = next(takes.rglob("*0.npz"))
    assert run(capsys, "render", source, out, "--attention", "-m", model_dir, "--title", "hm")[0] == 0
    assert out.stat().st_size > 1000
    assert "one of them" in refused(capsys, "render", source, out, "--attention", "--patches")


def test_skeleton(capsys, takes, tmp_path):
    file, picture = next(takes.rglob("*0.npz")), tmp_path / "s.png"
    code, out, _ = run(capsys, "skeleton", file, "--json", "--output", picture)
    result = json.loads(out)
    skeleton = modeling_motionpatch.get_skeleton("smpl22")
    assert code == 0 and picture.is_file()
    assert result["parts"]["left_leg"] == [skeleton.joints[index] for index in skeleton.chains["left_leg"]]
    placed = {name for names in result["parts"].values() for name in names}
    assert placed | set(result["not_placed"]) == set(result["joints"])
    code, out, _ = run(capsys, "skeleton", "kit21")
    assert code == 0 and "left_arm" in out and "not placed" in out


# --------------------------------------------------------------------------------------------------------------------
# Evaluate, convert, train, push, demo


def test_evaluate(capsys, model_dir, tokenizer, tmp_path):
    data, other = write_motionfolder(tmp_path / "data", 16), save_model(tmp_path / "m2", tokenizer, seed=1)
    model = tmp_path / "m1"
    shutil.copytree(model_dir, model)
    results = tmp_path / "results.json"
    arguments = ["evaluate", model, "--data", "motionfolder", "--data-dir", data, "--split", "train", "-q"]
    code, out, err = run(capsys, *arguments, "--output", results, "--update-card")
    assert code == 0 and "| all |" in out and "| all_strict |" in out
    saved = json.loads(results.read_text())
    assert saved["protocols"]["all"]["num_pairs"] == saved["data"]["num_rows"] == 8
    assert saved["data"]["reader"]["left_out"]
    card = (model / "README.md").read_text(encoding="utf-8")
    assert "model-index" in card and "protocol all_strict" in card
    code, out, _ = run(capsys, *arguments, other, "--json", "--protocol", "all")
    result = json.loads(out)
    values = [report["protocols"]["all"]["metrics"]["t2m/R@3"] for report in result["reports"]]
    assert code == 0 and result["mean"]["all"]["metrics"]["t2m/R@3"] == pytest.approx(np.mean(values))
    code, out, _ = run(capsys, *arguments, "--task", "classification", "--json", "--labels", ",".join(ACTIONS))
    assert code == 0 and 0 <= json.loads(out)["classification"]["metrics"]["top1"] <= 100
    assert "none of the" in refused(capsys, *arguments, "--task", "classification", "--labels", "sleeps,eats")
    assert "sentence model" in refused(capsys, *arguments, "--protocol", "threshold")
    assert "small_batches" in refused(capsys, *arguments, "--protocol", "best")


def test_convert_official(capsys, tmp_path, tokenizer):
    words, config = tmp_path / "tokenizer", tmp_path / "config"
    tokenizer.save_pretrained(words)
    tiny_config().save_pretrained(config)
    statistics = {"mean": np.full((22, 3), 0.5, np.float32), "std": np.full((22, 3), 2, np.float32)}
    for name, values in statistics.items():
        np.save(tmp_path / f"{name}.npy", values)
    output = tmp_path / "converted"
    arguments = ["convert-official", GOLDEN / "official_style_checkpoint.pt", "--tokenizer", words]
    arguments += ["--mean", tmp_path / "mean.npy", "--std", tmp_path / "std.npy", "--output", output]
    assert "config" in refused(capsys, *arguments)  # the number of heads cannot be told from these widths
    code, _, err = run(capsys, *arguments, "--config", config)
    assert code == 0, err
    extractor = MotionPatchProcessor.from_pretrained(output).feature_extractor
    assert extractor.normalization == "joint" and np.allclose(extractor.mean, 0.5) and np.allclose(extractor.std, 2)
    state = torch.load(GOLDEN / "official_style_checkpoint.pt", weights_only=True)
    weights = MotionPatchModel.from_pretrained(output).state_dict()
    torch.testing.assert_close(weights["motion_projection.fc.weight"], state["motion_projection.fc.weight"])
    assert "not an empty folder" in refused(capsys, *arguments)


def test_convert_official_refuses(capsys, tmp_path):
    (tmp_path / "bad.pt").write_bytes(b"no checkpoint")
    np.save(tmp_path / "mean.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "std.npy", np.ones((22, 3), np.float32))
    arguments = ["--mean", tmp_path / "mean.npy", "--std", tmp_path / "std.npy", "--output", tmp_path / "o"]
    assert "--mean" in refused(capsys, "convert-official", tmp_path / "bad.pt", *arguments)
    np.save(tmp_path / "mean.npy", np.ones((22, 3), np.float32))
    assert "bad.pt" in refused(capsys, "convert-official", tmp_path / "bad.pt", *arguments)
    assert not (tmp_path / "o").exists()


def test_train_is_handed_on(capsys, monkeypatch):
    from modeling_motionpatch.training import main as training

    seen = []
    monkeypatch.setattr(training, "main", lambda argv, program: seen.append(argv) or 75)
    assert run(capsys, "train", "--recipe", "table2", "epochs=3", "--data_dir", "a b", "--resume")[0] == 75
    assert seen == [["--recipe", "table2", "epochs=3", "--data_dir", "a b", "--resume"]]
    monkeypatch.undo()
    assert "no_such_recipe" in run(capsys, "train", "--recipe", "no_such_recipe")[2]
    assert run(capsys, "train", "--help")[1].startswith("usage: motionpatch train ")


def test_push_and_demo_refuse(capsys, tmp_path, gallery_dir, model_dir):
    assert "no folder" in refused(capsys, "push", tmp_path / "absent", "user/name")
    assert "user/name" in refused(capsys, "push", model_dir, "name")
    (tmp_path / "empty").mkdir()
    assert "no model" in refused(capsys, "push", tmp_path / "empty", "user/name")
    assert "--license" in refused(capsys, "push", gallery_dir, "user/name", "--license", "CC0")
    assert "no such gallery" in refused(capsys, "demo", tmp_path / "absent")


def test_push_hands_on(capsys, monkeypatch, model_dir, gallery_dir):
    hub, seen = pytest.importorskip("modeling_motionpatch.hub"), []

    def push(folder, repo_id, *, private=None, revision=None, commit_message=None):
        seen.append((Path(folder), repo_id, private, commit_message))
        return "https://hub/commit/1"

    monkeypatch.setattr(hub, "push", push)
    code, out, _ = run(capsys, "push", model_dir, "user/name", "--private", "--message", "first", "--json")
    assert code == 0 and seen == [(model_dir, "user/name", True, "first")]
    assert json.loads(out) == {"repo_id": "user/name", "address": "https://hub/commit/1"}
    monkeypatch.setattr(
        MotionGallery, "push_to_hub", lambda self, repo_id, *, private=None: seen.append(len(self)) or "https://hub/2"
    )
    assert run(capsys, "push", gallery_dir, "user/gallery")[:2] == (0, "https://hub/2\n")
    assert seen[-1] == len(MotionGallery.load(gallery_dir))


def test_demo_hands_on(capsys, monkeypatch, gallery_dir, model_dir):
    demo, seen = pytest.importorskip("modeling_motionpatch.demo"), []

    class App:
        def launch(self, host, port, *, open_browser):
            seen.append((host, port, open_browser))

    def build_app(gallery, model, processor, *, motions, title):
        assert model is None or (model.config.projection_dim and processor.tokenizer)
        seen.append((gallery, motions, title))
        return App()

    monkeypatch.setattr(demo, "build_app", build_app)
    assert run(capsys, "demo", gallery_dir, "--port", "0", "--no-browser", "--title", "Mine", "-m", model_dir)[0] == 0
    (gallery, motions, title), launched = seen
    assert (Path(gallery), title, launched) == (gallery_dir, "Mine", ("127.0.0.1", 0, False))
    assert Path(motions).is_dir()


def test_index_reads_files_as_told(capsys, model_dir, tmp_path):
    """`--fps` overrides what the files say, in a folder as for a single file, and hits are shown at that rate."""
    write_motion_npz(tmp_path / "in" / "a.npz", random_motion(60, seed=1), 20.0)
    for source in (tmp_path / "in", tmp_path / "in" / "a.npz"):
        arguments = ["index", source, "--output", tmp_path / "g", "-m", model_dir, "-q", "--json", "--overwrite"]
        code, out, _ = run(capsys, *arguments, "--fps", "40")
        assert code == 0 and json.loads(out)["windows"] == 1
        page = tmp_path / "h.html"
        code, out, _ = run(capsys, "search", tmp_path / "g", "walks", "--json", "--html", page)
        (hit,) = json.loads(out)["hits"]
        assert (hit["start"], hit["end"]) == (0.0, pytest.approx(1.5))
        assert "data-clip=" in page.read_text(encoding="utf-8")


def test_demo_without_its_module(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "modeling_motionpatch.demo", None)  # an import of it fails
    assert "pip install" in refused(capsys, "demo")


# --------------------------------------------------------------------------------------------------------------------
# Bad input


def test_bad_files(capsys, takes, model_dir, tmp_path, gallery_dir):
    good = next(takes.rglob("*0.npz"))
    (tmp_path / "empty").mkdir()
    assert "no such file" in refused(capsys, "skeleton", tmp_path / "absent.bvh")
    assert "broken.bvh" in refused(capsys, "skeleton", takes / "broken.bvh")
    assert "noise.npz" in refused(capsys, "render", takes / "noise.npz", tmp_path / "a.png")
    assert "fps" in refused(capsys, "skeleton", good, "--fps", "0")
    assert "units" in refused(capsys, "skeleton", good, "--units", "parsec")
    assert "ends in '.jpg'" in refused(capsys, "render", good, tmp_path / "a.jpg")
    assert "2.00 s" in refused(capsys, "render", good, tmp_path / "a.png", "--start", "9")
    assert "no motion file" in refused(
        capsys, "index", tmp_path / "empty", "-q", "--output", tmp_path / "o", "-m", model_dir
    )
    assert "neither" in refused(capsys, "index", tmp_path / "absent", "--output", tmp_path / "o", "-m", model_dir)
    assert "no motion file" in refused(capsys, "classify", tmp_path / "empty", "--labels", "a,b", "-m", model_dir)
    assert "not empty" in refused(capsys, "index", takes, "--output", takes, "-m", model_dir)
    assert "labels" in refused(capsys, "classify", good, "--labels", "a,,b")
    assert "labels" in refused(capsys, "classify", good, "--labels", "a,a")
    assert "{}" in refused(capsys, "classify", good, "--labels", "a,b", "--template", "nothing")
    assert "humanml3d" in refused(capsys, "prepare", "humanml4d", "--output-dir", tmp_path / "o")
    assert "key=value" in refused(capsys, "prepare", "generated", "--output-dir", tmp_path / "o", "-o", "seed")
    assert "no option" in refused(
        capsys, "prepare", "motionfolder", "--data-dir", takes, "--output-dir", tmp_path / "o", "-o", "x=1"
    )
    assert "known data set" in refused(capsys, "evaluate", model_dir, "--data", "nothing")
    assert "index" in refused(capsys, "search", takes, "a person")
    assert "no such gallery" in refused(capsys, "search", tmp_path / "absent", "a person")
    assert "QUERY" in refused(capsys, "search", gallery_dir)
    assert "QUERY" in refused(capsys, "search", gallery_dir, "  ")
    assert "both" in refused(capsys, "search", gallery_dir, "walks", "--motion", good)
    assert "--window" in refused(capsys, "search", gallery_dir, "walks", "--window", "2")
    assert "by text" in refused(capsys, "search", good, "--motion", good, "-m", model_dir)
    assert not (tmp_path / "o").exists()


def test_bad_models(capsys, takes, gallery_dir, tmp_path, model_dir, tokenizer):
    good = next(takes.rglob("*0.npz"))

    def classify(model):
        return refused(capsys, "classify", good, "--labels", "a,b", "--model", model)

    assert "no such folder" in classify(tmp_path / "absent")
    assert "no config.json" in classify(takes)
    (tmp_path / "weights.pt").write_bytes(b"x")
    assert "convert-official" in classify(tmp_path / "weights.pt")
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert"}')
    assert "'bert'" in classify(tmp_path / "bert")
    broken = tmp_path / "broken"
    shutil.copytree(model_dir, broken)
    (broken / "model.safetensors").write_bytes((broken / "model.safetensors").read_bytes()[:1000])
    assert "cannot be loaded" in classify(broken)
    assert "--device" in refused(capsys, "classify", good, "--labels", "a,b", "-m", model_dir, "--device", "abacus")
    other = save_model(tmp_path / "other", tokenizer, seed=3)
    assert "another model" in refused(capsys, "search", gallery_dir, "walks", "--model", other)


# --------------------------------------------------------------------------------------------------------------------
# Processes of their own


def test_launcher_in_a_process_of_its_own(takes):
    """Arguments, skeletons and files are read without torch; a pipe that nobody reads any more is quiet."""
    code = (
        "import os, sys, motionpatch_cli as m\n"
        "assert m.main(['--help']) == 0 and m.main(['search', '--help']) == 0 and m.main(['serch']) == 2\n"
        "assert not {'torch', 'transformers', 'numpy', 'timm', 'datasets'} & set(sys.modules)\n"
        "assert m.main(['skeleton', sys.argv[1]]) == 2\n"
        "read, write = os.pipe(); os.close(read); os.dup2(write, 1)\n"
        "code = m.main(['skeleton', 'kit21'])\n"
        "assert not {'torch', 'transformers', 'timm', 'datasets'} & set(sys.modules)\n"
        "sys.exit(code)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, str(takes / "broken.bvh")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, cwd="/")
    assert done.returncode == 141, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 2 and "'serch'" in lines[0] and "broken.bvh" in lines[1], done.stderr


def test_launcher_opens_the_package_when_it_is_used(tmp_path, monkeypatch):
    import motionpatch_cli

    name = "made_up_package"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("from .part import NUMBER\n__version__ = '3'\nDOUBLE = 2 * NUMBER\n")
    (tmp_path / name / "part.py").write_text("NUMBER = 21\n")
    monkeypatch.syspath_prepend(tmp_path)
    for module in (name, f"{name}.part"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    package = motionpatch_cli.put_off(name)
    assert importlib.import_module(f"{name}.part").NUMBER == 21
    assert "DOUBLE" not in vars(package), "a part is imported without the package's own code"
    assert importlib.import_module(name) is package
    assert package.__version__ == "3" and package.DOUBLE == 42
    assert type(package) is type(sys) and not hasattr(package, "absent")
    assert motionpatch_cli.put_off(name) is package
    for module in (name, f"{name}.part"):
        del sys.modules[module]


def test_python_m(capsys, monkeypatch, takes):
    for arguments, code in ((["--version"], 0), (["skeleton", str(takes / "broken.bvh")], 2)):
        monkeypatch.setattr(sys, "argv", ["modeling_motionpatch", *arguments])
        with pytest.raises(SystemExit) as ended:
            runpy.run_module("modeling_motionpatch", run_name="__main__")
        assert ended.value.code == code
    assert capsys.readouterr().out.startswith("motionpatch ")


def test_cli_package_imports_nothing_heavy():
    """Only the standard library and typer at the top of the command's files (yaml, numpy and the rest inside functions)."""
    import ast

    allowed = {*sys.stdlib_module_names, "typer", ""}
    folder = Path(cli_package.__file__).parent
    for path in (*folder.glob("*.py"), folder.parent / "console.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert node.level < 2 or node.module == "console", f"{path.name} imports the package at its top"
                names = ["" if node.level else node.module]
            assert {name.split(".")[0] for name in names} <= allowed, path.name
