"""Which columns does a results file have: names, units, meanings, and the format version that added each?

New columns go at the end, with the next number of SCHEMA as their `since`; none is ever renamed or moved. Files of
older schemas lack the later columns and can still be read.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        meaning: in Markdown, for docs/csv.md.
        unit: of a number; empty for text, counts and ratios.
        since: the first schema that has it.
    """

    name: str
    meaning: str
    unit: str = ""
    since: int = 1

    @property
    def is_number(self) -> bool:
        """Whether its cells are numbers; those of `samples_s` are lists of them."""
        return bool(self.unit and self.name != "samples_s") or self.name in _WITHOUT_UNIT


# Counts, shares and ratios.
_WITHOUT_UNIT = frozenset(
    "count n c h w k r s groups threads samples ratio_to_torch ratio_low ratio_high relative_l2 worst_of_bound seed "
    "set_aside noisy steal foreign switches cause_cut smallest_cut schema launch_bound contended".split()
)


def _numbered(columns: tuple[Column, ...], since: int) -> tuple[Column, ...]:
    return tuple(Column(one.name, one.meaning, one.unit, since) for one in columns)


_FIRST = (
    Column("suite", "where the problem comes from: a suite, the stem of a file, or `shape` if it was typed"),
    Column("name", "the problem's name in it"),
    Column("count", "how often the layer occurs in its model"),
    Column("spec", "the problem as text, as `--shape` takes it"),
    Column("n", "batch"),
    Column("c", "input channels"),
    Column("h", "input height"),
    Column("w", "input width"),
    Column("k", "output channels"),
    Column("r", "kernel height"),
    Column("s", "kernel width"),
    Column("stride", "one number, or `2x1` if height and width differ"),
    Column("padding", "the same, or `0x1x0x1` (top, bottom, left, right) if opposite sides differ"),
    Column("dilation", "one number or a pair"),
    Column("groups", "groups of channels"),
    Column("pass", "fprop, dgrad or wgrad"),
    Column("dtype", "data type of the operands"),
    Column("layout", "nchw, nhwc, strided, chunk or unaligned"),
    Column("precision", "ieee: no TF32 anywhere; tf32: allowed"),
    Column("epilogue", "what follows fprop: none, bias or bias_relu"),
    Column("device", "cpu, cuda, cuda:1 ..."),
    Column("threads", "torch's number of CPU threads"),
    Column("backend", "what ran"),
    Column("family", "how it sums: direct, im2col, implicit_gemm, winograd, fft, strassen or vendor"),
    Column("outcome", "timed, verified, skipped, wrong or failed"),
    Column("reason", "why it was skipped, how it failed, or where it is wrong"),
    Column(
        "median_s",
        "seconds per call, over the rounds that were kept; `timing` and `cache` give the conditions",
        "s",
    ),
    Column("q25_s", "lower quartile of the same samples", "s"),
    Column("q75_s", "upper quartile of the same samples", "s"),
    Column("min_s", "the fastest of the same samples", "s"),
    Column("samples", "number of these samples"),
    Column(
        "ratio_to_torch",
        "centre of the paired ratios torch / this, above 1 is faster: [how a winner is declared](verdicts.md)",
    ),
    Column("verdict", "faster, slower, tie or undecided against torch; baseline for torch"),
    Column(
        "gflops",
        "2 * multiply-adds of the direct algorithm, the same for every pass and epilogue / `median_s`",
        "1e9 FLOP/s",
    ),
    Column(
        "gbytes_per_s",
        "bytes that the pass reads and writes (x, w, y or their gradients, the bias), each once / `median_s`",
        "1e9 B/s",
    ),
    Column(
        "percent_of_ceiling",
        "100 * `roofline_s` / `median_s`: share of this machine's peak, of the launch limit if `bound` is launch "
        "([how](ceilings.md)); empty without ceilings",
        "%",
    ),
    Column("relative_l2", "norm of the error against float64 / norm of the truth"),
    Column(
        "worst_of_bound",
        "the largest error as a share of its bound; often 1 for fp16 and bf16, whose results have so few bits that "
        "the interval contains only one or two numbers",
    ),
    Column("first_call_s", "the very first call in its process", "s"),
    Column("prepare_s", "the work done once per weight; empty if there is none", "s"),
    Column("peak_nbytes", "peak memory of one call, without the operands: of torch's allocator, or resident", "B"),
    Column(
        "machine",
        "the host's name, or the environment variable `CONVBENCH_MACHINE`; `anonymous` with `--anonymous`",
    ),
    Column("cpu", "model, family and cores of the CPU"),
    Column("gpu", "the GPU's name; empty for a row on the CPU"),
    Column("driver", "version of the GPU's driver"),
    Column("python", "version of Python"),
    Column("torch", "version of torch"),
    Column("cuda", "version of CUDA that torch was built with"),
    Column("cudnn", "version of cuDNN"),
    Column("convbench", "version of convbench"),
    Column("commit", "commit of the source tree that convbench ran from, with + if files differed from it"),
    Column("command", "the command that reproduces it; empty with `--anonymous`"),
    Column("time", "when the row was written, in UTC"),
    Column(
        "samples_s",
        "the samples used, in the order of the rounds, separated by spaces, to four digits; the other times are "
        "computed from these. A sample pairs with torch's of the same round",
        "s",
    ),
    Column("seed", "seed of the operands"),
    Column("ratio_low", "lower end of the interval of `ratio_to_torch`"),
    Column("ratio_high", "upper end of the interval of `ratio_to_torch`"),
    Column("patch_matrix_nbytes", "size of the unfolded input", "B"),
    Column("ran", "operators, or GPU kernels, in a profile of one call"),
    Column("onednn", "version of oneDNN"),
)
_NOISE_AND_CEILINGS = (
    Column(
        "cold_s",
        "median of a few calls after all caches were overwritten: input, weights and output come from memory",
        "s",
    ),
    Column("wall_s", "GPU only: one eager call from start until the device is idle", "s"),
    Column("host_s", "GPU only: one eager call from start until the host is free again", "s"),
    Column(
        "graph_s",
        "GPU only: a call in a replayed CUDA graph, without launch gaps; empty if it cannot be captured",
        "s",
    ),
    Column(
        "layout_s",
        "time to convert x from NCHW to the case's layout and y back, for neighbours in NCHW; not part of the other "
        "times",
        "s",
    ),
    Column(
        "set_aside",
        "number of disturbed samples that were not used: a thread waited for a core for more than 1 % of the block or "
        "was preempted, more than 1 % of our CPUs' time was stolen, the CPUs had moved, or the GPU was throttled",
    ),
    Column("noisy", "1 if too few samples were clean, so that disturbed ones were used"),
    Column("steal", "share of all CPU time that the hypervisor took while the case was timed"),
    Column("foreign", "share of all CPU time that other processes used meanwhile"),
    Column("switches", "how often a thread of this process was preempted meanwhile"),
    Column(
        "clock_hz",
        "the GPU's SM clock (median of the rounds), or the fastest core's; empty if the system does not report it",
        "Hz",
    ),
    Column("power_w", "the GPU's highest power (NVML)", "W"),
    Column("temperature_c", "the GPU's highest temperature (NVML)", "°C"),
    Column("throttle", "what throttled the GPU (NVML)"),
)
_ROUNDS = (
    Column(
        "set_aside_rounds",
        "the rounds of the samples that were set aside, counted from 0, to find other samples of the same rounds",
    ),
)
_ROOFLINE = (
    Column("roofline_s", "least time of the direct algorithm on this machine, hot caches", "s"),
    Column("bound", "what limits it: compute, memory or launch"),
    Column("peak_flops_per_s", "the arithmetic ceiling used for it", "FLOP/s"),
    Column("peak_bytes_per_s", "the memory ceiling used for it", "B/s"),
    Column("ceiling_probe", "the probe that reached the limiting ceiling"),
    Column(
        "actual_flops",
        "operations that the backend really does, two per multiply-add; empty if unknown (a vendor's library). "
        "100 * `actual_flops` / `median_s` / `peak_flops_per_s` is its share of the peak arithmetic",
        "FLOP",
    ),
    Column(
        "flag",
        "why the median is not credible, or how it can be below `roofline_s`; otherwise empty",
    ),
)
_PROBES = (
    Column(
        "probe",
        "which probe of `verify` a wrong row failed: numeric, sharp, memory, repeat, state, lattice, locality, "
        "batch or gradient ([what they are](verification.md))",
    ),
    Column("omega", "the largest error beyond the rounding of the result", "u * M"),
    Column(
        "arithmetic",
        "the arithmetic that the errors reveal: ieee fp32, TF32 inputs, sums kept in bf16, Winograd F(4x4), "
        "equal calls that differ in their last bits ...; empty if they reveal none",
    ),
    Column("defect", "a known defect of the library underneath that a probe hit"),
    Column("operands", "the recipe of the operands ([edge cases](edge-cases.md)); empty for N(0, 1)"),
    Column(
        "cause",
        "why it is wrong, in one sentence; empty if no experiment found out, and for further faults of the same "
        "backend, problem and axes",
    ),
    Column("smallest", "the smallest problem found on which the backend is wrong in the same way"),
)
_HANDOVER = (
    Column(
        "handover_s",
        "time for two CPUs to exchange a cache line, median while it was timed, over up to eight pairs; shows where "
        "the hypervisor had put them; empty with one thread, on a GPU and without a hypervisor",
        "s",
    ),
)
_CUTS = (
    Column(
        "cause_cut",
        "after how many experiments the search for the cause ran out of budget; empty if it finished, 0 if the fault "
        "was not diagnosed, being like others",
    ),
    Column(
        "smallest_cut",
        "after how many tries the search for the smallest problem ran out of budget; empty if it finished",
    ),
)
_REGIMES = (
    Column(
        "rounds",
        "the rounds of `samples_s`, counted from 0, as ranges (`0-24 31`): a backend is timed in few rounds after its "
        "verdict, and samples of one round pair up; empty in older files: every round that was not set aside",
    ),
    Column(
        "mapped_s",
        "CPU only: a warm call that cannot reuse memory of the call before: each block of 128 KiB or more is mapped "
        "anew",
        "s",
    ),
    Column("schema", "the version of this format, as in `since`; empty in files older than this column"),
    Column("images_per_s", "`n` / `median_s`; empty if not timed", "1/s"),
    Column(
        "timing",
        "what `median_s` measures: eager, a call by the host with launch gaps (by events on a GPU), or graph, a call "
        "replayed from a captured graph; empty if not timed; files without it are eager",
    ),
    Column(
        "cache",
        "where the operands were: hot, in the caches since the call before, or cold, in memory; empty if not timed; "
        "files without it are hot",
    ),
    Column("launch_bound", "GPU only: 1 if the host takes more than 0.8 of an eager call (`host_s`, `wall_s`), else 0"),
)
_TAIL = (
    Column(
        "p95_s",
        "95th percentile of the same samples as `median_s`, interpolated between neighbours as the quartiles are; of "
        "few samples it is close to the slowest",
        "s",
    ),
    Column("p99_s", "99th percentile of the same samples", "s"),
    Column("max_s", "the slowest of the same samples", "s"),
)

