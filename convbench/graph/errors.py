"""The error for a model that cannot be a graph."""

from convbench.errors import ConvbenchError


class UnsupportedModel(ConvbenchError):  # noqa: N818  # it says what the model is
    """One line: what in the model cannot be captured, and what to try."""
