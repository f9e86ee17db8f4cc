"""Which environment variables does convbench set for its own process and those that it starts?"""

import os


def quieten_profiler() -> None:
    """Set what torch's profiler reads on first use, and a fork server at its start; the user's own values are kept."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else it reports its own start and stop on stderr
    # CUPTI that is torn down or started again breaks the CUDA graphs of a process: torch's own profiler sets these too.
    os.environ.setdefault("TEARDOWN_CUPTI", "0")
    os.environ.setdefault("DISABLE_CUPTI_LAZY_REINIT", "1")
