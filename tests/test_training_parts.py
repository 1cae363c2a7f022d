"""The parts of training against second routes: batches and the extractor, captions and tokenizers, steps and gradients."""

import copy
import itertools
import json

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from conftest import random_motion
from training_fixtures import NO_DROPOUT, tiny_arguments, write_motionfolder

from modeling_motionpatch import (
    MotionPatchFeatureExtractor,
    MotionPatchModel,
    MotionPatchMotionModel,
    contrastive_loss,
    encode_motion,
    get_skeleton,
)
from modeling_motionpatch.training import (
    TowerPair,
    TrainArguments,
    Trainer,
    TrainingError,
    cached_step,
    mirror_caption,
    plain_step,
    train_tokenizer,
)
from modeling_motionpatch.training.batches import BatchMaker, least_padding, steps_per_epoch
from modeling_motionpatch.training.build import build_model
from modeling_motionpatch.training.captions import CaptionTable
from modeling_motionpatch.training.clips import MotionStore, load_tables, mirror_motion
from modeling_motionpatch.training.optimization import build_optimizer, freeze_towers, rate_factor
from modeling_motionpatch.training.setup import alike_rule, build_processor, training_batches, training_texts
from modeling_motionpatch.training.validation import selection_score


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_motionfolder(tmp_path_factory.mktemp("parts") / "data")


def parts_of(folder, tmp_path, **changes):
    """Arguments, tables, processor, planner and maker of a run that is not started."""
    args = tiny_arguments(folder, tmp_path / "out", **changes)
    tables = load_tables(args)
    processor = build_processor(args, tables)
    captions = CaptionTable(training_texts(args, tables), processor.tokenizer, 77)
    planner, maker = training_batches(args, processor, tables["train"], captions, Accelerator(cpu=True))
    return args, tables, processor, planner, maker


# --------------------------------------------------------------------------------------------------------------------
# Captions


@pytest.mark.parametrize(
    "caption, mirrored",
    [
        ("a man lifts his left arm", "a man lifts his right arm"),
        ("Right hand, then LEFT foot", "Left hand, then RIGHT foot"),
        ("turns clockwise twice", "turns counterclockwise twice"),
        ("turns counter-clockwise", "turns clockwise"),
        ("runs anti clockwise to the rightmost chair", "runs clockwise to the leftmost chair"),
        ("stands upright, right away", "stands upright, right away"),
        ("is right handed and all right", "is left handed and all right"),
        ("a bright leftover", "a bright leftover"),
        ("a left-handed punch, two lefts, the LEFTMOST", "a right-handed punch, two rights, the RIGHTMOST"),
        ("turns counter clock-wise, then clock-wise", "turns clock-wise, then counter-clock-wise"),
        ("he has left the room; she has left arm up", "he has left the room; she has right arm up"),
        ("stops right before the wall", "stops right before the wall"),
        ("steps to the right before he stops", "steps to the left before he stops"),
        ("kicks with his right after that", "kicks with his left after that"),
        ("makes a right angle, upright", "makes a right angle, upright"),
    ],
)
def test_mirrored_captions(caption, mirrored):
    assert mirror_caption(caption) == mirrored


def test_mirroring_captions_twice_gives_them_back():
    for caption in ("left and right, rightwards", "the leftmost turns clockwise", "counterclockwise"):
        assert mirror_caption(mirror_caption(caption)) == caption


def test_tokenizer_is_the_same_each_time_and_opens(tmp_path):
    from transformers import AutoTokenizer

    captions = [
        f"a {c} person {v} {n} times" for c in ("red", "tall") for v in ("waves", "walks", "jumps") for n in range(9)
    ]
    tokenizer = train_tokenizer(captions, 160)
    assert all(train_tokenizer(captions, 160).get_vocab() == tokenizer.get_vocab() for _ in range(3))
    assert "[UNK]" not in tokenizer.tokenize("Xylophone players zigzag 42!") and len(tokenizer) <= 160
    assert tokenizer("Waves")["input_ids"] == tokenizer("waves")["input_ids"]
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again(captions)["input_ids"] == tokenizer(captions)["input_ids"] and again.model_max_length == 77


