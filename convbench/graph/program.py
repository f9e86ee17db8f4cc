"""A graph as something that runs: own segments and calls of torch, in turn."""

from typing import Any

from torch import Tensor

from convbench.graph.graph import Graph


class Program:
    """Runs a graph for so many threads."""

    def __init__(self, graph: Graph, threads: int) -> None:
        self.graph, self.threads = graph, threads

    def run(self, inputs: list[Tensor]) -> Any:
        return self.graph.run(inputs)
