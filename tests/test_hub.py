"""Cards, exports and uploads, read back by the real client from a loopback Hub, with the package and without it."""

import json
import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from unittest.mock import create_autospec

import numpy as np
import pytest
import torch
import yaml
from conftest import random_motion, tiny_config
from hub_server import LoopbackHub
from huggingface_hub import DatasetCard, ModelCard, ModelCardData

import modeling_motionpatch.hub as hub_module
from modeling_motionpatch import MotionPatchFeatureExtractor, MotionPatchModel, MotionPatchProcessor
from modeling_motionpatch.card_results import collect_results
from modeling_motionpatch.cards import find_template
from modeling_motionpatch.data import prepare_dataset
from modeling_motionpatch.evaluation import average_runs, classification_metrics, retrieval_metrics
from modeling_motionpatch.hub import HubError, dataset_card, export, model_card, push, push_dataset
from modeling_motionpatch.hub_export import core_files


TEXTS = ["a person waves", "the man jumps twice"]


@pytest.fixture(scope="module")
def parts(tokenizer):
    torch.manual_seed(0)
    extractor = MotionPatchFeatureExtractor().fit([random_motion(seed=seed) for seed in range(3)])
    return MotionPatchModel(tiny_config()).eval(), MotionPatchProcessor(extractor, tokenizer)


@pytest.fixture(scope="module")
def figures():
    rng = np.random.default_rng(0)
    texts = rng.normal(size=(40, 8))
    motions = texts + rng.normal(size=(40, 8))
    captions = [f"caption {index // 2}" for index in range(40)]
    return [retrieval_metrics(texts, motions, captions, protocol=name) for name in ("all", "all_strict")]


@pytest.fixture(scope="module")
def dataset():
    from datasets import Array3D, Dataset, DatasetDict, Features, List, Value

    features = Features(
        {
            "id": Value("string"),
            "motion": Array3D((None, 22, 3), "float32"),
            "captions": List(Value("string")),
            "fps": Value("float64"),
            "skeleton": Value("string"),
            "label": Value("string"),
        }
    )

    def split(count: int, seed: int):
        rows = [
            {
                "id": f"clip{seed}{index}",
                "motion": random_motion(40 + index, seed=index),
                "captions": ["a person waves", "someone waves"],
                "fps": 20.0,
                "skeleton": "smpl22",
                "label": "wave",
            }
            for index in range(count)
        ]
        return Dataset.from_list(rows, features=features)

    return DatasetDict({"train": split(3, 0), "test": split(2, 1)})


# --------------------------------------------------------------------------------------------------------------------
# Cards


def test_card_metadata_read_back(parts, figures):
    card = model_card(*parts, metrics={"HumanML3D": figures}, data="humanml3d", licenses={"weights": "CC BY-NC 4.0"})
    read = ModelCard(str(card)).data
    assert isinstance(read, ModelCardData)
    assert (read.library_name, read.pipeline_tag, read.license) == (
        "transformers",
        "feature-extraction",
        "cc-by-nc-4.0",
    )
    assert {"motion-retrieval", "arxiv:2405.04771"} <= set(read.tags)
    found = {entry.metric_name: entry.metric_value for entry in read.eval_results}
    assert len(found) == sum(len(item) for item in figures)  # no two figures share a name
    for item in figures:
        assert found[f"text to motion R@1 (protocol {item.label})"] == round(item["t2m/R@1"], 4)
        assert found[f"motion to text MedR (protocol {item.label})"] == round(item["m2t/MedR"], 4)
    assert {entry.dataset_name for entry in read.eval_results} == {"HumanML3D"}
    assert {entry.metric_args["protocol"] for entry in read.eval_results} == {"all", "all_strict"}


def test_card_states_three_licences_and_the_model(parts):
    model, processor = parts
    text = str(model_card(model, processor, data=["humanml3d", {"name": "own", "license": "CC0-1.0"}]))
    assert "| code (`*_motionpatch.py`) | Apache-2.0 |" in text
    assert "| weights | not stated |" in text and "license: unknown" in text
    assert "HumanML3D: under its own terms" in text and "own: CC0-1.0" in text
    assert f"| parameters | {sum(p.numel() for p in model.parameters()):,} |" in text
    for heading in ("## Use", "## Intended use and limits", "## Training data", "## Evaluation", "## Citation"):
        assert heading in text
    assert "Not evaluated." in text and "trust_remote_code=True" in text and "2405.04771" in text
    assert "{{" not in text and "{%" not in text and "\n\n\n" not in text


