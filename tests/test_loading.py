"""`from_motion_text_pretrained`: weights saved by timm and transformers reach both towers unchanged, or are refused."""

import json
import os
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import timm
import torch
from conftest import TINY_TEXT, TINY_VIT
from safetensors.torch import load_file, save_file
from timm.layers import resample_abs_pos_embed, resample_patch_embed
from transformers import (
    BertConfig,
    BertForMaskedLM,
    CLIPConfig,
    CLIPModel,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertModel,
)

from modeling_motionpatch import MotionPatchConfig, MotionPatchModel, MotionPatchMotionConfig


ARCHITECTURE = "vit_tiny_patch16_224"
TINY_BERT = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
from_pretrained = partial(MotionPatchModel.from_motion_text_pretrained, text_config=dict(TINY_TEXT), projection_dim=16)


def scrambled(model):
    """Every parameter random, so that none agrees by its initial value."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return model.eval()


@pytest.fixture(scope="module")
def image_vit():
    return scrambled(timm.create_model(ARCHITECTURE, num_classes=10, **TINY_VIT))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, image_vit):
    """An image ViT as three kinds of file and as timm's folder, a DistilBERT, a BERT and a CLIP as folders."""
    folder = tmp_path_factory.mktemp("weights")
    state = image_vit.state_dict()
    save_file(state, folder / "vit.safetensors")
    torch.save(state, folder / "vit.pth")
    torch.save({"epoch": 3, "state_dict": {f"module.{key}": value for key, value in state.items()}}, folder / "ddp.pt")
    timm.models.save_for_hf(image_vit, folder / "timm", model_args=dict(TINY_VIT))
    torch.manual_seed(4)
    settings = {key: value for key, value in TINY_TEXT.items() if key != "model_type"}
    scrambled(DistilBertForMaskedLM(DistilBertConfig(**settings))).save_pretrained(folder / "distilbert")
    scrambled(BertForMaskedLM(BertConfig(**TINY_BERT, intermediate_size=64))).save_pretrained(folder / "bert")
    towers = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    text = {**towers, "vocab_size": 60, "eos_token_id": 59, "bos_token_id": 1, "pad_token_id": 0}
    clip = CLIPModel(CLIPConfig(text_config=text, vision_config={**towers, "image_size": 32, "patch_size": 16}))
    scrambled(clip).save_pretrained(folder / "clip")
    return folder


def assert_is_the_image_vit(model, image, pooling="avg", patch_size=16, grid=(14, 5)):
    """Every tensor of the tower is the image model's, the two embeddings resized as timm does."""
    image, loaded = dict(image), model.motion_model.vit.state_dict()
    image["pos_embed"] = resample_abs_pos_embed(image["pos_embed"], list(grid), num_prefix_tokens=1)
    if patch_size != 16:
        image["patch_embed.proj.weight"] = resample_patch_embed(
            image["patch_embed.proj.weight"], [patch_size, patch_size]
        )
    fresh = {key for key in loaded if key not in image}
    assert fresh == ({"fc_norm.weight", "fc_norm.bias"} if pooling == "avg" else set())
    for key, value in loaded.items():
        if key not in fresh:
            torch.testing.assert_close(value, image[key], atol=0, rtol=0, msg=lambda text, key=key: f"{key}: {text}")
    unused = {key for key in image if key not in loaded}
    assert unused == {"head.weight", "head.bias"} | ({"norm.weight", "norm.bias"} if pooling == "avg" else set())


# ------------------------------------------------------------------------------------------------ motion tower


@pytest.mark.parametrize("source", ["vit.safetensors", "vit.pth", "ddp.pt", "timm"])
@pytest.mark.parametrize("pooling", ["avg", "cls"])
def test_weights_of_timm_are_kept(folder, image_vit, source, pooling):
    settings = {"motion_pooling": pooling}
    if source != "timm":  # a file does not tell what it was made with; a folder of timm does
        settings.update(motion_architecture=ARCHITECTURE, motion_architecture_kwargs=TINY_VIT)
    model = from_pretrained(folder / source, **settings)
    assert_is_the_image_vit(model, image_vit.state_dict(), pooling)
    config = model.config.motion_config
    assert (config.architecture, config.architecture_kwargs, config.pooling) == (ARCHITECTURE, TINY_VIT, pooling)
    assert config.hidden_size == 32 and model.config.projection_dim == 16


