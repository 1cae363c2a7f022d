"""What a user of transformers takes for granted about a model class, pinned for ours."""

import copy
import inspect
import pickle

import pytest
import timm
import torch
from conftest import TINY_TEXT, TINY_VIT, tiny_config
from torch import nn
from transformers import AutoModel, PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils import ModelOutput

from modeling_motionpatch import (
    MotionPatchConfig,
    MotionPatchModel,
    MotionPatchMotionConfig,
    MotionPatchMotionModel,
    MotionPatchMotionModelWithProjection,
    MotionPatchTextModelWithProjection,
)


TIMM_BUILDS_ON_META = tuple(int(part) for part in timm.__version__.split(".")[:3]) > (1, 0, 20)
FRAMES = 64  # 4 x 5 patches
TOKENS = 1 + 4 * 5
BERT = {"model_type": "bert", "vocab_size": 200, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 64, "max_position_embeddings": 64}  # fmt: skip
CLASSES = [
    MotionPatchModel,
    MotionPatchMotionModelWithProjection,
    MotionPatchTextModelWithProjection,
    MotionPatchMotionModel,
]
SINGLE = CLASSES[1:]


def config_of(model_class, **kwargs):
    config = tiny_config({"max_frames": FRAMES}, **kwargs)
    return config.motion_config if model_class is MotionPatchMotionModel else config


def build(model_class, attention="sdpa", **kwargs):
    config = config_of(model_class, **kwargs)
    torch.manual_seed(0)
    return model_class._from_config(config, attn_implementation=attention).eval()


def inputs_of(model_class, batch=3, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, 200, (batch, 7), generator=generator)
    text = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    text["attention_mask"][0, 5:] = 0
    rows = torch.arange(4)[None, :, None] < torch.tensor([2, 4, 3, 4, 1])[:batch, None, None]
    motion = {
        "motion_values": torch.randn(batch, 3, FRAMES, 80, generator=generator).to(dtype),
        "motion_attention_mask": rows.long().expand(-1, -1, 5),
    }
    if model_class is MotionPatchModel:
        return {**text, **motion}
    return text if model_class is MotionPatchTextModelWithProjection else motion


def first(output):
    """The tensor that a class is used for."""
    for name in ("logits_per_text", "motion_embeds", "text_embeds", "pooler_output"):
        if name in output:
            return output[name]
    raise AssertionError(output.keys())


def close(a, b, atol=1e-6):
    torch.testing.assert_close(a, b, atol=atol, rtol=0)


# ------------------------------------------------------------------------------------------------ outputs


@pytest.mark.parametrize("model_class", SINGLE)
def test_hidden_states_and_attentions_by_argument_and_by_configuration(model_class):
    inputs = inputs_of(model_class)
    tokens = 7 if "input_ids" in inputs else TOKENS
    plain = build(model_class)(**inputs)
    assert plain.hidden_states is None and plain.attentions is None
    asked = build(model_class, "eager")(**inputs, output_hidden_states=True, output_attentions=True)

    by_config = build(model_class, "eager")
    by_config.config.output_hidden_states = by_config.config.output_attentions = True
    in_sub_config = build(model_class, "eager")
    for part in (
        in_sub_config.config,
        *(getattr(in_sub_config.config, key) for key in in_sub_config.config.sub_configs),
    ):
        part.output_hidden_states = part.output_attentions = True
    for output in (asked, by_config(**inputs), in_sub_config(**inputs)):
        assert [state.shape for state in output.hidden_states] == [(3, tokens, 32)] * 3
        assert [weights.shape for weights in output.attentions] == [(3, 2, tokens, tokens)] * 2
        close(first(output), first(plain), 1e-5)
        close(output.attentions[0].sum(-1), torch.ones(3, 2, tokens), 1e-5)
    refused = by_config(**inputs, output_hidden_states=False, output_attentions=False)
    assert refused.hidden_states is None and refused.attentions is None


