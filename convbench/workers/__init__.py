"""Processes that may die: a sweep goes on when a backend crashes, hangs or takes too much memory."""
