"""Which backend is faster? Clocks, interleaved rounds, distribution-free verdicts, the sweep."""
