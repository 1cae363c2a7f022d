"""A saved folder opens where this package is not installed; with it, Auto classes need no consent and print nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import random_motion, tiny_config

from modeling_motionpatch import MotionPatchModel


TEXTS = ["a person walks forward", "the man jumps twice"]

# What makes the package impossible to import, however it is installed: only the copies in a saved folder are left.
WITHOUT_PACKAGE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "modeling_motionpatch":
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, Refuse())
try:
    import modeling_motionpatch
except ImportError:
    pass
else:
    sys.exit("the package can be imported, so this would prove nothing")
"""

EMBED = """
import json, sys
import numpy as np
import torch
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoProcessor, AutoTokenizer
from transformers.utils import logging

logging.disable_progress_bar()
folders, motions, out, consent = json.loads(sys.argv[1]), np.load(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])
results, classes = {}, {}
for name, folder in folders.items():
    config = AutoConfig.from_pretrained(folder, **consent)
    model = AutoModel.from_pretrained(folder, **consent)
    processor = AutoProcessor.from_pretrained(folder, **consent)
    extractor = AutoFeatureExtractor.from_pretrained(folder, **consent)
    tokenizer = AutoTokenizer.from_pretrained(folder, **consent)
    motion = [motions["long"], motions["short"]]
    texts = motions["texts"].tolist()
    batch = processor(text=texts, motions=motion, fps=30.0, return_tensors="pt")
    again = {**extractor(motion, fps=30.0, return_tensors="pt"), **tokenizer(texts, padding=True, return_tensors="pt")}
    for key, value in batch.items():
        assert torch.equal(value, again[key]), key
    batch["motion_values"] = batch["motion_values"].to(model.dtype)
    with torch.no_grad():
        output = model(**batch, return_loss=True)
    for key in ("text_embeds", "motion_embeds", "loss", "logits_per_text"):
        results[f"{name}/{key}"] = output[key].float().numpy()
    results[f"{name}/motion_values"] = batch["motion_values"].float().numpy()
    classes[name] = [type(x).__module__ for x in (config, model, processor, processor.feature_extractor, extractor)]
    classes[name].append(str(model.dtype))
np.savez(out, **results)
print(json.dumps(classes))
"""

IMPORTS = """
import json, sys, time
import timm, transformers
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoProcessor, FeatureExtractionMixin
from transformers import PreTrainedModel, ProcessorMixin
import transformers.modeling_layers  # what any model of transformers imports
def top(): return {name.split(".")[0] for name in sys.modules}
before, start = top(), time.process_time()
import modeling_motionpatch
took = time.process_time() - start
new = sorted(top() - before)
assert set(modeling_motionpatch.__all__) <= set(dir(modeling_motionpatch))
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory, tokenizer):
    """Model and processor saved together, in float32 and in bfloat16."""
    from modeling_motionpatch import MotionPatchFeatureExtractor, MotionPatchProcessor

    root = tmp_path_factory.mktemp("saved")
    extractor = MotionPatchFeatureExtractor().fit([random_motion(seed=seed) for seed in range(3)])
    processor = MotionPatchProcessor(extractor, tokenizer)
    torch.manual_seed(0)
    model = MotionPatchModel(tiny_config()).eval()
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        model.to(dtype).save_pretrained(root / name)
        processor.save_pretrained(root / name)
    motions = {"long": random_motion(150, seed=5), "short": random_motion(40, seed=6), "texts": np.array(TEXTS)}
    np.savez(root / "motions.npz", **motions)
    return root


@pytest.fixture(scope="module")
def expected(folders):
    """The embeddings by the package's own classes, in this process."""
    from modeling_motionpatch import MotionPatchProcessor

    results = {}
    with np.load(folders / "motions.npz") as motions:
        motion = [motions["long"], motions["short"]]
    for name in ("float32", "bfloat16"):
        model = MotionPatchModel.from_pretrained(folders / name)
        processor = MotionPatchProcessor.from_pretrained(folders / name)
        batch = processor(text=TEXTS, motions=motion, fps=30.0, return_tensors="pt")
        batch["motion_values"] = batch["motion_values"].to(model.dtype)
        with torch.no_grad():
            output = model(**batch, return_loss=True)
        for key in ("text_embeds", "motion_embeds", "loss", "logits_per_text"):
            results[f"{name}/{key}"] = output[key].float().numpy()
        results[f"{name}/motion_values"] = batch["motion_values"].float().numpy()
    return results


def run(folders, script, consent, out):
    environment = {**os.environ, "HF_MODULES_CACHE": str(out / "modules"), "HF_HUB_OFFLINE": "1"}
    package = str(Path(__file__).parents[1])
    environment["PYTHONPATH"] = "" if consent else package
    names = json.dumps({name: str(folders / name) for name in ("float32", "bfloat16")})
    arguments = [names, str(folders / "motions.npz"), str(out / "out.npz"), json.dumps(consent)]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=environment,
        cwd=out,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(out / "out.npz") as results:
        return dict(results), done.stdout, done.stderr


def assert_same(results, expected):
    assert results.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(results[key], value, atol=1e-6, rtol=0, err_msg=key)


def test_what_a_folder_holds(folders):
    names = {file.name for file in (folders / "float32").iterdir()}
    assert {"config.json", "model.safetensors", "processor_config.json", "tokenizer.json"} <= names
    assert not {"preprocessor_config.json", "feature_extractor_config.json"} & names
    code = {name for name in names if name.endswith(".py")}
    assert code and all(name.endswith("_motionpatch.py") for name in code)
    config = json.loads((folders / "float32" / "config.json").read_text())
    assert config["auto_map"].keys() >= {"AutoConfig", "AutoModel"}
    processor = json.loads((folders / "float32" / "processor_config.json").read_text())
    assert processor["auto_map"]["AutoProcessor"] == "processing_motionpatch.MotionPatchProcessor"


def test_remote_code_without_the_package(folders, expected, tmp_path):
    refused = """
import json
from transformers import AutoConfig
try:
    AutoConfig.from_pretrained(json.loads(sys.argv[1])["float32"], trust_remote_code=False)
except ValueError as error:
    assert "trust_remote_code" in str(error)
else:
    sys.exit("loaded without consent")
"""
    results, stdout, _ = run(folders, WITHOUT_PACKAGE + refused + EMBED, {"trust_remote_code": True}, tmp_path)
    assert_same(results, expected)
    assert stdout.count("\n") == 1, stdout
    classes = json.loads(stdout.splitlines()[-1])
    for name, dtype in (("float32", "torch.float32"), ("bfloat16", "torch.bfloat16")):
        *modules, found = classes[name]
        assert all(module.startswith("transformers_modules.") for module in modules), modules
        assert found == dtype


def test_with_the_package_no_consent_is_needed_and_nothing_is_printed(folders, expected, tmp_path):
    check = """
forbidden = {"datasets", "evaluate", "faiss", "matplotlib", "gradio", "sklearn", "scipy", "pandas", "pyarrow", "PIL",
             "imageio", "tensorboard", "accelerate"}
assert not forbidden & set(new), new
print(json.dumps({"new": new, "seconds": took}))
"""
    results, stdout, stderr = run(folders, IMPORTS + check + EMBED, {}, tmp_path)
    assert stderr == ""
    assert_same(results, expected)
    imported, classes = [json.loads(line) for line in stdout.splitlines()]
    for name in classes:
        assert all(module.startswith("modeling_motionpatch.") for module in classes[name][:-1])
    assert set(imported["new"]) <= {"modeling_motionpatch", "tokenizers", "_posixshmem"}, imported
    assert imported["seconds"] < 2.0  # of processor time, over that of transformers and timm
