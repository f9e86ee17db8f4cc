"""convbench explain --algorithm and --backward: other ways through the numbers of the walk."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from convbench.cli.outputs import refuse_unproved
from convbench.errors import ConvbenchError
from convbench.exit_codes import NOTHING
from convbench.explain.letters import Letters

if TYPE_CHECKING:
    from convbench.explain.algorithms.trace import Algorithm
    from convbench.explain.steps import Walk

MAX_OTHERS_MACS = 2_000_000  # a second for all of them
MAX_ALSO_MACS = 5_000  # a tenth of a second


def show_further(
    walk: "Walk", letters: Letters, names: str | None, *, backward: bool, ones: bool, seed: int, most: int | None
) -> None:
    """Print the backward pass and the algorithms that were asked for; with `most`, as JSON together with the walk."""
    from convbench.explain.algorithms.catalogue import choose
    from convbench.show.explain import record

    more: dict[str, Any] = {}
    if backward:
        more["backward"] = explain_backward(walk, letters, ones=ones, seed=seed, as_json=most is not None)
    if names is not None:
        if backward and most is None:
            typer.echo()
        more["algorithms"] = explain_algorithms(walk, choose(names), letters, most=most)
    if most is not None:
        typer.echo(json.dumps(record(walk) | more))
        if names is not None and all("why_not" in one for one in more["algorithms"]):
            raise typer.Exit(NOTHING)


def explain_algorithms(
    walk: "Walk", chosen: "Sequence[Algorithm]", letters: Letters, *, most: int | None
) -> list[dict[str, Any]]:
    """Print each and a table of all; with `most`, return them for a JSON of that many numbers instead.

    Of a large problem the table has the chosen ones alone.

    Raises:
        ConvbenchError: the JSON would be longer.
        typer.Exit: 1, something is not proved; 3, none of the chosen does this problem.
    """
    from convbench.explain.algorithms.catalogue import ALGORITHMS, follow
    from convbench.explain.algorithms.trace import Trace
    from convbench.show.algorithms import algorithms_page, algorithms_record, count_numbers
    from convbench.show.pages import print_page

    others = [one for one in ALGORITHMS if one.name not in {choice.name for choice in chosen}]
    everyone = list(follow(walk, chosen, letters))
    shown = tuple(everyone)
    if most is None and walk.macs <= MAX_OTHERS_MACS:
        everyone += follow(walk, others, letters)
    traces = [one for one in everyone if isinstance(one, Trace)]
    refuse_unproved({trace.name: trace.proof for trace in traces})
    if most is not None:
        if (numbers := count_numbers(everyone)) > most:
            raise ConvbenchError(
                f"--json of these algorithms on {walk.spec} would print {numbers:,} numbers (limit {most:,}); "
                f"try a smaller n, h and w, or leave out --json to see part of it"
            )
        return algorithms_record(everyone)
    order = [one.name for one in ALGORITHMS]
    ranked = sorted(everyone, key=lambda one: order.index(one.name) if one.name in order else len(order))
    print_page(lambda width: algorithms_page(shown, ranked, width))
    if not any(isinstance(one, Trace) for one in shown):
        raise typer.Exit(NOTHING)
    return []


def print_also_proved(walk: "Walk") -> None:
    """Below a walk that is small: which algorithms were proved on its numbers as well.

    Raises:
        typer.Exit: 1, something is not proved.
    """
    from convbench.explain.algorithms.catalogue import ALSO, follow
    from convbench.explain.algorithms.trace import Trace
    from convbench.show.algorithms import also_proved
    from convbench.show.pages import print_page

    if walk.macs > MAX_ALSO_MACS:
        return
    traces = [one for one in follow(walk, ALSO) if isinstance(one, Trace)]
    refuse_unproved({trace.name: trace.proof for trace in traces})
    print_page(lambda width: also_proved(traces, width))


def explain_backward(walk: "Walk", letters: Letters, *, ones: bool, seed: int, as_json: bool) -> dict[str, Any]:
    """Print both gradients, or return them for a JSON.

    Raises:
        typer.Exit: 1, something is not proved.
    """
    from convbench.explain.backward import backward, gradient
    from convbench.show.algorithms import backward_page, backward_record
    from convbench.show.pages import print_page

    found = backward(walk, gradient(walk.spec, seed, ones=ones))
    refuse_unproved({"backward": found.proof})
    if as_json:
        return backward_record(found)
    print_page(lambda width: backward_page(found, width, letters))
    return {}
