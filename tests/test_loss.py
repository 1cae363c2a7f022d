"""The contrastive loss against a double loop over pairs, and its gradients across processes against one process."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from modeling_motionpatch import contrastive_loss
from modeling_motionpatch.loss_motionpatch import gather_with_gradient, is_distributed


SCALE = 1 / 0.07
LOSS_FILE = Path(sys.modules["modeling_motionpatch.loss_motionpatch"].__file__)


def embeddings(batch=6, width=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    pairs = torch.randn(2, batch, width, generator=generator)
    return torch.nn.functional.normalize(pairs, dim=-1).unbind(0)


def double_loop(motions, texts, scale, left_out=(), positives=None, reduction="mean") -> float:
    """-log softmax of the right answer, pair by pair in Python floats; `left_out` holds (text, motion) pairs."""
    motions, texts = motions.double().tolist(), texts.double().tolist()
    size = len(texts)

    def score(text, motion):
        return scale * sum(a * b for a, b in zip(texts[text], motions[motion]))

    def direction(pair):
        total = 0.0
        for query in range(size):
            scores = {key: score(*pair(query, key)) for key in range(size) if pair(query, key) not in left_out}
            peak = max(scores.values())
            log_sum = peak + math.log(sum(math.exp(value - peak) for value in scores.values()))
            right = [key for key in range(size) if key == query or (positives and positives[key] == positives[query])]
            total -= sum(scores[key] - log_sum for key in right) / len(right)
        return total / size

    both = direction(lambda text, motion: (text, motion)) + direction(lambda motion, text: (text, motion))
    return both / 2 if reduction == "mean" else both


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("scale", [1.0, SCALE, 100.0])
def test_agrees_with_a_double_loop(reduction, scale):
    motions, texts = embeddings()
    loss = contrastive_loss(motions, texts, scale, reduction=reduction)
    assert loss.shape == () and loss.dtype == torch.float32
    assert float(loss) == pytest.approx(double_loop(motions, texts, scale, reduction=reduction), abs=1e-5)


def test_rows_are_pairs_and_both_directions_count():
    motions, texts = embeddings()
    loss = contrastive_loss(motions, texts, SCALE)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(contrastive_loss(motions[order], texts[order], SCALE), loss)
    torch.testing.assert_close(contrastive_loss(texts, motions, SCALE), loss)
    assert abs(float(contrastive_loss(motions[order], texts, SCALE) - loss)) > 0.1
    assert float(contrastive_loss(motions[:1], texts[:1], SCALE)) == 0.0  # one pair has nothing to be confused with


def test_duplicates():
    motions, texts = embeddings()
    ids = [7, 3, 7, 1, 3, 7]
    same = {(i, j) for i in range(6) for j in range(6) if i != j and ids[i] == ids[j]}
    expected = {
        "negative": double_loop(motions, texts, SCALE),
        "ignore": double_loop(motions, texts, SCALE, left_out=same),
        "positive": double_loop(motions, texts, SCALE, positives=ids),
    }
    assert len({round(value, 3) for value in expected.values()}) == 3
    for duplicates, value in expected.items():
        loss = contrastive_loss(motions, texts, SCALE, caption_ids=torch.tensor(ids), duplicates=duplicates)
        assert float(loss) == pytest.approx(value, abs=1e-5), duplicates
    unique = torch.arange(6)
    for duplicates in ("ignore", "positive"):
        loss = contrastive_loss(motions, texts, SCALE, caption_ids=unique, duplicates=duplicates)
        torch.testing.assert_close(loss, contrastive_loss(motions, texts, SCALE))


def test_ignored_pairs_need_not_be_symmetric():
    motions, texts = embeddings()
    ignore = torch.rand(6, 6, generator=torch.Generator().manual_seed(1)) < 0.4  # the diagonal too: it is kept
    left_out = {(i, j) for i, j in ignore.nonzero().tolist() if i != j}
    loss = contrastive_loss(motions, texts, SCALE, ignore=ignore)
    assert float(loss) == pytest.approx(double_loop(motions, texts, SCALE, left_out=left_out), abs=1e-5)
    everything = contrastive_loss(motions, texts, SCALE, ignore=torch.ones(6, 6, dtype=torch.bool))
    assert float(everything) == 0.0


def test_positives_and_negatives_are_one_loss_where_equal_captions_are_embedded_once():
    torch.manual_seed(0)
    ids = torch.tensor([0, 1, 0, 2, 0, 1])
    motions = torch.nn.functional.normalize(torch.randn(6, 8), dim=-1).requires_grad_()
    distinct = torch.nn.functional.normalize(torch.randn(3, 8), dim=-1).requires_grad_()
    results = {}
    for duplicates in ("negative", "positive", "ignore"):
        loss = contrastive_loss(motions, distinct[ids], SCALE, caption_ids=ids, duplicates=duplicates)
        results[duplicates] = (loss, *torch.autograd.grad(loss, (motions, distinct)))
    for one, other in zip(results["negative"], results["positive"]):
        torch.testing.assert_close(one, other)
    assert not torch.isclose(results["ignore"][0], results["positive"][0])


def test_ignored_duplicates_and_pairs_together():
    motions, texts = embeddings()
    ids = torch.tensor([0, 0, 1, 2, 3, 4])
    ignore = torch.zeros(6, 6, dtype=torch.bool)
    ignore[4, 5] = True
    loss = contrastive_loss(motions, texts, SCALE, caption_ids=ids, duplicates="ignore", ignore=ignore)
    expected = double_loop(motions, texts, SCALE, left_out={(0, 1), (1, 0), (4, 5)})
    assert float(loss) == pytest.approx(expected, abs=1e-5)
    # What is positive stays, even where `ignore` names it.
    ignore[0, 1] = ignore[1, 0] = True
    loss = contrastive_loss(motions, texts, SCALE, caption_ids=ids, duplicates="positive", ignore=ignore)
    expected = double_loop(motions, texts, SCALE, left_out={(4, 5)}, positives=ids.tolist())
    assert float(loss) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("options", [{}, {"duplicates": "positive"}, {"duplicates": "ignore"}])
def test_gradients_are_right_and_finite(options):
    motions, texts = embeddings(4, 3)
    ids = torch.tensor([0, 1, 0, 2])
    log_scale = torch.tensor(2.0, requires_grad=True)
    motions.requires_grad_()
    ignore = torch.zeros(4, 4, dtype=torch.bool)
    ignore[0, 3] = True
    contrastive_loss(motions, texts, log_scale.exp(), caption_ids=ids, ignore=ignore, **options).backward()

    def value(change, scale=2.0):
        moved = motions.detach() + change
        left_out = {(0, 3)} | ({(0, 2), (2, 0)} if options.get("duplicates") == "ignore" else set())
        positives = ids.tolist() if options.get("duplicates") == "positive" else None
        return double_loop(moved, texts, math.exp(scale), left_out=left_out, positives=positives)

    step = 1e-4
    for row, column in ((0, 0), (3, 2), (2, 1)):
        change = torch.zeros(4, 3, dtype=torch.float64)
        change[row, column] = step
        assert float(motions.grad[row, column]) == pytest.approx(
            (value(change) - value(-change)) / (2 * step), abs=1e-4
        )
    slope = (value(0, 2.0 + step) - value(0, 2.0 - step)) / (2 * step)
    assert float(log_scale.grad) == pytest.approx(slope, abs=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_embeddings_are_compared_in_float32(dtype):
    motions, texts = (embeds.to(dtype) for embeds in embeddings(64, 16))
    loss = contrastive_loss(motions, texts, 100.0)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, contrastive_loss(motions.float(), texts.float(), 100.0))


@pytest.mark.parametrize(
    "change,message",
    [
        ({"text_embeds": torch.ones(5, 5)}, r"\(6, 5\).*\(5, 5\)"),
        ({"text_embeds": torch.ones(6, 4)}, r"\(6, 4\)"),
        ({"motion_embeds": torch.ones(0, 5), "text_embeds": torch.ones(0, 5)}, "B > 0"),
        ({"motion_embeds": torch.ones(6), "text_embeds": torch.ones(6)}, r"\(B, P\)"),
        ({"duplicates": "drop"}, "'drop'"),
        ({"reduction": "none"}, "'none'"),
        ({"duplicates": "positive"}, "needs `caption_ids`"),
        ({"duplicates": "ignore", "caption_ids": torch.arange(5)}, "5 caption ids for 6 pairs"),
        ({"ignore": torch.zeros(6, 5, dtype=torch.bool)}, r"`ignore` has shape \(6, 5\)"),
    ],
)
def test_bad_input_is_refused(change, message):
    motions, texts = embeddings()
    with pytest.raises(ValueError, match=message):
        contrastive_loss(**{"motion_embeds": motions, "text_embeds": texts, "logit_scale": SCALE, **change})


def test_one_process_gathers_itself():
    motions, texts = embeddings()
    assert not is_distributed()
    assert gather_with_gradient(motions) is motions
    torch.testing.assert_close(
        contrastive_loss(motions, texts, SCALE, gather=True), contrastive_loss(motions, texts, SCALE), atol=0, rtol=0
    )


# ------------------------------------------------------------------------------------------------ several processes

# Unequal local batches; the processes' rows one after the other are the whole batch.
LOCAL_SIZES = {2: [3, 5], 3: [2, 4, 3]}
VARIANTS = {
    "plain": {},
    "positive": {"duplicates": "positive"},
    "ignore": {"duplicates": "ignore"},
    "mask and sum": {"masked": True, "reduction": "sum"},
}

# Imports torch and the loss's own file once and forks from there, before autograd has started any thread.
WORKERS = '''
import importlib.util, json, sys
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

torch.set_num_threads(1)
spec = importlib.util.spec_from_file_location("loss_motionpatch", sys.argv[1])
loss_module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(loss_module)


class Towers(torch.nn.Module):
    """Two linear towers and a learned temperature, the same on every process."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.motion, self.text = torch.nn.Linear(6, 4), torch.nn.Linear(5, 4)
        self.log_scale = torch.nn.Parameter(torch.tensor(1.5))

    def forward(self, motions, texts):
        normalize = torch.nn.functional.normalize
        return normalize(self.motion(motions), dim=-1), normalize(self.text(texts), dim=-1), self.log_scale.exp()


