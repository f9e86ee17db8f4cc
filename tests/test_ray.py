"""What the keeper of a Ray run keeps and does again, without Ray: its tasks are coroutines."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from convbench import ConvbenchError
from convbench.cli.submit import disturbed
from convbench.fleet import MOST_FRUITLESS, Folder
from convbench.ray import MOST_SILENT, RayJob, RayRun, RayWanted, Report, RowKeeper, _connect, _run_shard
from tests.cli.conftest import Cli, cli  # noqa: F401  # a fixture

HEADER, ROW = "header\n", "row\n"
Script = Callable[[RowKeeper, int, int], Awaitable[int | None]]


def job(shards: int = 2, *command: str) -> RayJob:
    return RayJob(command=command or ("bench",), folder="/nowhere", wanted=RayWanted(shards=shards, minutes=5))


def kept(script: Script, shards: int = 2, **before: Any) -> tuple[Report, list[int]]:
    """What a keeper reports when nothing is left to do, and the shards that it submitted, in order.

    `script` is what a task does: it is given the keeper, the shard and how often this shard was submitted.
    """
    submitted = list[int]()

    async def play() -> Report:
        async def launch(shard: int) -> int | None:
            submitted.append(shard)
            return await script(keeper, shard, submitted.count(shard))

        keeper = RowKeeper(job(shards), before.get("texts", {}), before.get("codes", {}), launch, again_s=0.0)
        await keeper.begin()
        await keeper.begin()  # of a program that came back
        await asyncio.gather(*keeper._tasks)
        return await keeper.look({}, 0)

    return asyncio.run(play()), submitted


async def whole(keeper: RowKeeper, shard: int, code: int = 0) -> int:
    """An attempt that adds a row and comes to its end."""
    text, turn = await keeper.take(shard)
    assert await keeper.add(shard, turn, (text or HEADER) + ROW)
    await keeper.end(shard, turn, code, "last words")
    return code


def test_every_shard_runs_once_and_its_rows_are_kept() -> None:
    report, submitted = kept(lambda keeper, shard, _: whole(keeper, shard))
    assert submitted == [1, 2]
    assert report.codes == {1: 0, 2: 0}
    assert report.texts == {1: HEADER + ROW, 2: HEADER + ROW}
    assert report.words == {1: "last words", 2: "last words"}
    assert (report.running, report.waiting, report.lost, report.notes) == (0, 0, (), ())


@pytest.mark.parametrize(("code", "times"), [(0, 1), (1, 1), (3, 1), (2, 2), (-9, 2)])
def test_a_shard_is_done_with_a_result_and_submitted_again_without(code: int, times: int) -> None:
    report, submitted = kept(lambda keeper, shard, number: whole(keeper, shard, code if number == 1 else 0), 1)
    assert submitted == [1] * times
    assert report.codes == {1: code if times == 1 else 0}
    assert [note for note in report.notes if f"exit {code}" in note] == list(report.notes)
    assert len(report.notes) == times - 1


def test_what_is_known_is_not_run_again_and_what_is_half_done_is_continued() -> None:
    seen = list[str]()

    async def task(keeper: RowKeeper, shard: int, _: int) -> int:
        seen.append((await keeper.take(shard))[0])
        return await whole(keeper, shard)

    report, submitted = kept(task, 3, texts={1: "a", 2: HEADER + ROW}, codes={1: 3})
    assert submitted == [2, 3]
    assert seen == [HEADER + ROW, ""]
    assert report.codes == {1: 3, 2: 0, 3: 0}
    assert report.texts == {2: HEADER + 2 * ROW, 3: HEADER + ROW}  # the first is known to who asks


def test_a_task_without_progress_is_given_up_and_one_with_progress_is_not() -> None:
    async def task(keeper: RowKeeper, shard: int, number: int) -> int | None:
        text, turn = await keeper.take(shard)
        if shard == 1:
            await keeper.add(shard, turn, (text or HEADER) + ROW)
            if number > 2 * MOST_FRUITLESS:
                await keeper.end(shard, turn, 0, "")
        raise RuntimeError("the node is gone")

    report, submitted = kept(task)
    assert report.codes == {1: 0}
    assert report.lost == (2,)
    assert submitted.count(2) == MOST_FRUITLESS
    assert "shard 2 ended unfinished (the node is gone) and is submitted again" in report.notes


def test_an_attempt_that_was_believed_dead_can_no_longer_send() -> None:
    async def task(keeper: RowKeeper, shard: int, number: int) -> int:
        _, old = await keeper.take(shard)
        _, new = await keeper.take(shard)
        assert await keeper.add(shard, new, "of the second\n")
        assert not await keeper.add(shard, old, "of the first\n")
        await keeper.end(shard, old, 0, "")
        assert (await keeper.look({}, 0)).codes == {}
        await keeper.end(shard, new, 0, "")
        return 0

    report, _ = kept(task, 1)
    assert report.texts == {1: "of the second\n"}


def test_who_knows_a_version_is_not_told_again() -> None:
    async def play() -> tuple[Report, Report]:
        keeper = RowKeeper(job(), {}, {}, lambda shard: whole(keeper, shard), again_s=0.0)
        await keeper.begin()
        await asyncio.gather(*keeper._tasks)
        first = await keeper.look({}, 0)
        return first, await keeper.look(first.versions, 0)

    first, second = asyncio.run(play())
    assert set(first.texts) == {1, 2}
    assert second.texts == {}
    assert second.codes == first.codes


def test_what_is_reported_is_in_the_folder_before_a_shard_counts_as_done(tmp_path: Path) -> None:
    told = list[str]()
    folder = Folder(tmp_path / "parts")
    folder.begin(job().text)
    run = RayRun(address="auto", folder=folder, job=job(), tell=told.append)
    report, _ = kept(lambda keeper, shard, number: whole(keeper, shard, 2 if (shard, number) == (2, 1) else 1))
    run._save(report)
    run._save(report)
    assert folder.done(2) == {1, 2}
    assert [folder.code(shard) for shard in (1, 2)] == [1, 1]
    assert [folder.rows(shard) for shard in (1, 2)] == [1, 2]
    assert folder.log(1).read_text() == "last words"
    assert told[0] == "shard 2 ended unfinished (exit 2) and is submitted again"


def test_a_cluster_that_is_silent_for_a_while_is_asked_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ray itself is a stand-in here: its answers are those of a list."""
    errors = {
        name: type(name, (Exception,), {}) for name in ("ActorDiedError", "ActorUnavailableError", "GetTimeoutError")
    }
    report, _ = kept(lambda keeper, shard, _: whole(keeper, shard))
    silence = errors["GetTimeoutError"]("no answer in 60 s")
    answers: list[Any] = [silence, silence, report, *[silence] * MOST_SILENT]

    def get(_: object, timeout: float) -> Report:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Report)
        return answer

    killed = list[object]()
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(get=get, kill=killed.append))
    monkeypatch.setitem(sys.modules, "ray.exceptions", SimpleNamespace(**errors))
    told, folder = list[str](), Folder(tmp_path / "parts")
    folder.begin(job().text)
    run = RayRun(address="auto", folder=folder, job=job(), tell=told.append, sleep=lambda _: None)
    run._keeper = SimpleNamespace(look=SimpleNamespace(remote=lambda *_: None))
    assert [state.done for state in run.follow()] == [2]
    assert told == ["--ray auto: no answer in 60 s; asking again"]
    assert killed == [run._keeper]
    with pytest.raises(ConvbenchError, match="--ray auto: no answer in 60 s"):
        list(run.follow())
    assert answers == []


