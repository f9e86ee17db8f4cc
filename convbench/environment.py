"""What does convbench set in the environment of its own process, and so of every one that it starts?"""

import os


def quieten_profiler() -> None:
    """What torch's profiler reads at its first use, and a fork server when it is started; a user's own words stand."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else it reports its own start and stop on stderr
    # CUPTI that is torn down or started anew breaks the CUDA graphs of a process: torch's own profiler sets these too.
    os.environ.setdefault("TEARDOWN_CUPTI", "0")
    os.environ.setdefault("DISABLE_CUPTI_LAZY_REINIT", "1")
