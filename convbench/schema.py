"""What are the columns of a results file: their names, units and meanings, and since which version of the format?

A column is added at the end, with the next number of SCHEMA as its `since`; none is ever renamed or moved. Files of
older schemas lack the later columns and are read all the same.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        meaning: in Markdown, as docs/csv.md has it.
        unit: of a number; empty for a text, a count or a ratio.
        since: the first schema that has it.
    """

    name: str
    meaning: str
    unit: str = ""
    since: int = 1


def _numbered(columns: tuple[Column, ...], since: int) -> tuple[Column, ...]:
    return tuple(Column(one.name, one.meaning, one.unit, since) for one in columns)


_FIRST = (
    Column("suite", "where the problem comes from: a suite, the stem of a file, or `shape` for one that was typed"),
    Column("name", "the problem's name there"),
    Column("count", "how often the layer occurs in its model"),
    Column("spec", "the problem as text, as `--shape` takes it"),
    Column("n", "batch"),
    Column("c", "input channels"),
    Column("h", "input height"),
    Column("w", "input width"),
    Column("k", "output channels"),
    Column("r", "kernel height"),
    Column("s", "kernel width"),
    Column("stride", "one number, or `2x1` for a pair (h, w) that differs"),
    Column("padding", "likewise, or `0x1x0x1` for top, bottom, left and right where opposite sides differ"),
    Column("dilation", "one number or a pair"),
    Column("groups", "groups of channels"),
    Column("pass", "fprop, dgrad or wgrad"),
    Column("dtype", "data type of the operands"),
    Column("layout", "nchw, nhwc, strided, chunk or unaligned"),
    Column("precision", "ieee: no TF32 anywhere; tf32: allowed"),
    Column("epilogue", "what follows fprop: none, bias or bias_relu"),
    Column("device", "cpu, cuda, cuda:1 ..."),
    Column("threads", "CPU threads, as torch had them"),
    Column("backend", "what ran"),
    Column("family", "how it sums: direct, im2col, implicit_gemm, winograd, fft, strassen or vendor"),
    Column("outcome", "timed, verified, skipped, wrong or failed"),
    Column("reason", "why it was skipped, how it failed, or where it is wrong"),
    Column(
        "median_s",
        "seconds a call, over the rounds that were not disturbed; `timing` and `cache` say under which conditions",
        "s",
    ),
    Column("q25_s", "lower quartile of the same samples", "s"),
    Column("q75_s", "upper quartile of the same samples", "s"),
    Column("min_s", "the fastest of the same samples", "s"),
    Column("samples", "how many samples that are"),
    Column(
        "ratio_to_torch",
        "centre of the paired ratios torch / this, above 1 is faster: [how a winner is named](verdicts.md)",
    ),
    Column("verdict", "faster, slower, tie or undecided against torch; baseline for torch"),
    Column(
        "gflops",
        "2 * multiply-adds of the direct algorithm, the same for every pass and epilogue / `median_s`",
        "1e9 FLOP/s",
    ),
    Column(
        "gbytes_per_s",
        "bytes of what the pass reads and writes (x, w, y or their gradients, the bias), each once / `median_s`",
        "1e9 B/s",
    ),
    Column(
        "percent_of_ceiling",
        "100 * `roofline_s` / `median_s`: share of the speed that this machine could have at best "
        "([how](ceilings.md)); empty without ceilings",
        "%",
    ),
    Column("relative_l2", "norm of the error against float64 / norm of the truth"),
    Column(
        "worst_of_bound",
        "the largest error as a share of its bound; often 1 for fp16 and bf16, whose results are rounded to so few "
        "bits that the interval holds only one or two numbers",
    ),
    Column("first_call_s", "the first call of all in its process", "s"),
    Column("prepare_s", "what is done once for each weight; empty where nothing is", "s"),
    Column("peak_nbytes", "most memory beyond the operands during one call: of torch's allocator, or resident", "B"),
    Column(
        "machine",
        "the host's name, or the environment variable `CONVBENCH_MACHINE`; `anonymous` after `--anonymous`",
    ),
    Column("cpu", "model, family and cores of the CPU"),
    Column("gpu", "the GPU's name; empty for a row on the CPU"),
    Column("driver", "version of the GPU's driver"),
    Column("python", "version of Python"),
    Column("torch", "version of torch"),
    Column("cuda", "version of CUDA that torch was built with"),
    Column("cudnn", "version of cuDNN"),
    Column("convbench", "version of convbench"),
    Column("commit", "commit of a source tree that convbench ran from, with + where files differed from it"),
    Column("command", "how to do it again; empty after `--anonymous`"),
    Column("time", "when the row was written, in UTC"),
    Column(
        "samples_s",
        "the samples that were used, in the order of the rounds, separated by spaces, to four digits; the times "
        "beside them are of these. Those of one round pair with torch's",
        "s",
    ),
    Column("seed", "seed of the operands"),
    Column("ratio_low", "lower end of the interval of `ratio_to_torch`"),
    Column("ratio_high", "upper end of the interval of `ratio_to_torch`"),
    Column("patch_matrix_nbytes", "what the unfolded input would take", "B"),
    Column("ran", "operators, or GPU kernels, that a profile of one call showed"),
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
        "GPU only: a call within a replayed CUDA graph, free of launch gaps; empty where it cannot be captured",
        "s",
    ),
    Column(
        "layout_s",
        "to bring x from NCHW into the case's layout and y back, for neighbours that are NCHW; no part of the other "
        "times",
        "s",
    ),
    Column(
        "set_aside",
        "how many disturbed samples were not used: a thread waited for a core for more than 1 % of the block or was "
        "thrown off one, more than 1 % of our CPUs' time was stolen, the CPUs had moved, or the GPU was slowed down",
    ),
    Column("noisy", "1 where too few samples were clean, so that all are shown and no verdict is given"),
    Column("steal", "share of all CPU time that the hypervisor took while the case was timed"),
    Column("foreign", "share of it that other processes used"),
    Column("switches", "how often a thread of this process was thrown off its core meanwhile"),
    Column(
        "clock_hz",
        "the GPU's SM clock (median of the rounds), or the fastest core's; empty where the system does not say",
        "Hz",
    ),
    Column("power_w", "the GPU's highest power (NVML)", "W"),
    Column("temperature_c", "the GPU's highest temperature (NVML)", "°C"),
    Column("throttle", "what slowed the GPU down (NVML)"),
)
_ROUNDS = (
    Column(
        "set_aside_rounds",
        "the rounds of the samples that were set aside, counted from 0, so that others of the same round are known",
    ),
)
_ROOFLINE = (
    Column("roofline_s", "least time of the direct algorithm on this machine, hot caches", "s"),
    Column("bound", "what decides it: compute, memory or launch"),
    Column("peak_flops_per_s", "the ceiling of arithmetic that it was computed with", "FLOP/s"),
    Column("peak_bytes_per_s", "the ceiling of memory that it was computed with", "B/s"),
    Column("ceiling_probe", "the probe that reached the ceiling that decides"),
    Column(
        "actual_flops",
        "operations that the backend does, two for a multiply-add; empty where nobody knows (a vendor's library). "
        "100 * `actual_flops` / `median_s` / `peak_flops_per_s` is its share of the arithmetic that is there",
        "FLOP",
    ),
    Column(
        "flag",
        "why the median should not be believed, or how it can be below `roofline_s`; empty for nothing to say",
    ),
)
_PROBES = (
    Column(
        "probe",
        "which probe of `verify` a wrong row failed: numeric, sharp, memory, repeat, lattice, locality, batch or "
        "gradient ([what they are](verification.md))",
    ),
    Column("omega", "the largest error beyond the rounding of the result", "u * M"),
    Column(
        "arithmetic",
        "what the errors say that was really computed: ieee fp32, TF32 inputs, sums kept in bf16, Winograd F(4x4), "
        "equal calls that differ in their last bits ...; empty where they do not say",
    ),
    Column("defect", "a known defect of the library underneath that a probe met"),
    Column("operands", "the recipe of the operands ([edge cases](edge-cases.md)); empty for N(0, 1)"),
    Column(
        "cause",
        "why it is wrong, in a sentence; empty where no experiment has an answer, and for more faults of the same "
        "backend, problem and axes",
    ),
    Column("smallest", "the smallest problem found on which the backend is wrong in the same way"),
)
_HANDOVER = (
    Column(
        "handover_s",
        "seconds in which two CPUs exchange a cache line, median while it was timed, over up to eight pairs: where a "
        "hypervisor had put them; empty with one thread, on a GPU and without a hypervisor",
        "s",
    ),
)
_CUTS = (
    Column(
        "cause_cut",
        "after how many experiments the search for the cause was cut by its budget; empty where it came to its end",
    ),
    Column(
        "smallest_cut",
        "after how many tries the search for the smallest problem was cut by its budget; empty likewise",
    ),
)
_REGIMES = (
    Column(
        "rounds",
        "the rounds of `samples_s`, counted from 0, as ranges (`0-24 31`): after its verdict a backend is timed in few "
        "of them, and samples of one round are a pair; empty in older files, for every round that was not set aside",
    ),
    Column(
        "mapped_s",
        "CPU only: a warm call that finds no memory of the call before: every block of 128 KiB or more is mapped anew",
        "s",
    ),
    Column("schema", "the version of this format, as below; empty in files that are older than it"),
    Column("images_per_s", "`n` / `median_s`; empty where nothing was timed", "1/s"),
    Column(
        "timing",
        "what a call of `median_s` is: eager, made by the host and launch gaps included (by events on a GPU), or "
        "graph, replayed from a captured graph; empty where nothing was timed, and eager in files without it",
    ),
    Column(
        "cache",
        "where its operands were: hot, in the caches from the call before, or cold, in memory; empty where nothing "
        "was timed, and hot in files without it",
    ),
    Column(
        "launch_bound", "GPU only: 1 where the host takes more than 0.8 of an eager call (`host_s`, `wall_s`), else 0"
    ),
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
)
COLUMNS = tuple(one.name for one in TABLE)
SCHEMA = max(one.since for one in TABLE)
# Files of older schemas lack what was added after these, and are read all the same.
OLDEST = tuple(one.name for one in TABLE if one.since == 1)


def markdown() -> str:
    """The table of docs/csv.md, its columns as wide as their widest cell, as mdformat has them."""
    cells = [("column", "unit", "since", "meaning")]
    cells += [(f"`{one.name}`", one.unit, str(one.since), one.meaning) for one in TABLE]
    name, unit, since, meaning = (max(map(len, column)) for column in zip(*cells, strict=True))
    lines = [f"| {a:{name}} | {b:{unit}} | {c:>{since}} | {d:{meaning}} |" for a, b, c, d in cells]
    rule = f"| {'-' * name} | {'-' * unit} | {'-' * (since - 1)}: | {'-' * meaning} |"
    return "\n".join([lines[0].replace(f"{'since':>{since}}", f"{'since':{since}}"), rule, *lines[1:]])