class Talk:
    """The keeper's side of a task, one call after the other."""

    def __init__(self, text: str = "", refuse: bool = False) -> None:
        self.text, self.refuse = text, refuse
        self.said: list[tuple[str, Sequence[Any]]] = []

    def __call__(self, name: str, *words: Any) -> Any:
        self.said.append((name, words))
        return (self.text, 7) if name == "take" else not self.refuse


def stand_in(monkeypatch: pytest.MonkeyPatch, path: Path, code: str) -> None:
    """A program in place of Python; $3 ... are the words of convbench."""
    path.write_text(f"#!/bin/sh\nshift 3\n{code}\n")
    path.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(path))


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_a_task_continues_the_rows_sends_new_ones_and_sees_the_gpus_of_its_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(
        monkeypatch, tmp_path / "python", 'cat "$5"; echo "on GPU $CUDA_VISIBLE_DEVICES" >> "$5"; echo "$@" >&2; exit 3'
    )
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    talk = Talk(HEADER)
    assert _run_shard(talk, job(9, "bench"), 4) == 3
    assert [name for name, _ in talk.said] == ["take", "add", "end"]
    assert talk.said[1][1] == (4, 7, HEADER + "on GPU 5\n")
    assert talk.said[2][1][:3] == (4, 7, 3)
    assert "bench --shard 4/9 --csv " in talk.said[2][1][3]
    assert " --resume" in talk.said[2][1][3]


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_an_obsolete_or_hanging_task_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convbench.ray.SEND_S", 0.1)
    stand_in(monkeypatch, tmp_path / "python", 'echo row >> "$5"; exec sleep 60')
    begin = time.monotonic()
    assert _run_shard(Talk(refuse=True), job(), 1) is None
    hangs = RayJob(command=("bench",), folder="/nowhere", wanted=RayWanted(shards=2, minutes=0))
    assert _run_shard(Talk(), hangs, 1) == -signal.SIGKILL
    assert time.monotonic() - begin < 30


