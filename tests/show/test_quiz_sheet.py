"""Does a sheet hold every question with room to write, and the answers on a page of their own?"""

import re
from html import unescape

from convbench.explain.exam import TITLES, draw
from convbench.show.html import allowed
from convbench.show.quiz_sheet import STYLE, quiz_sheet

QUESTIONS = draw(tuple(TITLES), 12, 7)
PAGE = quiz_sheet(QUESTIONS, seed=7, command="convbench explain --quiz '1-4' --seed 7")


def test_the_questions_come_first_and_the_answers_on_a_page_of_their_own() -> None:
    asked, answers = PAGE.split('<section class="key">')
    for question in QUESTIONS:
        assert question.text in unescape(asked)
        assert question.because[1:] not in unescape(asked)
        assert f"<b>{question.answer_text}</b>" in answers
        assert question.because[1:] in unescape(answers)
        assert all(mistake in unescape(answers) for _, mistake in question.slips)
    assert "Usual mistakes" not in asked
    assert re.search(r"\.key \{[^}]*break-before: page", STYLE)


def test_there_is_a_line_for_the_name_a_blank_for_each_number_and_room_to_work() -> None:
    asked, answers = PAGE.split('<section class="key">')
    for word in ("Name", "Class", "Date", "/ 12"):
        assert word in asked
    assert asked.count('class="blank"') == sum(len(question.answer) for question in QUESTIONS)
    assert asked.count('class="work"') == len(QUESTIONS)
    assert asked.count("<table") == sum(len(question.grids) for question in QUESTIONS)
    assert "blank" not in answers
    assert "convbench explain --quiz &#x27;1-4&#x27; --seed 7" in answers
    assert "convbench" not in asked.split("</head>")[1]


def test_a_sheet_without_its_key_has_no_answer_and_the_same_questions() -> None:
    alone = quiz_sheet(QUESTIONS, seed=7, command="convbench", key=False)
    assert alone.split("</main>")[0] == PAGE.split("</main>")[0]
    body = unescape(alone.split("</head>")[1])
    assert "Answers" not in body
    assert not any(question.because[1:] in body for question in QUESTIONS)
    assert alone.endswith("</main>\n</body>\n</html>\n")


def test_a_sheet_runs_nothing_and_loads_nothing() -> None:
    assert not re.search(r"<script|<img|<link|http:|https:|url\(|@import| style=| on\w+=", PAGE)
    assert allowed(STYLE) in PAGE
    assert PAGE.count("<li>") == PAGE.count("</li>") == 2 * len(QUESTIONS)