def test_card_of_a_run_on_generated_motions(parts):
    recipe = {"data": {"name": "generated", "data_dir": "/home/someone/data"}, "epochs": 3, "motion_pretrained": None}
    text = str(model_card(*parts, recipe=recipe))
    assert "license: apache-2.0" in text and "| weights | Apache-2.0 |" in text
    block = text.split("```yaml\n")[1].split("```")[0]
    assert yaml.safe_load(block) == {**recipe, "data": {"name": "generated", "data_dir": "data"}}
    assert "someone" not in text
    pretrained = str(model_card(*parts, recipe={**recipe, "motion_pretrained": "vit_base_patch16_224.augreg_in21k"}))
    assert "| weights | not stated |" in pretrained


def test_card_options_for_local_folders(parts):
    text = str(model_card(*parts, custom_code=False, custom_pipelines=True, licenses={"weights": "My Terms (v1)"}))
    assert "trust_remote_code" not in text
    metadata = yaml.safe_load(text.split("---")[1])
    assert metadata["license"] == "other" and metadata["license_name"] == "my-terms-v1"


def test_figures_in_every_shape(figures):
    first = figures[0]
    accuracies = classification_metrics(np.eye(4)[[0, 1, 2, 3, 3]], [0, 1, 2, 3, 0])
    shapes = [
        first,
        [first],
        {"data": first},
        {"data": {first.label: dict(first)}},
        {"data": first.to_dict()},
        {"data": first.labelled()},
        {"test": {"data": {first.label: dict(first)}}, "evaluation_data": {}},
        json.loads(json.dumps({"data": [first.to_dict()]})),
    ]
    for shape in shapes:
        (result,) = collect_results(shape, "data")
        assert (result.data, result.protocol, result.values) == ("data", "all", dict(first))
    assert collect_results(average_runs([first, first]))[0].spread
    (result,) = collect_results({"evaluation_data": {"babel": dict(accuracies)}, "test": {}})
    assert (result.data, result.protocol, result.values) == ("babel", None, dict(accuracies))
    assert collect_results(accuracies)[0].queries == accuracies.num_motions == 5
    assert [r.data for r in collect_results({"a": figures, "b": accuracies})] == ["a", "a", "b"]
    assert collect_results(None) == []


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ({"t2m/R@1": 10.0}, "protocol"),
        ({"HumanML3D": {"t2m/R@1": 10.0}}, "protocol"),
        ({"all": {"t2m/R@1": float("nan")}}, "finite"),
        ({"all": {"t2m/R@1": "good"}}, "finite"),
        ({"all": 10.0}, "retrieval_metrics"),
        ("R@1 10", "retrieval_metrics"),
    ],
)
def test_figures_that_mean_nothing_are_refused(parts, metrics, words):
    with pytest.raises(HubError, match=words):
        model_card(*parts, metrics=metrics)


def test_wrong_words_about_data_and_licences(parts, tmp_path):
    with pytest.raises(HubError, match="'weight'"):
        model_card(*parts, licenses={"weight": "MIT"})
    with pytest.raises(HubError, match="name"):
        model_card(*parts, data=[{"title": "x"}])
    with pytest.raises(HubError, match="cannot be read"):
        model_card(*parts, recipe=tmp_path / "none.yaml")
    with pytest.raises(HubError, match="no card template"):
        find_template("nothing.md")


def test_dataset_card(dataset):
    card = dataset_card(dataset, repo_id="user/motions", license="CC BY 4.0", source="Recorded by us.")
    text, metadata = str(card), DatasetCard(str(card)).data
    assert metadata.license == "cc-by-4.0" and metadata.size_categories == ["n<1K"]
    assert "| train | 3 | 6 | 0.00 | `smpl22` |" in text and "`(T, 22, 3)`" in text
    assert "Recorded by us." in text and 'load_dataset("user/motions")' in text and "| `label` | string |" in text
    with pytest.raises(HubError, match="'train' lacks the columns fps"):
        dataset_card({"train": dataset["train"].remove_columns("fps")})
    with pytest.raises(HubError, match="'test' has no rows"):
        dataset_card({"train": dataset["train"], "test": dataset["test"].select([])})


# --------------------------------------------------------------------------------------------------------------------
# Export


