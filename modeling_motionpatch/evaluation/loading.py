"""Name of a packaged metric -> its `evaluate` module, loaded from the package's own folder without the network."""

from pathlib import Path

from .checks import EvaluationError


EVALUATE_MODULES = {  # name -> folder that `evaluate.load` reads; the script in it has the folder's name
    name: Path(__file__).parent / "modules" / name for name in ("motion_retrieval", "generated_motion")
}


def load_metric(name: str, **options):
    """Loads one of the package's metrics as an `evaluate.EvaluationModule`.

    Args:
        name (`str`): `"motion_retrieval"` or `"generated_motion"`.
        **options: Passed on to `evaluate.load` (`experiment_id`, `num_process`, `process_id`, `keep_in_memory`, ...).

    Returns:
        `evaluate.EvaluationModule`: with `add_batch` and `compute`.

    Raises:
        EvaluationError: An unknown name.
        ImportError: `evaluate` is not installed.

    Example:

    ```python
    >>> import numpy as np
    >>> from modeling_motionpatch.evaluation import load_metric
    >>> metric = load_metric("motion_retrieval")
    >>> metric.add_batch(text_embeds=np.eye(2), motion_embeds=np.eye(2), captions=["a person walks", "a person runs"])
    >>> metric.compute(protocol="all")["t2m/R@1"]
    100.0
    ```
    """
    if name not in EVALUATE_MODULES:
        raise EvaluationError(f"Unknown metric {name!r}; known: {', '.join(EVALUATE_MODULES)}.")
    try:
        import evaluate
    except ImportError as error:
        raise ImportError("`load_metric` needs the `evaluate` library: pip install evaluate") from error
    return evaluate.load(str(EVALUATE_MODULES[name]), **options)
