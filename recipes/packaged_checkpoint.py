"""What the demo recipe trained -> the checkpoint and the gallery that come with the package.

    python train_accelerate.py                                # motionpatch-demo/
    python recipes/packaged_checkpoint.py motionpatch-demo    # modeling_motionpatch/checkpoints/

Weights, tokenizer and card are taken as they are. The package brings the code, so the references to code beside the
weights are left out. The gallery holds generated clips of the test split, which no training has seen.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from modeling_motionpatch.pipeline_motionpatch import DEFAULT_CHECKPOINT, DEFAULT_GALLERY


COPIED = ("model.safetensors", "tokenizer.json", "README.md")
WITHOUT_CODE = {"config.json": 2, "processor_config.json": None, "tokenizer_config.json": 2}  # name -> indentation
CODE_KEYS = ("auto_map", "custom_pipelines")
GALLERY_CLIPS = 300


def without_code(value):
    """The value without references to code, at any depth."""
    if isinstance(value, dict):
        return {key: without_code(item) for key, item in value.items() if key not in CODE_KEYS}
    return value


def main(folder: str) -> None:
    """Replaces both packaged folders."""
    source = Path(folder)
    for name in COPIED:
        shutil.copyfile(source / name, DEFAULT_CHECKPOINT / name)
    for name, indent in WITHOUT_CODE.items():
        values = without_code(json.loads((source / name).read_text(encoding="utf-8")))
        text = json.dumps(values, indent=indent, ensure_ascii=False, sort_keys=True) + "\n"
        (DEFAULT_CHECKPOINT / name).write_text(text, encoding="utf-8")
    with tempfile.TemporaryDirectory() as work:
        counts = [
            f"num_{split}={GALLERY_CLIPS if split == 'test' else 0}" for split in ("train", "validation", "test")
        ]
        command = [sys.executable, "-m", "modeling_motionpatch", "index", "generated", "--split", "test"]
        command += [part for count in counts for part in ("--option", count)]
        command += ["--dtype", "float16", "--format", "parquet", "--output", f"{work}/gallery"]
        subprocess.run(command, check=True)
        shutil.rmtree(DEFAULT_GALLERY)
        # Without the note of where its motions are: generated clips are made again from their ids.
        shutil.copytree(f"{work}/gallery", DEFAULT_GALLERY, ignore=shutil.ignore_patterns("motions.json"))


if __name__ == "__main__":
    main(*sys.argv[1:])
