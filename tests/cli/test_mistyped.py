"""What does each of 28 mistyped command lines read? One line, exit 2, and a suggestion that is right."""

import shlex

import pytest

from convbench.discovery import sources
from convbench.suites import suite_names
from tests.cli.conftest import Cli

BACKENDS = ", ".join(sorted(source.name for source in sources()))
SUITES = f"{len(suite_names())} names, {suite_names()[0]} to {suite_names()[-1]}"
TYPED = {
    # A command or an option that is not there.
    "benhc": "No such command 'benhc'. Did you mean 'bench'? Try 'convbench --help'.",
    "self-test": "No such command 'self-test'. Did you mean 'selftest'? Try 'convbench --help'.",
    "list backend": "No such command 'backend'. Did you mean 'backends'? Try 'convbench list --help'.",
    "list": "Missing command: choose from backends, suites, devices. Try 'convbench list --help'.",
    "bench --dryrun": "No such option: --dryrun. Did you mean --dry-run? Try 'convbench bench --help'.",
    "explain --setp 4": "No such option: --setp. Did you mean --step? Try 'convbench explain --help'.",
    "bench resnet50": ("Unexpected argument 'resnet50'. Did you mean --suite resnet50? Try 'convbench bench --help'."),
    "verify note": "Unexpected argument 'note'. Did you mean --shape note? Try 'convbench verify --help'.",
    "explain --model resnet18": "this is a command of its own now: convbench model resnet18",
    "verify --self-test --seed 3": "this is a command of its own now: convbench selftest --seed 3",
    "why": "Missing argument 'QUESTION,...'. Try 'convbench why --help'.",
    # A word that is none of a list.
    "bench --device gpu": "unknown device 'gpu': choose from cpu, cuda; did you mean 'cuda'?",
    "verify --dtype fp23": "unknown dtype 'fp23': choose from bf16, fp16, fp32, fp64; did you mean 'fp32'?",
    "verify --layout nwhc": (
        "unknown layout 'nwhc': choose from chunk, nchw, nhwc, strided, unaligned; did you mean 'nhwc'?"
    ),
    "verify --pass fporp": "unknown pass 'fporp': choose from dgrad, fprop, wgrad; did you mean 'fprop'?",
    "verify --epilogue bias-relu": (
        "unknown epilogue 'bias-relu': choose from bias, bias_relu, none; did you mean 'bias_relu'?"
    ),
    "bench --backend cuddn": f"unknown backend 'cuddn': choose from {BACKENDS}; did you mean 'cudnn'?",
    "bench --suite resnet5": (
        f"unknown suite 'resnet5': choose from {SUITES} (convbench list suites), a FILE.csv, or a file of another "
        f"tool (docs/selection.md); did you mean 'resnet50'?"
    ),
    "explain --step unfodl": (
        "--step 'unfodl': give a number from 1 to 8, a range such as 2-4, or a name: operands, loops, positions, "
        "unfold, flatten, multiply, reshape, pytorch; did you mean 'unfold'?"
    ),
    "run --filters edge": (
        "unknown filter bank 'edge': choose from blur, edges, identity, random; did you mean 'edges'?"
    ),
    # A problem that is none.
    "explain resnet50": (
        "resnet50 is a whole suite: name a row, such as resnet50:conv1 (convbench list suites resnet50); the whole "
        "model: convbench model resnet50"
    ),
    "explain 1x1x4x4": (
        "1x1x4x4 is the size of a tensor, not a problem; write --input 1x1x4x4 --weight 1x1x2x2 --stride 1 --padding 0"
    ),
    "explain noet": "'noet' is not a valid shape; did you mean 'note'?",
    "bench --suite note": "note is a problem, not a suite: write --shape note",
    "cost resnet50:con1": (
        "unknown row of suite resnet50 'con1': choose from 23 names, conv1 to layer4.1.conv2 "
        "(convbench list suites resnet50); did you mean 'conv1'?"
    ),
    # A number or a file that is none.
    "bench --threads 1.5": "--threads 1.5: give whole numbers, such as 1,2,4; 0 lets torch choose",
    "verify --fuzz -3": "Invalid value for --fuzz -3: give 1 or more. Try 'convbench verify --help'.",
    "run --save out.jpg": "--save out.jpg: the picture is a PNG file; try --save out.png",
}


def test_there_are_28() -> None:
    assert len(TYPED) == 28


@pytest.mark.parametrize("typed", TYPED)
def test_a_mistyped_line_is_answered_in_one_line(cli: Cli, typed: str) -> None:
    done = cli(*shlex.split(typed))
    assert (done.code, done.out) == (2, "")
    assert done.err == f"convbench: {TYPED[typed]}\n"
