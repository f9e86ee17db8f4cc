"""What does a whole model cost: its convolutions, their times, their share of the peak, the kernels that ran?"""

from collections.abc import Callable, Sequence
from pathlib import Path

from convbench.errors import ConvbenchError
from convbench.models.costs import ModelCosts, measure
from convbench.models.inputs import GivenInput
from convbench.models.load import find_model
from convbench.models.onnx_file import measure_onnx
from convbench.models.roof import with_roofs
from convbench.models.source import ModelSource
from convbench.printing import prints_to_stderr
from convbench.ran.of_model import watch_what_ran


def study(
    model: str | ModelSource,
    given: Sequence[GivenInput] | None = None,
    *,
    training: bool = False,
    timed: bool = True,
    tell: Callable[[str], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
    about_to_time: Callable[[], None] = lambda: None,
    about_to_pass: Callable[[int], None] = lambda _: None,
) -> ModelCosts:
    """The costs of a model of torch, or of an ONNX file, which is read and not run.

    Args:
        model: a name or a file, as `convbench model` takes it, or where one comes from.
        given: its inputs; None for its own, or one image.
        training: a training step: the gradients as well.
        timed: time it, and run each convolution to see its kernel; otherwise nothing runs at full size.
        tell: receives a warning if a file may run code.
        say: receives what is done next.
        about_to_time, about_to_pass: as `models.costs.measure` calls them.

    Raises:
        ConvbenchError: there is no such model, or it does not run on this input.
    """
    with prints_to_stderr():  # the model's own code runs
        if isinstance(model, str) and model.lower().endswith(".onnx"):
            if training:
                raise ConvbenchError(f"--passes all: {model} is read, not run, and has no training step")
            costs = measure_onnx(Path(model), given)
        else:
            source = find_model(model) if isinstance(model, str) else model
            if source.risk:
                tell(source.risk)
            say(f"following {source.name} operator by operator")
            costs = measure(
                source,
                given,
                training=training,
                timed=timed,
                may_run=timed,
                about_to_time=about_to_time,
                about_to_pass=about_to_pass,
            )
            costs = with_roofs(costs) if costs.time_s is not None else costs
        doing = "runs" if timed else "selects"
        return watch_what_ran(
            costs,
            run=timed,
            about_to_watch=lambda count: say(f"asking PyTorch which kernel it {doing} for each of {count}"),
        )
