"""convbench submit on a real Ray of two virtual nodes: whatever dies, every row is there once."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from convbench.fleet import Folder
from convbench.ray import NAMESPACE
from convbench.store import read_rows

pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed (the extra [ray])"),
    pytest.mark.filterwarnings("default"),  # of Ray: sockets and processes that it leaves to the collector
]
KINDS = ("h100", "a100")
SHARDS, FAULTS, SEED = 6, 10, int(os.environ.get("CONVBENCH_FAULTS_SEED", "0"))
SWEEP = (
    *("bench", "--suite", "quick", "--backend", "torch,unfold-matmul", "--threads", "1"),
    *("--budget", "0.3", "--no-ceilings"),
)
SMALL_DISK_NBYTES = 2**23


@dataclass
class Nodes:
    """A head without CPUs, and two nodes with a CPU and a GPU that is only a name."""

    cluster: Any
    root: Path
    own: dict[str, Any] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def start(self, kind: str) -> None:
        # The temporary files of its tasks go to a disk of its own, so that it can be full.
        before = os.environ.get("TMPDIR")
        os.environ["TMPDIR"] = str(self.disk(kind))
        try:
            self.own[kind] = self.cluster.add_node(
                num_cpus=1, num_gpus=1, resources={kind: 1}, labels={"kind": kind}, object_store_memory=10**8
            )
        finally:
            os.environ.pop("TMPDIR")
            if before is not None:
                os.environ["TMPDIR"] = before

    def kill(self, kind: str) -> None:
        """As when its power fails."""
        self.cluster.remove_node(self.own.pop(kind), allow_graceful=False)

    def disk(self, kind: str) -> Path:
        return self.root / kind

    def tasks(self) -> list[int]:
        """The processes of Ray that run a shard."""
        return processes(b"ray::convbench-")

    def actors(self) -> list[dict[str, str]]:
        import ray

        ray.init(address=self.address, log_to_driver=False, configure_logging=False, namespace=NAMESPACE)
        try:
            return list(ray.util.list_named_actors(all_namespaces=True))
        finally:
            ray.shutdown()


def processes(word: bytes) -> list[int]:
    """Those with a word in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with suppress(OSError):
                if word in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found


@contextmanager
def small_disk(place: Path) -> Iterator[None]:
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_NBYTES}", "tmpfs", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    from ray.cluster_utils import Cluster

    root = tmp_path_factory.mktemp("ray")
    with small_disk(root / "h100"):
        (root / "a100").mkdir()
        cluster = Cluster()
        cluster.add_node(num_cpus=0, include_dashboard=False, object_store_memory=10**8)
        found = Nodes(cluster, root)
        try:
            for kind in KINDS:
                found.start(kind)
            yield found
        finally:
            cluster.shutdown()


def submit(nodes: Nodes, folder: Path, output: Path, *options: str, sweep: tuple[str, ...] = SWEEP) -> Any:
    words = ["--shards", str(SHARDS), "--num-gpus", "1", "--time", "10", "--folder", str(folder), *options]
    command = [sys.executable, "-m", "convbench", "submit", "--ray", nodes.address, *words, "--", *sweep]
    with output.open("ab") as told:
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=told)


def nothing_is_left(nodes: Nodes) -> None:
    assert nodes.actors() == []
    end = time.monotonic() + 30
    while left := [*nodes.tasks(), *processes(b"convbench.ray")]:
        assert time.monotonic() < end, left
        time.sleep(0.5)


def test_ten_faults_lose_no_row_and_leave_no_task(nodes: Nodes, tmp_path: Path) -> None:
    dice = random.Random(SEED)
    folder, output = tmp_path / "parts", tmp_path / "told"
    running, done = submit(nodes, folder, output), Counter[str]()
    last = ""
    try:
        end = time.monotonic() + 1500
        while running.poll() is None:
            assert time.monotonic() < end, (done, errors(folder, output))
            time.sleep(dice.uniform(1.0, 6.0))
            if sum(done.values()) == FAULTS or Folder(folder).noted == [] or not nodes.tasks():
                continue
            match last := dice.choice(
                [one for one in ("worker", "worker", "node", "submitter", "disk") if one != last]
            ):
                case "worker":
                    with suppress(OSError, IndexError):
                        os.kill(dice.choice(nodes.tasks()), signal.SIGKILL)
                case "node":
                    kind = dice.choice(KINDS)
                    nodes.kill(kind)
                    time.sleep(dice.uniform(0.0, 4.0))
                    nodes.start(kind)
                case "submitter":
                    running.kill()
                    running.wait()
                    time.sleep(dice.uniform(0.0, 4.0))
                    running = submit(nodes, folder, output)
                case "disk":
                    fill = nodes.disk("h100") / "fill"
                    with suppress(OSError):
                        fill.write_bytes(bytes(2 * SMALL_DISK_NBYTES))
                    time.sleep(4.0)
                    fill.unlink()
            done[last] += 1
            sys.stdout.write(f"{time.strftime('%H:%M:%S')} {last}\n")
            sys.stdout.flush()
        assert running.returncode == 0, errors(folder, output)
        rows = read_rows(folder / "all.csv")
        assert sorted(Counter((row["name"], row["backend"]) for row in rows).values()) == [1] * 24
        assert "complete" in output.read_text()
        nothing_is_left(nodes)
        sys.stdout.write(f"\n{sum(done.values())} faults: {dict(done)}\n{output.read_text()}")
        assert sum(done.values()) == FAULTS, done
    finally:
        running.kill()
        running.wait()


