"""Which ways to run a model are there, what does each need, and what is the code for it?

Nothing here imports what a candidate needs: the table is also read to say what is missing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from convbench.errors import ConvbenchError, unknown

BASELINE = "eager"
OWN = "convbench"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A way to run a model.

    Attributes:
        lines: the Python code for it; `{shapes}` is the input, `{threads}` and `{accuracy}` are those of the race.
        needs: packages, each with a module of the same name.
    """

    name: str
    lines: Sequence[str]
    needs: tuple[str, ...] = ()

    def missing(self) -> tuple[str, ...]:
        """The packages that are not installed."""
        return tuple(one for one in self.needs if find_spec(one) is None)


_TORCH = ("import torch", "torch.set_num_threads({threads})")
_ONNX = (
    "program = torch.export.export(model.eval(), (x,))",
    'torch.onnx.export(program, dynamo=True).save("model.onnx")',
)
CANDIDATES = {
    one.name: one
    for one in (
        Candidate(
            name=BASELINE,
            lines=(*_TORCH, "with torch.inference_mode():", "    y = model.eval()(x)"),
        ),
        Candidate(
            name="channels-last",
            lines=(
                *_TORCH,
                "model = model.eval().to(memory_format=torch.channels_last)",
                "with torch.inference_mode():",
                "    y = model(x.contiguous(memory_format=torch.channels_last))",
            ),
        ),
        Candidate(
            name="torch-compile",
            lines=(
                *_TORCH,
                'fast = torch.compile(model.eval(), dynamic=False, options={{"freezing": True}})',
                "with torch.no_grad():",
                "    y = fast(x)",
            ),
        ),
        Candidate(
            name="onnxruntime",
            needs=("onnx", "onnxscript", "onnxruntime"),
            lines=(
                "import onnxruntime, torch",
                *_ONNX,
                "options = onnxruntime.SessionOptions()",
                "options.intra_op_num_threads = {threads}",
                'session = onnxruntime.InferenceSession("model.onnx", options, providers=["CPUExecutionProvider"])',
                "y = session.run(None, {{session.get_inputs()[0].name: x.numpy()}})[0]",
            ),
        ),
        Candidate(
            name="openvino",
            needs=("onnx", "onnxscript", "openvino"),
            lines=(
                "import openvino, torch",
                *_ONNX,
                'settings = {{"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": {threads}}}',
                'fast = openvino.Core().compile_model("model.onnx", "CPU", settings)',
                "y = fast(x.numpy())[0]",
            ),
        ),
        Candidate(
            name="ncnn",
            needs=("ncnn", "pnnx"),
            lines=(
                "import ncnn, torch",
                'torch.jit.trace(model.eval(), x[:1]).save("model.pt")',
                "# pnnx model.pt inputshape=[{shapes}] fp16=0",
                "net = ncnn.Net()",
                "net.opt.num_threads = {threads}",
                "net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False",
                'net.load_param("model.ncnn.param"), net.load_model("model.ncnn.bin")',
                "run = net.create_extractor()",
                'run.input("in0", ncnn.Mat(x[0].numpy()))',
                'code, y = run.extract("out0")',
            ),
        ),
        Candidate(
            name=OWN,
            needs=("llvmlite",),
            lines=(
                "import convbench",
                'fast = convbench.optimize(model, x, only="convbench", threads={threads}, accuracy="{accuracy}")',
                "y = fast(x)",
            ),
        ),
    )
}


def choose_candidates(only: Sequence[str] | None) -> list[Candidate]:
    """All, or these and the baseline, in their own order.

    Raises:
        ConvbenchError: there is none of that name, or no name.
    """
    words = [one.strip().lower().replace("_", "-") for one in only or ()]
    if only is not None and not words:
        raise ConvbenchError(f"--only (only=) names no candidate; choose from {', '.join(CANDIDATES)}")
    for word in words:
        if word not in CANDIDATES:
            raise unknown("candidate", word, CANDIDATES)
    return [one for name, one in CANDIDATES.items() if not words or name in words or name == BASELINE]


def lines_of(name: str, *, shapes: str, threads: int, accuracy: str) -> tuple[str, ...]:
    """How to run a model as this candidate does, in Python.

    Raises:
        ConvbenchError: there is no such candidate.
    """
    if name not in CANDIDATES:
        raise unknown("candidate", name, CANDIDATES)
    sizes = ",".join(shapes.split("x"))
    return tuple(line.format(shapes=sizes, threads=threads, accuracy=accuracy) for line in CANDIDATES[name].lines)
