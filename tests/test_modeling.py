"""The dual encoder: masks, pooling, towers, precisions, saving; each result reached by two routes."""

import copy

import numpy as np
import pytest
import timm
import torch
from conftest import GOLDEN, TINY_VIT, random_motion, tiny_config
from transformers import AutoConfig, AutoModel, CLIPTextConfig

from modeling_motionpatch import (
    MotionPatchConfig,
    MotionPatchFeatureExtractor,
    MotionPatchModel,
    MotionPatchMotionConfig,
    MotionPatchMotionModel,
    MotionPatchMotionModelWithProjection,
    MotionPatchTextModelWithProjection,
    convert_official_checkpoint,
)


def inputs(batch=3, frames=224, width=80, length=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        "input_ids": torch.randint(5, 200, (batch, length), generator=generator),
        "attention_mask": torch.ones(batch, length, dtype=torch.long),
        "motion_values": torch.randn(batch, 3, frames, width, generator=generator),
    }


def row_mask(rows, total=14, columns=5):
    return (torch.arange(total)[None, :, None] < torch.tensor(rows)[:, None, None]).long().expand(-1, -1, columns)


def close(a, b, atol=1e-5):
    torch.testing.assert_close(a, b, atol=atol, rtol=0)


# ------------------------------------------------------------------------------------------------------ golden


def test_converted_checkpoint_matches_golden():
    import json

    settings = json.loads((GOLDEN / "model_config.json").read_text())
    config = MotionPatchConfig(
        motion_config={"architecture_kwargs": TINY_VIT},
        text_config=settings["text"],
        projection_dim=settings["projection_dim"],
    )
    model = convert_official_checkpoint(GOLDEN / "official_style_checkpoint.pt", config)
    with np.load(GOLDEN / "model_io.npz") as data:
        golden = {key: torch.from_numpy(np.asarray(data[key])) for key in data}
    with torch.no_grad():
        output = model(
            input_ids=golden["input_ids"],
            attention_mask=golden["attention_mask"],
            motion_values=golden["motion_values"],
            return_loss=True,
        )
    close(output.motion_embeds, golden["motion_embeds"])
    close(output.text_embeds, golden["text_embeds"])
    close(output.loss, golden["loss"].float().reshape(()))
    assert not model.training


def test_converter_refuses_what_does_not_fit(tmp_path, tiny_model):
    path = GOLDEN / "official_style_checkpoint.pt"
    with pytest.raises(ValueError, match="number of attention heads"):
        convert_official_checkpoint(path)
    with pytest.raises(ValueError, match="does not fit"):
        convert_official_checkpoint(path, tiny_config(projection_dim=24))
    torch.save(tiny_model.state_dict(), tmp_path / "ours.pt")
    with pytest.raises(ValueError, match="no checkpoint of the official code"):
        convert_official_checkpoint(tmp_path / "ours.pt")
    (tmp_path / "noise.pt").write_bytes(b"\x80\x02not a checkpoint")
    with pytest.raises(ValueError, match="noise.pt"):
        convert_official_checkpoint(tmp_path / "noise.pt")
    with pytest.raises(ValueError, match="no file"):
        convert_official_checkpoint(tmp_path / "absent.pt")


def test_converter_reads_standard_widths_from_shapes(tmp_path):
    config = MotionPatchConfig(
        motion_config={"architecture_kwargs": {"embed_dim": 192, "depth": 1, "num_heads": 3}},
        text_config={"model_type": "distilbert", "vocab_size": 50, "dim": 192, "n_layers": 1, "n_heads": 3, "hidden_dim": 64},
        projection_dim=8,
    )  # fmt: skip
    model = MotionPatchModel(config).eval()
    names = (("motion_model.vit.", "motion_encoder.model."), ("text_model.", "text_encoder.text_model."))
    state = {}
    for key, value in model.state_dict().items():
        for ours, theirs in names:
            key = theirs + key[len(ours) :] if key.startswith(ours) else key
        state[key] = value
    torch.save(state, tmp_path / "best_model.pt")
    again = convert_official_checkpoint(tmp_path / "best_model.pt")
    batch = {**inputs(), "input_ids": torch.randint(5, 50, (3, 7))}
    close(again(**batch).logits_per_text, model(**batch).logits_per_text)


# ------------------------------------------------------------------------------------------------------ the tower


