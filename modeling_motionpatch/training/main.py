"""The command line of training -> a run: `python train_accelerate.py`, `accelerate launch -m modeling_motionpatch.training.main`."""

import errno
import sys
from dataclasses import fields

from huggingface_hub.errors import StrictDataclassError

from ..console import raised_by_package
from .arguments import TrainArguments, TrainingError
from .recipes import DEFAULT_RECIPE, known_recipes, resolve_arguments


EXIT_USAGE = 2  # settings, data or files that cannot be used; the message is on standard error
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

USAGE = """usage: {program} [--recipe NAME|FILE] [--preset ours|official|paper] [key=value ...] [--key value ...]

Trains a Motion Patches model. Without arguments it trains the demo: generated motions, a small model, on the CPU.

  --recipe NAME|FILE   {recipes}
  --data_dir DIR       folder of the recipe's data set, where it has one
  --resume             go on from the newest whole checkpoint in output_dir
  --overwrite          start anew in an output_dir that holds another run
  --dry_run            one step and the final folder: whether everything fits together
  --help               this text

Keys of inner settings are joined by dots: model.motion_config.architecture=vit_small_patch16_224. Exit codes: 0 finished,
75 stopped by SIGTERM or SIGINT with everything saved, 2 settings, data or files that cannot be used.

Knobs (key, default, reason):
{knobs}
"""


def help_text(program: str = "train_accelerate.py") -> str:
    """What `--help` prints: every knob with its default and its reason."""
    defaults = TrainArguments(data={"name": "generated"})
    lines = []
    for item in fields(TrainArguments):
        default = {} if item.name == "data" else getattr(defaults, item.name)
        lines.append(f"  {item.name}={'null' if default is None else default}\n      {item.metadata['help']}")
    return USAGE.format(program=program, recipes=", ".join(known_recipes()), knobs="\n".join(lines))


def parse(argv: list[str]) -> tuple[str | None, list[str]]:
    """Command line -> recipe and overrides `key=value`."""
    recipe, overrides, items = None, [], list(argv)
    kinds = {item.name: item.type for item in fields(TrainArguments)}
    while items:
        item = items.pop(0)
        if not item.startswith("--"):
            if "=" not in item:
                raise TrainingError(f"Argument {item!r} is not understood; write key=value or --key value.")
            overrides.append(item)
            continue
        key, equals, value = item[2:].replace("-", "_").partition("=") if "=" not in item else item[2:].partition("=")
        key = key.replace("-", "_")
        if not equals:
            if kinds.get(key) == "bool" and (not items or items[0].lower() not in ("true", "false")):
                value = "true"
            elif not items:
                raise TrainingError(f"--{key} needs a value.")
            else:
                value = items.pop(0)
        if key == "recipe":
            recipe = value
        else:
            overrides.append(f"{key}={value}")
    return recipe, overrides


def main(argv: list[str] | None = None, program: str = "train_accelerate.py") -> int:
    """Runs the training that the command line asks for; returns the exit code. `program` is what the usage calls it."""
    argv = sys.argv[1:] if argv is None else argv
    if any(item in ("-h", "--help") for item in argv):
        print(help_text(program))
        return 0
    try:
        recipe, overrides = parse(argv)
        args = resolve_arguments(recipe or DEFAULT_RECIPE, overrides)
        from .engine import Trainer

        return Trainer(args).run()
    except (ValueError, OSError, StrictDataclassError) as error:
        if isinstance(error, ValueError) and not raised_by_package(error):
            raise
        text = " ".join(str(error).split())
        if getattr(error, "errno", None) in DISK_FULL:
            text += ". What was finished is whole: make room and run the same command with --resume."
        print(f"error: {text}", file=sys.stderr)
        return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
