"""Which command took the place of an option? Who types the old one reads the new one, with their own words in it."""

import shlex
from collections.abc import Sequence

# The option's command, and whether the option had a value, which comes first now.
MOVED = {
    "explain": {
        "--model": ("model", True),
        "--why": ("why", True),
        "--ran": ("ran", False),
        "--ledger": ("cost", False),
        "--error": ("error", True),
    },
    "verify": {"--self-test": ("selftest", False)},
}


def replacement(arguments: Sequence[str]) -> str | None:
    """`convbench ran note --dtype fp64` for `explain note --ran --dtype fp64`; None where nothing has moved."""
    command, *rest = arguments
    for place, word in enumerate(rest):
        option, equals, value = word.partition("=")
        if (found := MOVED.get(command, {}).get(option)) is None:
            continue
        name, takes_value = found
        before, after = rest[:place], rest[place + 1 :]
        if not takes_value:
            return shlex.join(["convbench", name, *before, *after])
        first, after = ([value], after) if equals else (after[:1], after[1:])
        return shlex.join(["convbench", name, *first, *before, *after])
    return None
