"""Folders that `evaluate.load` opens; each is a thin face on the functions of `modeling_motionpatch.evaluation`."""
