"""The history of a run -> log lines, results.json, learning curves and a description."""

import json
import os
import platform
from importlib import metadata
from pathlib import Path


LIBRARIES = ("modeling-motionpatch", "torch", "transformers", "timm", "accelerate", "datasets", "tokenizers", "numpy")


class StepLog:
    """`log.jsonl`: one JSON object a line, each with the step it was written at.

    Args:
        path (`Path`): The file.
        step (`int`): Lines of later steps are dropped, so that a resumed run has each step once.
    """

    def __init__(self, path: Path, step: int = 0):
        self.path = path
        lines = []
        if step and path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    if json.loads(line)["step"] <= step:
                        lines.append(line)
                except (ValueError, KeyError):
                    continue  # the line that an interruption cut
        write_text(path, "".join(line + "\n" for line in lines))

    def write(self, values: dict) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")


def versions() -> dict[str, str]:
    """Versions of what computed the figures."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def write_text(path: Path, text: str) -> None:
    """Writes a file aside and renames it, so that readers see the old or the new one."""
    work = path.with_name(f".{path.name}.partial")
    work.write_text(text, encoding="utf-8")
    os.replace(work, path)


def write_json(path: Path, content: dict) -> None:
    write_text(path, json.dumps(content, indent=2, default=str) + "\n")


def plot_curves(log: Path, history: list[dict], path: Path) -> bool:
    """Loss over steps, and validation recall over epochs, as a PNG; `False` where matplotlib is not installed."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    lines = [line for line in lines if "loss" in line]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    if lines:
        left.plot([line["step"] for line in lines], [line["loss"] for line in lines], color="tab:blue", linewidth=1)
    left.set(xlabel="step", ylabel="contrastive loss", title="training")
    left.grid(alpha=0.3)
    for name in sorted({name for item in history for name in item.get("validation", {})}):
        for key, style in (("t2m/R@1", "-"), ("m2t/R@1", "--"), ("t2m/R@10", "-"), ("m2t/R@10", "--")):
            points = [
                (i["epoch"], i["validation"][name]["all"][key]) for i in history if name in i.get("validation", {})
            ]
            right.plot(*zip(*points), style, label=f"{name} {key}")
    right.set(xlabel="epoch", ylabel="recall (protocol all) [%]", title="validation", ylim=(0, None))
    right.grid(alpha=0.3)
    if right.lines:
        right.legend(fontsize=8)
    work = path.with_name(f".{path.name}")
    figure.savefig(work, dpi=120)
    pyplot.close(figure)
    os.replace(work, path)
    return True


def description(results: dict, args) -> str:
    """The paragraph of the card that says how these weights came about."""
    names = " and ".join(item["name"] for item in args.datasets)
    if not results["steps"]:
        return f"The weights of `{Path(str(args.init_from)).name}` as they are, scored on other data."
    seconds = results["seconds"].get("training", 0.0)
    chosen = (
        f"The checkpoint is that of epoch {results['chosen_epoch']} of {results['epochs']}, chosen on the validation split "
        f"by `{args.best_metric}`"
        if results["best_score"] is not None
        else "The checkpoint is the last one, there being no validation split"
    )
    return (
        f"Trained on {names} with preset `{args.preset}` and seed {args.seed}: {results['steps']} steps of "
        f"{args.batch_size} pairs in {seconds:.0f} s, {results['clips_per_second']:.0f} clips a second. {chosen}; the test "
        "split was read once, afterwards."
    )


def base_models(args) -> list[str]:
    """Names on the Hub of the models that a run started from; a folder or file of one's own has none."""
    names = [args.init_from] if args.init_from else [args.motion_pretrained, args.text_pretrained]
    names = [name.removeprefix("hf-hub:") for name in names if name and not Path(name).expanduser().exists()]
    return [f"timm/{name}" if name.startswith("vit_") else name for name in names if not name.startswith(("/", "."))]


__all__ = ["StepLog", "base_models", "description", "plot_curves", "versions", "write_json", "write_text"]