def test_the_dual_encoder_passes_them_on():
    model = build(MotionPatchModel, "eager")
    output = model(**inputs_of(MotionPatchModel), output_hidden_states=True, output_attentions=True)
    for tower, tokens in ((output.text_model_output, 7), (output.motion_model_output, TOKENS)):
        assert len(tower.hidden_states) == 3 and tower.attentions[1].shape == (3, 2, tokens, tokens)
    model.config.output_hidden_states = True
    output = model(**inputs_of(MotionPatchModel))
    assert len(output.text_model_output.hidden_states) == len(output.motion_model_output.hidden_states) == 3
    assert output.text_model_output.attentions is None


@pytest.mark.parametrize("model_class", [MotionPatchMotionModel, MotionPatchMotionModelWithProjection])
def test_gradients_flow_through_hidden_states_and_attentions(model_class):
    """They are the ones that the result was computed from, not copies beside it."""
    model = build(model_class, "eager")
    output = model(**inputs_of(model_class), output_hidden_states=True, output_attentions=True)
    kept = [output.hidden_states[0], output.attentions[0], output.attentions[1]]
    for tensor in kept:
        tensor.retain_grad()
    (first(output) * torch.randn_like(first(output))).sum().backward()
    assert all(tensor.grad is not None and tensor.grad.abs().sum() > 0 for tensor in kept)


@pytest.mark.parametrize("architecture", ["vit_tiny_patch16_224", "vit_small_patch16_18x2_224"])
def test_attentions_change_nothing(architecture):
    """Neither the result nor the fused kernel of the next call; for layers with several attentions too."""
    config = MotionPatchMotionConfig(architecture=architecture, architecture_kwargs=TINY_VIT, max_frames=FRAMES)
    model = MotionPatchMotionModel(config).eval()
    inputs = inputs_of(MotionPatchMotionModel)
    heads = 2 * len([module for module in model.vit.blocks[0].modules() if hasattr(module, "fused_attn")])
    before, asked = model(**inputs), model(**inputs, output_attentions=True)
    close(before.pooler_output, asked.pooler_output, 1e-5)
    assert asked.attentions[0].shape == (3, heads, TOKENS, TOKENS)
    close(model(**inputs).pooler_output, before.pooler_output, 0)
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("model_class", CLASSES)
def test_tuples(model_class):
    model, inputs = build(model_class), inputs_of(model_class)
    output = model(**inputs, output_hidden_states=True)
    assert isinstance(output, ModelOutput)
    as_tuple = model(**inputs, output_hidden_states=True, return_dict=False)
    model.config.return_dict = False
    by_config = model(**inputs, output_hidden_states=True)
    assert isinstance(as_tuple, tuple) and isinstance(by_config, tuple)
    assert len(as_tuple) == len(by_config) == len([value for value in output.values() if value is not None])
    for value, other, third in zip(output.values(), as_tuple, by_config):
        if torch.is_tensor(value):
            close(value, other, 0)
            close(value, third, 0)


def test_features_are_outputs_with_a_pooler_output():
    model, inputs = build(MotionPatchModel), inputs_of(MotionPatchModel)
    text = {key: inputs[key] for key in ("input_ids", "attention_mask")}
    motion = {key: inputs[key] for key in ("motion_values", "motion_attention_mask")}
    for features, part, width in ((model.get_text_features, text, 7), (model.get_motion_features, motion, TOKENS)):
        output = features(**part)
        assert isinstance(output, BaseModelOutputWithPooling)
        assert output.last_hidden_state.shape == (3, width, 32) and output.pooler_output.shape == (3, 16)
        assert isinstance(features(**part, return_dict=False), tuple)
        close(features(**inputs).pooler_output, output.pooler_output, 0)  # a whole batch does no harm


def test_a_single_tower_offers_its_own_features_alone():
    assert hasattr(MotionPatchMotionModelWithProjection, "get_motion_features")
    assert not hasattr(MotionPatchMotionModelWithProjection, "get_text_features")
    assert hasattr(MotionPatchTextModelWithProjection, "get_text_features")
    assert not hasattr(MotionPatchTextModelWithProjection, "get_motion_features")


