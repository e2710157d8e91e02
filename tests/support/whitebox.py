"""Load a stage's own modules, apart from those of every other stage."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType


@contextmanager
def stage_modules(folder: Path, *names: str) -> Iterator[list[ModuleType]]:
    """Import `names` from `folder`; afterwards all is as if it had not happened.

    Each call gives fresh modules. Raises AssertionError if a name is found anywhere
    else than in `folder`.
    """
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        modules = [importlib.import_module(name) for name in names]
        for module in modules:
            assert Path(module.__file__).is_relative_to(folder), (
                f"{module.__name__} came from {module.__file__}, not from {folder}"
            )
        yield modules
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", None)).startswith(
                str(folder)
            ):
                del sys.modules[name]
