"""What do the keys do in an interactive walk, and what is on the screen?

A session is a value: `press` gives the next one, `screen` its lines. Neither knows a terminal.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from textwrap import wrap

from rich.text import Text

from convbench.explain import STEPS
from convbench.explain.quiz import QuizQuestion, ask
from convbench.explain.steps import Cell, Walk
from convbench.explain.walk import move
from convbench.show.explain import draw_step
from convbench.show.frames import Frame, asciicast, svg
from convbench.show.further_pages import Pages
from convbench.show.grid import FAINT, OUTPUT, heading, in_role
from convbench.show.pages import NARROWEST, fit
from convbench.show.steps import View, overview
from convbench.show.tour import tour

FEWEST_LINES = 12
OVERVIEW_ROWS = 5
TALL = 36  # lines from which two channels are shown side by side
WHOLE = 30  # lines from which x, the patches, w_flat and y stay on the screen

HELP = (
    ("← → ↑ ↓", "move the output cell"),
    ("[ ]  1-8", "previous step, next step, or a step by number"),
    ("c k n", "next channel, filter, image; C K N go back"),
    ("a", "another algorithm on the same numbers"),
    ("d", "the backward pass: dx, dw"),
    ("PgUp PgDn", "scroll a step that is taller than the screen"),
    ("?", "a question about this step"),
    ("e", "export this frame: SVG, recording or text"),
    ("h", "this help"),
    ("q", "quit"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkSession:
    """The position of the user in a walk.

    Attributes:
        walk: at the cell that is followed; every cell's is proved before it is shown.
        base: the letters, and what was measured and observed before the session.
        page: of `algorithms` or `backward`, the one shown in place of the step.
        scroll: lines of the step above the screen.
        mode: what the next key means: "" moves, "quiz" types a reply, "export" names a format, "help".
        asked: questions so far, `right` of them answered correctly.
        folder: where exports go.
    """

    walk: Walk
    step: str
    channel: int = 0
    base: View = field(default_factory=View)
    page: str = ""
    scroll: int = 0
    mode: str = ""
    question: QuizQuestion | None = None
    typed: str = ""
    asked: int = 0
    right: int = 0
    message: str = ""
    done: bool = False
    size: tuple[int, int] = (80, 24)
    seed: int = 0
    folder: Path = Path()
    algorithms: Pages = field(default_factory=dict)
    backward: Pages = field(default_factory=dict)

    @property
    def view(self) -> View:
        return replace(self.base, channel=self.channel, channels=2 if self.size[1] >= TALL else 1)

    def frame(self) -> Frame:
        """The step, or the page in its place, as wide as the screen."""
        width = fit(self.size[0])
        pages = {**self.algorithms, **self.backward}
        if self.page:
            return Frame(title=self.page, width=width, lines=tuple(pages[self.page](self.walk, width)))
        return draw_step(self.walk, self.step, width, self.view)

    def above(self) -> list[Text]:
        """What stays above the step on a tall screen: the numbers of all steps, linked; nothing on others."""
        if self.size[1] < WHOLE or self.page or self.mode == "help":
            return []
        width = fit(self.size[0])
        view = replace(self.view, rows=OVERVIEW_ROWS, patch_rows=OVERVIEW_ROWS)
        lines = [Text("  ") + line for line in overview(self.walk, width - 2, view)]
        return [*lines, Text()] if len(lines) + FEWEST_LINES <= self.size[1] else []


def press(session: WalkSession, key: str) -> WalkSession:
    """The session after a key: a character, or a name such as "left", "pagedown", "enter" or "escape".

    Raises:
        UnprovedError: the cell that it moves to is not proved.
    """
    session = replace(session, message="")
    if session.mode == "quiz":
        return _reply(session, key)
    if session.mode == "export":
        return _export(replace(session, mode=""), key)
    if session.mode == "help":
        return replace(session, mode="", done=key == "q")
    cell, spec = session.walk.cell, session.walk.spec
    match key:
        case "q":
            return replace(session, done=True)
        case "h":
            return replace(session, mode="help")
        case "up" | "down" | "left" | "right":
            down, right = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}[key]
            p, q = min(max(cell.p + down, 0), spec.p - 1), min(max(cell.q + right, 0), spec.q - 1)
            return _go(session, replace(cell, p=p, q=q))
        case "k" | "K":
            return _go(session, replace(cell, k=(cell.k + (1 if key == "k" else -1)) % spec.k))
        case "n" | "N":
            return _go(session, replace(cell, n=(cell.n + (1 if key == "n" else -1)) % spec.n))
        case "c" | "C":
            return replace(session, channel=(session.channel + (1 if key == "c" else -1)) % spec.c_per_group)
        case "[" | "]":
            number = STEPS.index(session.step) + (1 if key == "]" else -1)
            return replace(session, step=STEPS[min(max(number, 0), len(STEPS) - 1)], page="", scroll=0)
        case "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8":
            return replace(session, step=STEPS[int(key) - 1], page="", scroll=0)
        case "pagedown" | "pageup" | " ":
            return replace(session, scroll=_scrolled(session, -1 if key == "pageup" else 1))
        case "a":
            return _next_algorithm(session)
        case "d":
            return _turn(session, session.backward)
        case "?":
            return _ask(session)
        case "e":
            return replace(session, mode="export")
    return session


def screen(session: WalkSession) -> list[Text]:
    """The lines of the whole screen, none wider than it and as many as it has."""
    width, height = session.size
    if width < NARROWEST or height < FEWEST_LINES:
        note = f"{width}x{height} is too small: make the terminal {NARROWEST}x{FEWEST_LINES} or larger, or press q"
        return [Text(line) for line in wrap(note, max(1, width))][:height]
    bottom = _bottom(session)
    head = [_status(session), *session.above()]
    room = height - len(head) - len(bottom)
    above = 0 if session.mode == "help" else session.scroll
    lines = _help(width) if session.mode == "help" else list(session.frame().lines)
    body = lines[above : above + room]
    left = len(lines) - above - len(body)
    if left > 0:
        body[-1] = Text(f"  … {left + 1} more lines: PgDn", style=FAINT)
    body += [Text()] * (room - len(body))
    shown = [line.copy() for line in (*head, *body, *bottom)]
    for line in shown:
        line.truncate(width)
    return shown


def _status(session: WalkSession) -> Text:
    """Which output is followed, and in which problem."""
    walk, cell, width = session.walk, session.walk.cell, session.size[0]
    output = Text(f" y[{cell.n},{cell.k},{cell.p},{cell.q}] = ") + in_role(f"{walk.total:g}", OUTPUT)
    if walk.spec.c_per_group > 1:
        output += Text(f"  channel {walk.terms[0].channel + session.channel}")
    name = str(walk.spec)
    room = width - len(output) - 2
    name = name if len(name) <= room else name[: room - 1] + "…"
    return output + Text(name.rjust(width - len(output) - 1), style=FAINT)


def _bottom(session: WalkSession) -> list[Text]:
    """The keys; or a message, or what is asked and typed."""
    width = session.size[0] - 2
    match session.mode:
        case "quiz" if session.question is not None:
            asked = [Text(f" {line}", style="bold") for line in wrap(session.question.text, width)]
            hint = session.message or "Enter answers, Esc cancels"
            return [*asked, Text(f" > {session.typed}_") + Text(f"   {hint}", style=FAINT)]
        case "export":
            return [Text(" Export as  s SVG   c recording   t text   Esc cancels", style="bold")]
        case "help":
            return [Text(" Press any key to go back", style=FAINT)]
    if session.message:
        return [Text(f" {line}", style="bold") for line in wrap(session.message, width)]
    spec = session.walk.spec
    others = " ".join(key for key, count in (("c", spec.c_per_group), ("k", spec.k), ("n", spec.n)) if count > 1)
    keys = ["←→↑↓ cell", "[ ] step", others, "a algorithm", "d dx,dw" if session.backward else ""]
    keys = [key for key in (*keys, "? quiz", "e export", "h help", "q quit") if key]
    while len(keys) > 2 and len("  ".join(keys)) > width:
        keys.pop(2)  # help names them all
    return [Text(f" {'  '.join(keys)}"[:width], style=FAINT)]


def _help(width: int) -> list[Text]:
    lines = [*heading("KEYS", "", width)]
    for keys, what in HELP:
        rest = wrap(what, width - 16)
        lines.append(Text.assemble((f"  {keys:<12}", "bold"), rest[0]))
        lines += [Text(" " * 14 + line) for line in rest[1:]]
    return lines


def _go(session: WalkSession, cell: Cell) -> WalkSession:
    return session if cell == session.walk.cell else replace(session, walk=move(session.walk, cell))


def _scrolled(session: WalkSession, pages: int) -> int:
    """So that the last line is in sight at most."""
    room = session.size[1] - 1 - len(session.above()) - len(_bottom(session))
    most = max(0, len(session.frame().lines) - room)
    return min(max(session.scroll + pages * (room - 1), 0), most)


def _next_algorithm(session: WalkSession) -> WalkSession:
    """The next page of an algorithm; without any, the two ways of the walk itself in turn."""
    if session.algorithms:
        return _turn(session, session.algorithms)
    step = "multiply" if session.step == "loops" else "loops"
    name = {"loops": "by loops, from the definition", "multiply": "by unfold and einsum"}[step]
    return replace(session, step=step, page="", scroll=0, message=f"The same output {name}")


def _turn(session: WalkSession, pages: Pages) -> WalkSession:
    """Through the pages in their order, and back to the walk."""
    names = ["", *pages]
    here = names.index(session.page) if session.page in names else 0
    return replace(session, page=names[(here + 1) % len(names)], scroll=0)


def _ask(session: WalkSession) -> WalkSession:
    random = Random(f"{session.seed} {session.asked} {session.step}")  # noqa: S311  # a quiz needs no secrets
    question = ask(session.walk, session.step, random, session.base.letters)
    return replace(session, mode="quiz", question=question, typed="", asked=session.asked + 1)


def _reply(session: WalkSession, key: str) -> WalkSession:
    question = session.question
    if question is None or key == "escape":
        return replace(session, mode="", question=None, asked=session.asked - 1)
    if key == "backspace":
        return replace(session, typed=session.typed[:-1])
    if key != "enter":
        fits = len(key) == 1 and key in "-0123456789, ()" and len(session.typed) < 30
        return replace(session, typed=session.typed + key) if fits else session
    right = question.grade(session.typed)
    if right is None:
        return replace(session, typed="", message=f"Type {question.form}, then Enter")
    verdict = f"Right: {question.answer_text}" if right else f"Not quite. It is {question.answer_text}"
    score = session.right + right
    message = f"{verdict}; {question.because}. {score} of {session.asked} right; press ? for another."
    return replace(session, mode="", question=None, right=score, message=message)


def _export(session: WalkSession, key: str) -> WalkSession:
    ending = {"s": "svg", "c": "cast", "t": "txt"}.get(key)
    if ending is None:
        return session
    walk, cell, frame = session.walk, session.walk.cell, session.frame()
    page = "".join(one if one.isalnum() else "-" for one in session.page.lower()) or session.step
    place = "_".join(map(str, (cell.n, cell.k, cell.p, cell.q)))
    path = session.folder / f"explain-{walk.spec}-{page}-y{place}.{ending}"
    match ending:
        case "svg":
            text = svg(frame)
        case "cast":
            if session.page:
                return replace(session, message="A recording shows steps of the walk; press [ or ] first")
            text = asciicast(tour(walk, [session.step], frame.width, session.view), f"convbench explain {walk.spec}")
        case _:
            text = frame.plain()
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return replace(session, message=f"{path} exists and is unchanged")
    except OSError as error:
        return replace(session, message=f"cannot write {path}: {error.strerror}")
    return replace(session, message=f"Written: {path}")
