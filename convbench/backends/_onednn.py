"""What is known of oneDNN by those who call it."""

from convbench.case import Case


def defects(case: Case, probe: str) -> str | None:
    """A NaN, or an infinity, in a 16-bit x also reaches outputs that do not depend on it: docs/found-defects.md."""
    if probe == "locality" and case.device == "cpu" and case.dtype in ("bf16", "fp16"):
        return "oneDNN carries a NaN of a 16-bit input into neighbouring outputs (docs/found-defects.md)"
    return None