def test_export_and_reload(parts, figures, tmp_path):
    model, processor = parts
    folder = export(model, processor, tmp_path / "a" / "model", metrics=figures, data="generated")
    assert [path.name for path in folder.parent.iterdir()] == ["model"]  # nothing half-written beside it
    again = MotionPatchModel.from_pretrained(folder)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values()))
    assert stat.S_IMODE(folder.stat().st_mode) & 0o500 == 0o500
    code = {path.name for path in folder.glob("*.py")}
    assert code == {path.name for path in core_files()} and "convert_motionpatch.py" not in code
    assert "pipeline_motionpatch.py" in code and "hub.py" not in code
    config = json.loads((folder / "config.json").read_text())
    for entry in config["custom_pipelines"].values():
        file, name = entry["impl"].split(".")
        assert f"class {name}(" in (folder / f"{file}.py").read_text()
    assert not hasattr(model.config, "custom_pipelines")  # the model in memory is as it was


def test_export_over_an_older_one(parts, tmp_path):
    model, processor = parts
    (tmp_path / "notes.txt").write_text("mine")
    export(model, processor, tmp_path, max_shard_size="100KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    export(model, processor, tmp_path, custom_pipelines=False, card=False)
    assert [path.name for path in tmp_path.glob("*.safetensors*")] == ["model.safetensors"]
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert "custom_pipelines" not in json.loads((tmp_path / "config.json").read_text())


def test_export_without_code(parts, tmp_path):
    folder = export(*parts, tmp_path / "model", custom_code=False, card="# mine\n")
    assert not list(folder.glob("*.py")) and (folder / "README.md").read_text() == "# mine\n"
    assert all("auto_map" not in path.read_text() for path in folder.glob("*.json"))
    assert MotionPatchProcessor.from_pretrained(folder)(text="a person waves")["input_ids"]


def test_export_refuses(parts, tmp_path):
    model, processor = parts
    (tmp_path / "file").write_text("")
    with pytest.raises(HubError, match="could not be written"):
        export(model, processor, tmp_path / "file" / "model")
    with pytest.raises(HubError, match="is a file"):
        export(model, processor, tmp_path / "file")
    with pytest.raises(HubError, match="MotionPatchModel is needed"):
        export(model.motion_model, processor, tmp_path / "x")
    with pytest.raises(HubError, match="MotionPatchProcessor"):
        export(model, processor.tokenizer, tmp_path / "x")
    with pytest.raises(HubError, match="needs `custom_code=True`"):
        export(model, processor, tmp_path / "x", custom_code=False, custom_pipelines=True)
    with pytest.raises(HubError, match="nobody reads metrics"):
        export(model, processor, tmp_path / "x", card="# mine", metrics=[])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# --------------------------------------------------------------------------------------------------------------------
# Push: what is refused before anything is sent


def test_push_needs_token_name_and_network(parts, dataset, tmp_path, monkeypatch):
    model, processor = parts
    monkeypatch.setattr(hub_module, "get_token", lambda: None)
    for call in (lambda: push(model, "user/name", processor=processor), lambda: push_dataset(dataset, "user/name")):
        with pytest.raises(HubError, match="hf auth login"):
            call()
    with pytest.raises(HubError, match="'a/b/c'"):
        push(model, "a/b/c", processor=processor, token="hf_x")
    with pytest.raises(HubError, match="HF_HUB_OFFLINE"):
        push(model, "user/name", processor=processor, token="hf_x")


def test_push_refuses_folders_that_would_not_open(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(hub_module, "is_offline_mode", lambda: False)

    def refused(words: str, **kwargs):
        with pytest.raises(HubError, match=words):
            push(tmp_path, "user/name", token="hf_x", **kwargs)

    monkeypatch.setattr(hub_module, "_commit", lambda *_, **__: pytest.fail("sent"))
    refused("no readable configuration")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    refused("'bert'")
    parts[0].config.save_pretrained(tmp_path)
    refused("no weights")
    parts[0].save_pretrained(tmp_path)
    refused("no processor")
    refused("goes with a model", processor=parts[1])
    parts[1].save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:1000])
    refused("does not open")
    weights.write_bytes(whole)
    (tmp_path / "README.md").write_text("---\nlicense: [mit\n---\n# x\n")
    refused("repair the README.md")
    refused("nobody reads data", card="# x", data="generated")


# --------------------------------------------------------------------------------------------------------------------
# The round trip

