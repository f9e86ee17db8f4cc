"""How does a data set become feature maps, and what does each stage produce and cost?"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

from convbench.backend import Backend
from convbench.call.bind import failure, synchronize
from convbench.call.tensors import TORCH_DTYPE
from convbench.case import Case, Problem
from convbench.data.batch import first_batch, make_loader, make_transform, split
from convbench.data.filters import Filters, make_filters
from convbench.data.sets import load_set
from convbench.data.weights import load_filters
from convbench.errors import ConvbenchError
from convbench.outcome import Failed, Outcome, Skipped
from convbench.spec import ConvSpec, Pair, pair_text, same_sides
from convbench.verify.exam import make_exam
from convbench.verify.lineup import refusal
from convbench.verify.trial import attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that determines a run, except its backend.

    Attributes:
        image_size: (H, W); None keeps the size of the images.
        split: the share of the images for training; the batch comes from it.
        weights, weights_name: a file to take the filters from, and the tensor in it.
        padding: of height and width, or of all four sides; None keeps the size of the image at stride 1, except for one
            row or column if the dilated kernel is even; "same" keeps the size then, too.
    """

    data: str = "shapes"
    root: Path = Path("data")
    download: bool = False
    image_size: Pair | None = None
    split: float = 0.8
    batch_size: int = 8
    workers: int = 0
    filters: str = "edges"
    weights: Path | None = None
    weights_name: str | None = None
    stride: Pair = (1, 1)
    padding: tuple[int, ...] | Literal["same"] | None = None
    dilation: Pair = (1, 1)
    device: str = "cpu"
    dtype: str = "fp32"
    precision: str = "ieee"
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step: its result with its sizes, and its time.

    Attributes:
        sizes: (axis, size) in order; an axis is the field's letter or a word.
        what: a description.
        code: the same as a line of PyTorch or torchvision; "" if there is none.
    """

    name: str
    sizes: tuple[tuple[str, int], ...]
    what: str
    time_s: float
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run to its end, or to where it had to stop.

    Attributes:
        stages: those that were done, in order.
        remarks: what of the files was not used.
        x: the batch (N, C, H, W); None where the backend refused.
        y: what the backend made of it (N, K, P, Q); None where it made nothing of that shape.
        labels: the class of each image, by name where it has one.
        operands: the files that hold x and w; None where they were not kept.
    """

    plan: Plan
    case: Case
    backend: str
    filters: Filters
    stages: tuple[Stage, ...]
    outcome: Outcome
    remarks: tuple[str, ...] = ()
    x: Tensor | None = None
    y: Tensor | None = None
    labels: tuple[str, ...] = ()
    operands: tuple[str, str] | None = None


class Stopwatch:
    """Stages in sequence: each one's time is the time since the one before."""

    def __init__(self) -> None:
        self.stages: list[Stage] = []
        self._since = time.perf_counter()

    def stage(self, name: str, what: str, code: str = "", /, **sizes: int) -> None:
        """End the stage that is running, and begin the next."""
        now = time.perf_counter()
        stage = Stage(name=name, sizes=tuple(sizes.items()), what=what, time_s=now - self._since, code=code)
        self.stages.append(stage)
        self._since = time.perf_counter()

    def took(self, time_s: float, name: str, what: str, /, **sizes: int) -> None:
        """A stage that was timed elsewhere; its time is not part of the running one."""
        self.stages.append(Stage(name=name, sizes=tuple(sizes.items()), what=what, time_s=time_s))
        self._since += time_s