def test_caption_table_is_the_tokenizer(folder, tmp_path):
    texts = ["a person walks", "a person walks", "someone lifts the left arm very slowly", "jump"]
    tokenizer = train_tokenizer(texts, 120)
    table = CaptionTable(texts, tokenizer, 6)
    assert len(table) == 3
    ids, mask = table.batch(np.array([2, 0, 1]))
    expected = tokenizer(
        [table.captions[i] for i in (2, 0, 1)],
        padding=True,
        truncation=True,
        max_length=6,
        return_tensors="pt",
        return_token_type_ids=False,
    )
    assert torch.equal(ids, expected["input_ids"]) and torch.equal(mask, expected["attention_mask"])


# --------------------------------------------------------------------------------------------------------------------
# Clips and batches


@pytest.mark.parametrize("preset", ["ours", "official", "paper"])
def test_batches_are_the_extractors(folder, tmp_path, preset):
    """Evaluation's batches, from the store, against the processor on the raw motions."""
    args, tables, processor, _, _ = parts_of(folder, tmp_path, extractor_preset=preset)
    table, extractor = tables["validation"], processor.feature_extractor
    store = MotionStore.build(extractor, table, args)
    rows = np.arange(len(table))
    values, mask = store.batch(rows, np.zeros_like(rows), store.lengths)
    batch = extractor(list(table.motions()), skeleton=table.skeletons, fps=table.fps, return_tensors="pt")
    height = values.shape[2]
    torch.testing.assert_close(values, batch["motion_values"][:, :, :height], rtol=0, atol=1e-5)
    assert not batch["motion_values"][:, :, height:].any()
    if preset == "ours":
        assert torch.equal(mask, batch["motion_attention_mask"][:, : mask.shape[1]])
        assert not batch["motion_attention_mask"][:, mask.shape[1] :].any()
    else:
        assert mask is None and height == extractor.max_frames


