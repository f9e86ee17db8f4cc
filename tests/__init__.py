"""What is compiled for the tests is kept, as after an installation, where the environment says that nothing shall be.

Containers set PYTHONDONTWRITEBYTECODE. Each worker of pytest, and each program that a test starts, would then compile
torch and all the others once more: half a minute of CPU time for a worker.
"""

import os
import sys
from pathlib import Path

if sys.dont_write_bytecode and sys.pycache_prefix is None:
    sys.dont_write_bytecode = False
    sys.pycache_prefix = str(Path(__file__).parents[1] / ".pytest_cache" / "bytecode")
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix
    del os.environ["PYTHONDONTWRITEBYTECODE"]
