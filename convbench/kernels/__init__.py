"""convbench's own convolutions on a CPU, written with `convbench.jit` and run by its team of threads."""
