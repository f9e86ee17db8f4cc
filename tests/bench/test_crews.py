"""Threads that are still awake are waited for, if they are somebody else's."""

import hashlib
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from convbench.bench.crews import LEAST_S, LONGEST_S, WINDOW_S, Crews, settle
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
    learned.begin_turn("other", two[1].call)
    assert one.left.done()


def test_nobody_waits_for_threads_that_are_shared(two: tuple[Library, Library], learned: Crews) -> None:
    one, _ = two
    shared = Crews()
    shared.learn("one", one.call)
    shared.learn("the same", one.call)
    one.spin()
    assert not shared.several
    shared.begin_turn("the same", lambda: None)
    assert not one.left.done()


def test_patience_ends(two: tuple[Library, Library], learned: Crews, monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = two
    monkeypatch.setattr(host, "PATIENCE_S", 0.0)
    one.spin()
    wait_for(cpu_ns())
    assert not one.left.done()


def test_a_thread_that_has_ended_does_not_run() -> None:
    assert not host.running(2**22 + 1)


class Calls:
    """Calls that take as long as is said of the time since the first one; a clock that only they move."""

    def __init__(self, call_s: Callable[[float], float]) -> None:
        self.now_s, self.made, self._call_s = 0.0, 0, call_s

    def __call__(self) -> None:
        self.made += 1
        self.now_s += self._call_s(self.now_s)

    def settled(self) -> "Calls":
        settle(self, clock=lambda: self.now_s)
        return self


def test_a_turn_settles_for_some_milliseconds_where_calls_are_steady() -> None:
    assert Calls(lambda _: 1e-4).settled().now_s == pytest.approx(LEAST_S, abs=3.1e-4)


def test_a_turn_settles_until_its_calls_have_become_as_fast_as_they_will() -> None:
    woken_s = 9e-3  # the threads that shared a core have been spread by then
    settled = Calls(lambda now_s: 1e-4 if now_s > woken_s else 3e-4).settled()
    assert woken_s + WINDOW_S <= settled.now_s < LONGEST_S


def test_settling_ends_even_where_every_call_is_faster_than_the_last() -> None:
    assert LONGEST_S <= Calls(lambda now_s: 1e-3 / (1 + 1e4 * now_s)).settled().now_s < LONGEST_S + 2 * WINDOW_S


def test_a_call_that_outlasts_all_settling_is_made_once() -> None:
    assert Calls(lambda _: 0.1).settled().made == 1


def test_with_one_pool_a_turn_begins_with_one_call(two: tuple[Library, Library]) -> None:
    one, _ = two
    crews = Crews()
    crews.learn("one", one.call)
    crews.learn("the same", one.call)
    before = one.calls
    crews.begin_turn("the same", one.call)
    assert one.calls == before + 1