@pytest.mark.skipif(sys.platform == "win32", reason="signals and pipes of POSIX")
def test_a_command_ends_with_the_program_that_started_it(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    code = (
        "import os, subprocess, sys\n"
        f"words = [sys.executable, '-m', 'convbench.ray', {str(folder)!r}, 'bench', '--suite', 'resnet50']\n"
        "child = subprocess.Popen(words, stdin=subprocess.PIPE)\n"
        "print(child.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    pid = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stdout)
    end = time.monotonic() + 60
    while _alive(pid) or folder.exists():
        assert time.monotonic() < end
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # it ended meanwhile, or the system has no /proc
        return not Path("/proc").exists()
    return state != "Z"  # in a container nobody may wait for an orphan


NODE = {"Alive": True, "Resources": {"CPU": 2.0, "GPU": 1.0, "h100": 1.0}, "Labels": {"zone": "a"}}


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ({}, True),
        ({"cpus": 2, "gpus": 1.0, "resources": {"h100": 1.0}, "labels": {"zone": "a"}}, True),
        ({"cpus": 3}, False),
        ({"gpus": 2.0}, False),
        ({"resources": {"a100": 1.0}}, False),
        ({"labels": {"zone": "b"}}, False),
    ],
)
def test_whether_any_node_has_what_is_wanted(wanted: dict[str, Any], fits: bool) -> None:
    asked = RayWanted(shards=2, minutes=5, **wanted)
    assert asked.fits(NODE) is fits
    assert not asked.fits(NODE | {"Alive": False})


def test_the_job_is_printed_and_nothing_submitted(cli: Cli, tmp_path: Path) -> None:  # noqa: F811  # the fixture
    words = ["submit", "--ray", "auto", "--print", "--shards", 4, "--num-gpus", 1, "--resources", "h100=1"]
    done = cli(*words, "--folder", tmp_path / "parts", "--", "verify", "--suite", "quick")
    assert done.code == 0
    assert done.out == (
        "convbench verify --suite quick\n"
        "as 4 tasks of Ray, 60 minutes each: num_cpus=1, num_gpus=1.0, resources={'h100': 1.0}\n"
    )
    assert not (tmp_path / "parts").exists()


@pytest.mark.parametrize(
    ("work", "device", "what"),
    [("bench", None, True), ("bench", ["cuda"], False), ("bench", ["cuda,cpu"], True), ("verify", None, False)],
)
def test_timings_on_cpus_are_disturbed(work: str, device: list[str] | None, what: bool) -> None:
    assert disturbed(work, {"device": device}) is what


def test_without_ray_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConvbenchError, match=r"--ray needs the package ray; install convbench\[ray\]"):
        _connect("auto")
