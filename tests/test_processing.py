"""The processor: texts, motions and pairs to the model's inputs; saved as one file and loaded again."""

import json

import numpy as np
import pytest
import torch
from conftest import random_motion, tiny_config
from transformers import AutoProcessor, BertTokenizer

from modeling_motionpatch import MotionPatchFeatureExtractor, MotionPatchModel, MotionPatchProcessor
from modeling_motionpatch.processing_motionpatch import MAX_TEXT_TOKENS


TEXTS = ["a person walks", "the man kicks with the left leg and then sits", "jumps"]


@pytest.fixture
def motions():
    return [random_motion(frames, seed=frames) for frames in (40, 60, 200)]


def assert_same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        assert torch.equal(torch.as_tensor(a[key]), torch.as_tensor(b[key])), key


# ------------------------------------------------------------------------------------------------ calls


def test_pairs_are_what_both_parts_make(processor, motions):
    batch = processor(text=TEXTS, motions=motions, skeleton="smpl22", fps=30.0, return_tensors="pt")
    assert sorted(batch) == ["attention_mask", "input_ids", "motion_attention_mask", "motion_values"]
    texts = processor.tokenizer(TEXTS, padding=True, return_tensors="pt", return_token_type_ids=False)
    patches = processor.feature_extractor(motions, skeleton="smpl22", fps=30.0, return_tensors="pt")
    assert_same(batch, {**texts, **patches})
    assert batch["motion_values"].shape == (3, 3, 224, 80) and batch["motion_values"].dtype == torch.float32
    assert batch["motion_attention_mask"].shape == (3, 14, 5)
    assert batch["attention_mask"].sum(1).tolist() == [5, 12, 3]  # with [CLS] and [SEP]
    MotionPatchModel(tiny_config())(**batch, return_loss=True)  # nothing in it that the model does not take


def test_one_or_the_other(processor, motions):
    texts = processor(text=TEXTS, return_tensors="pt")
    assert sorted(texts) == ["attention_mask", "input_ids"]
    patches = processor(motions=motions, fps=30.0, return_tensors="pt")
    assert sorted(patches) == ["motion_attention_mask", "motion_values"]
    assert_same({**texts, **patches}, processor(text=TEXTS, motions=motions, fps=30.0, return_tensors="pt"))


def test_single_ones_are_batches_of_one(processor, motions):
    single = processor(text=TEXTS[0], motions=motions[0], return_tensors="pt")
    assert_same(single, processor(text=TEXTS[:1], motions=motions[:1], return_tensors="pt"))
    assert single["input_ids"].shape[0] == single["motion_values"].shape[0] == 1


def test_skeletons_and_rates_one_each(processor):
    motions = [random_motion(40, 22), random_motion(40, 21, seed=1)]
    batch = processor(motions=motions, skeleton=["smpl22", "kit21"], fps=[20.0, 12.5])
    for index, (skeleton, fps) in enumerate((("smpl22", 20.0), ("kit21", 12.5))):
        alone = processor(motions=motions[index], skeleton=skeleton, fps=fps)
        np.testing.assert_allclose(batch["motion_values"][index], alone["motion_values"][0], atol=1e-6)


@pytest.mark.parametrize("kind,expected", [("pt", torch.Tensor), ("np", np.ndarray)])
def test_kinds_of_tensors(processor, motions, kind, expected):
    batch = processor(text=TEXTS, motions=motions, return_tensors=kind)
    assert all(isinstance(value, expected) for value in batch.values())
    without = processor(text=TEXTS, motions=motions)
    assert isinstance(without["input_ids"], list) and isinstance(without["motion_values"], np.ndarray)
    assert_same(batch, without)


def test_token_types_are_never_returned(tmp_path, motions):
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "person", "walks"]
    tokenizer = BertTokenizer(vocab={word: index for index, word in enumerate(vocabulary)})
    assert "token_type_ids" in tokenizer("a person")  # by itself it does return them
    processor = MotionPatchProcessor(MotionPatchFeatureExtractor(normalization="none"), tokenizer)
    processor.save_pretrained(tmp_path)
    for each in (processor, MotionPatchProcessor.from_pretrained(tmp_path)):
        assert sorted(each(text=["a person walks", "a"])) == ["attention_mask", "input_ids"]
        assert "token_type_ids" not in each(text="a person", motions=motions[0], padding="max_length", max_length=9)


def test_long_texts_are_cut(processor):
    long = "walks " * 300
    assert processor.tokenizer.model_max_length > 100_000  # this tokenizer states no limit
    assert processor(text=long, return_tensors="pt")["input_ids"].shape == (1, MAX_TEXT_TOKENS)
    batch = processor(text=[long, "a"], max_length=9, return_tensors="pt")
    assert batch["input_ids"].shape == (2, 9) and batch["input_ids"][0, -1] == processor.tokenizer.sep_token_id
    assert processor(text=long, truncation=False, return_tensors="pt")["input_ids"].shape == (1, 302)
    processor.tokenizer.model_max_length = 12
    try:
        assert processor(text=long, return_tensors="pt")["input_ids"].shape == (1, 12)
    finally:
        processor.tokenizer.model_max_length = int(1e30)