def batch(total):
    torch.manual_seed(1)
    return torch.randn(total, 6), torch.randn(total, 5), torch.arange(total) % 4, torch.rand(total, total) < 0.2


exact_gather = loss_module.gather_with_gradient


def own_slice_only(tensor):
    """What detaches the others' rows: the value is right, the gradient is not."""
    rows = exact_gather(tensor.detach()).clone()
    start = int((exact_gather(torch.full((len(tensor),), dist.get_rank())) < dist.get_rank()).sum())
    rows[start : start + len(tensor)] = tensor
    return rows


def step(towers, rows, options, gather):
    total = sum(rows) if isinstance(rows, list) else rows
    motions, texts, ids, mask = batch(total)
    options = dict(options)
    if options.pop("masked", False):
        options["ignore"] = mask
    own = slice(0, total)
    if gather:
        rank = dist.get_rank()
        own = slice(sum(rows[:rank]), sum(rows[: rank + 1]))
    motion_embeds, text_embeds, scale = towers(motions[own], texts[own])
    loss = loss_module.contrastive_loss(motion_embeds, text_embeds, scale, gather, caption_ids=ids[own], **options)
    loss.backward()
    return loss.item()


def result(towers, loss, world=1):
    gradients = {}
    for name, parameter in towers.named_parameters():
        if world > 1:  # as DistributedDataParallel
            dist.all_reduce(parameter.grad)
            parameter.grad /= world
        gradients[name], parameter.grad = parameter.grad.tolist(), None
    return {"loss": loss, "gradients": gradients}


