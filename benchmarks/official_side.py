"""The official implementation on real clips -> seconds an epoch, loss and retrieval scores, as JSON.

The other side of the training benchmark: the official Motion Patches code (github.com/line/MotionPatches, CC BY-NC 4.0)
is read from the path of a clone that the user fetched; nothing of it is in this repository. Its data set and its model
classes are fed with a folder in its format (`new_joints/ID.npy` in metres, `texts/ID.txt`,
`train|val|test.txt`, `Mean_raw.npy`, `Std_raw.npy`) and trained as its `scripts/train.py` does: Adam, cosine over twice
the steps, last batch dropped, float32, constant temperature. Departures from its script, which it has no options for:
a ViT-Tiny and a 4-layer DistilBERT of width 256 from random weights, and validation clips scored like test clips.

The official data set needs `pip install opencv-python-headless einops`; its model needs neither.

    python benchmarks/official_side.py --official ../MotionPatches --mocap ../shared/mocap --epochs 20 \
        --seed 0 --threads 2 --output official_seed0.json
"""

import argparse
import itertools
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np


if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.official_code import REPOSITORY, OfficialCode, OfficialCodeError
from benchmarks.official_data import read_bandai, write_official_folder


# The compared model, from scratch on both sides.
VIT_NAME, VIT_WIDTH = "vit_tiny_patch16_224", 192
TEXT_WIDTH, TEXT_LAYERS, TEXT_HEADS = 256, 4, 4
VOCAB_SIZE = 2000  # an upper bound: the training captions of `bandai` give fewer WordPieces
PROJECTION_DIM = 256
HEAD_DROPOUT = 0.5  # what the official script uses for HumanML3D
BATCH_SIZE = 128
LEARNING_RATE = 1e-4  # of all three parameter groups


def write_text_tower(folder: str | Path, captions: Iterable[str], seed: int = 0) -> str:
    """A small DistilBERT with random weights and a lower-casing WordPiece tokenizer of the captions, saved.

    Both sides of the benchmark start from such a folder, which `AutoModel` and `AutoTokenizer` open.

    Returns:
        `str`: The folder.
    """
    import torch
    from tokenizers import BertWordPieceTokenizer
    from transformers import DistilBertConfig, DistilBertModel, DistilBertTokenizerFast

    folder = str(folder)
    trainer = BertWordPieceTokenizer(lowercase=True)
    trainer.train_from_iterator(sorted(set(captions)), vocab_size=VOCAB_SIZE, min_frequency=1, show_progress=False)
    os.makedirs(folder, exist_ok=True)
    trainer.save_model(folder)  # vocab.txt
    tokenizer = DistilBertTokenizerFast.from_pretrained(folder, model_max_length=512)
    tokenizer.save_pretrained(folder)
    config = DistilBertConfig(
        vocab_size=len(tokenizer),
        dim=TEXT_WIDTH,
        hidden_dim=4 * TEXT_WIDTH,
        n_layers=TEXT_LAYERS,
        n_heads=TEXT_HEADS,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(seed)
    DistilBertModel(config).save_pretrained(folder)
    return folder


# --------------------------------------------------------------------------------------------------------------------
# Training and scoring


def seed_everything(seed: int) -> None:
    """Python, numpy and torch, as the official `set_seed`."""
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def official_model(code: OfficialCode, text_folder: str, device: str = "cpu"):
    """The official `ClipModel` with a ViT-Tiny and the text tower of a folder, both trainable."""
    return code.ClipModel(
        VIT_NAME,
        text_folder,
        motion_encoder_pretrained=False,
        motion_embedding_dims=VIT_WIDTH,
        text_embedding_dims=TEXT_WIDTH,
        projection_dims=PROJECTION_DIM,
        dropout=HEAD_DROPOUT,
    ).to(device)


def official_optimizer(model, steps: int):
    """Adam over the towers and heads (not the temperature), and a cosine that ends at half the rate."""
    import torch

    heads = itertools.chain(model.motion_projection.parameters(), model.text_projection.parameters())
    groups = [model.motion_encoder.parameters(), model.text_encoder.parameters(), heads]
    optimizer = torch.optim.Adam([{"params": group, "lr": LEARNING_RATE} for group in groups])
    return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 2 * steps)