def test_options_of_the_tokenizer(processor, motions):
    padded = processor(text=TEXTS, padding="max_length", max_length=20, return_tensors="pt")
    assert padded["input_ids"].shape == (3, 20)
    nested = processor(text=TEXTS, text_kwargs={"padding": "max_length", "max_length": 20}, return_tensors="pt")
    assert_same(padded, nested)
    with pytest.raises(ValueError, match="max_length.*twice"):
        processor(text=TEXTS, max_length=9, text_kwargs={"max_length": 20})


# ------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    "arguments,error,message",
    [
        ({}, ValueError, "Neither `text` nor `motions`"),
        ({"text": []}, ValueError, "non-empty list"),
        ({"text": 5}, ValueError, "got int 5"),
        ({"text": b"walks"}, ValueError, "got bytes b'walks'"),
        ({"text": {"caption": "walks"}}, ValueError, "got dict"),
        ({"text": np.zeros((60, 22, 3))}, ValueError, r"(?s)got ndarray array.{1,80}$"),
        ({"text": ["a", None]}, ValueError, "None"),
        ({"text": [["a", "person"]]}, ValueError, r"\['a', 'person'\]"),
        ({"text": ["a", b"b"]}, ValueError, "b'b'"),
        ({"motions": []}, ValueError, "(?i)no motion"),
        ({"motions": [np.zeros((10, 7, 3))]}, ValueError, "22"),
        ({"motions": "walk.bvh"}, ValueError, "walk.bvh|motion"),
        ({"text": ["a", "b"], "motions": [np.ones((20, 22, 3))]}, ValueError, "2 texts but 1 motions"),
        ({"text": "a", "motion": [np.ones((20, 22, 3))]}, TypeError, "did you mean `motions`"),
        ({"texts": "a", "motions": [np.ones((20, 22, 3))]}, TypeError, "did you mean `text`"),
        ({"text": "a", "skeletons": "kit21"}, TypeError, "did you mean `skeleton`"),
        ({"text": "a", "return_tensor": "pt"}, TypeError, "did you mean `return_tensors`"),
        ({"text": "a", "max_lenght": 3}, TypeError, "did you mean `max_length`"),
    ],
)
def test_bad_input_is_refused(processor, arguments, error, message):
    with pytest.raises(error, match=message):
        processor(**arguments)


def test_motions_alone_take_no_options_of_a_tokenizer(processor, motions):
    with pytest.raises(TypeError, match="padding.*no tokenizer"):
        processor(motions=motions, padding="max_length")


# ------------------------------------------------------------------------------------------------ saving


def test_saved_as_one_file(processor, motions, tmp_path):
    processor.save_pretrained(tmp_path)
    assert "auto_map" not in processor.to_dict()  # that is the folder's
    names = {file.name for file in tmp_path.iterdir() if file.suffix == ".json"}
    assert names == {"processor_config.json", "tokenizer.json", "tokenizer_config.json"}
    settings = json.loads((tmp_path / "processor_config.json").read_text())
    assert settings["processor_class"] == "MotionPatchProcessor"
    assert settings["feature_extractor"]["feature_extractor_type"] == "MotionPatchFeatureExtractor"
    assert np.shape(settings["feature_extractor"]["mean"]) == (80, 3)

    expected = processor(text=TEXTS, motions=motions, fps=30.0, return_tensors="pt")
    for loaded in (MotionPatchProcessor.from_pretrained(tmp_path), AutoProcessor.from_pretrained(tmp_path)):
        assert type(loaded) is MotionPatchProcessor
        assert_same(loaded(text=TEXTS, motions=motions, fps=30.0, return_tensors="pt"), expected)
        assert loaded.to_dict() == processor.to_dict()
        assert repr(loaded.feature_extractor) == repr(processor.feature_extractor)
        loaded.save_pretrained(tmp_path / "again")
        again = (tmp_path / "again" / "processor_config.json").read_text()
        assert json.loads(again) == settings


def test_saved_next_to_a_model(processor, motions, tmp_path):
    model = MotionPatchModel(tiny_config()).eval()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    assert type(AutoProcessor.from_pretrained(tmp_path)) is MotionPatchProcessor
    extractor = MotionPatchFeatureExtractor.from_pretrained(tmp_path)
    assert_same(extractor(motions), processor(motions=motions))


def test_changed_on_loading(processor, motions, tmp_path):
    processor.save_pretrained(tmp_path)
    other = MotionPatchFeatureExtractor(normalization="none", max_frames=64)
    loaded = MotionPatchProcessor.from_pretrained(tmp_path, feature_extractor=other)
    assert loaded(motions=motions)["motion_values"].shape == (3, 3, 64, 80)


def test_parts_of_the_wrong_kind_are_refused(processor, tmp_path):
    with pytest.raises(TypeError, match="tokenizer"):
        MotionPatchProcessor(processor.feature_extractor, processor.feature_extractor)
    with pytest.raises(OSError):
        MotionPatchProcessor.from_pretrained(tmp_path)  # an empty folder


def test_names_of_the_inputs(processor, motions):
    assert set(processor(text=TEXTS, motions=motions)) == set(processor.model_input_names)
