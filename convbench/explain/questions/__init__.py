"""What are the common questions about convolution, and their answers for this problem, in its own numbers?

There are twelve. Every number is computed on the problem and checked by a second computation before it is shown; a
question that the problem cannot show is answered on the nearest one that can.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from convbench.backend import name_surplus
from convbench.errors import unknown
from convbench.explain.letters import TORCH, Letters
from convbench.explain.questions import border, costs, kernel, patches, rounding
from convbench.explain.questions import nearest as near
from convbench.explain.questions.nearest import Nearest
from convbench.explain.sheet import NumberGrid, Part, Say, Sheet, Sum, Table, WhyAnswer
from convbench.explain.steps import Cell
from convbench.explain.walk import affordable, choose_cell
from convbench.spec import ConvSpec

SHOWS_ALL = ConvSpec.parse("n1c4h7w8k4r2s2_st2_pd1_dl2_g2")
CONV2D_DOC = "torch.nn.Conv2d, documentation"
CUTLASS_DOC = "CUTLASS, implicit_gemm_convolution.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question and its answer.

    Attributes:
        text: as people ask it.
        answer: fills the sheet and returns the short answer, a template.
        sources: where it is written, and where people asked.
        nearest: for a problem that cannot show it, why not, and other problems, the nearest first.
    """

    name: str
    text: str
    answer: Callable[[Sheet], str]
    sources: tuple[str, ...]
    nearest: Nearest = lambda _: None


def choose(words: str) -> tuple[Question, ...]:
    """`flip,order` or `all`, each once.

    Raises:
        ConvbenchError: there is no such question.
    """
    chosen: dict[str, Question] = {}
    for name in (part.strip().lower() for part in words.split(",")):
        if name == "all":
            chosen |= QUESTIONS
        elif name in QUESTIONS:
            chosen[name] = QUESTIONS[name]
        else:
            raise unknown("question", name, [*QUESTIONS, "all"])
    return tuple(chosen.values())


def ask(
    question: Question, spec: ConvSpec, cell: Cell | None = None, seed: int = 0, letters: Letters = TORCH
) -> WhyAnswer:
    """The answer on x and w of small integers, as the walk has them.

    The cell, by default one worth seeing, counts where the problem itself is shown.

    Raises:
        ConvbenchError: the problem is too large, or has no output.
    """
    spec = affordable(spec)
    cell = cell or choose_cell(spec)
    shown, why = spec, ""
    if (nearest := question.nearest(spec)) is not None:
        why, others = nearest
        shown = next(others, SHOWS_ALL)
        cell = choose_cell(shown)
    sheet = Sheet(spec=shown, cell=cell, seed=seed, stand_in=why)
    short = sheet.words(question.answer(sheet))
    if any(sheet.spec.surplus):
        sheet.word("beforehand", f"{name_surplus(sheet.spec)}, then padding={sheet.spec.evened.padding}")
        sheet.note("torch pads opposite sides equally, so when torch was asked, x was padded first: {beforehand}.")
    return WhyAnswer(
        name=question.name,
        question=question.text,
        asked=spec,
        spec=sheet.spec,
        stand_in=sheet.stand_in,
        short=letters.write(short),
        parts=tuple(_in_letters(part, letters) for part in sheet.parts),
        notes=tuple(map(letters.write, sheet.notes)),
        sources=question.sources,
        numbers=dict(sheet.numbers),
        proof=tuple(
            replace(one, name=letters.write(one.name), against=letters.write(one.against)) for one in sheet.proof
        ),
    )


def _in_letters(part: Part, letters: Letters) -> Part:
    """With the names of sizes and indices, which answers leave as templates ($P, $r), in these letters."""
    write = letters.write
    match part:
        case Say():
            return Say(text=write(part.text))
        case Sum():
            return replace(part, lead=write(part.lead))
        case NumberGrid():
            return replace(part, label=write(part.label), rows=tuple(map(write, part.rows)))
        case Table():
            return Table(
                columns=tuple(map(write, part.columns)),
                rows=tuple((write(name), numbers) for name, numbers in part.rows),
            )


def _catalogue(questions: Iterable[Question]) -> dict[str, Question]:
    return {question.name: question for question in questions}


QUESTIONS = _catalogue(
    (
        Question(
            name="flip",
            text="Is the kernel flipped?",
            answer=kernel.flip,
            sources=(f"{CONV2D_DOC}: cross-correlation",),
            nearest=near.wants_taps,
        ),
        Question(
            name="order",
            text="In what order do the patch rows run?",
            answer=patches.order,
            sources=("torch.nn.Unfold, documentation", "d-li14/involution#18", f"{CUTLASS_DOC}: NHWC"),
            nearest=near.wants_channels,
        ),
        Question(
            name="nine",
            text="What are the 4 and the 9 of (1, 4, 9)?",
            answer=patches.nine,
            sources=("torch.nn.Unfold, documentation", "ygjwd12345/TransDepth#10"),
        ),
        Question(
            name="floor",
            text="Why the floor, and what does it drop?",
            answer=border.floor,
            sources=(f"{CONV2D_DOC}: Shape", "Dumoulin and Visin 2016"),
            nearest=near.wants_rest,
        ),
        Question(
            name="dilation",
            text="What does dilation do to the kernel?",
            answer=kernel.dilation,
            sources=(
                f"{CONV2D_DOC}: dilation",
                "PyTorch forum 66834, What is the dilation in the convolutional layer output size formula",
            ),
            nearest=near.wants_dilation,
        ),
        Question(
            name="fold",
            text="Does fold undo unfold, or build the output?",
            answer=patches.not_undone,
            sources=(
                "torch.nn.Fold, documentation",
                "PyTorch forum 172378, Need help understanding conv2d and fold, unfold",
            ),
            nearest=near.wants_overlap,
        ),
        Question(
            name="groups",
            text="What do channels and groups do?",
            answer=kernel.groups,
            sources=(
                f"{CONV2D_DOC}: groups",
                "PyTorch forum 127331, How to understand groups parameter of conv2d",
                "DeepLearning.AI community 358868, How conv2d deals with multiple channels",
            ),
            nearest=near.wants_groups,
        ),
        Question(
            name="padding",
            text="What does padding put around x?",
            answer=border.padding,
            sources=("pytorch#152152: the modes", "pytorch#67551: same and stride"),
            nearest=near.wants_padding,
        ),
        Question(
            name="not-equal",
            text="Why is my unfold version not equal to conv2d?",
            answer=rounding.not_equal,
            sources=("pytorch#47990", "f-dangel/unfoldNd#24", "Higham 2002, section 3.1"),
        ),
        Question(
            name="memory",
            text="Why is im2col so hungry for memory?",
            answer=costs.memory,
            sources=("aharley/segaware#9", "Tencent/ncnn#534", CUTLASS_DOC),
        ),
        Question(
            name="algorithm",
            text="What runs, and when do Winograd and FFT pay?",
            answer=costs.algorithm,
            sources=(
                "Stack Overflow 64506489",
                "pytorch#18536, #88567, #52439",
                "ATen/native/Convolution.cpp",
                "oneDNN, verbose message catalogue",
                "NVIDIA forum 165802, CUDNN_STATUS_NOT_SUPPORTED for algo 6 and 3",
                "Lavin and Gray 2016",
            ),
        ),
        Question(
            name="flops",
            text="MACs or FLOPs, and why doesn't fewer mean faster?",
            answer=costs.flops,
            sources=("fvcore#133, #102", "pytorch#31239, #18631: depthwise is slow", "Williams et al. 2009: roofline"),
        ),
    )
)
