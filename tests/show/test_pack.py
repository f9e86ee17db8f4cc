"""Does a packed script mean the same?"""

import json

import pytest
import quickjs

from convbench.show.explain_page import SCRIPTS
from convbench.show.html import read
from convbench.show.pack import pack_script, pack_style

SNIPPETS = [
    "(() => { let a = 1\nlet b = [a,\n2]\nb[0] +=\n1\na++\nb.push(a)\nreturn [b, { c:\na, }, a\n> 1\n? 2\n: 3]\n})()",
    "(() => { let a = /x/g\n.source\nlet f = () =>\n!a\nreturn [f(), a,\n(() => {\n})()]\n})()",
    "(() => { let a = 1; const b = a - -a; const c = a + +a; a++; return [a, b, c]; })()",
    "(() => { const b = 'x'; return `a  ${ b + `c  ${ b }  // no` }  \\` /* no */`; })()",
    "['a  b', \"it's // not\", 'a /* b */ c', /a b[/ ]+/.test('a b/ '), 8 / 4 / 2, 'a//b'.split(/\\//)]",
    "(() => { // a comment\n  const one = 1 /* two */ + 2; return one\n})()",
    "(() => { const f = (x) => (x ? 'yes' : 'no'); return typeof f + f(1) + (void 0 === undefined); })()",
    "(() => { let s = ''; for (const one of [1, 2]) s += one; return 'a' in { a: 1 } && s; })()",
]


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_packed_script_answers_the_same(snippet: str) -> None:
    context = quickjs.Context()
    want, got = (context.eval(f"JSON.stringify({one})") for one in (snippet, pack_script(snippet)))
    assert got == want
    assert len(pack_script(snippet)) <= len(snippet) + 1


def test_the_sentences_of_the_page_survive_whole() -> None:
    found = []
    for change in (str, pack_script):
        context = quickjs.Context()
        context.eval(change(read(*SCRIPTS[:-1])))
        found.append(json.loads(context.eval("JSON.stringify(convbench.languages)")))
    assert found[0] == found[1]
    assert found[0]["en"]["page"]["change"] == "Change"


def test_comments_and_needless_spaces_are_gone() -> None:
    script = read(*SCRIPTS)
    packed = pack_script(script)
    assert len(packed) < 0.8 * len(script)
    assert "// " not in "\n".join(line for line in packed.splitlines() if '"' not in line and "`" not in line)
    style = '/* what */\na, i { b: c }\n\n  d::after { content: " a; b "; e: calc(1px - 2px); }\n'
    assert pack_style(style) == 'a,i{b:c}d::after{content:" a; b ";e:calc(1px - 2px)}\n'
