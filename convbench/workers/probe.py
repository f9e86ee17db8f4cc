"""Which backends do installed packages and plug-ins define? Only a process that may die runs their code."""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from convbench.backend import Backend, Unavailable, adopt, elsewhere
from convbench.discovery import BackendSource, Found, load_here, refuse_missing, refuse_plugin
from convbench.errors import ConvbenchError, in_words, one_line
from convbench.system import lacks
from convbench.workers.jobs import Card, Fall, Inquiry, NotLoaded
from convbench.workers.server import LOOKS, Server

IMPORT_S = 120.0  # as long as a step of a sweep; torch alone was seen to take 12 s on a small machine


def is_possible() -> bool:
    """Whether this system has processes that may die."""
    return sys.platform == "linux" and not lacks("isolation")


def load_others(points: Sequence[BackendSource], plugins: Sequence[str]) -> Callable[[], Found]:
    """`load_here`, but third-party code stays in another process, if the system supports that.

    The process starts now and is asked when the result is called, so this one can load its own backends meanwhile.

    Raises:
        ConvbenchError: a plug-in's file does not exist; when the result is called, a plug-in does not load or has
            no backend, or no process can be started.
    """
    if not is_possible() or not (points or plugins):
        return partial(load_here, points, plugins)
    for plugin in plugins:
        if (file := plugin.partition("::")[0]).endswith(".py"):
            refuse_missing(Path(file))
    server = Server.take()
    server.start(LOOKS)
    return partial(_ask_all, server, points, plugins)


def _ask_all(server: Server, points: Sequence[BackendSource], plugins: Sequence[str]) -> Found:
    loaded: list[Backend] = []
    unavailable: list[Unavailable] = []
    with server:
        for point in points:
            inquiry = Inquiry(names=(point.name,), timeouts_s=(IMPORT_S,), point=point.name)
            found = _ask(server, inquiry, f"package {point.origin}")
            if isinstance(found, list) and [one.name for one in found] == [point.name]:
                loaded += found
            else:
                why = found if isinstance(found, NotLoaded) else NotLoaded("it has a different backend", broken=True)
                unavailable.append(
                    Unavailable(name=point.name, reason=why.reason, origin=point.origin, broken=why.broken)
                )
        for plugin in plugins:
            inquiry = Inquiry(names=(plugin,), timeouts_s=(IMPORT_S,), plugin=plugin)
            found = _ask(server, inquiry, f"plug-in {plugin}")
            if isinstance(found, NotLoaded):
                raise refuse_plugin(plugin, found.reason) if found.broken else ConvbenchError(found.reason)
            loaded += found
    return loaded, unavailable


def _ask(server: Server, inquiry: Inquiry, origin: str) -> list[Backend] | NotLoaded:
    """Everything from that process is third-party data: it is validated, or rejected."""
    answer = server.ask(inquiry)
    if isinstance(answer, Fall):
        return NotLoaded(one_line(answer.words), broken=True)
    for one in answer:
        if isinstance(one, NotLoaded):
            return NotLoaded(one_line(str(one.reason)), broken=bool(one.broken))
    try:
        return [_described(one, origin) for one in answer if isinstance(one, Card)]
    except Exception as error:  # words that are no words, numbers that are none
        return NotLoaded(f"its declarations are invalid: {in_words(error)}", broken=True)


def _described(card: Card, origin: str) -> Backend:
    return adopt(
        Backend(
            name=card.name,
            fn=elsewhere,
            dgrad=elsewhere if "dgrad" in card.passes else None,
            wgrad=elsewhere if "wgrad" in card.passes else None,
            fused=elsewhere if card.fused else None,
            doc=card.doc,
            family=card.family,
            source=card.source,
            devices=frozenset(card.devices),
            dtypes=frozenset(card.dtypes),
            max_macs=card.max_macs,
            macs_per_s=card.macs_per_s,
            ignored=card.ignored,
        ),
        origin,
    )