def train_epoch(model, tokenizer, loader, optimizer, scheduler, device: str = "cpu") -> float:
    """One pass of the official loop, step for step; returns the mean loss."""
    model.train()
    losses = []
    for texts, motions, _, _ in loader:
        optimizer.zero_grad()
        tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt").to(device)
        loss = model(motions.to(device), tokens, return_loss=True)
        loss.backward()
        losses.append(loss.item())
        optimizer.step()
        scheduler.step()
    return float(np.mean(losses))


def embed(model, tokenizer, loader, device: str = "cpu") -> tuple[np.ndarray, np.ndarray, list[str]]:
    """All pairs of a loader -> unit-length text and motion embeddings `(N, 256)` and the captions."""
    import torch

    model.eval()
    text_embeds, motion_embeds, captions = [], [], []
    with torch.no_grad():
        for texts, motions, _, _ in loader:
            tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt").to(device)
            text_embeds.append(torch.nn.functional.normalize(model.encode_text(tokens), dim=-1).cpu())
            motion_embeds.append(torch.nn.functional.normalize(model.encode_motion(motions.to(device)), dim=-1).cpu())
            captions += texts
    return torch.cat(text_embeds).numpy(), torch.cat(motion_embeds).numpy(), captions


def score(text_embeds: np.ndarray, motion_embeds: np.ndarray, captions: Sequence[str]) -> dict[str, float]:
    """Protocol `all` in per cent: the rank of a query is that of its best item with the identical caption.

    Written out here, apart from the package's metrics, so that this side stands without them.
    """
    same = np.array(captions)[:, None] == np.array(captions)[None, :]
    results = {}
    for direction, similarity in (("t2m", text_embeds @ motion_embeds.T), ("m2t", motion_embeds @ text_embeds.T)):
        best = np.where(same, similarity, -np.inf).max(axis=1, keepdims=True)
        ahead = ((similarity > best) & ~same).sum(axis=1)
        results |= {f"{direction}/R@{k}": round(100.0 * float((ahead < k).mean()), 2) for k in (1, 5, 10)}
        results[f"{direction}/MedR"] = float(np.median(ahead)) + 1.0
    return results