def errors(folder: Path, output: Path) -> str:
    whole = folder / "all.csv"
    rows = [f"{row['reason']}\n" for row in (read_rows(whole) if whole.exists() else ()) if row["outcome"] == "failed"]
    return "\n".join([output.read_text(), *(log.read_text() for log in sorted(folder.glob("log-*"))), *rows])


def times(*files: Path) -> set[tuple[str, str, str]]:
    """When each row was measured: one that is lost and measured again has another time."""
    return {(row["name"], row["backend"], row["time"]) for file in files for row in read_rows(file)}


def test_the_actor_dies_and_the_rows_are_kept(nodes: Nodes, tmp_path: Path) -> None:
    import ray

    folder, output = tmp_path / "parts", tmp_path / "told"
    running = submit(nodes, folder, output)
    try:
        end = time.monotonic() + 120
        while sum(Folder(folder).rows(shard) for shard in range(1, SHARDS + 1)) < 2:
            assert time.monotonic() < end, output.read_text()
            time.sleep(0.5)
        ray.init(address=nodes.address, log_to_driver=False, configure_logging=False, namespace=NAMESPACE)
        kept = times(*folder.glob("part-*.csv"))
        ray.kill(ray.get_actor(Folder(folder).noted[0]))
        ray.shutdown()
        assert running.wait(300) == 0, output.read_text()
    finally:
        running.kill()
    rows = read_rows(folder / "all.csv")
    assert sorted(Counter((row["name"], row["backend"]) for row in rows).values()) == [1] * 24
    assert kept <= times(folder / "all.csv")
    assert kept
    assert "starting another" in output.read_text()
    nothing_is_left(nodes)


@pytest.mark.parametrize("cancel", [True, False])
def test_an_interruption_leaves_the_tasks_or_cancels_them(nodes: Nodes, tmp_path: Path, cancel: bool) -> None:
    folder, output = tmp_path / "parts", tmp_path / "told"
    running = submit(nodes, folder, output, *(["--cancel"] if cancel else []))
    try:
        end = time.monotonic() + 120
        while not nodes.tasks():
            assert time.monotonic() < end, output.read_text()
            time.sleep(0.5)
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 130, output.read_text()
        assert ("cancelled" if cancel else "still there") in output.read_text()
        assert bool(nodes.actors()) is not cancel
        if not cancel:
            running = submit(nodes, folder, output)
            assert running.wait(300) == 0, output.read_text()
            assert "it is followed" in output.read_text()
    finally:
        running.kill()
    nothing_is_left(nodes)


SEES = """
import os

from convbench import backend

@backend(family="direct", source="a test", refuse=lambda case: "sees " + os.environ["CUDA_VISIBLE_DEVICES"])
def sees(x, w, spec):
    return None
"""


def test_a_task_has_the_gpu_that_ray_gave_it_and_runs_where_labels_say(nodes: Nodes, tmp_path: Path) -> None:
    plugin = tmp_path / "sees.py"
    plugin.write_text(SEES)
    folder, output = tmp_path / "parts", tmp_path / "told"
    sweep = ("verify", "--plugin", str(plugin), "--backend", "sees", "--shape", "n1c2h5w5k3r3s3")
    running = submit(nodes, folder, output, "--shards", "2", "--labels", "kind=a100", sweep=sweep)
    assert running.wait(200) == 3, output.read_text()
    assert {row["reason"] for row in read_rows(folder / "all.csv")} == {"sees 0"}
    nothing_is_left(nodes)
