"""Guided notebooks and the command line of qieval, made with what `import qieval as qe` offers."""

from typing import Any

__all__ = ["App", "replay"]


def __getattr__(name: str) -> Any:
    """The app and `replay`, loaded when they are asked for: the command line starts without widgets."""
    if name == "App":
        from qi_notebooks.app import App

        return App
    if name == "replay":
        from qi_notebooks.study import replay

        return replay
    raise AttributeError(f"module 'qi_notebooks' has no attribute '{name}'")