def train_official(
    official: str | Path,
    folder: str | Path,
    epochs: int,
    seed: int = 0,
    threads: int | None = None,
    device: str = "cpu",
    output: str | Path | None = None,
) -> dict:
    """Trains the official model on a folder of [`write_official_folder`] and scores each epoch.

    Args:
        official (`str` or `Path`): Clone of the official repository.
        folder (`str` or `Path`): Data in its format.
        epochs (`int`): Epochs; the schedule's length follows from them.
        seed (`int`, *optional*, defaults to 0): Of weights, order of clips, choice of captions, dropout.
        threads (`int`, *optional*): Threads of torch and OpenCV. As they come when not given.
        device (`str`, *optional*, defaults to `"cpu"`): `"cpu"` or `"cuda"`.
        output (`str` or `Path`, *optional*): JSON file, rewritten after each epoch. The embeddings of the last epoch go
            beside it (`.val.npz`, `.test.npz`).

    Returns:
        `dict`: `epochs` (a list with `train_seconds`, `train_cpu_seconds`, `loss`, `val`, `test` an epoch), `final`,
        `best_by_val` (the epoch of the highest mean of both R@1 on validation), what was run and on what.
    """
    import torch
    from torch.utils.data import DataLoader
    from transformers import AutoTokenizer

    folder, output = Path(folder), Path(output) if output else None
    code = OfficialCode(official)
    if threads:
        import cv2

        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
    seed_everything(seed)

    start = time.perf_counter()
    train_set = code.dataset(folder, "train")
    train_loader = DataLoader(train_set, batch_size=BATCH_SIZE, shuffle=True, drop_last=True)
    eval_loaders = {
        split: DataLoader(code.dataset(folder, split, eval_mode=True), batch_size=BATCH_SIZE)
        for split in ("val", "test")
    }
    preparation_seconds = time.perf_counter() - start

    captions = [text["caption"] for clip in train_set.data_dict.values() for text in clip["text"]]
    with tempfile.TemporaryDirectory() as text_folder:
        write_text_tower(text_folder, captions, seed=seed)
        tokenizer = AutoTokenizer.from_pretrained(text_folder)
        model = official_model(code, text_folder, device)
    optimizer, scheduler = official_optimizer(model, steps=epochs * len(train_loader))

    report = {
        "side": "official",
        "repository": REPOSITORY,
        "data": {split: len(loader.dataset) for split, loader in {"train": train_loader, **eval_loaders}.items()},
        "model": {
            "motion": VIT_NAME,
            "text": f"DistilBERT, {TEXT_LAYERS} layers of width {TEXT_WIDTH}",
            "vocabulary": len(tokenizer),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
        },
        "protocol": "all",
        "epochs_planned": epochs,
        "batch_size": BATCH_SIZE,
        "learning_rate": LEARNING_RATE,
        "seed": seed,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine(),
        "versions": _versions(),
        "preparation_seconds": round(preparation_seconds, 2),
        "clips_an_epoch": len(train_loader) * BATCH_SIZE,
        "epochs": [],
    }
    for epoch in range(1, epochs + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        loss = train_epoch(model, tokenizer, train_loader, optimizer, scheduler, device)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        embedded = {split: embed(model, tokenizer, loader, device) for split, loader in eval_loaders.items()}
        report["epochs"].append(
            {
                "epoch": epoch,
                "train_seconds": round(wall, 2),
                "train_cpu_seconds": round(cpu, 2),
                "loss": round(loss, 5),
                **{split: score(*embeddings) for split, embeddings in embedded.items()},
            }
        )
        report["final"] = report["epochs"][-1]
        report["best_by_val"] = max(report["epochs"], key=lambda row: row["val"]["t2m/R@1"] + row["val"]["m2t/R@1"])
        if output:
            _write_json(output, report)
            for split, (text_embeds, motion_embeds, captions) in embedded.items():
                np.savez(
                    output.with_suffix(f".{split}.npz"),
                    text_embeds=text_embeds,
                    motion_embeds=motion_embeds,
                    captions=np.array(captions),
                )
        print(json.dumps(report["final"]), file=sys.stderr, flush=True)
    return report


def run_in_subprocess(official, mocap, epochs: int, seed: int, threads: int, output, **options) -> dict:
    """[`train_official`] on `bandai` through this file's command line, in a process of its own; the report.

    A fresh process: thread pools, allocator and random states of the other side do not reach the measured one.
    """
    arguments = {
        "official": official,
        "mocap": mocap,
        "epochs": epochs,
        "seed": seed,
        "threads": threads,
        "output": output,
    }
    command = [sys.executable, str(Path(__file__).resolve())]
    for name, value in {**arguments, **options}.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    return json.loads(Path(output).read_text())


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    versions = {"python": platform.python_version()}
    for name in ("torch", "timm", "transformers", "numpy", "opencv-python-headless"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def _write_json(path: Path, report: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(report, indent=1) + "\n")
    partial.replace(path)  # a reader never sees half a report


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; prints the report as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--official", required=True, help="path of a clone of the official repository")
    parser.add_argument("--mocap", required=True, help="folder that holds bandai/ (joints.npz, clips.jsonl)")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="threads of torch (default: as torch decides)")
    parser.add_argument("--split", default="split_unseen", help="which split of bandai (default: %(default)s)")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--output", help="JSON file, rewritten after each epoch")
    options = parser.parse_args(arguments)
    if options.epochs < 1:
        parser.error(f"--epochs is {options.epochs}; at least 1 is needed.")
    from transformers.utils import logging

    logging.disable_progress_bar()  # of the small text tower's saving and loading
    try:
        OfficialCode(options.official)  # before the work of writing the clips
        with tempfile.TemporaryDirectory() as folder:
            write_official_folder(folder, read_bandai(options.mocap, options.split))
            report = train_official(
                options.official,
                folder,
                options.epochs,
                seed=options.seed,
                threads=options.threads,
                device=options.device,
                output=options.output,
            )
    except (OfficialCodeError, FileNotFoundError) as error:
        sys.exit(f"official_side.py: {error}")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
