"""How is a convolution computed? One problem walked step by step on real numbers, and proved."""