def test_position_embeddings_are_resized_as_timm_does(folder, image_vit):
    """By the other route: timm's own model of 224 x 80 that loads the same folder."""
    model = from_pretrained(folder / "timm")
    theirs = timm.create_model(
        f"local-dir:{folder / 'timm'}", pretrained=True, num_classes=0, img_size=(224, 80), fc_norm=False
    )
    ours = model.motion_model.vit.pos_embed
    assert image_vit.pos_embed.shape == (1, 1 + 14 * 14, 32) and ours.shape == (1, 1 + 14 * 5, 32)
    torch.testing.assert_close(ours, theirs.pos_embed, atol=0, rtol=0)


@pytest.mark.parametrize("patch_size", [8, 32])
def test_patch_embeddings_are_resized(folder, image_vit, patch_size):
    model = from_pretrained(folder / "timm", motion_patch_size=patch_size)
    grid = (224 // patch_size, 5)
    assert model.config.motion_config.grid_size == grid
    assert_is_the_image_vit(model, image_vit.state_dict(), patch_size=patch_size, grid=grid)


def test_frames_take_all_but_the_patch_embedding(folder, image_vit):
    model = from_pretrained(folder / "timm", motion_input_kind="frames", motion_num_joints=22, motion_max_frames=64)
    loaded, image = model.motion_model.vit.state_dict(), image_vit.state_dict()
    assert loaded["patch_embed.proj.weight"].shape == (32, 3, 1, 22)
    for key in image:
        if key.startswith(("blocks.", "cls_token")):
            torch.testing.assert_close(loaded[key], image[key], atol=0, rtol=0)
    expected = resample_abs_pos_embed(image["pos_embed"], [64, 1], num_prefix_tokens=1)
    torch.testing.assert_close(loaded["pos_embed"], expected, atol=0, rtol=0)


def test_clip_vit_and_clip_text(folder):
    """Table 9: both towers of CLIP."""
    name = "vit_base_patch16_clip_224"
    clip = scrambled(timm.create_model(name, num_classes=0, **TINY_VIT))
    save_file(clip.state_dict(), folder / "clip_vit.safetensors")
    settings = {"motion_architecture": name, "motion_architecture_kwargs": TINY_VIT, "motion_pooling": "cls"}
    model = MotionPatchModel.from_motion_text_pretrained(
        folder / "clip_vit.safetensors", folder / "clip", projection_dim=16, **settings
    )
    loaded, image = model.motion_model.vit.state_dict(), clip.state_dict()
    assert loaded.keys() == image.keys() and "norm_pre.weight" in loaded
    for key in loaded:
        if key != "pos_embed":
            torch.testing.assert_close(loaded[key], image[key], atol=0, rtol=0)
    state = load_file(folder / "clip" / "model.safetensors")
    for key, value in model.text_model.state_dict().items():
        torch.testing.assert_close(value, state[f"text_model.{key.removeprefix('text_model.')}"], atol=0, rtol=0)
    assert model.config.text_pooling == "eos" and model.config.text_config.model_type == "clip_text_model"
    ids, motions = torch.tensor([[1, 5, 9, 59]]), torch.randn(1, 3, 224, 80)
    whole = CLIPModel.from_pretrained(folder / "clip").eval()
    expected = model.eval().text_projection(whole.text_model(input_ids=ids).pooler_output)
    torch.testing.assert_close(model.get_text_features(ids).pooler_output, expected)
    assert torch.isfinite(model(ids, motions).logits_per_text).all()


def test_what_was_loaded_survives_saving(folder, tmp_path, image_vit):
    model = MotionPatchModel.from_motion_text_pretrained(folder / "timm", folder / "distilbert", projection_dim=16)
    model.save_pretrained(tmp_path)
    again = MotionPatchModel.from_pretrained(tmp_path)
    assert_is_the_image_vit(again, image_vit.state_dict())
    for name, value in again.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[name], atol=0, rtol=0)


