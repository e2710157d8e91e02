"""The figures that pages quote, as they are kept: docs/measured.json.

`python -m benchmarks keep` measures them.
"""

from __future__ import annotations

import json

from tutorial.site.pages import DOCS

MEASURED = DOCS / "measured.json"


def kept() -> dict:
    """The figures that were measured last."""
    return json.loads(MEASURED.read_text("utf-8"))


def value(key: str) -> str:
    """One figure by its dotted key, as a page prints it.

    What was measured is kept, and printed, to three significant digits.

    Raises LookupError for a key that is not there.
    """
    found = kept()
    for part in key.split("."):
        if not isinstance(found, dict) or part not in found:
            raise LookupError(f"docs/measured.json has no {key}")
        found = found[part]
    if isinstance(found, float) and found >= 100:
        return f"{found:,.0f}"
    return f"{found:#.3g}" if isinstance(found, float) else str(found)