PUBLISH = """
    import json, sys
    from pathlib import Path
    import datasets
    from modeling_motionpatch import MotionPatchModel, MotionPatchProcessor
    from modeling_motionpatch.hub import HubError, model_card, push, push_dataset

    work = Path(sys.argv[1])
    datasets.disable_progress_bars()
    model = MotionPatchModel.from_pretrained(work / "run")
    processor = MotionPatchProcessor.from_pretrained(work / "run")
    done = {}
    done["folder"] = str(push(work / "run", "user/name", commit_message="first").oid)
    push(work / "run", "user/name", revision="v2")
    push(model, "user/direct", processor=processor, private=True, name="Direct", data="generated")
    push(model, "user/direct", processor=processor, name="Direct again")
    model_card(model, processor, data="generated").validate()
    model.push_to_hub("user/plain")
    processor.push_to_hub("user/plain")
    try:
        push(work / "run", "user/full")
    except HubError as error:
        done["full"] = str(error)
    try:
        push(work / "run", "user/name", token="hf_wrong")
    except HubError as error:
        done["wrong token"] = str(error)
    import huggingface_hub.constants as constants
    endpoint, constants.ENDPOINT = constants.ENDPOINT, "http://127.0.0.1:9"  # nobody listens there
    try:
        push(work / "run", "user/name")
    except HubError as error:
        done["no way"] = str(error)
    constants.ENDPOINT = endpoint
    data = datasets.load_from_disk(work / "data")
    for name in ("a first title", "motions"):
        push_dataset(data, "user/motions", name=name, license="CC BY 4.0", source="Recorded by us.", private=True)
    push_dataset(work / "prepared", "user/prepared")
    print(json.dumps(done))
"""

# `clean` is started while the publisher works, and waits with all its imports done for the word on its standard input.
CONSUME = """
    import json, sys

    class NotInstalled:
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] == "modeling_motionpatch":
                raise ModuleNotFoundError(f"No module named {name!r}")

    clean = sys.argv[2:] == ["clean"]
    trust = {"trust_remote_code": True} if clean else {}
    if clean:
        sys.meta_path.insert(0, NotInstalled())
    else:
        import modeling_motionpatch
        from modeling_motionpatch.pipeline_motionpatch import register_pipelines
        register_pipelines()
    import numpy as np
    import torch
    from transformers import AutoModel, AutoProcessor, pipeline

    if clean:
        import timm
        from datasets import load_dataset
        sys.stdin.readline()
    inputs = np.load(sys.argv[1] + "/inputs.npz")
    motions, texts = list(inputs["motions"]), [str(text) for text in inputs["texts"]]
    of_motions = {"skeleton": "smpl22", "fps": 20.0}
    result = {}
    for name, more in (("user/name", {}), ("user/name", {"revision": "v2"}), ("user/direct", {}), ("user/plain", {})):
        if not clean and name != "user/name":
            continue
        model = AutoModel.from_pretrained(name, **trust, **more)
        processor = AutoProcessor.from_pretrained(name, **trust, **more)
        with torch.no_grad():
            output = model(**processor(text=texts, motions=motions, return_tensors="pt", **of_motions))
        result[" ".join([name, *more.values()])] = output.logits_per_text.tolist()
    result["module"] = type(model).__module__
    for task, call in (
        ("motion-retrieval", lambda pipe: pipe(texts[0], candidates=motions, **of_motions)),
        ("zero-shot-motion-classification", lambda pipe: pipe(motions[0], candidate_labels=["walks", "jumps"], **of_motions)),
    ):
        try:
            result[task] = call(pipeline(task, model="user/name", **trust))
        except ValueError as error:
            result[task] = str(error)
    if clean:
        data = load_dataset("user/motions").with_format("numpy")
        result["data"] = {split: [float(row["motion"].sum()) for row in rows] for split, rows in data.items()}
        result["columns"] = data["test"].column_names
        result["imported"] = [name for name in sys.modules if name.split(".")[0] == "modeling_motionpatch"]
    print(json.dumps(result))
"""


def _start(script: str, hub: LoopbackHub, home: Path, *arguments) -> subprocess.Popen:
    environment = {**os.environ, **hub.environment(home), "PYTHONPATH": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, cwd=home.parent, **pipes)


def _finish(process: subprocess.Popen) -> list[dict]:
    out, err = process.communicate("go\n", timeout=300)
    assert process.returncode == 0, err[-4000:]
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


