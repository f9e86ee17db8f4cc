"""How does a template become one file that needs no network and runs no other scripts?"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent / "page"


def read(*names: str) -> str:
    """Files of `show/page`, one after the other."""
    return "".join((HERE / name).read_text(encoding="utf-8") for name in names)


def allowed(text: str) -> str:
    """What a Content-Security-Policy names a script or a style by, so no other may run."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def as_json(value: Any) -> str:
    """JSON for the inside of a script element, which no text in it can end: every < is written as an escape."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def fill(template: str, parts: Mapping[str, str]) -> str:
    """The template with each {{name}} replaced, in one pass: a part that holds {{data}} is text."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], read(template))