_FLEET = (
    Column("key", "the first 16 digits of the SHA-256 of the case's key; equal for equal cases everywhere"),
    Column("shard", "the part of the sweep that was run with `--shard`, such as 3/64; else empty"),
    Column(
        "plan",
        "which case of the whole sweep it is: `17/96 of 0123456789ab`, with a digest of all cases and backends; empty "
        "for a sweep that ends by the clock",
    ),
    Column("environment", "a hash of the versions: driver, python, torch, cuda, cudnn, onednn, convbench, commit"),
    Column(
        "canaries_s",
        "with `--shard`: seconds per call of three fixed convolutions of torch, in the fastest of several windows, "
        "measured when the shard starts, at most once a minute, and when it ends; they show a machine that became "
        "slower or is slower than others of its kind",
        "s",
    ),
    Column("attempt", "in a merged file: 2, 3 ... for further measurements of a case that has one; else empty"),
    Column("suspect", "in a merged file: why the machine of this row cannot be trusted; else empty"),
)
_SHARED = (
    Column(
        "contended",
        "GPU only: how many other processes computed on it, at most, while it was timed (NVML); empty if unknown",
    ),
)
_AUTO = (
    Column(
        "accuracy", "which algorithms may be used: strict, only direct sums; empty for standard, any within its bound"
    ),
    Column("chosen", "of the backend auto: the backend that it chose for the case; else empty"),
)

