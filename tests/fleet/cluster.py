"""A SLURM cluster of two virtual nodes on this machine, with GPUs that are only names."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "munged")
PORTS = (46817, 46821, 46822)
CONFIG = """\
ClusterName=convbench
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
AuthType=auth/munge
AuthInfo=socket={root}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool-%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd-%n.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
MpiDefault=none
GresTypes=gpu
ReturnToService=2
SlurmdTimeout=10
SlurmctldTimeout=10
KillWait=2
MessageTimeout=10
JobRequeue=1
SchedulerParameters=sched_interval=1,bf_interval=2,sched_min_interval=100000,requeue_delay=1
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 RealMemory=4000 Gres=gpu:h100:2 Feature=zen5
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 RealMemory=4000 Gres=gpu:a100:2 Feature=zen4
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""
NODES = ("n1", "n2")


def why_not() -> str:
    """What is missing here for a cluster, or ""."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    if missing:
        return f"{', '.join(missing)} not on PATH (apt install slurmctld slurmd munge)"
    return "" if os.geteuid() == 0 else "the virtual cluster needs root"


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


@dataclass(slots=True)
class Cluster:
    """Running daemons; every command of SLURM with `environment` talks to them."""

    root: Path

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"SLURM_CONF": str(self.root / "slurm.conf"), "PATH": _path()}

    def ask(self, *words: str) -> str:
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, check=False, timeout=60)
        return done.stdout + done.stderr

    def start_node(self, name: str) -> None:
        subprocess.run(["slurmd", "-N", name], env=self.environment, check=True, timeout=60)

    def kill_node(self, name: str) -> None:
        """The daemon of a node, its steps and what they run: as when its power fails."""
        with suppress(OSError, ValueError):
            os.kill(int((self.root / f"slurmd-{name}.pid").read_text()), signal.SIGKILL)
        for pid in self.processes_of(name):
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    def processes_of(self, name: str) -> list[int]:
        """Steps of a node and all that runs in its jobs."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal():
                continue
            with suppress(OSError):
                words = (entry / "environ").read_bytes().split(b"\0")
                if f"SLURMD_NODENAME={name}".encode() in words and self._ours(words):
                    found.append(int(entry.name))
        return found

    def _ours(self, words: list[bytes]) -> bool:
        return any(str(self.root).encode() in word for word in words)

    def queue(self) -> list[str]:
        return self.ask("squeue", "--noheader", "--array", "--format=%F_%K %T %N").split("\n")[:-1]


@contextmanager
def cluster(root: Path) -> Iterator[Cluster]:
    """Two nodes until the block ends; nothing of it is left then."""
    (root / "state").mkdir(parents=True)
    key = root / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    root.chmod(0o755)
    host = os.uname().nodename.partition(".")[0]
    (root / "slurm.conf").write_text(CONFIG.format(root=root, host=host, ports=PORTS))
    devices = [root / f"gpu{number}" for number in range(4)]
    for device in devices:
        subprocess.run(["mknod", str(device), "c", "1", "3"], check=True)
    (root / "gres.conf").write_text(
        f"NodeName=n1 Name=gpu Type=h100 File={root}/gpu[0-1]\nNodeName=n2 Name=gpu Type=a100 File={root}/gpu[2-3]\n"
    )
    found = Cluster(root)
    munge = [
        *("munged", "--force", f"--key-file={key}", f"--socket={root}/munge.socket", f"--pid-file={root}/munged.pid"),
        *(f"--log-file={root}/munged.log", f"--seed-file={root}/munged.seed"),
    ]
    try:
        subprocess.run(munge, env=found.environment, check=True, timeout=30)
        subprocess.run(["slurmctld"], env=found.environment, check=True, timeout=30)
        for node in NODES:
            found.start_node(node)
        end = time.monotonic() + 60
        while found.ask("sinfo", "-h", "-o", "%D %t").split() != ["2", "idle"]:
            if time.monotonic() > end:
                raise RuntimeError(found.ask("sinfo") + (root / "slurmctld.log").read_text()[-3000:])
            time.sleep(0.5)
        yield found
    finally:
        for node in NODES:
            found.kill_node(node)
        for name in ("slurmctld.pid", "munged.pid"):
            with suppress(OSError, ValueError):
                os.kill(int((root / name).read_text()), signal.SIGKILL)
