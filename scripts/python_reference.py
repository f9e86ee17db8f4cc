"""Write docs/python.md from the docstrings of convbench's public names: python scripts/python_reference.py."""

import argparse
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import convbench
from convbench.version import installed_version

PAGE = Path(__file__).parents[1] / "docs" / "python.md"
FIRST = "bench verify assert_convolution explain compare model Results".split()
SECTIONS = ("Args", "Attributes", "Returns", "Raises", "Example")
HEAD = """# convbench from Python

Made from the code by `python scripts/python_reference.py`; every example is run in a test. `import convbench` imports
neither torch nor anything else of weight: that happens when something runs.

```python
import convbench as cb
import torch.nn.functional as F

def my_conv(x, w, bias=None, stride=1, padding=0, dilation=1, groups=1):  # or my_conv(x, w, spec)
    return F.conv2d(x, w, bias, stride, padding, dilation, groups)

r = cb.bench(["torch", "unfold-matmul", my_conv], on="quick")
r                                  # a table, in a notebook too
r.winner()                         # {"torch", "my-conv"}: cannot be told apart
r.to_frame(); r.to_csv("r.csv")    # the columns of docs/csv.md
cb.verify(my_conv, on="awkward").faults
cb.assert_convolution(my_conv)     # AssertionError: cause, place, smallest problem, what reproduces it
cb.explain("n1c1h4w4k1r2s2")       # the walk; in a notebook the interactive page
cb.compare("before.csv", r)
cb.model(net, x)
cb.Results.load("r.csv")
```

- A function of your program or notebook runs in this process, because no other one can load it: a crash ends it. The
  result's notes say so. In a file, under `@backend`, and given as `plugins="FILE.py"`, it is
  [isolated](isolation.md) as on the command line.
- An error that you can mend is a `ConvbenchError` of one line. It names the options of the command line.
- To follow a run case by case, or to continue an interrupted one, use `convbench.selection.select` and
  `convbench.session.Session`, on which all of this stands.
"""


def names() -> list[str]:
    """Every public name, those of a first use first."""
    return [*FIRST, *(name for name in convbench.__all__ if name not in FIRST)]


def places() -> Iterator[tuple[str, str]]:
    """Each name with the anchor of its heading; a second one of the same letters gets a number."""
    taken: list[str] = []
    for name in names():
        count = taken.count(name.lower())
        taken.append(name.lower())
        yield name, f"{name.lower()}-{count}" if count else name.lower()


def public(name: str) -> Any:
    """What is described under this name."""
    return installed_version if name == "__version__" else getattr(convbench, name)


def members(thing: Any) -> Iterator[tuple[str, Any]]:
    """The methods and properties of a class that have words of their own."""
    if inspect.isclass(thing):
        for name, value in vars(thing).items():
            inner = value.__func__ if isinstance(value, classmethod) else value
            if not name.startswith("_") and inspect.getdoc(inner) and (inspect.isroutine(inner) or is_property(inner)):
                yield name, inner


def is_property(value: Any) -> bool:
    return isinstance(value, property)


def signature(name: str, thing: Any) -> str:
    """The call with its defaults; without it for what is not called by a user."""
    own = inspect.signature(thing)
    parameters = [
        one.replace(annotation=inspect.Parameter.empty)
        for key, one in own.parameters.items()
        if key not in ("self", "cls") and not key.startswith("_")
    ]
    text = str(own.replace(parameters=parameters, return_annotation=inspect.Signature.empty))
    whole = f"{name}{text}"
    if len(whole) <= 100:
        return whole
    lines, bare = [], False
    for one in parameters:
        if one.kind is inspect.Parameter.KEYWORD_ONLY and not bare:
            lines.append("*")
            bare = True
        lines.append(str(one))
    return f"{name}(\n" + "".join(f"    {line},\n" for line in lines) + ")"


def sections(doc: str) -> dict[str, list[str]]:
    """The lines of a docstring by section; what comes before the first is under ""."""
    found: dict[str, list[str]] = {"": []}
    here = ""
    for line in doc.splitlines():
        if line.endswith(":") and line[:-1] in SECTIONS:
            here = line[:-1]
            found[here] = []
        else:
            found[here].append(line)
    return found


def described(doc: str) -> Iterator[str]:
    """A docstring as Markdown."""
    parts = sections(doc)
    for paragraph in "\n".join(parts.pop("")).strip().split("\n\n"):
        equation = "\n " in paragraph
        yield f"```text\n{paragraph}\n```\n" if equation else f"{escaped(' '.join(paragraph.split()))}\n"
    for heading, lines in parts.items():
        body = inspect.cleandoc("\n" + "\n".join(lines))
        if heading == "Example":
            yield f"```python\n{body}\n```\n"
        elif heading == "Returns":
            yield f"Returns: {escaped(' '.join(body.split()))}\n"
        else:
            yield f"{heading}:\n"
            yield "".join(f"- {item}\n" for item in items(body))


def items(body: str) -> Iterator[str]:
    """`name: what it is`, one a line."""
    for item in re.split(r"\n(?=\S)", body):
        name, colon, text = " ".join(item.split()).partition(": ")
        yield f"`{name}`: {escaped(text)}" if colon else escaped(name)


def escaped(text: str) -> str:
    """What Markdown would read as a sign of its own, by itself; code stays code."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"(?<! )\*|\*(?! )|<", r"\\\g<0>", part) for part in parts)


def markdown() -> str:
    """docs/python.md."""
    parts = [HEAD, "## The names\n", "".join(f"- [`{name}`](#{place})\n" for name, place in places())]
    for name in names():
        thing = public(name)
        parts.append(f"## `{name}`\n")
        if inspect.isfunction(thing) and name != "__version__":
            parts.append(f"```python\n{signature(name, thing)}\n```\n")
        parts += described(inspect.getdoc(thing) or "")
        for member, value in members(thing):
            call = f"{name}.{member}" if is_property(value) else signature(f"{name}.{member}", value)
            parts.append(f"### `{name}.{member}`\n")
            parts += [] if is_property(value) else [f"```python\n{call}\n```\n"]
            parts += described(inspect.getdoc(value) or "")
    return "\n".join(parts)


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    PAGE.write_text(markdown(), encoding="utf-8")


if __name__ == "__main__":
    main()
