"""python -m convbench."""

from convbench.cli import main

if __name__ == "__main__":
    main()
