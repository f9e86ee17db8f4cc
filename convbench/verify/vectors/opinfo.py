"""The samples that torch tests its own conv2d with, and the calls that it must refuse."""

import logging
import warnings
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

from convbench.errors import ConvbenchError
from convbench.spec import ConvSpec, Pair, same_sides
from convbench.verify.vectors import Corpus, Vector


def load() -> Corpus:
    """Samples in fp32, with the answer of torch's own operator on the same numbers in fp64."""
    invocations = _import_samples()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the samples are drawn from the global generator
        samples = list(invocations.sample_inputs_conv2d(None, "cpu", torch.float32, False))
        errors = [one.sample_input for one in invocations.error_inputs_conv2d(None, "cpu")]
    vectors, left_out = [], []
    for number, sample in enumerate(samples):
        try:
            vectors.append(_read(f"conv2d_{number:02}", sample))
        except ConvbenchError as error:
            left_out.append((f"conv2d_{number:02}", str(error)))
    refused, accepted = [], []
    for number, sample in enumerate(errors):
        by = _refused_by(sample)
        if by is None:
            accepted.append(f"error_{number:02}")
        else:
            refused.append(by)
    return Corpus(
        name="opinfo",
        version=f"torch {torch.__version__.partition('+')[0]}",
        vectors=tuple(vectors),
        left_out=tuple(left_out),
        refused=tuple(refused),
        accepted=tuple(accepted),
    )


def _import_samples() -> Any:
    """torch's own test module, without its import side effect that forbids setting switches of torch.backends."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it looks for compilers, and tells of those it does not find
    try:
        with warnings.catch_warnings(action="ignore"), patch.object(torch.backends, "disable_global_flags"):
            from torch.testing._internal import common_methods_invocations
    finally:
        logging.disable(level)
    return common_methods_invocations


def _read(name: str, sample: Any) -> Vector:
    x, (w, bias) = sample.input, sample.args
    with warnings.catch_warnings(action="ignore"):  # torch says that an even kernel with "same" costs a copy
        expected = F.conv2d(x.double(), w.double(), None if bias is None else bias.double(), **sample.kwargs)
    spec, x = _spec_of(sample)
    operands = (x, w) if bias is None else (x, w, bias)
    return Vector(name=name, spec=spec, operands=operands, expected=expected.float().reshape(spec.y_shape))


def _spec_of(sample: Any) -> tuple[ConvSpec, Tensor]:
    """The problem of a call of conv2d, and x with its batch and any padding done first.

    Raises:
        ConvbenchError: it is not a problem.
    """
    x, w, options = sample.input, sample.args[0], sample.kwargs
    x = x[None] if x.dim() == 3 else x
    if x.dim() != 4 or w.dim() != 4:
        raise ConvbenchError(f"x and w have {x.dim()} and {w.dim()} dimensions; both need four")
    stride, dilation = _pair(options.get("stride", 1)), _pair(options.get("dilation", 1))
    padding = options.get("padding", 0)
    if padding == "same":  # the extra row is at the end
        sides: tuple[int, ...] = same_sides(w.shape[2:], dilation)
    else:
        sides = (0, 0) if padding == "valid" else _pair(padding)
    spec = ConvSpec(
        n=x.shape[0],
        c=x.shape[1],
        h=x.shape[2],
        w=x.shape[3],
        k=w.shape[0],
        r=w.shape[2],
        s=w.shape[3],
        stride=stride,
        padding=sides,
        dilation=dilation,
        groups=options.get("groups", 1),
    )
    if tuple(w.shape) != spec.w_shape:
        raise ConvbenchError(f"w is {tuple(w.shape)}, and {spec} has {spec.w_shape}")
    return spec, x


def _refused_by(sample: Any) -> str | None:
    """What refuses an invalid call: ConvSpec, or torch's own operator if the sizes are right; None if nothing does."""
    try:
        _spec_of(sample)
    except ConvbenchError:
        return "ConvSpec"
    try:
        F.conv2d(sample.input, *sample.args, **sample.kwargs)
    except (RuntimeError, TypeError):
        return "torch"
    return None


def _pair(value: Any) -> Pair:
    if isinstance(value, int):
        return (value, value)
    return (int(value[0]), int(value[-1]))
