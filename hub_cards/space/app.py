"""The Space: the demo of the package, on the model and the gallery that the Space's variables name."""

import os

from modeling_motionpatch.demo import build_app


HOST, PORT = "0.0.0.0", 7860  # the Hub's proxy comes from outside the container, to `app_port` of the README

app = build_app(
    gallery=os.environ.get("MOTIONPATCH_GALLERY") or None,  # none: generated motions
    model=os.environ.get("MOTIONPATCH_MODEL") or None,  # none: the gallery's, or the packaged checkpoint
)

if __name__ == "__main__":
    app.launch(host=HOST, port=PORT)
