"""convbench submit on a real SLURM of two virtual nodes: whatever dies, every row is there once."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from convbench.store import read_rows
from tests.fleet.cluster import NODES, Cluster, cluster, why_not

pytestmark = [pytest.mark.slurm, pytest.mark.skipif(bool(why_not()), reason=why_not())]
KINDS = {"h100": "n1", "a100": "n2"}
SHARDS, FAULTS, SEED = 6, 20, int(os.environ.get("CONVBENCH_FAULTS_SEED", "0"))
SWEEP = (
    *("bench", "--suite", "quick", "--backend", "torch,unfold-matmul", "--threads", "1"),
    *("--budget", "0.1", "--no-ceilings"),
)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("slurm")) as found:
        yield found


def submit(nodes: Cluster, folder: Path, kind: str, output: Path) -> "subprocess.Popen[bytes]":
    words = ["--shards", str(SHARDS), "--cpus", "1", "--time", "10", "--gres", f"gpu:{kind}:1", "--folder", str(folder)]
    command = [sys.executable, "-m", "convbench", "submit", "--slurm", *words, "--", *SWEEP]
    with output.open("ab") as told:
        return subprocess.Popen(command, env=nodes.environment, stdout=subprocess.DEVNULL, stderr=told)


def test_twenty_faults_lose_no_row_and_leave_no_job(nodes: Cluster, tmp_path: Path) -> None:
    dice = random.Random(SEED)
    # A disk of their own, so that it can be full.
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8M", "tmpfs", str(disk)], check=True)
    folders = {kind: disk / kind for kind in KINDS}
    running = {kind: submit(nodes, folder, kind, tmp_path / f"{kind}.err") for kind, folder in folders.items()}
    done = Counter[str]()
    try:
        end = time.monotonic() + 1500
        while any(one.poll() is None for one in running.values()):
            assert time.monotonic() < end, (done, nodes.ask("squeue"), nodes.ask("sinfo"))
            time.sleep(dice.uniform(1.0, 6.0))
            if sum(done.values()) < FAULTS:
                kind = dice.choice(list(KINDS))
                what = one_fault(dice, nodes, kind, running, folders, tmp_path, disk)
                done.update([what] if what else [])
        assert {kind: one.returncode for kind, one in running.items()} == dict.fromkeys(KINDS, 0), errors(tmp_path)
        for kind, folder in folders.items():
            rows = read_rows(folder / "all.csv")
            assert sorted(Counter((row["name"], row["backend"]) for row in rows).values()) == [1] * 24, kind
            assert "complete" in (tmp_path / f"{kind}.err").read_text()
        assert nodes.queue() == []
        sys.stdout.write(f"\n{sum(done.values())} faults: {dict(done)}\n")
        assert sum(done.values()) == FAULTS, done
    finally:
        for one in running.values():
            one.kill()
            one.wait()
        subprocess.run(["umount", "-l", str(disk)], check=False)


def one_fault(
    dice: random.Random,
    nodes: Cluster,
    kind: str,
    running: "dict[str, subprocess.Popen[bytes]]",
    folders: dict[str, Path],
    tmp_path: Path,
    disk: Path,
) -> str:
    """What was done to the nodes or to the program that submits; "" where there was nothing to break."""
    node = KINDS[kind]
    what = dice.choice(["worker", "worker", "node", "requeue", "requeue", "submitter", "disk"])
    match what:
        case "worker":
            if not (processes := nodes.processes_of(node)):
                return ""
            with suppress(OSError):
                os.kill(dice.choice(processes), signal.SIGKILL)
        case "node":
            nodes.kill_node(node)
            time.sleep(dice.uniform(0.0, 4.0))
            nodes.start_node(node)
        case "requeue":
            jobs = [line.split()[0] for line in nodes.queue() if line.split()[1] == "RUNNING"]
            if not jobs:
                return ""
            nodes.ask("scontrol", "requeue", dice.choice(jobs))
        case "submitter":
            if running[kind].poll() is not None:
                return ""
            running[kind].kill()
            running[kind].wait()
            running[kind] = submit(nodes, folders[kind], kind, tmp_path / f"{kind}.err")
        case "disk":
            fill = disk / "fill"
            with suppress(OSError):
                fill.write_bytes(bytes(2**24))
            time.sleep(3.0)
            fill.unlink()
    return what


def errors(tmp_path: Path) -> str:
    return "\n".join((tmp_path / f"{kind}.err").read_text()[-3000:] for kind in KINDS)


def test_a_node_that_is_gone_for_good_leaves_its_shards_to_the_other(nodes: Cluster, tmp_path: Path) -> None:
    words = ["--shards", "4", "--cpus", "1", "--folder", str(tmp_path / "parts")]
    command = [sys.executable, "-m", "convbench", "submit", "--slurm", *words, "--", *SWEEP]
    running = subprocess.Popen(command, env=nodes.environment, stderr=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + 60
        while not nodes.processes_of(NODES[1]):
            assert time.monotonic() < end
            time.sleep(0.2)
        nodes.kill_node(NODES[1])
        _, told = running.communicate(timeout=400)
    finally:
        running.kill()
        nodes.start_node(NODES[1])
    assert running.returncode == 0, told
    assert "24 rows of 4 files; complete" in told
