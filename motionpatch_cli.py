"""The `motionpatch` program: opens the command before the package, so that `--help` and completion come at once.

Importing `modeling_motionpatch` registers models with transformers and so imports transformers and torch, which takes
seconds. The commands' arguments need none of it. Here the package's `__init__` is put off until something of it is
used; `modeling_motionpatch.cli.main` is the same program without that.
"""

import importlib.util
import os
import sys
from types import ModuleType


PACKAGE = "modeling_motionpatch"


class _PutOffPackage(ModuleType):
    """A package whose `__init__` runs when an attribute is asked of it that it does not have yet."""

    def __getattr__(self, name: str):
        if name.startswith("__") and name != "__version__":  # what the import system asks for
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        self.__class__ = ModuleType
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)


def put_off(name: str) -> ModuleType:
    """Makes a package known without running its `__init__`; its parts can be imported at once.

    Args:
        name (`str`): Of an installed top-level package.

    Returns:
        `ModuleType`: the package; the one that is there where it has been imported already.
    """
    if name not in sys.modules:
        spec = importlib.util.find_spec(name)
        package = importlib.util.module_from_spec(spec)
        package.__class__ = _PutOffPackage
        sys.modules[name] = package
    return sys.modules[name]


def main(argv: list[str] | None = None) -> int:
    """Runs `modeling_motionpatch.cli.main`; returns the exit code."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # see train_accelerate.py; torch is not imported yet
    put_off(PACKAGE)
    from modeling_motionpatch.cli import main as run

    return run(argv)


if __name__ == "__main__":
    sys.exit(main())
