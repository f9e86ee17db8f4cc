"""Where do x and w come from? Image data sets as batches, filter banks, and weights from files."""
