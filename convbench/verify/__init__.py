"""Is an implementation right? Operands, the float64 oracle, the error bounds, the verdict."""
