"""Is every message of the installed torch about shapes read rightly, and does each call that is offered work?"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from convbench.errors import ConvbenchError
from convbench.explain.messages import MESSAGES, decode
from convbench.explain.messages.reading import Decoded
from convbench.show.questions import decoded_page
from tests.conftest import load_script

z = torch.zeros
WRONG: Any = [1, 2]  # a list for a tensor
HALF: Any = 1.5
MIRROR: Any = "mirror"
UNFOLD: dict[str, Any] = {"output_size": (4, 4), "kernel_size": 2}

# What provokes each message: live, so that a torch that words it otherwise is noticed.
PROVOKED: dict[str, tuple[str, Callable[[], Any]]] = {
    "channels": ("channels", lambda: F.conv2d(z(1, 4, 8, 8), z(4, 3, 3, 3))),
    "channels of one image": ("channels", lambda: F.conv2d(z(4, 8, 8), z(4, 3, 3, 3))),
    "channels in groups": ("channels", lambda: F.conv2d(z(1, 6, 8, 8), z(4, 2, 3, 3), groups=2)),
    "channels, groups forgotten": ("channels", lambda: F.conv2d(z(1, 6, 8, 8), z(6, 1, 3, 3))),
    "channels last": ("channels", lambda: F.conv2d(z(2, 32, 24, 3), z(8, 3, 5, 5))),
    "channels, 1-D": ("channels", lambda: F.conv1d(z(1, 4, 8), z(4, 3, 3))),
    "channels, 3-D": ("channels", lambda: F.conv3d(z(1, 4, 8, 8, 8), z(4, 3, 3, 3, 3))),
    "channels, transposed": ("channels", lambda: F.conv_transpose2d(z(1, 4, 4, 4), z(3, 4, 3, 3))),
    "fewer filters than groups": ("filters", lambda: F.conv2d(z(1, 4, 8, 8), z(1, 1, 3, 3), groups=4)),
    "no filter": ("filters", lambda: F.conv2d(z(1, 4, 8, 8), z(0, 4, 3, 3))),
    "filters that groups do not divide": ("filters", lambda: F.conv2d(z(1, 6, 8, 8), z(3, 3, 3, 3), groups=2)),
    "in_channels": ("divisible", lambda: nn.Conv2d(3, 4, 3, groups=2)),
    "out_channels": ("divisible", lambda: nn.Conv2d(4, 3, 3, groups=2)),
    "bias": ("bias", lambda: F.conv2d(z(1, 1, 4, 4), z(2, 1, 3, 3), z(3))),
    "bias, 2-D": ("bias", lambda: F.conv2d(z(1, 1, 4, 4), z(2, 1, 3, 3), z(2, 1))),
    "kernel": ("kernel", lambda: F.conv2d(z(1, 1, 2, 2), z(1, 1, 3, 3))),
    "kernel, dilated": ("kernel", lambda: F.conv2d(z(1, 1, 4, 4), z(1, 1, 3, 3), dilation=2, padding=(0, 1))),
    "kernel, 1-D": ("kernel", lambda: F.conv1d(z(1, 1, 2), z(1, 1, 5))),
    "kernel, no pixel": ("kernel", lambda: F.conv2d(z(1, 1, 0, 4), z(1, 1, 1, 1))),
    "stride 0": ("positive", lambda: F.conv2d(z(1, 1, 4, 4), z(1, 1, 3, 3), stride=0)),
    "stride -1": ("positive", lambda: F.conv2d(z(1, 1, 4, 4), z(1, 1, 3, 3), stride=-1)),
    "groups 0": ("positive", lambda: F.conv2d(z(1, 1, 4, 4), z(1, 1, 3, 3), groups=0)),
    "padding -1": ("negative-padding", lambda: F.conv2d(z(1, 1, 4, 4), z(1, 1, 3, 3), padding=-1)),
    "dilation 0": ("dilation", lambda: F.conv2d(z(1, 1, 4, 4), z(1, 1, 3, 3), dilation=0)),
    "dilation -1": ("dilation", lambda: F.conv2d(z(1, 1, 4, 4), z(1, 1, 3, 3), dilation=(1, -1))),
    "2-D x": ("dimensions", lambda: F.conv2d(z(4, 5), z(1, 1, 3, 3))),
    "5-D x": ("dimensions", lambda: F.conv2d(z(2, 3, 1, 4, 4), z(1, 1, 3, 3))),
    "3-D w": ("pairs", lambda: F.conv2d(z(1, 1, 4, 4), z(1, 3, 3))),
    "5-D w": ("pairs", lambda: F.conv2d(z(1, 1, 4, 4), z(1, 1, 1, 3, 3))),
    "2-D w": ("flat-weight", lambda: F.conv2d(z(1, 1, 4, 4), z(3, 3))),
    "stride of three": ("pairs", lambda: F.conv2d(z(1, 1, 4, 4), z(2, 1, 3, 3), stride=(1, 2, 3))),
    "padding of four": ("pairs", lambda: F.conv2d(z(1, 1, 4, 4), z(2, 1, 3, 3), padding=(1, 2, 3, 4))),
    "dilation of three": ("pairs", lambda: F.conv2d(z(1, 1, 4, 4), z(2, 1, 3, 3), dilation=(1, 2, 3))),
    "double w": ("scalar-type", lambda: F.conv2d(z(1, 1, 4, 4), z(1, 1, 3, 3).double())),
    "uint8 x": ("scalar-type", lambda: F.conv2d(z(1, 1, 4, 4).byte(), z(1, 1, 3, 3))),
    "double bias": ("operand-type", lambda: F.conv2d(z(1, 1, 4, 4), z(1, 1, 3, 3), z(1).double())),
    "bool": ("not-implemented", lambda: F.conv2d(z(1, 1, 4, 4).bool(), z(1, 1, 3, 3).bool())),
    "same and stride": ("same", lambda: F.conv2d(z(1, 1, 4, 4), z(1, 1, 3, 3), padding="same", stride=2)),
    "same and stride, module": ("same", lambda: nn.Conv2d(1, 1, 3, padding="same", stride=2)),
    "padding word": ("padding-word", lambda: F.conv2d(z(1, 1, 4, 4), z(1, 1, 3, 3), padding="full")),
    "padding word, module": ("padding-word", lambda: nn.Conv2d(1, 1, 3, padding="full")),
    "padding mode": ("padding-mode", lambda: nn.Conv2d(1, 1, 3, padding_mode=MIRROR)),
    "reflect": ("reflect", lambda: F.pad(z(1, 1, 4, 4), (4, 4, 0, 0), mode="reflect")),
    "reflect, rows": ("reflect", lambda: F.pad(z(1, 1, 4, 6), (0, 0, 5, 5), mode="reflect")),
    "circular": ("circular", lambda: F.pad(z(1, 1, 4, 4), (5, 5, 0, 0), mode="circular")),
    "list for x": ("arguments", lambda: F.conv2d(WRONG, z(1, 1, 2, 2))),
    "stride 1.5": ("arguments", lambda: F.conv2d(z(1, 1, 4, 4), z(1, 1, 2, 2), stride=HALF)),
    "shortcut, width": ("addition", lambda: z(1, 4, 8, 8) + z(1, 4, 8, 6)),
    "shortcut, odd": ("addition", lambda: z(1, 4, 8, 8) + z(1, 4, 7, 8)),
    "shortcut, stride": ("addition", lambda: z(1, 4, 7, 7) + z(1, 4, 7, 4)),
    "shortcut, channels": ("addition", lambda: z(1, 64, 8, 8) + z(1, 32, 8, 8)),
    "linear": ("product", lambda: F.linear(z(2, 256), z(10, 100))),
    "einsum": ("einsum", lambda: torch.einsum("bpl,op->bol", z(1, 16, 9), z(4, 8))),
    "unfold, kernel": ("blocks", lambda: F.unfold(z(1, 1, 2, 2), 3)),
    "unfold, dilated": ("blocks", lambda: F.unfold(z(1, 1, 4, 9), (3, 2), dilation=(3, 1), padding=(1, 0))),
    "unfold, 5-D": ("unfold-dimensions", lambda: F.unfold(z(1, 1, 1, 4, 4), 2)),
    "unfold, no channel": ("unfold-dimensions", lambda: F.unfold(z(1, 0, 4, 4), 2)),
    "unfold, int64": ("not-implemented", lambda: F.unfold(z(1, 1, 4, 4).long(), 2)),
    "unfold, stride 0": ("options", lambda: F.unfold(z(1, 1, 4, 4), 2, stride=0)),
    "unfold, dilation 0": ("options", lambda: F.unfold(z(1, 1, 4, 4), 2, dilation=0)),
    "unfold, kernel 0": ("options", lambda: F.unfold(z(1, 1, 4, 4), 0)),
    "unfold, padding -1": ("options", lambda: F.unfold(z(1, 1, 4, 4), 2, padding=-1)),
    "fold, columns": ("fold-length", lambda: F.fold(z(1, 4, 16), **UNFOLD)),
    "fold, kernel": ("fold-length", lambda: F.fold(z(1, 9, 1), (2, 2), 3)),
    "fold, rows": ("fold-taps", lambda: F.fold(z(1, 6, 9), **UNFOLD)),
    "fold, images": ("fold-dimensions", lambda: F.fold(z(1, 1, 4, 9), **UNFOLD)),
    "fold, int64": ("not-implemented", lambda: F.fold(z(1, 4, 9).long(), **UNFOLD)),
    "fold, stride 0": ("options", lambda: F.fold(z(1, 4, 9), stride=0, **UNFOLD)),
}


SCRIPT = load_script("provoke_errors")
SCRIPTED = {one.name: one for one in SCRIPT.PROVOKED}


def check_fixes(found: Decoded) -> None:
    """Each call runs as it is written, and makes the shape that is said."""
    assert found.meanings
    assert found.fault
    assert found.fixes
    for fix in found.fixes:
        assert fix.computed
        with torch.no_grad():
            assert tuple(eval(fix.call.text, {"torch": torch, "F": F}).shape) == fix.shape
        if fix.spec is not None:
            assert fix.spec.y_shape == fix.shape


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")  # a fix may have an even kernel
@pytest.mark.parametrize("name", SCRIPTED)
def test_a_provoked_message_is_known_and_its_advice_mends_the_call(name: str) -> None:
    assert [*SCRIPT.faults(SCRIPTED[name])] == []
    found = decode(SCRIPT.message(SCRIPTED[name]))
    check_fixes(found)
    for width in (60, 80, 120):
        assert max(len(line) for line in decoded_page(found, width)) <= width


def test_the_script_provokes_at_least_sixty_messages_of_every_kind_of_layer() -> None:
    messages = {SCRIPT.message(one) for one in SCRIPT.PROVOKED}
    assert len(messages) >= 60
    for word in ("conv1d", "conv3d", "conv_transpose2d", "unfold", "fold", "max_pool2d", "batch_norm", "linear after"):
        assert any(name.startswith(word) for name in SCRIPTED)
    assert sum(name.startswith(("cat in a U-Net", "load_state_dict")) for name in SCRIPTED) >= 6


def test_the_script_finds_an_unknown_message_and_wrong_advice(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(value: str) -> None:
        if value == "wrong":
            raise RuntimeError("no such message")

    unknown = SCRIPT.one("unknown", "kernel", fail, "wrong", "right", "1")
    first = SCRIPT.PROVOKED[1]
    mistaken = SCRIPT.one("mistaken", first.kind, first.call, first.wrong, 3, "in_channels of the layer is 7")
    assert SCRIPT.main((unknown, mistaken)) == 1
    out = capsys.readouterr().out
    assert "unknown: unknown: 'no such message'" in out
    assert "the advice does not say 'in_channels of the layer is 7'" in out
    assert "3 does not mend it" in out
    assert SCRIPT.main(()) == 1


def provoke(case: str) -> str:
    with pytest.raises(Exception) as raised:  # noqa: PT011  # whatever torch raises is what is read
        PROVOKED[case][1]()
    return str(raised.value)


@pytest.mark.parametrize("case", PROVOKED)
def test_the_installed_torch_says_what_is_known_and_each_fix_runs(case: str) -> None:
    found = decode(provoke(case))
    assert found.name == PROVOKED[case][0]
    check_fixes(found)


def test_every_kind_of_message_is_provoked() -> None:
    provoked = {name for name, _ in PROVOKED.values()} | {one.kind for one in SCRIPT.PROVOKED}
    assert provoked == {message.name for message in MESSAGES}


def numbers(found: Decoded) -> set[str]:
    return {number for number, _ in found.meanings}


def test_each_number_of_the_channels_message_is_named() -> None:
    found = decode(provoke("channels"))
    assert numbers(found) == {"groups=1", "[4, 3, 3, 3]", "[1, 4, 8, 8]", "3 channels", "4 channels"}
    assert "w reads 3 channels and x has 4" in found.fault
    calls = [fix.call.operands for fix in found.fixes]
    assert ((1, 4, 8, 8), (4, 4, 3, 3)) in calls
    assert ((1, 3, 8, 8), (4, 3, 3, 3)) in calls
    assert not found.fixes[0].words.startswith("Or")
    assert str(found.fixes[0].spec) == "n1c4h8w8k4r3s3"


def test_a_dilation_without_numbers_is_a_negative_one() -> None:
    bare, zero = decode(provoke("dilation -1")), decode(provoke("dilation 0"))
    assert bare.title == zero.title == "a dilation below 1"
    assert bare.fault.endswith("torch says this, without numbers, if a dilation is negative.")
    assert zero.fault.endswith("a negative one has no meaning here.")


def test_channels_last_are_recognised() -> None:
    first = decode(provoke("channels last")).fixes[0]
    assert "permute(0, 3, 1, 2)" in first.words
    assert first.call.operands[0] == (2, 3, 32, 24)


def test_forgotten_groups_are_offered() -> None:
    found = decode(provoke("channels, groups forgotten"))
    assert any(fix.call.options.get("groups") == 6 and fix.shape == (1, 6, 6, 6) for fix in found.fixes)


def test_the_kernel_message_counts_the_dilated_kernel_and_names_the_padding() -> None:
    found = decode(provoke("kernel, dilated"))
    assert found.fixes[0].call.options["padding"] == (1, 0)
    assert found.fixes[0].shape[2:] == (2, 2)


def test_a_lost_border_and_a_stride_are_told_apart() -> None:
    lost = decode(provoke("shortcut, width"))
    assert lost.fixes[0].call.options == {"padding": (0, 1)}
    assert lost.fixes[0].shape[-1] == 8
    stride = decode(provoke("shortcut, stride"))
    assert any(fix.call.options.get("stride") == (1, 2) and fix.shape[-1] == 4 for fix in stride.fixes)


def test_fold_is_offered_the_image_that_its_columns_make() -> None:
    found = decode(provoke("fold, columns"))
    assert [fix.shape for fix in found.fixes] == [(1, 1, 4, 4), (1, 1, 5, 5)]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Input type (torch.cuda.FloatTensor) and weight type (torch.FloatTensor) should be the same", "operand-type"),
        (
            "Input type (torch.FloatTensor) and weight type (torch.cuda.FloatTensor) should be the same or",
            "operand-type",
        ),
        ("Input type (c10::BFloat16) and bias type (float) should be the same", "operand-type"),
        ("Input type (unsigned char) and bias type (float) should be the same", "operand-type"),
    ],
)
def test_messages_of_other_devices_and_releases_are_read(text: str, name: str) -> None:
    assert decode(text).name == name


def test_a_device_is_told_from_a_type() -> None:
    device = decode("Input type (torch.cuda.FloatTensor) and weight type (torch.FloatTensor) should be the same")
    assert "devices" in device.fault
    assert "types" in decode(provoke("double bias")).fault


def test_a_whole_traceback_with_line_breaks_is_read() -> None:
    text = (
        'Traceback (most recent call last):\n  File "a.py", line 3, in <module>\n    y = F.conv2d(x, w)\n'
        "RuntimeError: Given groups=1, weight of size [4, 3, 3, 3],\n expected input[1, 4, 8, 8] to have 3 channels,\n"
        " but got 4 channels instead\n"
    )
    assert decode(text).name == "channels"


@pytest.mark.parametrize(
    "text", ["", "no such thing", "Given groups=", "KeyError: 'x'", "\x1b[31mred\x00" * 50, "[" * 30_000]
)
def test_what_is_no_known_message_is_one_line(text: str) -> None:
    with pytest.raises(ConvbenchError) as refused:
        decode(text)
    assert "\n" not in str(refused.value)
    assert "\x1b" not in str(refused.value)


GARBLED = """
Given groups=0, weight of size [4, 0, 3, 3], expected input[1, 4, 8, 8] to have 0 channels, but got 4 channels
Given groups=1, weight of size [], expected input[1] to have 3 channels, but got 4 channels instead
Given groups=0, expected weight to be at least 0 at dimension 0, but got weight of size [1] instead
Given groups=9, weight of size [999999999, 9, 9, 9], expected input[9, 5, 9, 9] to have 99 channels, but got 5 channels
Calculated padded input size per channel: (2 x 2). Kernel size: (3). Kernel size can't be greater than actual
The size of tensor a (0) must match the size of tensor b (0) at non-singleton dimension 9
divisible by the product of kernel_size, but got input.size(1)=5 and kernel_size=(0, 0).
Given input with spatial size (2), kernel_size=(3, 3), dilation=(1, 1), padding=(0, 0), sliding blocks as (0, 0)
Expected 3D (unbatched) or 4D (batched) input to conv2d, but got input of size: []
Expected 3D or 4D (batch mode) tensor with x, but got: [0]
Padding size should be less than the corresponding input dimension, but got: padding (4, 4) at dimension 9 of input [1]
Expected 3D (unbatched) or 4D (batched) input to conv_transpose1d, but got input of size: []
requested an output size of (0,), but valid sizes range from [1, 2] to [] (for an input of torch.Size([8])
Given input size per channel: (0). Calculated output size per channel: (). Output size is too small
Given input size: (0x0x0). Calculated output size: (0x0x0). Output size is too small
pad should be at most half of effective kernel size, but got pad=-5, kernel_size=0 and dilation=0
Dimension out of range (expected to be in range of [-9, 999999999], but got -3)
expected 9D input (got 0D input)
Expected more than 1 value per channel when training, got input size torch.Size([])
num_channels (999999999) must be divisible by num_groups (0)
shape '[0, -1, 999999999]' is invalid for input of size 0
shape '[999999999, 999999999]' is invalid for input of size 999999998
stack expects each tensor to be equal size, but got [] at entry 0 and [999999999, 2, 3] at entry 1
size mismatch for a: copying a param with shape torch.Size([]) from checkpoint, the shape in current model is [0]
Given normalized_shape=[], expected input with shape [*, 8], but got input of size[]
pixel_shuffle expects its input's 'channel' dimension, but input.size(-3)=0 is not divisible by 0
expected stride to be a single integer value or a list of 1 value to match the convolution dimensions, but got stride=[]
""".strip().splitlines()


@pytest.mark.parametrize("text", GARBLED)
def test_a_garbled_message_is_read_or_refused_and_never_crashes(text: str) -> None:
    try:
        found = decode(text)
    except ConvbenchError:
        return
    assert all(len(line) for line in decoded_page(found, 80) if line.plain.strip())


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("case", PROVOKED)
def test_what_a_message_means_fits_its_width(case: str, width: int) -> None:
    assert max(len(line) for line in decoded_page(decode(provoke(case)), width)) <= width