@pytest.mark.parametrize("pooling,name", [("avg", "avg"), ("cls", "token")])
@pytest.mark.parametrize(
    "architecture", ["vit_tiny_patch16_224", "vit_base_patch16_clip_224", "deit3_small_patch16_224"]
)
def test_tower_agrees_with_timms_own_forward(pooling, name, architecture):
    config = MotionPatchMotionConfig(architecture=architecture, architecture_kwargs=TINY_VIT, pooling=pooling)
    tower = MotionPatchMotionModel(config).eval()
    values = inputs()["motion_values"]
    close(tower(values).pooler_output, tower.vit(values))
    assert tower.vit.global_pool == name


@pytest.mark.parametrize("pooling", ["avg", "cls"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_masked_trimmed_and_dropped_tokens_agree(pooling, attention):
    config = tiny_config({"pooling": pooling})
    model = MotionPatchModel._from_config(config, attn_implementation=attention).eval()
    values, rows = inputs()["motion_values"], [6, 9, 2]
    mask = row_mask(rows)
    trimmed = model.get_motion_features(values, mask)
    assert trimmed.last_hidden_state.shape[1] == 1 + 9 * 5
    whole = copy.deepcopy(model)
    whole.motion_model.config.trim_padding = False
    masked = whole.get_motion_features(values, mask)
    assert masked.last_hidden_state.shape[1] == 1 + 14 * 5
    untrimmed = model.get_motion_features(values, mask, trim_padding=False)
    assert torch.equal(untrimmed.last_hidden_state, masked.last_hidden_state)
    dropped = torch.cat(
        [model.get_motion_features(values[i : i + 1, :, : 16 * n]).pooler_output for i, n in enumerate(rows)]
    )
    close(trimmed.pooler_output, masked.pooler_output)
    close(trimmed.pooler_output, dropped)
    noisy = torch.where(mask.bool().repeat_interleave(16, 1).repeat_interleave(16, 2)[:, None], values, 1e3)
    close(model.get_motion_features(noisy, mask).pooler_output, trimmed.pooler_output)


def test_missing_body_part_changes_nothing():
    model = MotionPatchModel(tiny_config()).eval()
    values, mask = inputs()["motion_values"], row_mask([9, 9, 9]).clone()
    mask[..., 2] = 0
    other = values.clone()
    other[..., 32:48] = 50.0
    close(model.get_motion_features(values, mask).pooler_output, model.get_motion_features(other, mask).pooler_output)


@pytest.mark.parametrize("patch_size,frames", [(8, 224), (16, 224), (32, 224), (16, 64)])
def test_patch_sizes(patch_size, frames):
    extractor = MotionPatchFeatureExtractor(patch_size=patch_size, max_frames=frames, normalization="none")
    model = MotionPatchModel(tiny_config({"patch_size": patch_size, "max_frames": frames})).eval()
    batch = extractor([random_motion(40), random_motion(64)], return_tensors="pt")
    output = model.get_motion_features(**batch, output_hidden_states=True, output_attentions=True)
    assert output.pooler_output.shape == (2, 16)
    tokens = 1 + -(-64 // patch_size) * 5
    assert output.last_hidden_state.shape == (2, tokens, 32)
    assert len(output.hidden_states) == 3 and output.attentions[0].shape == (2, 2, tokens, tokens)
    close(output.attentions[0].sum(-1), torch.ones(2, 2, tokens))


def test_attentions_are_those_of_the_layers():
    model = MotionPatchModel._from_config(tiny_config(), attn_implementation="eager").eval()
    block = model.motion_model.vit.blocks[0]
    seen = []
    block.attn.attn_drop.register_forward_hook(lambda module, args, output: seen.append(output))
    values, mask = inputs()["motion_values"], row_mask([3, 14, 8])
    close(model.get_motion_features(values, mask, output_attentions=True).attentions[0], seen[0])


def test_frames_as_tokens():
    extractor = MotionPatchFeatureExtractor(input_kind="frames", max_frames=64).fit([random_motion(60)])
    model = MotionPatchModel(tiny_config({"input_kind": "frames", "num_joints": 22, "max_frames": 64})).eval()
    batch = extractor([random_motion(40), random_motion(64)], return_tensors="pt")
    output = model.get_motion_features(**batch)
    assert output.last_hidden_state.shape == (2, 65, 32)
    alone = model.get_motion_features(batch["motion_values"][:1, :, :40]).pooler_output
    close(output.pooler_output[:1], alone)


def test_two_persons_share_the_tower():
    model = MotionPatchModel(tiny_config(num_persons=2)).eval()
    values = torch.stack([inputs(seed=0)["motion_values"], inputs(seed=1)["motion_values"]], dim=1)
    mask = torch.stack([row_mask([6, 9, 2]), row_mask([9, 9, 3])], dim=1)
    output = model.get_motion_features(values, mask).pooler_output
    features = [model.motion_model(values[:, i], mask[:, i]).pooler_output for i in range(2)]
    close(output, model.motion_projection(torch.cat(features, dim=-1)))
    with pytest.raises(ValueError, match="2 persons"):
        model.get_motion_features(values[:, 0])


@pytest.mark.parametrize("architecture", ["resnet18", "swin_tiny_patch4_window7_224", "no_such_vit"])
def test_other_architectures_are_refused(architecture):
    with pytest.raises(ValueError, match=architecture):
        MotionPatchMotionModel(MotionPatchMotionConfig(architecture=architecture, hidden_size=32))


# ------------------------------------------------------------------------------------------------------ text towers


@pytest.mark.parametrize(
    "text,pooling",
    [
        ({"model_type": "bert", "vocab_size": 200, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
          "intermediate_size": 64}, "cls"),
        ({"model_type": "roberta", "vocab_size": 200, "hidden_size": 32, "num_hidden_layers": 1,
          "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 64}, "mean"),
        (CLIPTextConfig(vocab_size=200, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
                        intermediate_size=64, projection_dim=16, eos_token_id=199, bos_token_id=1, pad_token_id=0), "eos"),
    ],
    ids=["bert", "roberta", "clip"],
)  # fmt: skip
def test_other_text_towers(text, pooling, tmp_path):
    model = MotionPatchModel(tiny_config(text_config=text, text_pooling=pooling)).eval()
    batch = inputs()
    batch["input_ids"][:, -1] = 199
    batch["attention_mask"][0, 5:] = 0
    output = model(**batch, return_loss=True)
    assert torch.isfinite(output.loss)
    short = model.get_text_features(batch["input_ids"][:1, :5], batch["attention_mask"][:1, :5]).pooler_output
    close(model.get_text_features(batch["input_ids"], batch["attention_mask"]).pooler_output[:1], short)
    model.save_pretrained(tmp_path)
    close(MotionPatchModel.from_pretrained(tmp_path)(**batch).logits_per_text, output.logits_per_text)
    assert type(model.text_model).__name__ == type(AutoModel.from_config(model.config.text_config)).__name__


def test_a_whole_clip_gives_its_text_model():
    config = MotionPatchConfig(text_config={"model_type": "clip", "text_config": {"hidden_size": 32}})
    assert config.text_config.model_type == "clip_text_model" and config.text_config.hidden_size == 32


def test_clips_eos_pooling_is_clips_own():
    config = CLIPTextConfig(
        vocab_size=200,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        eos_token_id=199,
    )
    model = MotionPatchModel(tiny_config(text_config=config, text_pooling="eos")).eval()
    ids = torch.randint(3, 190, (4, 9))
    mask = torch.zeros_like(ids)
    for row, length in enumerate((3, 9, 5, 1)):
        ids[row, length - 1 :] = 199
        mask[row, :length] = 1
    expected = model.text_projection(model.text_model(input_ids=ids, attention_mask=mask).pooler_output)
    close(model.get_text_features(ids, mask).pooler_output, expected)


# ------------------------------------------------------------------------------------------------------ saving


def test_save_and_load(tmp_path, tiny_model):
    tiny_model.save_pretrained(tmp_path)
    batch = inputs()
    expected = tiny_model(**batch, return_loss=True)
    for loaded in (MotionPatchModel.from_pretrained(tmp_path), AutoModel.from_pretrained(tmp_path)):
        output = loaded(**batch, return_loss=True)
        close(output.loss, expected.loss, atol=0)
        for tower in ("motion_config", "text_config"):
            saved, again = (getattr(config, tower).to_dict() for config in (tiny_model.config, loaded.config))
            assert saved | {"dtype": None} == again | {"dtype": None}
        assert not loaded.training
    config = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(config, MotionPatchConfig) and config.motion_config.architecture_kwargs == TINY_VIT
    close(
        MotionPatchTextModelWithProjection.from_pretrained(tmp_path)(batch["input_ids"]).text_embeds,
        expected.text_embeds,
        0,
    )
    close(MotionPatchMotionModelWithProjection.from_pretrained(tmp_path)(batch["motion_values"]).motion_embeds,
          expected.motion_embeds, 0)  # fmt: skip


def test_single_towers_load_without_complaint(tmp_path, tiny_model, caplog):
    tiny_model.save_pretrained(tmp_path)
    for tower in (MotionPatchTextModelWithProjection, MotionPatchMotionModelWithProjection, MotionPatchMotionModel):
        _, info = tower.from_pretrained(tmp_path, output_loading_info=True)
        assert not info["missing_keys"] and not info["unexpected_keys"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(tmp_path, tiny_model, dtype):
    tiny_model.save_pretrained(tmp_path)
    batch = inputs()
    half = MotionPatchModel.from_pretrained(tmp_path, dtype=dtype)
    output = half(**batch, motion_attention_mask=row_mask([6, 9, 2]), return_loss=True)
    assert output.motion_embeds.dtype == dtype and torch.isfinite(output.loss)
    expected = tiny_model(**batch, motion_attention_mask=row_mask([6, 9, 2]), return_loss=True)
    close(output.loss, expected.loss, atol=0.05)
    half.save_pretrained(tmp_path / "half")
    assert MotionPatchModel.from_pretrained(tmp_path / "half").dtype == dtype  # dtype="auto" is transformers' default
    assert MotionPatchModel.from_pretrained(tmp_path / "half", dtype=torch.float32).dtype == torch.float32


def test_missing_weights_are_initialised_not_left_empty(tmp_path, tiny_model):
    from safetensors.torch import load_file, save_file

    tiny_model.save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    dropped = ["motion_model.vit.pos_embed", "motion_model.vit.cls_token", "logit_scale", "text_projection.fc.weight"]
    save_file({k: v for k, v in state.items() if k not in dropped}, tmp_path / "model.safetensors", {"format": "pt"})
    model, info = MotionPatchModel.from_pretrained(tmp_path, output_loading_info=True)
    assert set(info["missing_keys"]) == set(dropped)
    for name, value in model.state_dict().items():
        assert torch.isfinite(value).all(), name
    close(model.logit_scale, torch.tensor(float(np.log(1 / 0.07))))
    assert 0.01 < model.motion_model.vit.pos_embed.std() < 0.03


def test_corrupt_and_foreign_checkpoints(tmp_path, tiny_model):
    tiny_model.save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    for load in (MotionPatchModel, MotionPatchMotionModel, AutoModel):
        with pytest.raises(ValueError, match=f"(?s){tmp_path.name}.*no intact safetensors file.*save them again"):
            load.from_pretrained(tmp_path)
    from transformers import BertConfig, BertModel

    bert = BertModel(
        BertConfig(vocab_size=50, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64)
    )
    bert.save_pretrained(tmp_path / "bert")
    with pytest.raises(ValueError, match="(?i)motionpatch"):
        MotionPatchModel.from_pretrained(tmp_path / "bert")
    with pytest.raises(ValueError, match="MotionPatchConfig"):
        MotionPatchModel(bert.config)


# ------------------------------------------------------------------------------------------------------ training


def test_activation_checkpointing_reaches_both_towers(tiny_model):
    batch = inputs()
    mask = row_mask([6, 9, 2])
    for module in tiny_model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    tiny_model.train()
    plain = tiny_model(**batch, motion_attention_mask=mask, return_loss=True).loss
    plain.backward()
    gradients = {n: p.grad.clone() for n, p in tiny_model.named_parameters() if p.grad is not None}
    tiny_model.zero_grad()
    calls = {"motion": 0, "text": 0}
    tiny_model.motion_model.vit.blocks[0].attn.register_forward_hook(
        lambda *_: calls.__setitem__("motion", calls["motion"] + 1)
    )
    tiny_model.text_model.transformer.layer[0].attention.register_forward_hook(
        lambda *_: calls.__setitem__("text", calls["text"] + 1)
    )
    enable = getattr(tiny_model, "activation_checkpointing_enable", tiny_model.gradient_checkpointing_enable)
    enable()
    loss = tiny_model(**batch, motion_attention_mask=mask, return_loss=True).loss
    loss.backward()
    assert calls == {"motion": 2, "text": 2}  # each layer ran again in the backward pass
    close(loss, plain, atol=1e-6)
    for name, parameter in tiny_model.named_parameters():
        if name in gradients:
            close(parameter.grad, gradients[name], atol=1e-5)


def test_temperature_is_constant_unless_learned():
    for learned in (False, True):
        model = MotionPatchModel(tiny_config(learn_logit_scale=learned, logit_scale_init_value=5.0))
        assert model.logit_scale.requires_grad == learned
        assert float(model.logit_scale_value().detach()) == pytest.approx(100.0)  # e^5 is beyond the bound
        model(**inputs(), return_loss=True).loss.backward()
    assert float(MotionPatchModel(tiny_config()).logit_scale_value()) == pytest.approx(1 / 0.07)


def test_it_learns():
    torch.manual_seed(0)
    model = MotionPatchModel(tiny_config(projection_dropout=0.0)).train()
    batch = inputs(8)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        loss = model(**batch, return_loss=True).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.2 * losses[0]


# ------------------------------------------------------------------------------------------------------ inputs


def test_bad_inputs_are_refused(tiny_model):
    batch = inputs()
    for change, message in [
        ({"motion_values": None}, "motion_values"),
        ({"input_ids": None}, "input_ids"),
        ({"motion_values": torch.randn(3, 3, 224, 79)}, "80"),
        ({"motion_values": torch.randn(3, 1, 224, 80)}, "3, T"),
        ({"motion_values": torch.randn(3, 3, 240, 80)}, "224"),
        ({"motion_values": torch.randn(3, 3, 100, 80)}, "multiple of 16"),
        ({"motion_attention_mask": torch.ones(3, 224)}, "motion_attention_mask"),
    ]:
        with pytest.raises(ValueError, match=message):
            tiny_model(**{**batch, **change})
    with pytest.raises(ValueError, match="same B"):
        tiny_model(**{**batch, "motion_values": batch["motion_values"][:2]}, return_loss=True)
    assert tiny_model(**{**batch, "motion_values": batch["motion_values"][:2]}).logits_per_text.shape == (3, 2)


@pytest.mark.parametrize(
    "kwargs,message",
    [
        ({"motion": {"pooling": "max"}}, "pooling"), ({"motion": {"max_frames": 100}}, "multiple"),
        ({"motion": {"input_kind": "frames"}}, "num_joints"), ({"text_pooling": "last"}, "text_pooling"),
        ({"projection_dim": 0}, "projection_dim"), ({"num_persons": 0}, "num_persons"),
        ({"projection_dropout": 1.5}, "dropout"), ({"text_config": {"model_type": "nobert"}}, "nobert"),
        ({"text_config": {"model_type": "t5"}}, "'t5', which is no text encoder"),
        ({"text_config": {"model_type": "siglip"}}, "'siglip', which is no text encoder"),
        ({"projecton_dim": 8}, "projection_dim"), ({"motion": {"patchsize": 8}}, "patch_size"),
    ],
)  # fmt: skip
def test_bad_configurations_are_refused(kwargs, message):
    with pytest.raises(Exception, match=message):
        tiny_config(**kwargs)


def test_outputs_as_tuples_and_flash_attention(tiny_model):
    batch = inputs()
    output = tiny_model(**batch, return_loss=True)
    as_tuple = tiny_model(**batch, return_loss=True, return_dict=False)
    close(as_tuple[0], output.loss, 0)
    close(as_tuple[1], output.logits_per_motion, 0)
    with pytest.raises(ValueError, match="(?i)flash"):
        MotionPatchModel._from_config(tiny_config(), attn_implementation="flash_attention_2")


def test_unit_length_and_features(tiny_model):
    batch = inputs()
    output = tiny_model(**batch)
    features = tiny_model.get_motion_features(batch["motion_values"]).pooler_output
    close(output.motion_embeds, torch.nn.functional.normalize(features, dim=-1), 1e-6)
    close(output.motion_embeds.norm(dim=-1), torch.ones(3), 1e-5)
    close(output.text_embeds.norm(dim=-1), torch.ones(3), 1e-5)
    close(output.logits_per_text, output.text_embeds @ output.motion_embeds.T / 0.07, 1e-4)
    assert timm.__version__
