"""`python -m modeling_motionpatch ...` is the `motionpatch` command."""

import sys

from .cli import main


if __name__ == "__main__":
    sys.exit(main())
