"""The `evaluate` modules are the package's functions, loaded from a folder without the network."""

import ast
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from modeling_motionpatch.evaluation import (
    EVALUATE_MODULES,
    EvaluationError,
    generation_metrics,
    load_metric,
    retrieval_metrics,
)


evaluate = pytest.importorskip("evaluate")
FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate.config, "HF_METRICS_CACHE", str(tmp_path))


def embeddings(count=40, width=6):
    generator = np.random.default_rng(0)
    texts = generator.normal(size=(count, width))
    return texts, texts + generator.normal(size=(count, width)), [f"caption {index % 25}" for index in range(count)]


def test_motion_retrieval_in_batches_agrees_with_the_official_numbers():
    with np.load(FIXTURES / "metrics.npz", allow_pickle=False) as arrays:
        texts, motions = arrays["text_embeds"], arrays["motion_embeds"]
    expected = json.loads((FIXTURES / "metrics.json").read_text())
    metric = load_metric("motion_retrieval")
    for start in range(0, 150, 64):
        part = slice(start, start + 64)
        metric.add_batch(text_embeds=texts[part], motion_embeds=motions[part], captions=expected["captions"][part])
    result = metric.compute(protocol="all")
    assert {name: result[f"t2m/{name}"] for name in expected["t2m"]} == expected["t2m"]
    assert {name: result[f"m2t/{name}"] for name in expected["m2t"]} == expected["m2t"]
    assert (result["protocol"], result["num_pairs"], result["num_queries"]) == ("all", 150, 150)


@pytest.mark.parametrize("captions, protocol", [(("a", "b", "a"), "all"), ((None,) * 3, "all_strict")])
def test_motion_retrieval_pair_by_pair(captions, protocol):
    metric = load_metric("motion_retrieval")
    for row, caption in zip(np.eye(3), captions):
        given = {} if caption is None else {"captions": caption}
        metric.add(text_embeds=row, motion_embeds=row, **given)
    assert metric.compute(protocol=protocol)["t2m/R@1"] == 100.0


def test_motion_retrieval_passes_options_on():
    texts, motions, captions = embeddings()
    metric = evaluate.load(str(EVALUATE_MODULES["motion_retrieval"]))
    options = {"protocol": "small_batches", "batch_size": 8, "seed": 3, "confidence": 0.9}
    result = metric.compute(
        text_embeds=torch.tensor(texts), motion_embeds=torch.tensor(motions), captions=captions, **options
    )
    direct = retrieval_metrics(texts, motions, captions, **options)
    assert result.items() >= direct.items() and result["intervals"] == direct.intervals
    assert result["protocol"] == "small_batches(8)"

    strict = metric.compute(text_embeds=texts, motion_embeds=motions, protocol="all_strict")
    assert strict.items() >= retrieval_metrics(texts, motions, protocol="all_strict").items()
    with pytest.raises(EvaluationError, match="needs `captions`"):
        metric.compute(text_embeds=texts, motion_embeds=motions)
    with pytest.raises(ValueError, match="Mismatch in the number of"):
        metric.compute(text_embeds=texts, motion_embeds=motions[1:], captions=captions)


def test_generated_motion():
    texts, motions, _ = embeddings()
    reference = motions[:30] + 1
    metric = load_metric("generated_motion")
    result = metric.compute(
        text_embeds=texts, motion_embeds=motions, reference_embeds=reference, diversity_pairs=20, seed=2
    )
    assert result == generation_metrics(texts, motions, reference, diversity_pairs=20, seed=2)
    with pytest.raises(EvaluationError, match="more than 300"):
        metric.compute(text_embeds=texts, motion_embeds=motions)


def test_unknown_metric():
    with pytest.raises(EvaluationError, match="known: motion_retrieval, generated_motion"):
        load_metric("motion-retrieval")


def test_optional_libraries_are_imported_where_they_are_used():
    for source in EVALUATE_MODULES["motion_retrieval"].parents[1].glob("*.py"):
        imports = [
            node for node in ast.parse(source.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        names = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module.split(".")[0] for node in imports if isinstance(node, ast.ImportFrom) and not node.level}
        assert names <= {"numpy", *sys.stdlib_module_names}, source.name
