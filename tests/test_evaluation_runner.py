"""A model run over a data set: the figures against those of hand-made embeddings, the rows that count, JSON and card."""

import json

import datasets
import numpy as np
import pytest
import torch
from conftest import random_motion, tiny_config

from modeling_motionpatch import MotionPatchModel, retrieval_metrics
from modeling_motionpatch.evaluation import EvaluationError
from modeling_motionpatch.evaluation.report import average_reports, update_model_card
from modeling_motionpatch.evaluation.runner import (
    choose_rows,
    embed_pairs,
    encode_sentences,
    evaluate_classification,
    evaluate_retrieval,
)


WORDS = ("walks", "runs", "waves", "kicks", "jumps", "sits")


def make_dataset(count: int = 12, **columns):
    rows = {
        "id": [f"clip{index}" for index in range(count)],
        "motion": [random_motion(24 + 4 * (index % 5), seed=index) for index in range(count)],
        "captions": [[f"a person {WORDS[index % 6]}", "the man"] for index in range(count)],
        "fps": [20.0] * count,
        "skeleton": ["smpl22"] * count,
        "label": [WORDS[index % 6] for index in range(count)],
        **columns,
    }
    features = datasets.Features(
        {
            "id": datasets.Value("string"),
            "motion": datasets.Array3D((None, 22, 3), "float32"),
            "captions": datasets.List(datasets.Value("string")),
            "fps": datasets.Value("float64"),
            "skeleton": datasets.Value("string"),
            "label": datasets.Value("string"),
            **{name: datasets.Value("bool") for name in columns if name == "evaluation"},
        }
    )
    return datasets.Dataset.from_dict(rows, features=features)


@pytest.fixture
def pair_embeddings(tiny_model, processor):
    """Embeddings of the clips and first captions, one at a time by the model itself."""
    data = make_dataset()
    motions, texts = [], []
    with torch.no_grad():
        for row in data:
            joints = np.asarray(row["motion"], dtype=np.float32)
            inputs = processor(
                text=[row["captions"][0]], motions=[joints], skeleton="smpl22", fps=20.0, return_tensors="pt"
            )
            output = tiny_model(**inputs)
            motions.append(output.motion_embeds[0].numpy())
            texts.append(output.text_embeds[0].numpy())
    return np.stack(texts), np.stack(motions)


def test_figures_are_those_of_the_models_own_embeddings(tiny_model, processor, pair_embeddings):
    data = make_dataset()
    protocols = ("all", "all_strict", "small_batches")
    report = evaluate_retrieval(
        tiny_model, processor, data, protocols, name="made", split="test", small_batch_size=4, seed=3, repeats=2
    )
    captions = [row["captions"][0] for row in data]
    assert list(report.retrieval) == ["all", "all_strict", "small_batches(4)"]
    for protocol, metrics in zip(protocols, report.retrieval.values()):
        expected = retrieval_metrics(*pair_embeddings, captions, protocol=protocol, batch_size=4, seed=3, repeats=2)
        assert metrics.keys() == expected.keys()
        np.testing.assert_allclose(list(metrics.values()), list(expected.values()), atol=1e-6)
    assert report.retrieval["all"]["t2m/R@10"] >= report.retrieval["all_strict"]["t2m/R@10"]


def test_a_model_that_knows_the_answer_scores_100(tiny_model, processor, monkeypatch):
    from modeling_motionpatch.evaluation import runner

    data = make_dataset(8).select(range(6))
    eye = np.eye(6, dtype=np.float32)
    monkeypatch.setattr(runner, "encode_motion", lambda *args, **kwargs: eye)
    monkeypatch.setattr(runner, "encode_text", lambda *args, **kwargs: eye)
    report = evaluate_retrieval(tiny_model, processor, data, "all_strict")
    assert report.retrieval["all_strict"]["t2m/R@1"] == report.retrieval["all_strict"]["m2t/R@1"] == 100.0
    monkeypatch.setattr(runner, "encode_text", lambda *args, **kwargs: np.roll(eye, 1, axis=0))
    report = evaluate_retrieval(tiny_model, processor, data, "all_strict")
    assert report.retrieval["all_strict"]["t2m/R@1"] == 0.0