def work(rank, sizes, variants, folder):
    world = len(sizes)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store{world}", rank=rank, world_size=world)
    towers = Towers()
    results = {name: result(towers, step(towers, sizes, options, True), world) for name, options in variants.items()}
    loss_module.gather_with_gradient = own_slice_only
    results["own slice only"] = result(towers, step(towers, sizes, {}, True), world)
    with torch.no_grad():  # the path without a backward pass, and integers
        results["rows"] = exact_gather(torch.full((sizes[rank], 2), rank)).tolist()
    with open(f"{folder}/{world}_{rank}.json", "w") as file:
        json.dump(results, file)
    dist.destroy_process_group()


if __name__ == "__main__":
    settings = json.loads(sys.argv[2])
    for sizes in settings["sizes"]:
        context = mp.get_context("fork")
        arguments = [(rank, sizes, settings["variants"], sys.argv[3]) for rank in range(len(sizes))]
        processes = [context.Process(target=work, args=args) for args in arguments]
        [process.start() for process in processes]
        [process.join(60) for process in processes]
        if any(process.exitcode != 0 for process in processes):
            [process.kill() for process in processes]
            sys.exit("a process failed")
    for sizes in settings["sizes"]:  # one process with the whole batch; only now does autograd run here
        towers = Towers()
        total = sum(sizes)
        whole = {n: result(towers, step(towers, total, o, False)) for n, o in settings["variants"].items()}
        with open(f"{sys.argv[3]}/{len(sizes)}_whole.json", "w") as file:
            json.dump(whole, file)
