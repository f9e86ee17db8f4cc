"""The operations of a whole network on activations in blocks of channels: a vector is a block.

`geometry` says where a number lies, `plan` what a kernel takes and offers; each other file is one kind of operation, a
problem as a frozen dataclass and `candidates(problem, target, threads, accuracy)` with the ways to do it.
"""