def test_rows_without_caption_or_mark_are_left_out_and_counted(tiny_model, processor):
    marks = [index % 2 == 0 for index in range(12)]
    captions = [["a person walks"] if index != 4 else [] for index in range(12)]
    captions[6] = ["  "]
    data = make_dataset(evaluation=marks, captions=captions)
    pairs = embed_pairs(tiny_model, processor, data)
    assert pairs.ids == ["clip0", "clip2", "clip8", "clip10"]
    assert pairs.left_out == {"not marked for evaluation": 6, "without a caption": 2}
    whole = embed_pairs(tiny_model, processor, data, rows="all")
    assert len(whole.ids) == 10
    np.testing.assert_allclose(
        whole.motion_embeds[2], embed_pairs(tiny_model, processor, data.select([2])).motion_embeds[0], atol=1e-5
    )
    assert choose_rows(make_dataset(4, evaluation=[False] * 4))[0].num_rows == 4  # a split that marks none is whole
    with pytest.raises(EvaluationError, match="'evaluation' or 'all'"):
        choose_rows(data, "first")


def test_long_motions_are_read_from_frame_0(tiny_model, processor):
    long = random_motion(500, seed=1)
    data = make_dataset(3, motion=[long, long[:224], random_motion(60, seed=4)])
    first = embed_pairs(tiny_model, processor, data, long_motions="first").motion_embeds
    np.testing.assert_allclose(first[0], first[1], atol=1e-5)
    mean = embed_pairs(tiny_model, processor, data, long_motions="mean").motion_embeds
    assert np.abs(mean[0] - mean[1]).max() > 1e-4
    np.testing.assert_allclose(mean[2], first[2], atol=1e-5)


def test_classification_against_a_loop(tiny_model, processor):
    data = make_dataset()
    report = evaluate_classification(tiny_model, processor, data, WORDS, ks=(1, 3), template="the man {}.")
    hits = {1: 0, 3: 0}
    with torch.no_grad():
        texts = processor(text=[f"the man {word}." for word in WORDS], return_tensors="pt")
        texts = torch.nn.functional.normalize(tiny_model.get_text_features(**texts).pooler_output, dim=-1)
        for row in data:
            inputs = processor(motions=[np.asarray(row["motion"])], skeleton="smpl22", fps=20.0, return_tensors="pt")
            scores = texts @ tiny_model.get_motion_features(**inputs).pooler_output[0]
            best = [WORDS[index] for index in scores.argsort(descending=True)]
            for k in hits:
                hits[k] += row["label"] in best[:k]
    assert report.classification["top1"] == pytest.approx(100 * hits[1] / 12)
    assert report.classification["top3"] == pytest.approx(100 * hits[3] / 12)
    assert "6" in report.table() and json.dumps(report.to_dict())


def test_classification_refuses(tiny_model, processor):
    data = make_dataset(4)
    with pytest.raises(EvaluationError, match="none of the 2 classes: jumps"):
        evaluate_classification(tiny_model, processor, make_dataset(5).select([0, 4]), ["walks", "runs"])
    with pytest.raises(EvaluationError, match="no column 'action'"):
        evaluate_classification(tiny_model, processor, data, label_column="action")
    with pytest.raises(EvaluationError, match="template"):
        evaluate_classification(tiny_model, processor, data, template="a person")


def test_retrieval_refuses_before_it_embeds(processor):
    """No model is needed to be told that the request makes no sense."""
    data = make_dataset(4)
    with pytest.raises(EvaluationError, match="Unknown protocol best"):
        evaluate_retrieval(None, processor, data, ["all", "best"])
    with pytest.raises(EvaluationError, match="sentence model"):
        evaluate_retrieval(None, processor, data, ["threshold"])
    with pytest.raises(EvaluationError, match="without streaming"):
        evaluate_retrieval(None, processor, data.to_iterable_dataset(), "all")
    with pytest.raises(EvaluationError, match="No row has a caption"):
        evaluate_retrieval(None, processor, make_dataset(2, captions=[[], []]), "all")
    with pytest.raises(EvaluationError, match="no column 'captions'"):
        evaluate_retrieval(None, processor, data.remove_columns("captions"), "all")


