"""How is a convolution computed? One problem walked step by step with actual numbers, and proved."""

# What each step is called, in their order. This file imports nothing: --help shows the names.
STEPS = ("operands", "loops", "positions", "unfold", "flatten", "multiply", "reshape", "pytorch")

NOTE = "n1c1h4w4k1r2s2"  # the worked example: the problem of the process note
