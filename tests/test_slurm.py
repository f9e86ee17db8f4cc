"""What is asked of SLURM, and what is done again, with a SLURM of three shell scripts."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from convbench import ConvbenchError
from convbench.exit_codes import INTERRUPTED
from convbench.fleet import MOST_FRUITLESS, Folder, State
from convbench.slurm import GRACE_S, SlurmRun, Wanted, require, script
from tests.cli.conftest import Cli, cli  # noqa: F401  # a fixture

COMMAND = ["convbench", "bench", "--suite", "quick"]


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what squeue prints (`queue`) and what sbatch and scancel were given (`asked`)."""
    root = tmp_path / "slurm"
    root.mkdir()
    (root / "queue").touch()
    (root / "asked").touch()
    for name, text in (
        ("sbatch", f'echo sbatch "$@" >> {root}/asked; grep -c ^sbatch {root}/asked'),
        ("squeue", f"cat {root}/queue"),
        ("scancel", f'echo scancel "$@" >> {root}/asked'),
    ):
        (root / name).write_text(f"#!/bin/sh\n{text}\n")
        (root / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{root}:{os.environ['PATH']}")
    return root


class Clock:
    """Time that passes when somebody sleeps; then `turn` changes the world."""

    def __init__(self, turn: Callable[[int], None]) -> None:
        self.now, self.turns, self._turn = 0.0, 0, turn

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now, self.turns = self.now + seconds, self.turns + 1
        assert self.turns < 200
        self._turn(self.turns)


def watch(folder: Folder, shards: int, turn: Callable[[int], None], told: list[str]) -> list[State]:
    clock = Clock(turn)
    run = SlurmRun(
        folder=folder, wanted=Wanted(shards=shards, minutes=5), tell=told.append, clock=clock, sleep=clock.sleep
    )
    run.start()
    return list(run.follow())


def folder_in(tmp_path: Path) -> Folder:
    found = Folder(tmp_path / "parts")
    found.begin(script(COMMAND, Wanted(shards=3, minutes=5), found))
    return found


def finish(folder: Folder, *shards: int) -> None:
    for shard in shards:
        folder.part(shard).write_text("header\nrow\n")
        folder.part(shard).with_suffix(".done").write_text("0\n")


def test_the_script_is_one_that_a_person_can_read_and_bash_can_run(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "a folder")
    text = script(COMMAND, Wanted(shards=64, minutes=20, gres="gpu:h100:1", partition="main", exclusive=True), folder)
    for line in ("--array=1-64", "--time=20", "--gres=gpu:h100:1", "--partition=main", "--exclusive", "--requeue"):
        assert f"#SBATCH {line}\n" in text
    assert '--shard "$SLURM_ARRAY_TASK_ID/64" --csv "$part.csv" --resume' in text
    assert "constraint" not in text
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0


@pytest.mark.parametrize(("code", "done"), [(0, True), (1, True), (3, True), (2, False), (137, False)])
def test_a_shard_is_done_where_its_command_came_to_a_result(tmp_path: Path, code: int, done: bool) -> None:
    folder = Folder(tmp_path)
    text = script(["sh", "-c", f"exit {code}", "sh"], Wanted(shards=3, minutes=5), folder)
    environment = os.environ | {"SLURM_ARRAY_TASK_ID": "2"}
    ran = subprocess.run(["bash"], input=text, text=True, check=False, env=environment, capture_output=True)
    assert ran.returncode == code
    assert folder.done(3) == ({2} if done else set())


def test_a_task_sees_the_gpus_that_slurm_gave_it(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    text = script(["sh", "-c", 'echo "$CUDA_VISIBLE_DEVICES"', "sh"], Wanted(shards=3, minutes=5), folder)
    environment = os.environ | {"SLURM_ARRAY_TASK_ID": "2", "CUDA_VISIBLE_DEVICES": "GPU-5"}
    ran = subprocess.run(["bash"], input=text, text=True, check=False, env=environment, capture_output=True)
    assert ran.stdout.splitlines()[1] == "GPU-5"


def test_every_shard_is_submitted_once_and_followed_to_its_end(slurm: Path, tmp_path: Path) -> None:
    folder, told = folder_in(tmp_path), list[str]()

    def turn(number: int) -> None:
        (slurm / "queue").write_text({1: "1 1 RUNNING\n1 2 RUNNING\n1 3 PENDING\n", 2: "1 3 RUNNING\n"}.get(number, ""))
        if number == 2:
            finish(folder, 1, 2)
        if number == 3:
            finish(folder, 3)

    (slurm / "queue").write_text("1 1 PENDING\n1 2 PENDING\n1 3 PENDING\n")
    states = watch(folder, 3, turn, told)
    assert [(one.done, one.running, one.waiting) for one in states] == [(0, 0, 3), (0, 2, 1), (2, 1, 0), (3, 0, 0)]
    assert states[-1].rows == 3
    assert (slurm / "asked").read_text().count("sbatch") == 1
    assert told == []


def test_what_ended_undone_is_submitted_again_and_nothing_else(slurm: Path, tmp_path: Path) -> None:
    folder, told = folder_in(tmp_path), list[str]()

    def turn(number: int) -> None:
        if number == 1:
            finish(folder, 1, 3)
        if (slurm / "asked").read_text().count("sbatch") == 2:
            finish(folder, 2)

    states = watch(folder, 3, turn, told)
    assert states[-1].lost == ()
    assert (slurm / "asked").read_text().splitlines()[1] == f"sbatch --parsable --array=2 {folder.script}"
    assert told == [f"shard 2 ended unfinished (see {folder.log(2)}) and is submitted again"]
    assert folder.noted == ["1", "2"]


def test_a_shard_without_progress_is_given_up_and_one_with_progress_is_not(slurm: Path, tmp_path: Path) -> None:
    folder, told = folder_in(tmp_path), list[str]()
    before = 0

    def turn(_: int) -> None:
        nonlocal before
        rounds = (slurm / "asked").read_text().count("sbatch")
        if rounds > before:
            before = rounds
            folder.part(1).write_text("row\n" * (2 + rounds))
        if rounds > 2 * MOST_FRUITLESS:
            finish(folder, 1)

    states = watch(folder, 2, turn, told)
    assert states[-1].lost == (2,)
    assert states[-1].done == 1
    asked = (slurm / "asked").read_text().splitlines()
    assert sum("--array=1-2 " in line or "--array=2 " in line for line in asked) == 1 + MOST_FRUITLESS


def test_a_file_that_a_slow_disk_shows_late_is_waited_for(slurm: Path, tmp_path: Path) -> None:
    folder = folder_in(tmp_path)

    def turn(number: int) -> None:
        if number * 2.0 >= GRACE_S - 2:
            finish(folder, 1)

    assert watch(folder, 1, turn, [])[-1].lost == ()
    assert (slurm / "asked").read_text().count("sbatch") == 1


def test_who_comes_back_follows_the_jobs_that_are_there(slurm: Path, tmp_path: Path) -> None:
    folder, told = folder_in(tmp_path), list[str]()
    folder.note("1")
    (slurm / "queue").write_text("1 1 RUNNING\n9 2 RUNNING\n")
    finish(folder, 2)

    def turn(_: int) -> None:
        finish(folder, 1)

    states = watch(folder, 2, turn, told)
    assert [(one.done, one.running) for one in states] == [(1, 1), (2, 0)]
    assert (slurm / "asked").read_text() == ""
    assert "has job 1 already: it is followed" in told[0]


def test_a_controller_that_is_silent_for_a_while_is_asked_again(slurm: Path, tmp_path: Path) -> None:
    folder, told = folder_in(tmp_path), list[str]()
    (slurm / "squeue").write_text("#!/bin/sh\necho unable to contact the controller >&2; exit 1\n")

    def turn(number: int) -> None:
        if number == 3:
            (slurm / "squeue").write_text("#!/bin/sh\n")
            finish(folder, 1)

    assert watch(folder, 1, turn, told)[-1].done == 1
    assert told == ["squeue: unable to contact the controller; asking again"]
    (slurm / "squeue").write_text("#!/bin/sh\nexit 7\n")
    other = Folder(tmp_path / "other")
    other.begin("x")
    with pytest.raises(ConvbenchError, match="squeue: exit 7"):
        watch(other, 1, lambda _: None, told)


def test_another_command_does_not_go_into_the_same_folder(tmp_path: Path) -> None:
    folder = folder_in(tmp_path)
    folder.begin(folder.script.read_text())
    with pytest.raises(ConvbenchError, match="is of another command; name another --folder"):
        folder.begin("another")


def test_without_slurm_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConvbenchError, match="sbatch is not on PATH"):
        require()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--slurm", "--", "report", "x.csv"], "'report' cannot be submitted; give bench or verify after --"),
        (["--slurm", "--", "bench", "--csv", "x.csv"], "--csv: each part gets its own; leave it out"),
        (["--slurm", "--", "bench", "--resume"], "--resume: each part gets its own"),
        (["--slurm", "--", "bench", "--sweet"], "--sweet"),
        (["--", "bench"], "submit needs one engine: --slurm or --ray ADDRESS"),
        (["--slurm", "--ray", "auto", "--", "bench"], "submit needs one engine"),
        (["--slurm", "--num-gpus", "1", "--", "bench"], "--num-gpus can only be used with --ray; leave it out"),
        (["--ray", "auto", "--gres", "gpu:1", "--", "bench"], "--gres can only be used with --slurm; leave it out"),
        (["--ray", "auto", "--resources", "h100", "--", "bench"], "--resources h100: give NAME=VALUE"),
        (["--ray", "auto", "--resources", "h100=x", "--", "bench"], "--resources h100=x: give a number above 0"),
    ],
)
def test_what_cannot_be_submitted_is_one_line(cli: Cli, words: list[str], said: str) -> None:  # noqa: F811  # the fixture
    done = cli("submit", *words)
    assert done.code == 2
    assert said in done.err
    assert len(done.err.splitlines()) == 1