def test_protocols_that_compare_captions(tiny_model, processor, tmp_path):
    from transformers import AutoModel

    data = make_dataset()
    processor.tokenizer.save_pretrained(tmp_path / "text")
    torch.manual_seed(1)
    AutoModel.from_config(tiny_config().text_config).save_pretrained(tmp_path / "text")
    captions = [row["captions"][0] for row in data]
    embeds = encode_sentences(tmp_path / "text", captions)
    # the second route: one sentence at a time, so without padding
    model = AutoModel.from_pretrained(tmp_path / "text").eval()
    with torch.no_grad():
        for caption, row in zip(captions, embeds):
            inputs = processor.tokenizer(caption, return_tensors="pt")
            mean = model(input_ids=inputs["input_ids"]).last_hidden_state[0].mean(0)
            np.testing.assert_allclose(row, torch.nn.functional.normalize(mean, dim=-1), atol=1e-5)
    given = evaluate_retrieval(tiny_model, processor, data, "threshold", caption_embeds=embeds)
    made = evaluate_retrieval(tiny_model, processor, data, ["threshold"], caption_model=tmp_path / "text")
    assert dict(given.retrieval["threshold(0.95)"]) == dict(made.retrieval["threshold(0.95)"])
    with pytest.raises(EvaluationError, match="11 rows for 12 pairs"):
        evaluate_retrieval(tiny_model, processor, data, "threshold", caption_embeds=embeds[:11])
    with pytest.raises(EvaluationError, match="cannot be loaded"):
        encode_sentences(tmp_path / "absent", captions)


def test_report_as_json_and_mean_of_runs(tiny_model, processor, tmp_path):
    data = make_dataset()
    first = evaluate_retrieval(tiny_model, processor, data, ("all", "all_strict"), name="made", split="test")
    torch.manual_seed(5)
    second = evaluate_retrieval(
        MotionPatchModel(tiny_config()).eval(), processor, data, ("all", "all_strict"), name="made", split="test"
    )
    saved = json.loads(first.save(tmp_path / "new" / "r.json").read_text())
    assert saved["protocols"]["all"]["metrics"] == dict(first.retrieval["all"])
    assert saved["data"] == {"name": "made", "split": "test", "num_rows": 12, "left_out": {}}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["r.json"]
    mean = average_reports([first, second])
    values = [report.retrieval["all"]["m2t/R@5"] for report in (first, second)]
    assert mean["all"]["m2t/R@5"] == pytest.approx(np.mean(values))
    assert mean["all"].spread["m2t/R@5"] == pytest.approx(np.std(values, ddof=1))
    other = evaluate_retrieval(tiny_model, processor, data, "all", name="made", split="test")
    with pytest.raises(EvaluationError, match="different data or protocols"):
        average_reports([first, other])
    with pytest.raises(EvaluationError, match="no report"):
        average_reports([])


def test_card_keeps_what_it_holds_and_replaces_its_own(tiny_model, processor, tmp_path):
    from huggingface_hub import ModelCard

    data = make_dataset()
    folder = tmp_path / "my model"
    folder.mkdir()
    (folder / "README.md").write_text(
        "---\nlicense: mit\ntags:\n- mine\n---\n\n# Mine\n\n## Evaluation\n\nNot evaluated.\n\n## End\n"
    )
    report = evaluate_retrieval(tiny_model, processor, data, ("all", "all_strict"), name="made", split="test")
    update_model_card(folder, report)
    once = ModelCard.load(folder / "README.md")
    update_model_card(folder, report)
    twice = ModelCard.load(folder / "README.md")
    assert twice.content == once.content, "an update with the same figures changes nothing"
    assert once.data.license == "mit" and once.data.tags == ["mine"]
    assert "Not evaluated" not in once.text and once.text.rstrip().endswith("## End")
    values = {(item.metric_name, item.dataset_split): item.metric_value for item in once.data.eval_results}
    assert len(values) == 2 * len(report.retrieval["all"])
    assert any("protocol all_strict" in name for name, _ in values)
    assert values["text to motion R@10 (protocol all)", "test"] == pytest.approx(
        report.retrieval["all"]["t2m/R@10"], abs=1e-3
    )
    other = evaluate_classification(tiny_model, processor, data, name="made", split="validation")
    update_model_card(folder, other)
    card = ModelCard.load(folder / "README.md")
    assert len(card.data.eval_results) == len(values) + len(other.classification)
    assert card.text.count("<!-- evaluation:") == 2


def test_card_is_made_where_there_is_none_and_refused_where_it_is_broken(tiny_model, processor, tmp_path):
    report = evaluate_retrieval(tiny_model, processor, make_dataset(), "all", name="made", split="test")
    path = update_model_card(tmp_path, report)
    assert "| all |" in path.read_text() and "library_name: transformers" in path.read_text()
    path.write_text("---\ntags: [open\n---\n# Broken\n")
    with pytest.raises(EvaluationError, match="cannot be read"):
        update_model_card(tmp_path, report)
    assert path.read_text().startswith("---\ntags: [open")
    with pytest.raises(EvaluationError, match="no folder"):
        update_model_card(tmp_path / "absent", report)
