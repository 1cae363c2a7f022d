"""Every recipe starts on a folder in the real format of its data set and ends in a folder that opens."""

import json

import numpy as np
import pytest
import torch
from fixtures_data import write_babel, write_humanml3d, write_interhuman, write_kitml

from modeling_motionpatch import MotionPatchModel, MotionPatchProcessor
from modeling_motionpatch.training import (
    PRESETS,
    Trainer,
    TrainingError,
    find_recipe,
    known_recipes,
    read_recipe,
    resolve_arguments,
)
from modeling_motionpatch.training.build import check_model_settings
from modeling_motionpatch.training.main import help_text, main, parse


TINY_VIT = "model.motion_config.architecture_kwargs={embed_dim: 16, depth: 1, num_heads: 2}"
TINY_TEXT = "model.text_config={model_type: distilbert, dim: 16, n_layers: 1, n_heads: 2, hidden_dim: 32}"
SCRATCH = ["motion_pretrained=null", "text_pretrained=null", "tokenizer=train", TINY_VIT, TINY_TEXT]
COMMON = [
    "batch_size=4",
    "dry_run=true",
    "progress=false",
    "plot=false",
    "mixed_precision=no",
    "model.projection_dim=8",
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    writers = {
        "humanml3d": write_humanml3d,
        "kitml": write_kitml,
        "interhuman": write_interhuman,
        "babel": write_babel,
    }
    for name, write in writers.items():
        write(root / name, defects=False)
    return root


def start(folders, recipe, output, *overrides):
    """Runs a recipe with its data in `folders`; returns results.json."""
    settings = read_recipe(recipe)
    if settings.get("data"):
        sets = [settings["data"]] if isinstance(settings["data"], dict) else settings["data"]
        where = [f"data.{i}." if isinstance(settings["data"], list) else "data." for i in range(len(sets))]
        paths = []
        for prefix, item in zip(where, sets):
            paths += [f"{prefix}data_dir={folders / item['name']}", f"{prefix}cache_dir={folders / 'cache'}"]
    else:
        paths = [f"data_dir={folders / 'babel'}", f"evaluation_data.0.cache_dir={folders / 'cache'}"]
        overrides = [o for o in overrides if not o.startswith("model.")]
    args = resolve_arguments(recipe, [*paths, *COMMON, f"output_dir={output}", *overrides])
    assert Trainer(args).run() == 0
    return json.loads((output / "results.json").read_text())


@pytest.fixture(scope="module")
def table2(folders):
    output = folders / "table2"
    return output, start(folders, "table2", output, *SCRATCH)


def test_table2_opens(table2, folders):
    output, results = table2
    model, processor = MotionPatchModel.from_pretrained(output), MotionPatchProcessor.from_pretrained(output)
    joints = np.load(folders / "humanml3d/new_joints/000003.npy")
    inputs = processor(text="a person walks", motions=joints, fps=20.0, skeleton="smpl22", return_tensors="pt")
    assert model.eval()(**inputs).logits_per_text.shape == (1, 1)
    assert model.dtype == torch.float32
    assert results["steps"] == 1 and results["num_clips"] == {"train": 9, "validation": 6, "test": 6}
    assert set(results["test"]["humanml3d"]) == {"all"}
    card = (output / "README.md").read_text()
    assert "humanml3d" in card and "preset `ours`" in card and "R@1" in card
    assert results["left_out"] == {"humanml3d": {}}


@pytest.mark.parametrize("preset", ["official", "paper"])
@pytest.mark.parametrize("recipe", ["table2", "table3"])
def test_presets(folders, tmp_path, recipe, preset):
    start(folders, recipe, tmp_path / "out", f"preset={preset}", *SCRATCH)
    extractor = MotionPatchProcessor.from_pretrained(tmp_path / "out").feature_extractor
    config = MotionPatchModel.from_pretrained(tmp_path / "out").config
    assert extractor.padding == "zeros"
    if preset == "official":
        assert extractor.normalization == "joint" and extractor.part_order[0] == "right_leg"
        assert extractor.interpolation == "half_pixel" and extractor.resampling == "repeat"
        assert config.motion_config.pooling == "avg" and config.loss_reduction == "mean"
        assert config.projection_dropout == (0.5 if recipe == "table2" else 0.0)
    else:
        assert extractor.normalization == "point" and config.motion_config.pooling == "cls"
        assert config.loss_reduction == "sum"


@pytest.mark.parametrize("recipe", ["table3", "table4", "table7", "table11"])
def test_tables_from_scratch(folders, tmp_path, recipe):
    results = start(folders, recipe, tmp_path / "out", *SCRATCH)
    config = MotionPatchModel.from_pretrained(tmp_path / "out").config
    if recipe == "table4":
        assert config.motion_config.input_kind == "frames"
    if recipe == "table7":
        assert config.num_persons == 2
    if recipe == "table11":
        assert set(results["test"]) == {"humanml3d", "kitml"}


@pytest.mark.parametrize("recipe", ["table5", "table11_finetune"])
def test_going_on_from_a_model(folders, table2, tmp_path, recipe):
    quick = ["model={}", f"init_from={table2[0]}"]
    shape = [item for item in COMMON if item.startswith("model")]
    settings = [item for item in quick if item != "model={}"]
    COMMON_WITHOUT = [item for item in COMMON if item not in shape]
    args = resolve_arguments(
        recipe,
        [*COMMON_WITHOUT, *settings, f"output_dir={tmp_path / 'out'}", f"data_dir={folders / 'kitml'}",
         f"data.cache_dir={folders / 'cache'}"],
    )  # fmt: skip
    assert Trainer(args).run() == 0
    before = MotionPatchModel.from_pretrained(table2[0])
    after = MotionPatchModel.from_pretrained(tmp_path / "out")
    assert before.config.text_config.to_dict() == after.config.text_config.to_dict()
    # epochs=0: the very same weights, on another skeleton
    args = resolve_arguments(
        recipe,
        [*COMMON_WITHOUT, *settings, f"output_dir={tmp_path / 'zero'}", f"data_dir={folders / 'kitml'}",
         f"data.cache_dir={folders / 'cache'}", "epochs=0"],
    )  # fmt: skip
    assert Trainer(args).run() == 0
    zero = MotionPatchModel.from_pretrained(tmp_path / "zero")
    for key, value in before.state_dict().items():
        assert torch.equal(zero.state_dict()[key], value)


def test_table6_classifies(folders, table2, tmp_path):
    shape = [item for item in COMMON if not item.startswith("model")]
    args = resolve_arguments(
        "table6",
        [*shape, f"init_from={table2[0]}", f"output_dir={tmp_path / 'out'}", f"data_dir={folders / 'babel'}"],
    )
    args.evaluation_data[0]["cache_dir"] = str(folders / "cache")
    assert Trainer(args).run() == 0
    figures = json.loads((tmp_path / "out/results.json").read_text())["evaluation_data"]["babel/validation"]
    assert 0 <= figures["top1"] <= figures["top5"] <= 100


def test_pretrained_towers(folders, tmp_path):
    """Tables 8 to 10 from weights saved here: a ViT of 224 x 224 pixels and a DistilBERT with its tokenizer."""
    import timm
    from safetensors.torch import save_file
    from transformers import DistilBertConfig, DistilBertModel

    from modeling_motionpatch.training import train_tokenizer

    kwargs = {"embed_dim": 16, "depth": 1, "num_heads": 2}
    vit = timm.create_model("vit_small_patch16_224", num_classes=10, **kwargs)
    save_file(vit.state_dict(), tmp_path / "vit.safetensors")
    tokenizer = train_tokenizer(["a person walks forward"], 200)
    config = DistilBertConfig(vocab_size=len(tokenizer), dim=16, n_layers=1, n_heads=2, hidden_dim=32)
    text = DistilBertModel(config)
    text.save_pretrained(tmp_path / "text")
    tokenizer.save_pretrained(tmp_path / "text")
    local = [
        f"motion_pretrained={tmp_path / 'vit.safetensors'}",
        "model.motion_config.architecture=vit_small_patch16_224",
        TINY_VIT,
        f"text_pretrained={tmp_path / 'text'}",
        f"tokenizer={tmp_path / 'text'}",
        "lr_motion=0",
        "lr_text=0",
        "weight_decay=0",
    ]
    start(folders, "table8", tmp_path / "table8", *local, "freeze=[text]")
    model = MotionPatchModel.from_pretrained(tmp_path / "table8")
    assert torch.equal(model.motion_model.vit.blocks[0].attn.qkv.weight, vit.blocks[0].attn.qkv.weight)
    assert torch.equal(model.text_model.embeddings.word_embeddings.weight, text.embeddings.word_embeddings.weight)
    start(folders, "table10", tmp_path / "table10", *local)
    assert MotionPatchModel.from_pretrained(tmp_path / "table10").config.motion_config.patch_size == 8


def test_table9_with_clip(folders, tmp_path):
    text = "model.text_config={model_type: clip_text_model, hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 32}"
    settings = ["motion_pretrained=null", "text_pretrained=null", "tokenizer=train", TINY_VIT, text]
    settings.append("model.motion_config.architecture=vit_base_patch16_clip_224")
    start(folders, "table9", tmp_path / "out", *settings)
    config = MotionPatchModel.from_pretrained(tmp_path / "out").config
    assert config.text_pooling == "eos" and config.text_config.model_type == "clip_text_model"


def test_demo_starts(tmp_path):
    counts = ["data.num_train=6", "data.num_validation=2", "data.num_test=2", "progress=false", "plot=false"]
    args = resolve_arguments(None, [*counts, f"output_dir={tmp_path / 'out'}", "dry_run=true", "batch_size=4"])
    assert Trainer(args).run() == 0
    assert (tmp_path / "out/model.safetensors").stat().st_size < 8e6
    # stored in half precision, computed with in float32
    assert MotionPatchModel.from_pretrained(tmp_path / "out").dtype == torch.float32


def test_every_recipe_resolves_in_every_preset():
    assert known_recipes()[:2] == ["demo", "table2"] and len(known_recipes()) == 12
    for recipe in known_recipes():
        for preset in PRESETS:
            check_model_settings(resolve_arguments(recipe, [f"preset={preset}"]))
    for name in ("accelerate/fsdp", "accelerate/gpu8", "accelerate/gpu", "accelerate/cpu", "recipes/table2.yaml"):
        assert find_recipe(name).is_file()


def test_presets_state_the_facts():
    official, paper = (resolve_arguments("table2", [f"preset={name}"]) for name in ("official", "paper"))
    assert (official.lr_text, official.lr_motion, official.lr_heads) == (1e-5, 1e-4, 1e-4)
    assert (paper.lr_text, paper.lr_motion, paper.lr_heads) == (1e-5, 1e-4, 1e-3)
    assert (official.batch_size, paper.batch_size) == (128, 256) and official.schedule == "cosine_half"
    kit = resolve_arguments("table3", ["preset=official"])
    assert (kit.lr_text, kit.lr_motion, kit.lr_heads) == (1e-5, 1e-5, 1e-5)
    assert kit.model["projection_dropout"] == 0.0


@pytest.mark.parametrize(
    "overrides, message",
    [
        (["epoch=3"], "`epochs`"),
        (["model.motion_config.pathc_size=8"], "`patch_size`"),
        (["model.projection_dims=8"], "`projection_dim`"),
        (["extractor.paddings=mask"], "`padding`"),
        (["extractor.patch_size=8"], "model.motion_config.patch_size"),
        (["model.text_config.n_layer=8"], "`n_layers`"),
        (["gradient_accumulation_steps=4"], "chunk_size"),
        (["learning_rate=1"], "lr_motion"),
        (["epochs=many"], "int"),
        (["batch_size=1"], "at least 2"),
        (["schedule=step"], "cosine_half"),
        (["freeze=[heads]"], "motion"),
        (["mirror=2"], "between 0 and 1"),
        (["preset=offical"], "official"),
        (["false_negatives=near"], "exact"),
        (["nonsense"], "key=value"),
        (["push_to_hub=true"], "hub_model_id"),
        (["data.name=humanml"], "humanml3d"),
        (["data.nmu_train=8"], "num_train"),
        (["protocols=[all, threshold]"], "motionpatch evaluate"),
        (["best_metric=R@1"], "t2m/R@1"),
        (["evaluation_data=[{data_dir: x}]"], "`evaluation_data.0`"),
        (["evaluation_data=[{name: babel, task: classify}]"], "classification"),
        (["evaluation_data=[{name: babel, data_dir: nowhere}]"], "nowhere"),
        (["init_from=nowhere"], "`init_from` is 'nowhere', which cannot be loaded"),
        (["tokenizer=nowhere"], "`tokenizer` is 'nowhere', which cannot be loaded"),
        (["trackers=[nobody]"], "nobody"),
        (["model.motion_config.pooling=max"], "`pooling`"),
        (["extractor.normalization=image"], "`normalization`"),
    ],
)
def test_bad_settings_say_what_to_do(tmp_path, overrides, message, capsys):
    assert main([f"output_dir={tmp_path / 'o'}", "progress=false", *overrides]) == 2
    assert message in capsys.readouterr().err


def test_recipe_files_are_checked(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("base: demo\nepochs: 3\npresets: {official: {batchsize: 3}}\n")
    with pytest.raises(TrainingError, match="batch_size"):
        resolve_arguments(path)
    path.write_text("base: mine\n")
    with pytest.raises(TrainingError, match="its own base"):
        resolve_arguments(path)
    path.write_text("a: [1\n")
    with pytest.raises(TrainingError, match="YAML"):
        resolve_arguments(path)
    with pytest.raises(TrainingError, match="table2"):
        resolve_arguments("tabel2")
    path.write_text("base: demo\nlr_text: 1e-4\nmodel: {projection_dropout: 0.25}\n")
    args = resolve_arguments(path, ["model.projection_dim=32"])
    assert args.lr_text == 1e-4 and args.model["projection_dropout"] == 0.25 and args.model["projection_dim"] == 32


def test_what_a_set_could_not_use_is_in_the_results(tmp_path):
    write_humanml3d(tmp_path / "humanml3d")
    results = start(tmp_path, "table2", tmp_path / "out", *SCRATCH)
    assert results["left_out"]["humanml3d"]["NaN or infinite joints"] == 1


def test_the_card_names_what_a_run_started_from(tmp_path):
    from modeling_motionpatch.training.reporting import base_models

    both = ["timm/vit_base_patch16_224.augreg_in21k", "distilbert-base-uncased"]
    assert base_models(resolve_arguments("table2")) == both
    assert base_models(resolve_arguments("demo")) == []
    assert base_models(resolve_arguments("table5", ["init_from=user/model"])) == ["user/model"]
    assert base_models(resolve_arguments("table5", [f"init_from={tmp_path}"])) == []


def test_command_line_forms():
    assert parse(["--recipe", "table2", "--epochs", "3", "--resume", "--lr-text=1e-4", "seed=1"]) == (
        "table2",
        ["epochs=3", "resume=true", "lr_text=1e-4", "seed=1"],
    )
    text = help_text()
    assert "table11_finetune" in text and "lr_heads" in text and "Exit codes" in text


def test_several_sets_need_a_name_each(folders):
    with pytest.raises(TrainingError, match="data.0.data_dir"):
        resolve_arguments("table11", [f"data_dir={folders}"])
    args = resolve_arguments("table11", ["data.1.data_dir=/kit"])
    assert args.datasets[1]["data_dir"] == "/kit" and args.datasets[0]["name"] == "humanml3d"
