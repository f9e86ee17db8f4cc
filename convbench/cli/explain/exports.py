"""Where else may the frames of an explanation go: some steps only, a drawing, a recording, a screen with keys."""

import shlex
import sys
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated

import typer

from convbench.cli.explain.modes import CELL, OWN, given_options
from convbench.cli.outputs import refuse_unproved, write
from convbench.errors import ConvbenchError
from convbench.exit_codes import INTERRUPTED
from convbench.explain import STEPS
from convbench.spec import ConvSpec

if TYPE_CHECKING:
    from convbench.explain.steps import Walk
    from convbench.show.steps import View

NOTEBOOK_WIDTH = 90  # columns that a notebook shows without scrolling

Steps = Annotated[
    str | None,
    typer.Option("--step", metavar="STEP,...", help=f"Only these steps: 4, 2-4, or {', '.join(STEPS)}."),
]
Channel = Annotated[int, typer.Option("--channel", metavar="N", help="First kernel channel to show.")]
Svg = Annotated[str | None, typer.Option("--svg", metavar="FILE", help="Draw the steps as SVG; - is stdout.")]
Cast = Annotated[
    str | None,
    typer.Option("--cast", metavar="FILE", help="Record the walk (asciicast v3); - is stdout."),
]
Png = Annotated[str | None, typer.Option("--png", metavar="FILE", help="Draw the steps as slides (PNG).")]
Gif = Annotated[
    str | None, typer.Option("--gif", metavar="FILE", help="Animate the steps (GIF): the kernel slides, y fills.")
]
Interactive = Annotated[bool, typer.Option("--interactive", "-i", help="Walk with the keyboard; h lists the keys.")]


def parse_steps(text: str | None) -> tuple[str, ...]:
    """`4`, `2-4`, `unfold`, or several after commas; all of them for None."""
    if text is None:
        return STEPS
    chosen: list[str] = []
    for word in (word.strip().lower() for word in text.split(",")):
        first, dash, last = word.partition("-")
        if word in STEPS:
            chosen.append(word)
        elif first.isdecimal() and (last.isdecimal() or not dash):
            low, high = int(first), int(last or first)
            if not 1 <= low <= high <= len(STEPS):
                raise _no_step(text)
            chosen += STEPS[low - 1 : high]
        else:
            raise _no_step(text)
    return tuple(dict.fromkeys(chosen))


def _no_step(text: str) -> ConvbenchError:
    near = [found for word in text.split(",") for found in get_close_matches(word.strip().lower(), STEPS, n=1)]
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return ConvbenchError(
        f"--step {text!r}: give a number from 1 to {len(STEPS)}, a range such as 2-4, or a name: "
        f"{', '.join(STEPS)}{hint}"
    )


def check_channel(channel: int, spec: ConvSpec) -> None:
    if not 0 <= channel < spec.c_per_group:
        raise ConvbenchError(
            f"--channel {channel}: the kernel of {spec} has {spec.c_per_group} channel{'s' * (spec.c_per_group > 1)}, "
            f"numbered from 0; try --channel {spec.c_per_group - 1}"
        )


def refuse_without_terminal() -> None:
    """Raise where there are no keys to read or no screen to draw on."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConvbenchError("--interactive needs a terminal; without one, print a frame with --at P,Q and --step STEP")


def write_frames(
    walk: "Walk", steps: tuple[str, ...], view: "View", *, svg: str | None, cast: str | None, overwrite: bool
) -> None:
    """The drawing and the recording that were asked for."""
    from convbench.explain.steps import UnprovedError
    from convbench.show.console import pipe_width
    from convbench.show.explain import draw_step
    from convbench.show.frames import asciicast, join
    from convbench.show.frames import svg as draw_svg
    from convbench.show.tour import tour

    width, title = pipe_width(), f"convbench explain {walk.spec}"
    if svg is not None:
        frames = [draw_step(walk, step, width, view) for step in steps]
        write(svg, draw_svg(join(frames, title)), overwrite=overwrite)
    if cast is not None:
        try:
            write(cast, asciicast(tour(walk, steps, width, view), title), overwrite=overwrite)
        except UnprovedError as unproved:
            refuse_unproved({"": unproved.failures})


def check_pictures(spec: ConvSpec, steps: tuple[str, ...], *, png: str | None, gif: str | None) -> None:
    """Raise where a file has the wrong ending, or the numbers of a step would be too small to read."""
    for option, file in (("--png", png), ("--gif", gif)):
        if file is None:
            continue
        ending = f".{option[2:]}"
        if not file.lower().endswith(ending):
            raise ConvbenchError(f"{option} {file}: name a file that ends in {ending}")
        from convbench.show.stage import check_readable

        check_readable(spec, steps, option)


def write_pictures(
    walk: "Walk", steps: tuple[str, ...], view: "View", *, png: str | None, gif: str | None, overwrite: bool
) -> None:
    """The slides and the film that were asked for; neither where one of them cannot be read."""
    from convbench.show import film

    drawn = [(file, draw(walk, steps, view)) for file, draw in ((png, film.png), (gif, film.gif)) if file is not None]
    for file, picture in drawn:
        write(file, picture, overwrite=overwrite)


def write_code(walk: "Walk", lines: tuple[str, ...], view: "View", *, notebook: str | None, overwrite: bool) -> None:
    """The steps as a program on stdout, or as a notebook with each step's text."""
    from convbench.explain.program import notebook as as_notebook
    from convbench.explain.program import program
    from convbench.show.explain import draw_step

    if notebook is None:
        typer.echo(program(walk, lines), nl=False)
        return
    texts = {step: draw_step(walk, step, NOTEBOOK_WIDTH, view).plain() for step in STEPS}
    write(notebook, as_notebook(walk, lines, texts), overwrite=overwrite)


def same_problem(context: typer.Context) -> str:
    """What of the command line says which problem it is."""
    words: list[str] = []
    for param in context.command.params:
        name = param.name or ""
        if name not in CELL | OWN or name not in given_options(context):
            continue
        value = str(context.params[name])
        words += [value] if name == "shape" else [param.opts[0], value]
    return shlex.join(words)


def interact(walk: "Walk", step: str, view: "View", *, seed: int, ones: bool) -> None:
    """Let keys move through the walk until q; `ones` and the seed make the gradient of the backward pass."""
    from convbench.explain.steps import UnprovedError
    from convbench.show.further_pages import further_pages
    from convbench.show.interactive import WalkSession
    from convbench.show.keyboard import run

    algorithms, backward = further_pages(walk, seed, ones=ones, letters=view.letters)
    session = WalkSession(
        walk=walk, step=step, channel=view.channel, base=view, seed=seed, algorithms=algorithms, backward=backward
    )
    try:
        run(session)
    except UnprovedError as unproved:
        refuse_unproved({"": unproved.failures})
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
