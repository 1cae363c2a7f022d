"""A browser demo of a gallery: search by text or by an uploaded motion, and watch the hits. Runs offline, on this machine."""

from .app import DemoApp, DemoError, build_app, serve


__all__ = ["DemoApp", "DemoError", "build_app", "serve"]
