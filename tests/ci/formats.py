"""The formats as their readers publish them: what a file must look like to be read."""

import re
import xml.etree.ElementTree as ET
from typing import Any

# https://bencher.dev/bmf.json
BMF: dict[str, Any] = {
    "type": "object",
    "patternProperties": {
        ".+": {
            "type": "object",
            "patternProperties": {
                ".+": {
                    "type": "object",
                    "properties": {name: {"type": "number"} for name in ("value", "lower_value", "upper_value")},
                    "required": ["value"],
                }
            },
        }
    },
}
# The interface BenchmarkResult in src/extract.ts of benchmark-action/github-action-benchmark.
GITHUB_BENCHMARK: dict[str, Any] = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "value": {"type": "number"},
            "unit": {"type": "string"},
            "range": {"type": "string"},
            "extra": {"type": "string"},
        },
        "required": ["name", "value", "unit"],
        "additionalProperties": False,
    },
}
_TYPES: dict[str, tuple[type, ...]] = {"object": (dict,), "array": (list,), "string": (str,), "number": (int, float)}


def violations(value: Any, schema: dict[str, Any], path: str = "$") -> list[str]:
    """Where a value is not what a JSON schema (draft 7, the words used above) asks for."""
    if not isinstance(value, _TYPES[schema["type"]]) or isinstance(value, bool):
        return [f"{path} is no {schema['type']}"]
    found = []
    if isinstance(value, list):
        found += [f"{path} has too few items"] if len(value) < schema.get("minItems", 0) else []
        found += [one for n, item in enumerate(value) for one in violations(item, schema["items"], f"{path}[{n}]")]
    if isinstance(value, dict):
        known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
        found += [f"{path} lacks {name}" for name in schema.get("required", []) if name not in value]
        for name, item in value.items():
            own = [known[name]] if name in known else [one for like, one in patterns.items() if re.search(like, name)]
            found += [one for part in own for one in violations(item, part, f"{path}.{name}")]
            if not own and not schema.get("additionalProperties", True):
                found.append(f"{path} has {name}")
    return found


# The elements and attributes of Jenkins' junit-10.xsd that a file of ours may use; * may be there several times.
JUNIT: dict[str, tuple[set[str], set[str], set[str]]] = {  # required attributes, others, children
    "testsuites": (set(), {"name", "time", "tests", "failures", "disabled", "errors"}, {"testsuite"}),
    "testsuite": ({"name"}, {"tests", "failures", "errors", "time", "skipped", "timestamp"}, {"testcase"}),
    "testcase": ({"name", "classname"}, {"time", "status"}, {"skipped", "error", "failure"}),
    "failure": (set(), {"type", "message"}, set()),
    "skipped": (set(), {"type", "message"}, set()),
}


def junit_violations(text: str) -> list[str]:
    """Where a file is not what GitLab and Jenkins read: their elements, and counts and names that are true."""
    root = ET.fromstring(text)
    found = [] if root.tag == "testsuites" else [f"the root is {root.tag}"]
    for element in root.iter():
        required, others, children = JUNIT[element.tag]
        found += [f"{element.tag} lacks {name}" for name in required - set(element.attrib)]
        found += [f"{element.tag} has {name}" for name in set(element.attrib) - required - others]
        found += [f"{element.tag} has a {one.tag}" for one in element if one.tag not in children]
        if element.tag == "testsuite":
            for name, path in (
                ("tests", "testcase"),
                ("failures", "testcase/failure"),
                ("skipped", "testcase/skipped"),
            ):
                found += (
                    [] if int(element.get(name, -1)) == len(element.findall(path)) else [f"{name} is not the count"]
                )
        if element.tag == "testcase" and float(element.get("time", "0")) < 0:
            found.append("a time is negative")
    tests = [(one.get("classname"), one.get("name")) for one in root.iter("testcase")]
    return found + (["two tests have one name"] if len(set(tests)) < len(tests) else [])
