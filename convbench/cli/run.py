"""convbench run: from a data set to its feature maps, each stage with its shape and its time."""

import re
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from convbench.case import DTYPES, PRECISIONS
from convbench.cli import options
from convbench.cli.outputs import Remarks, check_outputs, tell, write
from convbench.errors import ConvbenchError
from convbench.exit_codes import NOTHING, WRONG
from convbench.outcome import Failed, Skipped, Wrong
from convbench.spec import Pair

if TYPE_CHECKING:
    from convbench.run import Run

EXAMPLE = "\b\nExample:\n  convbench run --data shapes --filters edges --save features.png"

OPERANDS = ("x.npy", "w.npy")

T = TypeVar("T")

_PAIR = re.compile(r"(\d{1,6})(?:x(\d{1,6}))?")


def run(
    context: typer.Context,
    data: Annotated[
        str,
        typer.Option(
            "--data", metavar="NAME", help="shapes, mnist, fashion-mnist, cifar10, fake, folder:PATH or image:PATH."
        ),
    ] = "shapes",
    root: Annotated[Path, typer.Option("--root", metavar="DIR", help="Folder of the torchvision data sets.")] = Path(
        "data"
    ),
    download: Annotated[bool, typer.Option("--download", help="Download the data set into --root.")] = False,
    batch_size: Annotated[int, typer.Option("--batch-size", metavar="N", min=1, help="Images in the batch.")] = 8,
    image_size: Annotated[
        str | None,
        typer.Option("--image-size", metavar="SIZE", help="Scale and centre-crop the images to S or HxW."),
    ] = None,
    split: Annotated[
        float,
        typer.Option(
            "--split", metavar="FRACTION", help="Fraction of the images for training; the batch comes from it."
        ),
    ] = 0.8,
    workers: Annotated[
        int, typer.Option("--workers", metavar="N", min=0, help="Processes that load the images; 0: this one.")
    ] = 0,
    filters: Annotated[
        str, typer.Option("--filters", metavar="NAME", help="edges, blur, random or identity.")
    ] = "edges",
    weights: Annotated[
        Path | None,
        typer.Option("--weights", metavar="FILE", help="Read the filters from a safetensors or torch file."),
    ] = None,
    weights_name: Annotated[
        str | None,
        typer.Option("--weights-name", metavar="NAME", help="Tensor in that file. Default: the first 4-D one."),
    ] = None,
    stride: Annotated[str, typer.Option("--stride", metavar="PAIR", help="2, or 2x1 for height x width.")] = "1",
    padding: Annotated[
        str | None,
        typer.Option(
            "--padding",
            metavar="N",
            help="1, 1x0, TOPxBOTTOMxLEFTxRIGHT, or same. Default: keep the image size.",
        ),
    ] = None,
    dilation: Annotated[str, typer.Option("--dilation", metavar="PAIR", help="2, or 2x1 for height x width.")] = "1",
    backend: Annotated[
        str, typer.Option("--backend", metavar="NAME", help="Backend to run (convbench list backends).")
    ] = "unfold-einsum",
    plugin: options.Plugins = None,
    device: Annotated[
        str, typer.Option("--device", metavar="NAME", help="cpu, cuda, or cuda:1 for the second GPU.")
    ] = "cpu",
    dtype: Annotated[str, typer.Option("--dtype", metavar="NAME", help=f"One of {', '.join(DTYPES)}.")] = "fp32",
    precision: Annotated[
        str, typer.Option("--precision", metavar="NAME", help="ieee: no TF32 anywhere; tf32: allowed (CUDA, fp32).")
    ] = "ieee",
    threads: options.Threads = 0,
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            metavar="N",
            min=0,
            max=2**32 - 1,
            help="Seed of the shapes, the split, the order and the filters.",
        ),
    ] = 0,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="FILE.png", help="Write the images and feature maps as PNG.")
    ] = None,
    operands: Annotated[
        Path | None,
        typer.Option("--operands", metavar="FOLDER", help="Save x.npy and w.npy there, for `convbench explain`."),
    ] = None,
    overwrite: options.Overwrite = False,
    force: options.Force = False,
) -> None:
    """Run one batch of images through one backend.

    Shows the shape and the time of each stage, from the data set to the convolution. Every output
    is checked against float64, within its own proven error bound. Exit 1: the result is wrong, or
    the backend failed; 3: the backend skipped it.
    """
    if save is not None:
        _check_place(save, overwrite=overwrite)
    if operands is not None:
        for name in OPERANDS:
            check_outputs({"--operands": str(operands / name)}, overwrite=overwrite)
    strides = _pair("--stride", stride)
    from convbench.suites.sizes import read_padding

    settings: dict[str, Any] = {
        "image_size": None if image_size is None else _pair("--image-size", image_size),
        "stride": strides,
        "padding": None if padding is None else read_padding(padding, strides, "--padding 1x0"),
        "dilation": _pair("--dilation", dilation),
        "device": _one("--device", options.choose_devices([device])),
        "dtype": _one("--dtype", options.choose("dtype", [dtype], DTYPES, ())),
        "precision": _one("--precision", options.choose("precision", [precision], PRECISIONS, ())),
    }

    from convbench.run import Plan
    from convbench.run import run as run_pipeline
    from convbench.session import set_threads
    from convbench.show.run import print_run

    with Remarks() as remarks:
        chosen = _one("--backend", options.choose_backends([backend], plugin, remarks))
        set_threads(threads)
        plan = Plan(
            data=data,
            root=root,
            download=download,
            split=split,
            batch_size=batch_size,
            workers=workers,
            filters=filters,
            weights=weights,
            weights_name=weights_name,
            seed=seed,
            **settings,
        )
        context.obj.hold()  # each stage is timed
        done = run_pipeline(plan, chosen, force=force)
    for remark in done.remarks:
        tell(remark)
    if save is not None:
        done = _save(done, save, overwrite=overwrite)
    if operands is not None:
        done = _keep(done, operands, overwrite=overwrite)
    print_run(done)
    match done.outcome:
        case Wrong() | Failed():
            raise typer.Exit(WRONG)
        case Skipped():
            raise typer.Exit(NOTHING)


