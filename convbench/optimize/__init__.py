"""The race of whole models: which way to run a model on this CPU is fastest, and is its output right?"""