@pytest.mark.parametrize("model_class", CLASSES)
def test_misspelled_motion_inputs_are_refused(model_class):
    """transformers would pass over `motion_mask`, and padding would be attended to."""
    with pytest.raises(TypeError, match="motion_mask"):
        build(model_class)(**inputs_of(model_class), motion_mask=torch.ones(3, 4, 5))


@pytest.mark.parametrize("model_class", CLASSES)
def test_deterministic_and_the_same_one_by_one(model_class):
    model, inputs = build(model_class), inputs_of(model_class)
    output = model(**inputs)
    close(first(model(**inputs)), first(output), 0)
    for index in range(3):
        alone = model(**{key: value[index : index + 1] for key, value in inputs.items()})
        for name in ("motion_embeds", "text_embeds", "pooler_output"):
            if name in output:
                close(alone[name][0], output[name][index], 1e-5)


@pytest.mark.parametrize("model_class", CLASSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_eager_and_sdpa_agree(model_class, dtype):
    inputs = inputs_of(model_class, dtype=dtype)
    sdpa = build(model_class).to(dtype)
    eager = copy.deepcopy(sdpa)
    eager.set_attn_implementation("eager")
    tolerance = {torch.float32: 1e-5, torch.bfloat16: 0.05, torch.float16: 0.01}[dtype]
    output, other = sdpa(**inputs), eager(**inputs)
    assert first(output).dtype == dtype
    scale = max(1.0, float(first(output).detach().abs().max()))
    close(first(output).float() / scale, first(other).float() / scale, tolerance)
    fused = [module.fused_attn for module in eager.modules() if hasattr(module, "fused_attn")]
    assert not any(fused)


# ------------------------------------------------------------------------------------------------ embeddings


@pytest.mark.parametrize("model_class", [MotionPatchModel, MotionPatchTextModelWithProjection])
def test_token_embeddings(model_class):
    model, inputs = build(model_class), inputs_of(model_class)
    assert isinstance(model.get_input_embeddings(), nn.Embedding)
    before = first(model(**inputs))
    ids = inputs.pop("input_ids")
    close(first(model(**inputs, inputs_embeds=model.get_input_embeddings()(ids))), before, 1e-5)
    old = model.get_input_embeddings().weight.clone()
    assert model.resize_token_embeddings(210).num_embeddings == 210
    assert model.config.get_text_config().vocab_size == model.text_model.config.vocab_size == 210
    close(model.get_input_embeddings().weight[:200], old, 0)
    close(first(model(input_ids=ids, **inputs)), before, 0)
    ids[0, 0] = 205
    assert torch.isfinite(first(model(input_ids=ids, **inputs))).all()
    other = nn.Embedding(10, 32)
    model.set_input_embeddings(other)
    assert model.get_input_embeddings() is other


@pytest.mark.parametrize("model_class", [MotionPatchMotionModel, MotionPatchMotionModelWithProjection])
def test_input_module_of_a_motion_tower(model_class):
    model = build(model_class)
    assert model.main_input_name == "motion_values"
    assert next(iter(inspect.signature(model.forward).parameters)) == "motion_values"
    assert isinstance(model.get_input_embeddings(), nn.Module) and model.get_output_embeddings() is None


# ------------------------------------------------------------------------------------------------ weights


@pytest.mark.parametrize("model_class", CLASSES)
def test_initialisation(model_class):
    """With a vanishing range every parameter is a constant: none keeps a random start of its own."""
    config = config_of(model_class)
    for part in (config, *(getattr(config, key) for key in config.sub_configs)):
        part.initializer_range = 1e-9
    model = model_class(config)
    for name, parameter in model.named_parameters():
        if "pos_embed" in name or "cls_token" in name or "logit_scale" in name:
            continue  # as timm starts them; the temperature has its own start
        assert round(float(parameter.detach().mean()), 6) in (0.0, 1.0), name
        assert float(parameter.detach().std() if parameter.numel() > 1 else 0.0) < 1e-6, name


@pytest.mark.parametrize("model_class", CLASSES)
def test_every_missing_weight_is_initialised(model_class):
    """From an empty checkpoint, built on the meta device: the same statistics as a fresh model's, nothing left over."""
    config = config_of(model_class)
    empty = model_class.from_pretrained(None, config=config, state_dict={})
    fresh = model_class(copy.deepcopy(config))
    for name, value in empty.state_dict().items():
        assert value.device.type == "cpu" and torch.isfinite(value).all(), name
        other = fresh.state_dict()[name]
        assert abs(float(value.float().mean() - other.float().mean())) < 0.02, name
        if value.numel() > 100:
            assert float(value.std()) == pytest.approx(float(other.std()), rel=0.3, abs=1e-6), name


@pytest.mark.parametrize("model_class", CLASSES)
def test_saving_and_loading(model_class, tmp_path):
    model, inputs = build(model_class), inputs_of(model_class)
    model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").is_file()
    loaded, info = model_class.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert loaded.state_dict().keys() == model.state_dict().keys() and not loaded.training
    close(first(loaded(**inputs)), first(model(**inputs)), 0)
    assert loaded.config._attn_implementation == "sdpa" and loaded.dtype == torch.float32
    parameters = {name for name, _ in model.named_parameters()}
    buffers = {name for name, _ in model.named_buffers()}
    assert parameters | buffers >= model.state_dict().keys()
    copied = pickle.loads(pickle.dumps(model))  # e.g. to a process that is spawned
    close(first(copied(**inputs)), first(model(**inputs)), 0)
    close(first(copy.deepcopy(model)(**inputs)), first(model(**inputs)), 0)


def test_towers_in_each_others_checkpoints(tmp_path):
    whole, inputs = build(MotionPatchModel), inputs_of(MotionPatchModel)
    whole.save_pretrained(tmp_path / "whole")
    expected = whole(**inputs)
    for model_class, key in zip(SINGLE, ("motion_embeds", "text_embeds")):
        part = model_class.from_pretrained(tmp_path / "whole")
        close(part(**inputs_of(model_class))[key], expected[key], 0)
        part.save_pretrained(tmp_path / key)
        close(model_class.from_pretrained(tmp_path / key)(**inputs_of(model_class))[key], expected[key], 0)
        _, info = MotionPatchModel.from_pretrained(tmp_path / key, output_loading_info=True)
        assert info["missing_keys"]  # the other tower is new, and transformers says so
    bare = whole.motion_model
    bare.save_pretrained(tmp_path / "bare")
    again = AutoModel.from_pretrained(tmp_path / "bare")
    assert type(again) is MotionPatchMotionModel
    motion = inputs_of(MotionPatchMotionModel)
    close(again(**motion).pooler_output, bare(**motion).pooler_output, 0)


def test_other_shapes_are_refused_or_ignored(tmp_path):
    build(MotionPatchModel).save_pretrained(tmp_path)
    other = config_of(MotionPatchModel, projection_dim=24)
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        MotionPatchModel.from_pretrained(tmp_path, config=other)
    model, info = MotionPatchModel.from_pretrained(
        tmp_path, config=other, ignore_mismatched_sizes=True, output_loading_info=True
    )
    assert all("projection" in item[0] for item in info["mismatched_keys"]) and len(info["mismatched_keys"]) == 12
    assert model(**inputs_of(MotionPatchModel)).text_embeds.shape == (3, 24)


@pytest.mark.parametrize("model_class", CLASSES)
def test_dtypes_and_devices(model_class, tmp_path):
    config = config_of(model_class)
    half = model_class._from_config(config, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    build(model_class).save_pretrained(tmp_path)
    for kwargs in ({"dtype": torch.bfloat16}, {"dtype": "bfloat16"}):
        assert model_class.from_pretrained(tmp_path, **kwargs).dtype == torch.bfloat16
    if TIMM_BUILDS_ON_META or model_class is MotionPatchTextModelWithProjection:
        with torch.device("meta"):
            assert {p.device.type for p in model_class(config_of(model_class)).parameters()} == {"meta"}
    pytest.importorskip("accelerate")
    mapped = model_class.from_pretrained(tmp_path, device_map="cpu")
    close(first(mapped(**inputs_of(model_class))), first(build(model_class)(**inputs_of(model_class))), 1e-5)


def test_named_layers_are_not_split():
    blocks = {type(module).__name__ for module in build(MotionPatchModel).modules()}
    assert blocks & set(MotionPatchModel._no_split_modules) == {"Block", "TransformerBlock"}
    model = MotionPatchModel(tiny_config({"max_frames": FRAMES}, text_config=dict(BERT)))
    assert {"Block", "BertLayer"} <= {type(module).__name__ for module in model.modules()}


def test_one_configuration_object_for_a_tower_and_the_whole():
    model = build(MotionPatchModel)
    assert model.motion_model.config is model.config.motion_config
    model.set_attn_implementation("eager")
    assert model.motion_model.config._attn_implementation == model.text_model.config._attn_implementation == "eager"
    model.set_attn_implementation({"motion_config": "sdpa", "text_config": "eager"})
    assert model.motion_model.config._attn_implementation == "sdpa"


def test_common_properties_of_the_motion_configuration():
    config = MotionPatchMotionConfig(architecture="vit_small_patch16_224")
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (384, 12, 6)
    config = MotionPatchMotionConfig(architecture_kwargs=TINY_VIT)
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (32, 2, 2)
    assert not {"num_hidden_layers", "num_attention_heads"} & config.to_dict().keys()
    assert MotionPatchConfig.from_dict(tiny_config().to_dict()).to_dict() == tiny_config().to_dict()


# ------------------------------------------------------------------------------------------------ training


@pytest.mark.parametrize("text", [TINY_TEXT, BERT], ids=["distilbert", "bert"])
def test_every_trainable_parameter_gets_a_gradient(text):
    """DistributedDataParallel refuses others; BERT's own pooler, which is not used, is one."""
    model = MotionPatchModel(
        tiny_config({"max_frames": FRAMES}, text_config=dict(text), learn_logit_scale=True)
    ).train()
    model(**inputs_of(MotionPatchModel), return_loss=True).loss.backward()
    without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not without
    assert any("pooler" in name for name, _ in model.named_parameters()) == (text is BERT)


def checkpointing(model):
    return [module.gradient_checkpointing for module in model.modules() if hasattr(module, "gradient_checkpointing")][
        0
    ]


@pytest.mark.parametrize("model_class", CLASSES)
@pytest.mark.parametrize("reentrant", [True, False])
def test_activation_checkpointing(model_class, reentrant):
    """Switched as transformers does, with the same gradients."""
    model, inputs = build(model_class, projection_dropout=0.0), inputs_of(model_class)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    model.train()
    assert [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    assert not checkpointing(model)
    first(model(**inputs)).square().sum().backward()
    plain = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    # transformers 5.17 calls it "gradient", later ones "activation" checkpointing
    enable = getattr(model, "activation_checkpointing_enable", None)
    if enable is None:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
    else:
        enable({"use_reentrant": reentrant})
    assert checkpointing(model)
    if reentrant:
        model.enable_input_require_grads()
    first(model(**inputs)).square().sum().backward()
    again = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert again.keys() >= {name for name in plain if ".blocks." in name or ".layer." in name}
    for name, gradient in again.items():
        close(gradient, plain[name], 1e-4)
    getattr(model, "activation_checkpointing_disable", model.gradient_checkpointing_disable)()
    assert not checkpointing(model)


def test_every_other_layer_can_be_checkpointed():
    model = build(MotionPatchMotionModel)
    if not hasattr(model, "activation_checkpointing_enable"):
        pytest.skip("this version of transformers checkpoints all layers or none")
    model.activation_checkpointing_enable(every_n_layers=2)
    model.train()
    calls = []
    for index, block in enumerate(model.vit.blocks):
        block.register_forward_pre_hook(lambda *_, index=index: calls.append(index))
    model(**inputs_of(MotionPatchMotionModel)).pooler_output.square().sum().backward()
    assert calls == [0, 1, 0]


@pytest.mark.parametrize("model_class", CLASSES)
def test_trainer_does_not_pass_its_own_arguments_to_the_loss(model_class):
    assert model_class.accepts_loss_kwargs is False
    assert issubclass(model_class, PreTrainedModel) and model_class.supports_gradient_checkpointing


def test_compiles_as_one_graph():
    """With a mask too: nothing in the forward pass depends on values."""
    model, inputs = build(MotionPatchModel), inputs_of(MotionPatchModel)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    with torch.no_grad():
        close(first(compiled(**inputs)), first(model(**inputs)), 1e-5)
    torch.compiler.reset()


# ------------------------------------------------------------------------------------------------ architectures


@pytest.mark.parametrize(
    "architecture",
    ["vit_medium_patch16_reg4_gap_256", "vit_base_patch16_xp_224", "vit_base_patch16_rpn_224", "vit_small_patch14_dinov2",
     "vit_small_patch16_18x2_224"],
)  # fmt: skip
def test_unusual_architectures_agree_with_timm(architecture):
    """Register tokens, no class token, parallel and post-norm layers, layer scale: timm's own pass is the judge."""
    config = MotionPatchMotionConfig(architecture=architecture, architecture_kwargs=TINY_VIT, max_frames=FRAMES)
    model = MotionPatchMotionModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
        values = inputs_of(MotionPatchMotionModel)["motion_values"]
        close(model(values).pooler_output, model.vit(values), 1e-5)
        mask = torch.ones(3, 4, 5)
        mask[:, 2:] = 0
        cut = model(values[:, :, :32]).pooler_output
        close(model(values, mask).pooler_output, cut, 1e-5)
        model.config.trim_padding = False
        close(model(values, mask).pooler_output, cut, 1e-5)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("architecture", ["vit_medium_patch16_gap_240", "vit_tiny_patch16_224"])
def test_a_clip_without_any_patch_is_no_nan(architecture, attention):
    config = MotionPatchMotionConfig(architecture=architecture, architecture_kwargs=TINY_VIT, max_frames=FRAMES)
    model = MotionPatchMotionModel._from_config(config, attn_implementation=attention).eval()
    inputs = inputs_of(MotionPatchMotionModel)
    inputs["motion_attention_mask"] = inputs["motion_attention_mask"].clone()
    expected = model(**inputs).pooler_output
    inputs["motion_attention_mask"][1] = 0
    output = model(**inputs).pooler_output
    assert torch.isfinite(output).all()
    close(output[[0, 2]], expected[[0, 2]], 1e-5)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_autocast_with_a_mask(attention):
    model, inputs = build(MotionPatchModel, attention), inputs_of(MotionPatchModel)
    expected = model(**inputs, return_loss=True).loss
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(**inputs, return_loss=True).loss
    assert loss.dtype == torch.float32
    close(loss, expected, 0.05)


@pytest.mark.parametrize(
    "architecture,pooling",
    [
        ("deit_tiny_distilled_patch16_224", "cls"),  # a second token that nothing here knows
        ("vit_relpos_small_patch16_224", "avg"),
        ("samvit_base_patch16", "avg"),
        ("beit_base_patch16_224", "avg"),
        ("vit_small_r26_s32_224", "avg"),  # a convolutional network before the patches
        ("vit_medium_patch16_gap_240", "cls"),  # no class token
    ],
)
def test_architectures_that_are_read_otherwise_are_refused(architecture, pooling):
    settings = {"architecture": architecture, "architecture_kwargs": TINY_VIT, "hidden_size": 32, "pooling": pooling}
    with pytest.raises(ValueError, match=architecture):
        MotionPatchMotionModel(MotionPatchMotionConfig(**settings))
    assert timm.is_model(architecture)


def test_all_names_can_be_imported():
    import modeling_motionpatch

    for name in modeling_motionpatch.__all__:
        assert name in dir(modeling_motionpatch)
    with pytest.raises(AttributeError, match="no_such_name"):
        modeling_motionpatch.no_such_name  # noqa: B018
