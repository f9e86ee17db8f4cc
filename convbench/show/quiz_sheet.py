"""How does a quiz look on paper? Questions with room to write, and the answers on a page of their own."""

from collections.abc import Callable, Iterator, Sequence
from html import escape

from convbench.errors import plural
from convbench.explain.exam import TITLES
from convbench.explain.quiz import QuizGrid, QuizQuestion
from convbench.show.html import allowed
from convbench.show.quiz import because

# On paper black on white, whatever the screen is; on a screen as light or dark as the reader's other pages.
STYLE = """\
:root { color-scheme: light dark; --line: light-dark(#8a9099, #767d87); --quiet: light-dark(#5c6670, #9aa1ad);
  --kernel: light-dark(#e6f1f7, #10324a); --paper: light-dark(#fff, #0e1014); --ink: light-dark(#1f2933, #eceef1); }
@page { size: A4; margin: 16mm 17mm; }
* { box-sizing: border-box; }
body { font: 11.5pt/1.45 system-ui, sans-serif; max-width: 46rem; margin: 1.5rem auto; padding: 0 1rem;
  background: var(--paper); color: var(--ink); }
h1 { font-size: 16pt; margin: 0 0 .2em; }
h2 { font-size: 12pt; margin: 1.4em 0 .2em; border-bottom: 1px solid var(--line); break-after: avoid; }
.about { color: var(--quiet); margin: 0 0 1em; }
.person { display: flex; gap: 1.5em; margin: 0 0 1.2em; }
.person span { flex: 1; border-bottom: 1px solid var(--line); padding-bottom: 1.1em; }
.person .short { flex: 0 0 8em; }
ol { list-style: none; margin: 0; padding: 0; }
li { break-inside: avoid; margin: 0 0 1.1em; padding-left: 2.2em; position: relative; }
li > b:first-child { position: absolute; left: 0; }
p { margin: 0 0 .45em; }
.room { display: flex; gap: 1.6em; margin: .3em 0 .6em; align-items: flex-start; }
table { border-collapse: collapse; }
caption { text-align: left; color: var(--quiet); }
td { border: 1px solid var(--line); width: 2.3em; height: 1.9em; text-align: center;
  font-variant-numeric: tabular-nums; }
table.kernel td { background: var(--kernel); }
.work { border: 1px dashed var(--line); border-radius: 3px; flex: 1; min-height: 4em; align-self: stretch; }
.answer { margin-top: .6em; }
.blank { display: inline-block; min-width: 3.6em; border-bottom: 1px solid currentColor; }
.key { break-before: page; margin-top: 4rem; }
.key li { margin-bottom: .7em; }
.slips { color: var(--quiet); font-size: 10pt; margin: 0; }
code { font-family: ui-monospace, monospace; font-size: 10pt; }
@media print {
  :root { color-scheme: light; }
  body { margin: 0; padding: 0; max-width: none; print-color-adjust: exact; }
  .key { margin-top: 0; }
}
"""


def quiz_sheet(questions: Sequence[QuizQuestion], *, seed: int, command: str, key: bool = True) -> str:
    """The sheet as one HTML page that needs no network and runs no script; `command` makes it with its answers."""
    levels = list(dict.fromkeys(question.level for question in questions))
    name = f"Convolution quiz, level{'s' * (len(levels) > 1)} {', '.join(map(str, levels))}"
    head = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src '{allowed(STYLE)}'\">\n"
        f"<title>{name}, sheet {seed}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
    )
    about = (
        f"Sheet {seed} · {plural(len(questions), 'question')}. Rows, columns and channels are counted from 0; a layer "
        "lays the kernel on the image as it is, not flipped."
    )
    person = '<span>Name</span><span class="short">Class</span><span class="short">Date</span>'
    person += f'<span class="short">Points &nbsp; &nbsp; / {len(questions)}</span>'
    again = f"{name}, sheet {seed}. The same sheet again: <code>{escape(command)}</code>"
    body = [
        f'<main>\n<h1>{name}</h1>\n<p class="about">{about}</p>\n<div class="person">{person}</div>',
        *_parts(questions, levels, _asked),
        "</main>",
    ]
    if key:
        body += [
            f'<section class="key">\n<h1>Answers</h1>\n<p class="about">{again}</p>',
            *_parts(questions, levels, _answered),
            "</section>",
        ]
    body.append("</body>\n</html>\n")
    return head + "\n".join(body)


def _parts(
    questions: Sequence[QuizQuestion], levels: Sequence[int], item: Callable[[QuizQuestion], str]
) -> Iterator[str]:
    """The questions of each level under a heading, numbered through."""
    numbered = list(enumerate(questions, 1))
    for level in levels:
        title = TITLES[level]
        yield f"<h2>Level {level}: {title}</h2>\n<ol>"
        yield from (f"<li><b>{number}</b>{item(one)}</li>" for number, one in numbered if one.level == level)
        yield "</ol>"


def _asked(question: QuizQuestion) -> str:
    grids = "".join(map(_table, question.grids))
    blanks = ", ".join('<span class="blank">&nbsp;</span>' for _ in question.answer)
    room = f'<div class="room">{grids}<div class="work"></div></div>'
    return f'<p>{escape(question.text)}</p>{room}<p class="answer">Answer: {blanks}</p>'


def _answered(question: QuizQuestion) -> str:
    slips = "; ".join(f"{','.join(map(str, given))}: {escape(mistake)}" for given, mistake in question.slips)
    more = f'<p class="slips">Usual mistakes: {slips}.</p>' if slips else ""
    return f"<p><b>{question.answer_text}</b> &nbsp; {escape(because(question))}</p>{more}"


def _table(given: QuizGrid) -> str:
    rows = "".join("<tr>" + "".join(f"<td>{one}</td>" for one in row) + "</tr>" for row in given.rows)
    return f'<table class="{given.role}"><caption>{given.label}</caption><tbody>{rows}</tbody></table>'