@pytest.fixture(scope="module")
def inputs():
    return {"motions": np.stack([random_motion(50, seed=seed) for seed in range(2)]), "texts": np.array(TEXTS)}


@pytest.fixture(scope="module")
def round_trip(parts, figures, dataset, inputs, tmp_path_factory):
    """Everything pushed, and opened again, by a process with the package; then opened by one without it."""
    work = tmp_path_factory.mktemp("hub")
    run = work / "run"  # as training leaves it: more than what belongs to the model
    for part in parts:
        part.save_pretrained(run)
    (run / "checkpoints" / "step-1").mkdir(parents=True)
    (run / "checkpoints" / "step-1" / "model.safetensors").write_bytes(b"x")
    for name in ("log.jsonl", ".env", "optimizer.bin", "best-epoch-1.pt", "notes.json", "old.safetensors"):
        (run / name).write_text("SECRET")
    settings = {"data": {"name": "generated", "data_dir": "/home/someone/motions"}, "output_dir": "/home/someone/run"}
    (run / "recipe.yaml").write_text(yaml.safe_dump(settings))
    config = json.loads((run / "config.json").read_text())
    config["text_config"]["_name_or_path"] = "/home/someone/distilbert"
    (run / "config.json").write_text(json.dumps(config))
    results = {"test": {"generated": {figures[0].label: dict(figures[0])}}, "evaluation_data": {}, "seed": 1}
    (run / "results.json").write_text(json.dumps(results))
    dataset.save_to_disk(work / "data")
    sizes = {"num_train": 2, "num_validation": 1, "num_test": 1}
    prepare_dataset("generated", None, work / "prepared", progress=False, **sizes)
    np.savez(work / "inputs.npz", **inputs)
    before = {path: path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}
    with LoopbackHub() as hub:
        hub.full = {"user/full"}
        hub.repos["model", "user/direct"] = {"private": True, "branches": {}}
        hub.commit("model", "user/direct", "main", "older", {"model-00001-of-00002.safetensors": b"old", "a.txt": b""})
        waiting = _start(textwrap.dedent(CONSUME), hub, work / "clean", work, "clean")
        try:
            script = textwrap.dedent(PUBLISH) + textwrap.dedent(CONSUME)
            done, installed = _finish(_start(script, hub, work / "publisher", work))
            (clean,) = _finish(waiting)
        finally:
            waiting.kill()
    after = {path: path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}
    return {"hub": hub, "done": done, "before": before, "after": after, "clean": clean, "installed": installed}


@pytest.fixture(scope="module")
def expected(parts, inputs):
    model, processor = parts
    batch = processor(text=TEXTS, motions=list(inputs["motions"]), skeleton="smpl22", fps=20.0, return_tensors="pt")
    with torch.no_grad():
        return model(**batch)


def test_pushed_folder_holds_what_belongs_to_the_model(round_trip, figures):
    hub = round_trip["hub"]
    files = hub.files("model", "user/name")
    assert {"config.json", "model.safetensors", "processor_config.json", "tokenizer.json", "README.md"} <= set(files)
    assert {"pipeline_motionpatch.py", "embedding_motionpatch.py", "recipe.yaml", "results.json"} <= set(files)
    assert not [path for path in files if "/" in path or b"SECRET" in files[path]]
    assert not [path for path in files if b"/home/someone" in files[path]]
    history = hub.commits("model", "user/name")
    assert [commit["title"] for commit in history] == ["initial commit", "first"]  # all files in one commit
    assert history[-1]["sha"] == round_trip["done"]["folder"]
    card = ModelCard(files["README.md"].decode())
    assert {entry.metric_value for entry in card.data.eval_results} == {round(v, 4) for v in figures[0].values()}
    assert 'from_pretrained("user/name")' in card.text
    assert hub.files("model", "user/name", "v2").keys() == files.keys()


def test_nothing_is_lost_where_it_came_from(round_trip):
    assert round_trip["before"] == round_trip["after"]


def test_opens_without_the_package(round_trip, expected):
    clean = round_trip["clean"]
    assert clean["imported"] == [] and clean["module"].startswith("transformers_modules.")
    for name in ("user/name", "user/name v2", "user/direct", "user/plain"):
        np.testing.assert_allclose(clean[name], expected.logits_per_text, atol=1e-4)


