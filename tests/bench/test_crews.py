"""Threads that are still awake are waited for, if they are somebody else's."""

import hashlib
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from convbench.bench.crews import Crews
from convbench.device import host
from convbench.device.host import cpu_ns, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="threads are watched through /proc")


def work(rounds: int = 2000) -> None:
    """Keeps a core busy without the interpreter's lock, as a library's thread does."""
    hashlib.pbkdf2_hmac("sha256", b"a", b"b", rounds)


class Library:
    """One worker thread; `spin` leaves it busy after the call."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(1)
        self.left = self.pool.submit(work, 1)
        self.calls = 0

    def call(self) -> None:
        self.calls += 1
        self.pool.submit(work).result()

    def spin(self) -> None:
        self.left = self.pool.submit(work, 100_000)


@pytest.fixture
def two() -> Iterator[tuple[Library, Library]]:
    one, other = Library(), Library()
    yield one, other
    one.pool.shutdown()
    other.pool.shutdown()


@pytest.fixture
def learned(two: tuple[Library, Library], monkeypatch: pytest.MonkeyPatch) -> Crews:
    monkeypatch.setattr(host, "PATIENCE_S", 60.0)
    both = Crews()
    both.learn("one", two[0].call)
    both.learn("other", two[1].call)
    return both


def test_a_turn_begins_when_the_others_threads_sleep(two: tuple[Library, Library], learned: Crews) -> None:
    one, _ = two
    one.spin()
    assert learned.several
    learned.make_way("other")
    assert one.left.done()


def test_nobody_waits_for_threads_that_are_shared(two: tuple[Library, Library], learned: Crews) -> None:
    one, _ = two
    shared = Crews()
    shared.learn("one", one.call)
    shared.learn("the same", one.call)
    one.spin()
    assert not shared.several
    shared.make_way("the same")
    assert not one.left.done()


def test_patience_ends(two: tuple[Library, Library], learned: Crews, monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = two
    monkeypatch.setattr(host, "PATIENCE_S", 0.0)
    one.spin()
    wait_for(cpu_ns())
    assert not one.left.done()


def test_a_thread_that_has_ended_does_not_run() -> None:
    assert not host.running(2**22 + 1)
