"""Trains a Motion Patches model on one CPU, one GPU or many.

    python train_accelerate.py                                          # the demo: generated motions, CPU, minutes
    python train_accelerate.py --recipe table2 --data_dir HumanML3D     # Table 2 of the paper, one GPU
    python train_accelerate.py --recipe table2 --preset official --data_dir HumanML3D
    accelerate launch --multi_gpu --num_processes 8 train_accelerate.py --recipe table2 --data_dir HumanML3D
    accelerate launch --config_file recipes/accelerate/fsdp.yaml train_accelerate.py --recipe table8 ...
    python train_accelerate.py --recipe table2 --data_dir HumanML3D batch_size=512 lr_heads=5e-4 --resume

    # two processes on a CPU (`--cpu` would start one)
    ACCELERATE_USE_CPU=true accelerate launch --multi_gpu --num_processes 2 --num_machines 1 train_accelerate.py

`--help` lists every knob with its reason, `recipes/README.md` the recipes. From an installed package the same is
`motionpatch train ...`, or `accelerate launch -m modeling_motionpatch.training.main ...`.

The script is this short because its parts are modules to read on their own, in `modeling_motionpatch/training/`:

    arguments.py, recipes.py   knobs; YAML and overrides
    clips.py, captions.py      the data, preprocessed once
    batches.py                 which pairs make a batch: a function of the seed and the epoch
    step.py, large_batch.py    loss and gradients of a batch, at once or in two passes
    engine.py                  the loop
    checkpoints.py, final.py   exact resume; the folder that `from_pretrained` opens
"""

import os
import sys


# Before torch is imported: threads that spin while they wait stall a machine that has other work, by a factor of 5 on 2 cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from modeling_motionpatch.training.main import main  # noqa: E402


if __name__ == "__main__":
    sys.exit(main())
