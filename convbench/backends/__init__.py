"""One file is one backend: its stem is the name, its docstring the description."""