# ------------------------------------------------------------------------------------------------ text tower


@pytest.mark.parametrize("name", ["distilbert", "bert"])
def test_text_weights_are_kept(folder, name, recwarn, caplog):
    model = from_pretrained(folder / "timm", folder / name, text_config=None)
    state = load_file(folder / name / "model.safetensors")
    for key, value in model.text_model.state_dict().items():
        if not key.startswith("pooler."):  # a masked language model has none, and none is used
            torch.testing.assert_close(value, state[f"{name}.{key}"], atol=0, rtol=0)
    assert model.text_model.dtype == torch.float32
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_half_precision_weights_are_trained_in_float32(folder, tmp_path):
    DistilBertModel.from_pretrained(folder / "distilbert", dtype=torch.bfloat16).save_pretrained(tmp_path)
    model = from_pretrained(folder / "timm", tmp_path, text_config=None)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_either_tower_may_be_new(folder):
    model = from_pretrained(None, folder / "distilbert", text_config=None, motion_architecture_kwargs=TINY_VIT)
    assert model.config.motion_config.architecture == "vit_base_patch16_224"
    assert model.config.text_config.n_layers == 2
    model = MotionPatchModel.from_motion_text_pretrained(folder / "timm", None, text_config=dict(TINY_TEXT))
    assert model.config.text_config.vocab_size == 200


# ------------------------------------------------------------------------------------------------ configuration


def test_prefixes_reach_their_configurations(folder):
    model = MotionPatchModel.from_motion_text_pretrained(
        folder / "timm",
        folder / "distilbert",
        motion_max_frames=128,
        motion_trim_padding=False,
        text_dropout=0.3,
        text_pooling="mean",
        projection_dropout=0.25,
        num_persons=2,
        learn_logit_scale=True,
    )
    config = model.config
    assert (config.motion_config.max_frames, config.motion_config.trim_padding) == (128, False)
    assert (config.text_config.dropout, config.text_pooling) == (0.3, "mean")
    assert (config.projection_dropout, config.num_persons, config.learn_logit_scale) == (0.25, 2, True)
    assert model.text_model.config.dropout == 0.3 and model.motion_projection.projection.in_features == 64


def test_whole_configurations(folder, image_vit):
    motion = MotionPatchMotionConfig(architecture=ARCHITECTURE, architecture_kwargs=TINY_VIT, pooling="cls")
    model = from_pretrained(folder / "vit.pth", motion_config=motion, motion_max_frames=112)
    assert model.config.motion_config.max_frames == 112 and motion.max_frames == 224
    assert_is_the_image_vit(model, image_vit.state_dict(), "cls", grid=(7, 5))
    model = from_pretrained(folder / "vit.pth", motion_config=motion.to_dict())
    assert model.config.motion_config.pooling == "cls"
    model = from_pretrained(folder / "vit.pth", motion_config=motion, text_dropout=0.4)  # with text_config
    assert model.config.text_config.dropout == 0.4 and model.config.text_config.n_layers == 2


@pytest.mark.parametrize(
    "settings,message",
    [
        ({"motion_patch_sise": 8}, "patch_size"),
        ({"text_dropuot": 0.1}, "no fields.*dropuot"),
        ({"projection_dimm": 8}, "projection_dim"),
    ],
)
def test_misspelled_options_are_refused(folder, settings, message):
    with pytest.raises(Exception, match=message):
        MotionPatchModel.from_motion_text_pretrained(folder / "timm", folder / "distilbert", **settings)


# ------------------------------------------------------------------------------------------------ what is refused


