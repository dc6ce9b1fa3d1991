"""English intermediate-task training for zero-shot cross-lingual transfer: training, evaluation and timing, and the study around them.

For your own code there are the names below, which xtools/api.py documents; notebooks/howto/use_from_your_code.py shows them at work. Importing
this package imports nothing else: each name brings what it needs when it is first asked for.
"""

import importlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # of the project
__all__ = ["ROOT", "Problem", "compare", "ledger", "load_study", "run_cell", "score_folder", "table", "time_encoder"]


def __getattr__(name: str):
    """A name of xtools/api.py; type checkers find them in `__init__.pyi`."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("xtools.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
