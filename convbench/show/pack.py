"""How does a script or a style become smaller without meaning anything else: its comments and spaces left out?"""

import re
from collections.abc import Iterator

# The sign before a slash that begins a regular expression, not a division.
_BEFORE_REGEX = set("(,=:[!&|?{};+-*%<>~^") | {""}
_SIGNS = set("(){}[];,<>=+-*/%&|^!~?:")
# No semicolon is inserted after or before these, so a line may end there without its end.
_GO_ON, _GONE_ON = set("({[,;=?:&|<>*%!"), set(")}],;=?:&|<>*%.")
_TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
    |(?P<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
    |(?P<newline>\s*\n\s*)
    |(?P<space>[^\S\n]+)
    |(?P<word>[\w$.#@]+)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_REGEX = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n\[])+/[a-z]*")


def pack_script(script: str) -> str:
    """JavaScript without comments, needless spaces and needless line ends; semicolons are inserted as before."""
    found = ["\n"]
    for token in _tokens(script):
        last = found[-1]
        if token == "\n" and last[-1] in _GO_ON:
            continue
        if last == "\n" and token[0] in _GONE_ON and len(found) > 1:
            found.pop()
            last = found[-1]
        if token.isspace():
            if token == "\n" and last == " ":
                found[-1] = token
            elif not last.isspace():
                found.append(token)
            continue
        # `a - -b` keeps its space.
        if last == " " and {found[-2][-1], token[0]} & _SIGNS and not found[-2][-1] == token[0] in "+-":
            found.pop()
        found.append(token)
    return "".join(found).strip() + "\n"


def _tokens(script: str) -> Iterator[str]:
    """Words, texts, whole templates and regular expressions, signs; spaces as one, line ends as one, no comments."""
    place, before = 0, ""
    while place < len(script):
        if script[place] == "`":
            token = script[place : _template_end(script, place)]
        elif script[place] == "/" and before in _BEFORE_REGEX and (match := _REGEX.match(script, place)):
            token = match[0] if script[place + 1] not in "/*" else ""
        else:
            token = ""
        if token:
            yield token
            place, before = place + len(token), token[-1]
            continue
        match = _TOKEN.match(script, place)
        assert match is not None
        place = match.end()
        if match["comment"]:
            continue
        if match["newline"] or match["space"]:
            yield "\n" if match["newline"] else " "
        else:
            yield match[0]
            before = "" if match[0] in ("return", "typeof", "case") else match[0][-1]


def _template_end(script: str, start: int) -> int:
    """The place after a template that begins with a backtick, with what is nested in it."""
    place, depth = start + 1, 0
    while True:
        sign = script[place]
        if sign == "\\":
            place += 2
            continue
        if depth == 0 and sign == "`":
            return place + 1
        if script.startswith("${", place):
            depth, place = depth + 1, place + 1
        elif depth and sign == "{":
            depth += 1
        elif depth and sign == "}":
            depth -= 1
        elif depth and sign == "`":
            place = _template_end(script, place) - 1
        elif depth and sign in "\"'":
            place = _text_end(script, place) - 1
        place += 1


def _text_end(script: str, start: int) -> int:
    place = start + 1
    while script[place] != script[start]:
        place += 2 if script[place] == "\\" else 1
    return place + 1


def pack_style(style: str) -> str:
    """CSS without comments and needless spaces; what stands in quotation marks stays as it is."""
    plain = re.sub(r"/\*.*?\*/", "", style, flags=re.DOTALL)
    parts = re.split(r"""("[^"]*")""", re.sub(r"\s+", " ", plain))
    parts[::2] = (re.sub(r" ?([{};,]) ?", r"\1", part).replace(": ", ":").replace(";}", "}") for part in parts[::2])
    return "".join(parts).strip() + "\n"