def test_opens_with_the_package_without_trusting(round_trip, expected):
    installed = round_trip["installed"]
    assert installed["module"] == "modeling_motionpatch.modeling_motionpatch"
    np.testing.assert_allclose(installed["user/name"], expected.logits_per_text, atol=1e-4)


@pytest.mark.parametrize("process", ["clean", "installed"])
def test_pipelines_from_the_hub(round_trip, expected, process):
    hits = round_trip[process]["motion-retrieval"]
    assert not isinstance(hits, str), hits
    cosines = (expected.text_embeds @ expected.motion_embeds.T)[0].numpy()
    assert [hit["index"] for hit in hits] == np.argsort(-cosines).tolist()
    np.testing.assert_allclose([hit["score"] for hit in hits], np.sort(cosines)[::-1], atol=1e-5)
    labels = round_trip[process]["zero-shot-motion-classification"]
    assert {item["label"] for item in labels} == {"walks", "jumps"}
    assert sum(item["score"] for item in labels) == pytest.approx(1.0)


def test_pushed_again(round_trip):
    hub = round_trip["hub"]
    assert hub.repos["model", "user/direct"]["private"]
    files = hub.files("model", "user/direct")
    # What from_pretrained could take for the weights is gone, what is somebody's stays.
    assert [name for name in files if "safetensors" in name] == ["model.safetensors"] and "a.txt" in files
    assert b"# Direct again" in files["README.md"]


def test_failures_are_told_and_change_nothing(round_trip):
    hub, done = round_trip["hub"], round_trip["done"]
    assert "storage quota exceeded" in done["full"] and "is as it was" in done["full"]
    assert set(hub.files("model", "user/full")) == {".gitattributes"}
    assert "failed" in done["no way"] and "is as it was" in done["no way"]
    assert "failed" in done["wrong token"] and "401" in done["wrong token"]


def test_dataset_round_trip(round_trip, dataset):
    hub, clean = round_trip["hub"], round_trip["clean"]
    for split, rows in dataset.items():
        sums = [float(np.sum(row["motion"])) for row in rows.with_format("numpy")]
        np.testing.assert_allclose(clean["data"][split], sums, rtol=1e-5)
    assert clean["columns"] == dataset["train"].column_names
    assert hub.repos["dataset", "user/motions"]["private"]
    card = DatasetCard(hub.files("dataset", "user/motions")["README.md"].decode())
    assert card.data.license == "cc-by-4.0" and card.data.dataset_info["splits"][0]["num_examples"] == 3
    prepared = DatasetCard(hub.files("dataset", "user/prepared")["README.md"].decode())
    splits = {split["name"]: split["num_examples"] for split in prepared.data.dataset_info["splits"]}
    assert splits == {"train": 2, "validation": 1, "test": 1} and "Not stated." in prepared.text
    assert "# motions" in card.text and "a first title" not in card.text and "Recorded by us." in card.text


# --------------------------------------------------------------------------------------------------------------------
# The Space


def test_space_calls_the_demo(monkeypatch):
    import modeling_motionpatch.demo as demo

    calls = []

    class App:
        launch = create_autospec(demo.DemoApp.launch, side_effect=lambda self, **options: calls.append(options))

    build = create_autospec(demo.build_app, side_effect=lambda **options: calls.append(options) or App())
    monkeypatch.setattr(demo, "build_app", build)  # both refuse arguments that the real ones do not take
    monkeypatch.setenv("MOTIONPATCH_MODEL", "user/name")
    monkeypatch.delenv("MOTIONPATCH_GALLERY", raising=False)
    code = find_template("space/app.py").read_text(encoding="utf-8")
    exec(compile(code, "app.py", "exec"), {"__name__": "__main__"})
    assert calls == [{"gallery": None, "model": "user/name"}, {"host": "0.0.0.0", "port": 7860}]


def test_space_metadata():
    text = find_template("space/README.md").read_text(encoding="utf-8")
    metadata = yaml.safe_load(text.split("---")[1])
    assert metadata["license"] == "apache-2.0" and len(metadata["short_description"]) <= 60  # a limit of the Hub
    assert metadata["sdk"] == "docker"  # which needs a Dockerfile, listening where `app_port` says
    docker = find_template("space/Dockerfile").read_text(encoding="utf-8")
    assert f"EXPOSE {metadata['app_port']}" in docker and '"app.py"' in docker
    assert "modeling-motionpatch" in find_template("space/requirements.txt").read_text(encoding="utf-8")
