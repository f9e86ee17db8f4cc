"""A machine with two GPUs, as far as torch.cuda tells of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch


class Gpus:
    """A stand-in for torch.cuda that notes which of two devices each question was about."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.current = 0

    def __getattr__(self, name: str) -> Any:
        def note(number: Any = None, *_: Any, **__: Any) -> Any:
            self.asked.append((name, self.current if number is None else number))
            return {"mem_get_info": (100, 1000), "memory_reserved": 30, "memory_allocated": 20}.get(name, 0)

        return note

    def is_available(self) -> bool:
        return True

    def device_count(self) -> int:
        return 2

    def get_device_properties(self, number: int) -> Any:
        return SimpleNamespace(L2_cache_size=50 << 20, number=number)

    def get_device_capability(self, _: int) -> tuple[int, int]:
        return (9, 0)

    def get_device_name(self, number: int) -> str:
        return f"GPU {number}"

    @contextmanager
    def device(self, number: int) -> Iterator[None]:
        before, self.current = self.current, number
        yield
        self.current = before

    def Event(self, *, enable_timing: bool) -> Any:  # noqa: N802  # torch's name
        return SimpleNamespace(record=lambda: self.asked.append(("record", self.current)), elapsed_time=lambda _: 2.0)


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Gpus:
    made = Gpus()
    monkeypatch.setattr(torch, "cuda", made)
    return made