class Dangerous:
    """Unpickling it creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_pt_that_would_run_code_does_not_run(tmp_path):
    proof, plain = tmp_path / "it_ran", tmp_path / "control"
    import pickle

    pickle.loads(pickle.dumps(Dangerous(plain))).close()
    assert plain.exists()  # the same object does run where it is unpickled carelessly
    for name in ("evil.pt", "evil.pth"):
        torch.save({"cls_token": torch.zeros(1), "extra": Dangerous(proof)}, tmp_path / name)
        with pytest.raises(
            ValueError, match=r"more than tensors \(\w*io.open\) and could run code.*refused"
        ) as refused:
            from_pretrained(tmp_path / name, motion_architecture=ARCHITECTURE, motion_hidden_size=192)
        assert "weights_only" not in str(refused.value)  # how to run it nevertheless is no advice of ours
    for protocol in (2, 4):
        (tmp_path / "raw.pt").write_bytes(pickle.dumps(Dangerous(proof), protocol=protocol))
        with pytest.raises(ValueError, match="raw.pt.*could run code when loaded, so it was refused"):
            from_pretrained(tmp_path / "raw.pt", motion_architecture=ARCHITECTURE)
    folder = tmp_path / "timm"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"architecture": ARCHITECTURE}))
    torch.save({"extra": Dangerous(proof)}, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match="could run code"):
        from_pretrained(folder)
    assert not proof.exists()


def test_corrupt_files_are_refused(folder, tmp_path):
    whole = (folder / "vit.safetensors").read_bytes()
    cases = {
        "short.safetensors": whole[: len(whole) // 2],
        "noise.safetensors": b"\xff" * 64,
        "empty.safetensors": b"",
        "short.pth": (folder / "vit.pth").read_bytes()[:2000],
        "noise.pth": b"\x00\x01 noise",
        "empty.pt": b"",
    }
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name}' is no intact"):
            from_pretrained(tmp_path / name, motion_architecture=ARCHITECTURE, motion_hidden_size=192)
    broken = tmp_path / "timm"
    broken.mkdir()
    (broken / "config.json").write_text((folder / "timm" / "config.json").read_text())
    with pytest.raises(ValueError, match="no file of weights"):
        from_pretrained(broken)
    (broken / "model.safetensors").write_bytes(whole[:100])
    with pytest.raises(ValueError, match="intact"):
        from_pretrained(broken)
    (broken / "config.json").write_text("{")
    with pytest.raises(ValueError, match="holds no timm model"):
        from_pretrained(broken)
    torch.save([1, 2, 3], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="no dictionary of tensors but list"):
        from_pretrained(tmp_path / "list.pt", motion_architecture=ARCHITECTURE)


@pytest.mark.parametrize(
    "settings,message",
    [
        ({"motion_architecture_kwargs": {}}, "do not fit 'vit_tiny_patch16_224'.*Pass the `motion_architecture`"),
        ({"motion_architecture_kwargs": {**TINY_VIT, "depth": 3}}, "blocks.2.norm1.weight is missing"),
        ({"motion_architecture_kwargs": {**TINY_VIT, "depth": 1}}, "blocks.1.norm1.weight has no counterpart"),
        ({"motion_architecture_kwargs": {**TINY_VIT, "mlp_ratio": 2}}, r"\(128, 32\) in the file, \(64, 32\)"),
        ({"motion_architecture": "resnet18", "motion_hidden_size": 512}, "resnet18"),
    ],
)
def test_another_architecture_is_refused(folder, settings, message):
    with pytest.raises(ValueError, match=message):
        from_pretrained(
            folder / "vit.pth",
            **{"motion_architecture": ARCHITECTURE, "motion_architecture_kwargs": TINY_VIT, **settings},
        )


def test_weights_of_no_vision_transformer_are_refused(folder, tmp_path):
    save_file({"conv1.weight": torch.zeros(2, 2)}, tmp_path / "cnn.safetensors")
    with pytest.raises(ValueError, match="do not fit"):
        from_pretrained(
            tmp_path / "cnn.safetensors", motion_architecture=ARCHITECTURE, motion_architecture_kwargs=TINY_VIT
        )
    with pytest.raises(ValueError, match="holds no timm model"):  # transformers' own folder
        from_pretrained(folder / "distilbert")


@pytest.mark.parametrize(
    "name,message",
    [
        ("no_such_vit", "neither a file, a folder, a Hub name nor a timm model"),
        ("absent/weights.safetensors", "There is no file of weights"),
        ("someone/no-such-model", "no file or folder, and the Hub has no timm model"),
    ],
)
def test_unknown_names_are_refused(name, message):
    with pytest.raises(ValueError, match=message):
        from_pretrained(name)


def test_weights_that_cannot_be_fetched_are_named():
    with pytest.raises(
        OSError, match="timm's 'vit_tiny_patch16_224.augreg_in21k' could not be loaded.*file or folder"
    ):
        from_pretrained("vit_tiny_patch16_224.augreg_in21k")


def test_text_weights_must_be_whole(folder, tmp_path):
    state = load_file(folder / "distilbert" / "model.safetensors")
    del state["distilbert.transformer.layer.1.ffn.lin1.weight"]
    (tmp_path / "config.json").write_text((folder / "distilbert" / "config.json").read_text())
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match="lacks weights of DistilBertModel.*layer.1.ffn"):
        from_pretrained(folder / "timm", tmp_path, text_config=None)


def test_images_alone_are_no_text(folder, tmp_path):
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64)
    ViTModel(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no text model"):
        from_pretrained(folder / "timm", tmp_path, text_config=None)


# ------------------------------------------------------------------------------------------------ the Hub


class Hub(SimpleHTTPRequestHandler):
    """What `hf_hub_download` asks of the Hub: HEAD and GET of `/owner/name/resolve/main/file`."""

    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def answer(self, with_body: bool):
        parts = self.path.split("?")[0].strip("/").split("/")
        file = Path(self.directory, parts[1], *parts[4:]) if parts[2:3] == ["resolve"] else None
        if file is None or not file.is_file():
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = file.read_bytes()
        self.send_response(200)
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("ETag", f'"{abs(hash(body)):040x}"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *args):
        pass


HUB_SCRIPT = """
import sys
import torch
from modeling_motionpatch import MotionPatchModel
torch.manual_seed(0)
model = MotionPatchModel.from_motion_text_pretrained("me/timm", "me/distilbert", projection_dim=16)
model.save_pretrained(sys.argv[1])
try:
    MotionPatchModel.from_motion_text_pretrained("me/evil", "me/distilbert")