def run(plan: Plan, backend: Backend, *, force: bool = False) -> Run:
    """One batch of the data set through the backend, checked against the float64 oracle.

    Raises:
        ConvbenchError: the data, the weights or the sizes are invalid.
    """
    watch = Stopwatch()
    images = load_set(
        plan.data,
        make_transform(plan.image_size),
        root=plan.root,
        download=plan.download,
        image_size=plan.image_size,
        seed=plan.seed,
    )
    code = f"data = {images.code}" if images.code else ""
    watch.stage("data set", images.origin, code, images=len(images), classes=len(images.classes))

    c, h, w = images.images[0][0].shape
    resized = f"to {plan.image_size[0]}x{plan.image_size[1]}, " if plan.image_size else ""
    code = "transform = torchvision.transforms.ToTensor()"
    if plan.image_size:
        code += f"  # after PIL.ImageOps.fit(image, {plan.image_size[::-1]})"
    watch.stage("transform", f"{resized}to a tensor in [0, 1]; one image", code, C=c, H=h, W=w)

    train, validation = split(images.images, len(images), plan.split, plan.seed)
    sizes = {"train": len(train), "validation": len(validation)}
    seeded = f"generator=torch.Generator().manual_seed({plan.seed})"
    code = f"train, validation = torch.utils.data.random_split(data, {list(sizes.values())}, {seeded})"
    watch.stage("split", f"random_split {plan.split:g}, seed {plan.seed}", code, **sizes)

    filters = choose_filters(plan, c)
    remarks = (*images.remarks, *filters.remarks)
    k, c_per_group, r, s = filters.w.shape
    if filters.groups == 1:
        watch.stage("filters", filters.origin, K=k, C=c, R=r, S=s)
    else:
        watch.stage("filters", f"{filters.origin}, {filters.groups} groups", K=k, **{"C/G": c_per_group}, R=r, S=s)

    if plan.batch_size < 1:
        raise ConvbenchError(f"--batch-size {plan.batch_size}: it must be at least 1; try 8")
    spec = ConvSpec(
        n=min(plan.batch_size, len(train)), c=c, h=h, w=w, k=k, r=r, s=s, groups=filters.groups,
        stride=plan.stride, dilation=plan.dilation,
        padding=choose_padding(plan, r, s),
    )  # fmt: skip
    case = Case(
        problem=Problem(suite="run", name=plan.data, spec=spec),
        dtype=plan.dtype,
        precision=plan.precision,
        device=plan.device,
        seed=plan.seed,
    )
    loader = make_loader(train, batch_size=spec.n, workers=plan.workers, seed=plan.seed)
    refused = refusal(backend, case, force=force)
    if refused is not None:
        return Run(
            plan=plan, case=case, backend=backend.name, filters=filters, stages=tuple(watch.stages),
            outcome=refused, remarks=remarks,
        )  # fmt: skip

    batch, classes = first_batch(loader)
    if tuple(batch.shape) != spec.x_shape:  # a folder whose first image has a different size
        raise ConvbenchError(
            f"the images differ in size: the first is (C, H, W) = {spec.x_shape[1:]}, the batch has "
            f"{tuple(batch.shape[1:])}; resize them, for example with --image-size 224"
        )
    labels = tuple(images.classes[label] if images.classes else "" for label in classes)
    dtype, place = TORCH_DTYPE[plan.dtype], case.target.torch_name
    x, weights = batch.to(place, dtype), filters.w.to(place, dtype).contiguous()
    refuse_infinite(filters, weights, plan.dtype)
    synchronize(plan.device)
    workers = f"{plan.workers} workers" if plan.workers else "this process"
    code = f"x, labels = next(iter(torch.utils.data.DataLoader(train, batch_size={spec.n}, shuffle=True, {seeded})))"
    what = f"one batch, shuffled, {workers}; {plan.dtype} on {plan.device}"
    watch.stage("DataLoader", what, code, N=spec.n, C=c, H=h, W=w)

    outcome, y = _convolve(watch, case, backend, x, weights)
    return Run(
        plan=plan, case=case, backend=backend.name, filters=filters, stages=tuple(watch.stages),
        outcome=outcome, remarks=remarks, x=x, y=y, labels=labels,
    )  # fmt: skip


def refuse_infinite(filters: Filters, weights: Tensor, dtype: str) -> None:
    """Raise where the weights hold NaN or infinity, in their file or in this dtype."""
    bad = int((~weights.isfinite()).sum())
    if not bad:
        return
    own = int((~filters.w.isfinite()).sum())
    if own:
        count = f"{own:,} of {filters.w.numel():,} numbers"
        raise ConvbenchError(f"the weights ({filters.origin}) are NaN or infinite in {count}; give other weights")
    raise ConvbenchError(
        f"{bad:,} of {weights.numel():,} weights ({filters.origin}) are too large for {dtype}; try --dtype fp32"
    )


def choose_filters(plan: Plan, channels: int) -> Filters:
    """The filters of the plan for C channels, from its file or its bank."""
    if plan.weights is not None:
        return load_filters(plan.weights, channels, plan.weights_name)
    return make_filters(plan.filters, channels, plan.seed)


def choose_padding(plan: Plan, r: int, s: int) -> tuple[int, ...]:
    """The padding of the plan for a kernel of R x S."""
    if plan.padding == "same":
        return same_sides((r, s), plan.dilation)
    return keep_size(r, s, plan.dilation) if plan.padding is None else plan.padding


def keep_size(r: int, s: int, dilation: Pair) -> Pair:
    """The padding that keeps H and W at stride 1; an even kernel extent loses one row or column."""
    return (dilation[0] * (r - 1) // 2, dilation[1] * (s - 1) // 2)


def _convolve(watch: Stopwatch, case: Case, backend: Backend, x: Tensor, w: Tensor) -> tuple[Outcome, Tensor | None]:
    """The outcome, and y if it has the shape (N, K, P, Q)."""
    spec = case.spec
    axes = dict(zip("NKPQ", spec.y_shape, strict=True))
    try:
        exam = make_exam(case, x, w)
        _ = exam.truth  # computed where it is first asked for: here, to be timed
    except (MemoryError, RuntimeError) as error:  # usually far too much padding
        return Failed(f"the oracle: {failure(error).message}"), None
    watch.stage("oracle", "the same convolution in float64", **axes)

    trial = attempt(backend, exam, profiled="fprop" in backend.must_run)
    if isinstance(trial, Failed | Skipped):
        return trial, None
    bill, check, out = trial.bill, trial.check, trial.out
    if backend.prepare:
        watch.took(bill.prepare_s or 0.0, "prepare", "once for each weight")
    settings = f"stride {pair_text(spec.stride)}, padding {spec.padding_text}, dilation {pair_text(spec.dilation)}"
    shape: Sequence[int] = out.shape if isinstance(out, Tensor) and out.dim() == 4 else ()
    watch.took(
        bill.first_call_s,
        "convolution",
        f"{backend.name}, first call; {settings}",
        **dict(zip("NKPQ", shape, strict=False)),
    )
    words = "every output within its own bound" if check.passed else "wrong"
    watch.stage("check", f"{words}; more calls, which must agree", **axes)
    return trial.outcome, (out if tuple(shape) == spec.y_shape else None)