def _keep(done: "Run", folder: Path, *, overwrite: bool) -> "Run":
    """The run with its first image and its filters in files; as it was where the backend refused."""
    if done.x is None:
        return done
    from io import BytesIO

    import numpy as np

    x, w = (str(folder / name) for name in OPERANDS)
    for file, tensor in ((x, done.x[:1]), (w, done.filters.w)):
        held = BytesIO()
        np.save(held, tensor.float().cpu().numpy())
        write(file, held.getvalue(), overwrite=overwrite)
    return replace(done, operands=(x, w))


def _one(option: str, chosen: Sequence[T]) -> T:
    if len(chosen) != 1:
        raise ConvbenchError(f"{option} names {len(chosen)}; run takes one")
    return chosen[0]


def _pair(option: str, text: str) -> Pair:
    """`2` is (2, 2), `2x1` is (2, 1)."""
    match = _PAIR.fullmatch(text.strip().lower())
    if match is None:
        raise ConvbenchError(f"{option} {text!r}: give one number, or two as HxW, such as 2 or 2x1")
    return int(match[1]), int(match[2] or match[1])


def _check_place(path: Path, *, overwrite: bool) -> None:
    """Refuse what cannot be saved before the work is done."""
    if path.suffix.lower() != ".png" or path.is_dir():
        name = path.with_suffix(".png").name if path.name else "picture.png"
        raise ConvbenchError(f"--save {path}: the picture is a PNG file; try --save {name}")
    check_outputs({"--save": str(path)}, overwrite=overwrite)


def _save(done: "Run", path: Path, *, overwrite: bool) -> "Run":
    """The run with one stage more, the picture; as it was where there is nothing to draw."""
    from convbench.run import Stage
    from convbench.show.picture import draw, png

    if done.x is None or done.y is None:
        tell(f"there are no feature maps to draw; {path} was not written")
        return done
    start = time.perf_counter()
    picture = draw(done)
    write(str(path), png(picture), overwrite=overwrite)
    stage = Stage(
        name="picture",
        sizes=(("high", picture.height), ("wide", picture.width)),
        what=str(path),
        time_s=time.perf_counter() - start,
    )
    return replace(done, stages=(*done.stages, stage))
