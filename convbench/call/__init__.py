"""How is a backend called? Bound to operands, under a case's arithmetic, its failures as values."""
