"""convbench's own graph: a whole model as one program on activations in blocks of channels.

`build.build(model, inputs, threads=...)` is the door; docs/graph.md goes through the rest in its order.
"""