# In the order of the file.
TABLE = (
    *_FIRST,
    *_numbered(_NOISE_AND_CEILINGS, 2),
    *_numbered(_ROUNDS, 3),
    *_numbered(_ROOFLINE, 2),
    *_numbered(_PROBES, 4),
    *_numbered(_HANDOVER, 5),
    *_numbered(_CUTS, 6),
    *_numbered(_REGIMES, 7),
    *_numbered(_TAIL, 8),
    *_numbered(_FLEET, 8),
    *_numbered(_AUTO, 9),
    *_numbered(_SHARED, 9),
)
COLUMNS = tuple(one.name for one in TABLE)
SCHEMA = max(one.since for one in TABLE)
# Files of older schemas lack what was added after these, and can still be read.
OLDEST = tuple(one.name for one in TABLE if one.since == 1)


def markdown() -> str:
    """The table of docs/csv.md, with columns as wide as their widest cell, as mdformat formats them."""
    cells = [("column", "unit", "since", "meaning")]
    cells += [(f"`{one.name}`", one.unit, str(one.since), one.meaning) for one in TABLE]
    name, unit, since, meaning = (max(map(len, column)) for column in zip(*cells, strict=True))
    lines = [f"| {a:{name}} | {b:{unit}} | {c:>{since}} | {d:{meaning}} |" for a, b, c, d in cells]
    rule = f"| {'-' * name} | {'-' * unit} | {'-' * (since - 1)}: | {'-' * meaning} |"
    return "\n".join([lines[0].replace(f"{'since':>{since}}", f"{'since':{since}}"), rule, *lines[1:]])
