"""The `evaluate` module of the same name; loaded by `evaluate.load(folder)`, not imported."""