def test_the_script_is_printed_and_nothing_submitted(cli: Cli, tmp_path: Path) -> None:  # noqa: F811  # the fixture
    words = ["submit", "--slurm", "--print", "--shards", 4, "--folder", tmp_path / "parts"]
    done = cli(*words, "--", "verify", "--suite", "quick")
    assert done.code == 0
    assert done.out.startswith("#!/bin/bash\n#SBATCH --job-name=convbench\n#SBATCH --array=1-4\n")
    assert "-m convbench verify --suite quick --shard" in done.out
    assert not (tmp_path / "parts").exists()


@pytest.mark.program
@pytest.mark.parametrize("cancel", [True, False])
def test_an_interruption_leaves_the_jobs_or_cancels_them(slurm: Path, tmp_path: Path, cancel: bool) -> None:
    (slurm / "queue").write_text("1 1 RUNNING\n1 2 RUNNING\n")
    words = ["--slurm", "--shards", "2", "--folder", str(tmp_path / "parts"), *(["--cancel"] if cancel else [])]
    command = [sys.executable, "-m", "convbench", "submit", *words, "--", "bench", "--suite", "quick"]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    assert "2 shards of job 1; parts and logs" in running.stderr.readline()
    running.send_signal(signal.SIGINT)
    told = running.communicate(timeout=60)[1]
    assert running.returncode == INTERRUPTED
    assert f"--folder {tmp_path / 'parts'} continues" in told
    assert ("the jobs are cancelled" if cancel else "still there; scancel 1 cancels them") in told
    assert ("scancel 1" in (slurm / "asked").read_text()) is cancel
