"""All passes in their order."""

from convbench.graph.channels import keep_channels_first
from convbench.graph.graph import Graph, drop_unread, fold_batch_norms, join_activations, join_sums


def simplify(graph: Graph) -> Graph:
    """In place."""
    drop_unread(graph)
    keep_channels_first(graph)
    fold_batch_norms(graph)
    join_sums(graph)
    join_activations(graph)
    return graph
