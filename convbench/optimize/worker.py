"""The processes of the candidates: one loads the model, and each candidate's is forked from it."""

import json
import os
import socket
import sys
from contextlib import suppress
from dataclasses import asdict, fields
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from convbench.bench.heap import heap_kept
from convbench.errors import in_words
from convbench.optimize.host import NAME_NBYTES, CandidateLost, Here, received
from convbench.optimize.ways import Facts, Order
from convbench.system import die_with


def load(descriptor: int, parent: int, place: str) -> None:
    """Load the model, then fork a process for each candidate that is asked for, until the parent closes its end."""
    die_with(parent)
    control, folder = socket.socket(fileno=descriptor), Path(place)
    answers = Connection(os.dup(descriptor))
    job = json.loads((folder / "job.json").read_text())
    torch.set_num_threads(1)  # a process with a thread pool cannot be forked
    try:
        subject, structure, trials = received(folder, job["subject"], job["rebuilt"])
    except BaseException as error:  # whatever the model's code raises
        answers.send_bytes(json.dumps({"lost": in_words(error)}).encode())
        os._exit(0)
    answers.send_bytes(json.dumps({"done": None}).encode())
    own = os.getpid()
    while True:
        with suppress(OSError):
            text, descriptors, *_ = socket.recv_fds(control, NAME_NBYTES, 1)
            word = text.decode().strip()
        if not text:
            os._exit(0)
        if word.startswith("wait "):
            answers.send_bytes(json.dumps({"code": _code(int(word[5:]))}).encode())
            continue
        pid = os.fork()
        if pid == 0:
            die_with(own)
            os.setsid()  # it ends with all that it starts
            answers.close()
            control.close()
            order = Order(
                subject=subject,
                structure=structure,
                threads=job["threads"],
                accuracy=job["accuracy"],
                folder=folder,
                choices=job["choices"],
                tune_s=job["tune_s"],
            )
            _work(word, order, trials, Connection(descriptors[0]))
        for one in descriptors:
            os.close(one)
        answers.send_bytes(json.dumps({"pid": pid}).encode())


def _code(pid: int) -> int | None:
    """How a process ended: its exit code, or minus its signal."""
    with suppress(ChildProcessError):
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return None


def _work(name: str, order: Order, trials: list[Any], connection: Connection) -> None:
    """A candidate: it does what it is asked, one thing at a time, until the parent closes its end."""

    def send(kind: str, value: Any) -> None:
        connection.send_bytes(json.dumps({kind: value}).encode())

    file = order.folder / f"{name}.pt"
    log = os.open(order.folder / f"{name}.log", os.O_WRONLY | os.O_CREAT, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    torch.set_num_threads(order.threads)
    with suppress(EOFError, OSError), heap_kept():
        host = Here(name, order.told(lambda words: send("say", words)), trials)
        while True:
            asked = json.loads(connection.recv_bytes())
            try:
                send("done", _answer(host, asked, file))
            except CandidateLost as lost:
                send("lost", str(lost))
    sys.stdout.flush()
    os._exit(0)  # the threads of a library may not end by themselves


def _answer(host: Here, asked: Any, file: Path) -> Any:
    match asked:
        case "make":
            facts = host.make()
            return {one.name: getattr(facts, one.name) for one in fields(Facts)}
        case "answers":
            torch.save(host.answers(), file)
            return None
        case "call_s":
            return host.call_s()
        case ["turn", int(count)]:
            return asdict(host.turn(count))
    raise CandidateLost(f"was asked {asked!r}")