'''


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    if not torch.distributed.is_available() or not hasattr(os, "fork"):
        pytest.skip("needs torch.distributed with gloo, and fork")
    folder = tmp_path_factory.mktemp("gather")
    script = folder / "workers.py"
    script.write_text(WORKERS)
    settings = json.dumps({"sizes": list(LOCAL_SIZES.values()), "variants": VARIANTS})
    done = subprocess.run(
        [sys.executable, str(script), str(LOSS_FILE), settings, str(folder)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return {file.stem: json.loads(file.read_text()) for file in folder.glob("*.json")}


def largest_difference(run, whole):
    assert run["gradients"].keys() == whole["gradients"].keys()
    pairs = [(run["gradients"][name], whole["gradients"][name]) for name in whole["gradients"]]
    return max(float((torch.tensor(a) - torch.tensor(b)).abs().max()) for a, b in pairs)


@pytest.mark.parametrize("processes", LOCAL_SIZES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_processes_have_the_gradients_of_one(runs, processes, variant):
    whole = runs[f"{processes}_whole"][variant]
    for rank in range(processes):
        run = runs[f"{processes}_{rank}"][variant]
        assert run["loss"] == pytest.approx(whole["loss"], abs=1e-6)
        assert largest_difference(run, whole) < 1e-6
    assert abs(whole["gradients"]["log_scale"]) > 1e-3  # the learned temperature is among what agreed


@pytest.mark.parametrize("processes", LOCAL_SIZES)
def test_the_comparison_can_fail(runs, processes):
    whole = runs[f"{processes}_whole"]["plain"]
    run = runs[f"{processes}_0"]["own slice only"]
    assert run["loss"] == pytest.approx(whole["loss"], abs=1e-6)  # the value alone does not tell
    assert largest_difference(run, whole) > 1e-3


@pytest.mark.parametrize("processes", LOCAL_SIZES)
def test_rows_come_in_the_order_of_ranks(runs, processes):
    expected = [[rank, rank] for rank, size in enumerate(LOCAL_SIZES[processes]) for _ in range(size)]
    assert all(runs[f"{processes}_{rank}"]["rows"] == expected for rank in range(processes))