except ValueError as error:
    print("refused:", error)
"""


def test_names_on_the_hub(folder, tmp_path, image_vit):
    proof = tmp_path / "it_ran"
    evil = folder / "evil"
    evil.mkdir()
    settings = {"architecture": ARCHITECTURE, "pretrained_cfg": {"hf_hub_filename": "weights.bin"}}
    (evil / "config.json").write_text(json.dumps(settings))
    torch.save({"extra": Dangerous(proof)}, evil / "weights.bin")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {
        **os.environ,
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(tmp_path / "cache"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")])),
    }
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_OFFLINE"):
        environment.pop(name, None)
    command = [sys.executable, "-c", HUB_SCRIPT, str(tmp_path / "out")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180)
    server.shutdown()
    server.server_close()
    assert done.returncode == 0, done.stderr[-3000:]
    assert "refused:" in done.stdout and "me/evil" in done.stdout and not proof.exists()
    model = MotionPatchModel.from_pretrained(tmp_path / "out")
    assert isinstance(model.config, MotionPatchConfig)
    assert_is_the_image_vit(model, image_vit.state_dict())
    state = load_file(folder / "distilbert" / "model.safetensors")
    for key, value in model.text_model.state_dict().items():
        torch.testing.assert_close(value, state[f"distilbert.{key}"], atol=0, rtol=0)