def test_parts_hold_the_least_padding():
    """Against all ways of cutting a few sorted lengths."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        lengths, count = np.sort(rng.integers(1, 7, rng.integers(1, 9))), int(rng.integers(1, 6))

        def cost(sizes, lengths=lengths):
            return sum(len(part) * part[-1] for part in np.split(lengths, np.cumsum(sizes)[:-1]) if len(part))

        bounds = itertools.combinations_with_replacement(range(len(lengths) + 1), count - 1)
        every = [np.diff([0, *inner, len(lengths)]) for inner in bounds]
        sizes = least_padding(lengths, count)
        assert len(sizes) == count and sum(sizes) == len(lengths) and sizes[-1] > 0
        assert sizes == sorted(sizes, key=bool), "empty ones first"
        assert cost(sizes) == min(map(cost, every))


def test_nothing_is_masked_where_all_rows_are_full(folder, tmp_path):
    args, tables, processor, _, _ = parts_of(folder, tmp_path)
    store = MotionStore.build(processor.feature_extractor, tables["train"], args)
    rows, frames = np.arange(4), np.array([17, 32, 20, 31])  # two patches high, all of them
    values, mask = store.batch(rows, np.zeros_like(rows), frames)
    assert mask is None and values.shape[2] == 32
    assert store.batch(rows, np.zeros_like(rows), frames - 4)[1].shape == (4, 2, 5)
    store.incomplete = True  # a skeleton without arms, say
    assert store.batch(rows, np.zeros_like(rows), frames)[1].all()


def test_batches_do_not_wait_for_the_device(folder, tmp_path, monkeypatch):
    """Which rows are padding is known before they go there; to ask the device costs a GPU its queue of work."""
    monkeypatch.setattr(MotionPatchMotionModel, "_trim", None)
    args, _, processor, planner, maker = parts_of(folder, tmp_path, length_chunks=2)
    model = build_model(args, processor)
    motions, _, _ = TowerPair(model)(maker.make(planner.plan(0), 0).parts)
    assert motions.shape == (args.batch_size, 16)
    encode_motion(model, processor, [random_motion(40), random_motion(90)])


def test_memory_mapped_points_are_the_same(folder, tmp_path):
    args, tables, processor, _, maker = parts_of(folder, tmp_path, mirror=0.5)
    args.points_dir = str(tmp_path / "points")
    for _ in range(2):  # written, then found
        mapped = MotionStore.build(processor.feature_extractor, tables["train"], args, mirror=True)
        assert torch.equal(mapped.points, maker.store.points)
    assert len(list((tmp_path / "points").iterdir())) == 2
    args.points_dtype = "float16"
    half = MotionStore.build(processor.feature_extractor, tables["train"], args, mirror=True)
    assert half.points.dtype == torch.float16 and len(list((tmp_path / "points").iterdir())) == 4
    torch.testing.assert_close(half.points.float(), maker.store.points, rtol=1e-3, atol=1e-3)


def test_mirrored_motion_is_a_person_turned_in_a_mirror():
    skeleton = get_skeleton("smpl22")
    motion = np.random.default_rng(0).normal(size=(5, 22, 3)).astype(np.float32)
    mirrored = mirror_motion(motion, skeleton)
    left, right = skeleton.chains["left_arm"], skeleton.chains["right_arm"]
    np.testing.assert_array_equal(mirrored[:, left[-1]], motion[:, right[-1]] * [-1, 1, 1])
    np.testing.assert_array_equal(mirror_motion(mirrored, skeleton), motion)


def test_mirrored_clips_have_mirrored_captions(folder, tmp_path):
    args, tables, processor, planner, maker = parts_of(folder, tmp_path, mirror=1.0, captions="first")
    plan = planner.plan(0)
    count = len(tables["train"])
    assert (plan.clips >= count).all()
    for clip, caption in zip(plan.clips, plan.captions):
        assert maker.table.captions[caption] == mirror_caption(tables["train"].captions[clip - count][0])
        assert "right arm" in maker.table.captions[caption]


def test_an_epoch_has_every_clip_once(folder, tmp_path):
    args, tables, _, planner, maker = parts_of(folder, tmp_path, drop_last=False, sub_crop=0.5)
    assert steps_per_epoch(20, args) == 3
    plans = [planner.plan(epoch) for epoch in (0, 0, 1)]
    assert all(sorted(plan.clips) == list(range(20)) for plan in plans)
    assert (plans[0].clips == plans[1].clips).all() and (plans[0].clips != plans[2].clips).any()
    for plan in plans:
        lengths = maker.store.lengths[plan.clips]
        assert (plan.starts >= 0).all() and (plan.starts + plan.frames <= lengths).all()
        assert (plan.frames >= np.minimum(np.ceil(lengths * 0.5), 64)).all() and (plan.frames <= 64).all()
        rows = [plan.rows(step, rank, 2) for step in range(3) for rank in range(2)]
        assert (np.concatenate(rows) == np.arange(20)).all()
    assert steps_per_epoch(20, tiny_arguments(folder, tmp_path)) == 2
    assert steps_per_epoch(5, tiny_arguments(folder, tmp_path)) == 1  # fewer clips than a batch


@pytest.mark.parametrize("changes", [{"length_chunks": 3}, {"chunk_size": 3}, {"dedupe_texts": False}])
def test_parts_of_a_batch_put_together_are_the_batch(folder, tmp_path, changes):
    args, _, processor, planner, maker = parts_of(folder, tmp_path, **NO_DROPOUT)
    towers = TowerPair(build_model(args, processor).eval())
    plan = planner.plan(0)
    other = copy.copy(args)
    for key, value in changes.items():
        setattr(other, key, value)
    embeds = []
    for settings in (args, other):
        batch = BatchMaker(maker.store, maker.table, settings).make(plan, 1)
        assert len(batch) == 8 and batch.parts[-1][0] is not None and batch.parts[-1][1] is not None
        motions, texts, _ = towers(batch.parts)
        embeds.append((motions[batch.motion_order], texts[batch.text_order]))
    for one, two in zip(*embeds):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-5)


def test_clips_without_text_and_broken_clips_are_named(folder, tmp_path):
    args, tables, processor, _, _ = parts_of(folder, tmp_path)
    table = copy.copy(tables["validation"])
    table.motions = lambda: iter([np.full((30, 22, 3), np.nan, dtype=np.float32)])
    with pytest.raises(TrainingError, match=table.ids[0]):
        MotionStore.build(processor.feature_extractor, table, args)
    import datasets

    row = {
        "id": ["x7"],
        "captions": [[" "]],
        "skeleton": ["smpl22"],
        "fps": [20.0],
        "motion": [[[[0.0] * 3] * 22] * 20],
    }
    with pytest.raises(TrainingError, match="x7"):
        table.add("own", datasets.Dataset.from_dict(row))


def test_validation_is_held_out_where_there_is_none(folder, tmp_path):
    args = tiny_arguments(folder, tmp_path, validation_split="none", validation_fraction=0.3, test_split="none")
    tables = load_tables(args)
    ids = [set(tables[split].ids) for split in ("train", "validation")]
    assert not ids[0] & ids[1] and len(ids[0] | ids[1]) == 20 and 1 <= len(ids[1]) <= 12
    with pytest.raises(TrainingError, match="train_split"):
        load_tables(tiny_arguments(folder, tmp_path, train_split="training"))


# --------------------------------------------------------------------------------------------------------------------
# Steps


@pytest.mark.parametrize("duplicates", ["negative", "positive", "ignore"])
@pytest.mark.parametrize("dropout", [False, True])
def test_cached_gradients_are_the_plain_ones(folder, tmp_path, duplicates, dropout):
    """Without dropout against the plain step; with it against one backward pass through parts with the same masks."""
    changes = {} if dropout else NO_DROPOUT
    args, _, processor, planner, maker = parts_of(
        folder, tmp_path, chunk_size=3, duplicates=duplicates, captions="first", **changes, **{"model.learn_logit_scale": True}
    )  # fmt: skip
    accelerator = Accelerator(cpu=True)
    batch = maker.make(planner.plan(0), 0)
    assert len(batch.parts) == 3
    gradients, losses, randoms = [], [], []
    torch.manual_seed(0)
    towers = TowerPair(build_model(args, processor)).train()
    for step in (plain_step, cached_step):
        torch.manual_seed(1)
        towers.zero_grad()
        if dropout and step is plain_step:  # the same order of draws as the cached step: part by part
            outputs = [towers([part]) for part in batch.parts]
            motions = torch.cat([m for m, _, _ in outputs])[batch.motion_order]
            texts = torch.cat([t for _, t, _ in outputs if t is not None])[batch.text_order]
            loss = contrastive_loss(
                motions, texts, outputs[0][2], caption_ids=batch.caption_ids, duplicates=duplicates
            )
            loss.backward()
        else:
            loss = step(towers, batch, args, "mean", accelerator)
        losses.append(loss.item())
        gradients.append({name: p.grad.clone() for name, p in towers.named_parameters() if p.grad is not None})
        randoms.append(torch.rand(3))
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    assert gradients[0].keys() == gradients[1].keys() and "model.logit_scale" in gradients[0]
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-6, msg=name)
    assert torch.equal(*randoms)  # what follows draws the same numbers


def test_plain_step_is_the_models_own_loss(folder, tmp_path):
    args, _, processor, planner, maker = parts_of(
        folder, tmp_path, duplicates="negative", dedupe_texts=False, **NO_DROPOUT
    )
    towers = TowerPair(build_model(args, processor).eval())
    batch = maker.make(planner.plan(0), 0)
    motions, texts = batch.parts[0]
    expected = towers.model(**motions, **texts, return_loss=True).loss
    loss = plain_step(towers, batch, args, "mean", Accelerator(cpu=True))
    assert loss.item() == pytest.approx(expected.item(), abs=1e-6)


def test_false_negatives_by_similarity(folder, tmp_path):
    args, _, _, _, maker = parts_of(folder, tmp_path)
    captions = maker.table.captions
    embeddings = np.random.default_rng(0).normal(size=(len(captions), 4))
    order = np.random.default_rng(1).permutation(len(captions))
    np.savez(tmp_path / "e.npz", captions=np.array(captions)[order], embeddings=embeddings[order])
    args.false_negatives = {"embeddings": str(tmp_path / "e.npz"), "threshold": 0.8}
    rows = np.array([3, 0, 5])
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    expected = (1 + unit[rows] @ unit[rows].T) / 2 > 0.8
    np.testing.assert_array_equal(alike_rule(args, maker.table)(rows), expected)
    np.savez(tmp_path / "e.npz", captions=np.array(captions[1:]), embeddings=embeddings[1:])
    with pytest.raises(TrainingError, match="lacks 1 of"):
        alike_rule(args, maker.table)


def test_rates():
    assert rate_factor(0, 100, "cosine") == 1 and rate_factor(100, 100, "cosine") == pytest.approx(0)
    assert rate_factor(100, 100, "cosine_half") == pytest.approx(0.5)
    # torch's own schedule with T_max twice the steps, as the official code has it
    optimizer = torch.optim.Adam([torch.zeros(1)], lr=1.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40)
    for step in range(20):
        assert rate_factor(step, 20, "cosine_half") == pytest.approx(schedule.get_last_lr()[0], abs=1e-6)
        optimizer.step()
        schedule.step()
    warm = [rate_factor(step, 100, "linear", 0.1) for step in range(100)]
    assert warm[0] == pytest.approx(0.1) and warm[9] == 1 and warm[10] == 1 and warm[99] < 0.02


def test_groups_and_freezing(folder, tmp_path):
    args, _, processor, _, _ = parts_of(folder, tmp_path, lr_text=0.3, lr_motion=0.2, lr_heads=0.1, weight_decay=0.5)
    model = build_model(args, processor)
    groups = build_optimizer(model, args).param_groups
    rates = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert len(rates) == sum(p.requires_grad for p in model.parameters())
    assert rates[id(model.motion_model.vit.blocks[0].attn.qkv.weight)] == (0.2, 0.5)
    assert rates[id(model.motion_model.vit.pos_embed)] == (0.2, 0.0)
    assert rates[id(model.text_model.transformer.layer[0].ffn.lin1.bias)] == (0.3, 0.0)
    assert rates[id(model.text_projection.fc.weight)] == (0.1, 0.5)
    freeze_towers(model, ["text", "motion"])
    parts = {group["part"] for group in build_optimizer(model, args).param_groups}
    assert parts == {"heads"}


def test_selection():
    figures = {"a": {"all": {f"{d}/R@{k}": float(k) for d in ("t2m", "m2t") for k in (1, 5, 10)} | {"t2m/MedR": 7.0}}}
    assert selection_score(figures, "mean_recall") == pytest.approx(16 / 3)
    assert selection_score(figures, "mean_r1") == 1 and selection_score(figures, "t2m/MedR") == -7
    with pytest.raises(TrainingError, match="best_metric"):
        TrainArguments(data={"name": "generated"}, best_metric="R@1")


# --------------------------------------------------------------------------------------------------------------------
# Whole runs


def test_a_run_learns_and_says_nothing_else(folder, tmp_path, capfd, recwarn):
    """Validation is chosen from, trackers and curves are written, no warning is shown, the folder gives its figures."""
    from modeling_motionpatch import MotionPatchProcessor, retrieval_metrics

    args = tiny_arguments(
        folder, tmp_path / "out", epochs=12, plot=True, trackers=["tensorboard"], length_chunks=2, sub_crop=0.8,
        gradient_checkpointing=True, lr_motion=5e-3, lr_text=5e-3, lr_heads=5e-3, train_split="train",
        validation_split="train", **NO_DROPOUT,
    )  # fmt: skip
    assert Trainer(args).run() == 0
    output = capfd.readouterr()
    assert output.err == "" and "warn" not in output.out.lower()
    assert not [str(w.message) for w in recwarn if w.category is not DeprecationWarning]
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert results["history"][-1]["loss"] < results["history"][0]["loss"]
    assert results["chosen_epoch"] == 1 + int(np.argmax([entry["score"] for entry in results["history"]]))
    for name in ("curves.png", "recipe.yaml", "log.jsonl", "README.md", "config.json", "processor_config.json"):
        assert (tmp_path / "out" / name).stat().st_size, name
    assert list((tmp_path / "out").rglob("events.out.tfevents*"))
    # The folder's own test figures by a second route
    model = MotionPatchModel.from_pretrained(tmp_path / "out").eval()
    processor = MotionPatchProcessor.from_pretrained(tmp_path / "out")
    table = load_tables(args)["test"]
    texts = [captions[0] for captions in table.captions]
    inputs = processor(
        text=texts, motions=list(table.motions()), fps=table.fps, skeleton=table.skeletons, return_tensors="pt"
    )
    with torch.no_grad():
        outputs = model(**inputs)
    figures = retrieval_metrics(outputs.text_embeds, outputs.motion_embeds, texts, protocol="all")
    assert results["test"]["motionfolder"]["all"] == pytest.approx(dict(figures))


def test_frozen_towers_stay(folder, tmp_path):
    args = tiny_arguments(folder, tmp_path / "a", epochs=1, freeze=["text", "motion"], weight_decay=0.1)
    trainer = Trainer(args)
    before = {}
    prepare = trainer.prepare

    def prepared():
        prepare()
        before.update({key: value.clone() for key, value in trainer.towers.model.state_dict().items()})

    trainer.prepare = prepared
    assert trainer.run() == 0
    after = MotionPatchModel.from_pretrained(tmp_path / "a").state_dict()
    for key, value in before.items():
        assert torch.equal(after[key], value) == ("projection" not in key or after[key].ndim == 0), key


def test_going_on_needs_the_same_shape(folder, tmp_path):
    assert Trainer(tiny_arguments(folder, tmp_path / "a", epochs=1)).run() == 0
    changes = {"init_from": str(tmp_path / "a"), "epochs": 1}
    assert Trainer(tiny_arguments(folder, tmp_path / "b", **changes)).run() == 0
    with pytest.raises(TrainingError, match="projection_dim"):
        Trainer(tiny_arguments(folder, tmp_path / "c", **changes, **{"model.projection_dim": 8})).run()


def test_a_loss_that_is_no_number_stops_the_run(folder, tmp_path):
    args = tiny_arguments(
        folder, tmp_path / "a", epochs=3, optimizer="sgd", lr_heads=1e30, max_grad_norm=None, warmup=0.0
    )
    with pytest.raises(TrainingError, match="loss is"):
        Trainer(args).run()


def test_extractor_choice_for_several_skeletons():
    from modeling_motionpatch.training.build import build_extractor

    both = [get_skeleton("smpl22"), get_skeleton("kit21"), get_skeleton("smpl22")]
    data = [{"name": "humanml3d"}, {"name": "kitml"}]
    assert build_extractor(TrainArguments(data=data), both).skeleton == "smpl22"
    for order in (("kit21", "smpl22"), ("smpl22", "kit21")):  # as many clips of each: the first, in every process
        equal = [get_skeleton(name) for name in order * 3]
        assert build_extractor(TrainArguments(data=data), equal).skeleton == order[0]
    with pytest.raises(TrainingError, match="several skeletons"):
        build_extractor(TrainArguments(data=data, extractor_preset="official"), both)
    assert isinstance(
        build_extractor(TrainArguments(data=data, extractor={"fps": 30.0}), both), MotionPatchFeatureExtractor
    )
