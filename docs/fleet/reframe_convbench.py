"""A sweep as ReFrame tests, one for each shard: reframe -c reframe_convbench.py -r

Which systems and partitions they run on, and how they are scheduled, is set up in ReFrame. Afterwards, in the output
folder: convbench merge part-*.csv -o all.csv
"""

import reframe as rfm
import reframe.utility.sanity as sn

SHARDS = 16


@rfm.simple_test
class Shard(rfm.RunOnlyRegressionTest):
    """Part `shard` of the sweep; the exit codes 0, 1 and 3 are results."""

    shard = parameter(range(1, SHARDS + 1))
    valid_systems = ["*"]
    valid_prog_environs = ["*"]
    executable = "convbench"
    exclusive_access = True
    time_limit = "30m"

    @run_before("run")
    def choose(self):
        self.executable_opts = ["bench", "--suite", "resnet50", "--shard", f"{self.shard}/{SHARDS}"]
        self.executable_opts += ["--csv", f"part-{self.shard}.csv"]
        self.keep_files = [f"part-{self.shard}.csv"]

    @sanity_function
    def has_rows_or_none_to_run(self):
        return sn.assert_found(rf"shard {self.shard}/{SHARDS}: \d+ of \d+ cases", self.stderr)
