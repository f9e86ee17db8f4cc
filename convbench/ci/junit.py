"""Rows as JUnit XML: GitLab, GitHub's actions, Jenkins and Azure show it as tests."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable

from convbench.ci.findings import CiTest, numbered

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(command: str, tests: Iterable[CiTest]) -> str:
    """One test per row, each with a name of its own: what is wrong fails, what was not done or decided is skipped."""
    tests = list(tests)
    suite = ET.Element("testsuite", name=f"convbench {command}")
    for name, value in {
        "tests": len(tests),
        "failures": sum(one.state == "failed" for one in tests),
        "errors": 0,
        "skipped": sum(one.state == "skipped" for one in tests),
    }.items():
        suite.set(name, str(value))
    places = [(_place(one), f"{one.key.name} {one.key.case.spec} {one.key.backend}") for one in tests]
    names = numbered("\n".join(both) for both in places)
    for one, (place, _), both in zip(tests, places, names, strict=True):
        _add(suite, one, _xml(place), _xml(both[len(place) + 1 :]))
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _place(one: CiTest) -> str:
    """What a server takes for packages and a class."""
    parts = ("convbench", one.key.suite, one.key.axes.replace(" ", "-"))
    return ".".join(part.replace(".", "_") for part in parts)


def _add(suite: ET.Element, one: CiTest, place: str, name: str) -> None:
    test = ET.SubElement(suite, "testcase", classname=place, name=name)
    if one.time_s is not None:
        test.set("time", f"{one.time_s:.9f}")
    if one.state == "failed":
        ET.SubElement(test, "failure", type=one.kind, message=_xml(one.words)).text = _xml(one.text or one.words)
    elif one.state == "skipped":
        ET.SubElement(test, "skipped", message=_xml(one.words))


def _xml(text: str) -> str:
    """XML 1.0 has no place for most control characters, not even escaped."""
    return _NO_XML.sub("?", text)
