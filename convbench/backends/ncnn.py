"""ncnn on the CPU with its defaults in fp32: Winograd for most 3x3 kernels of stride 1, one image at a time."""

import tempfile
from collections.abc import Sequence

import ncnn as nn
import torch
from jaxtyping import Float
from torch import Tensor

from convbench.backend import backend
from convbench.spec import ConvSpec

ALIGNED = 4  # floats: its grouped convolutions expect channels to begin there (docs/found-defects.md)
PLAIN_FLOATS = b"\0\0\0\0"  # the tag before weights that are stored as they are


def load(w: Float[Tensor, "k cg r s"], spec: ConvSpec) -> nn.Net:
    """A network of one layer, its weight transformed and packed, for as many threads as torch has."""
    net = empty_net(torch.get_num_threads())
    if net.load_param_mem(layers(spec)) != 0:
        raise RuntimeError("ncnn did not accept the layer's parameters")
    with tempfile.NamedTemporaryFile(suffix=".bin") as weights:  # from memory it reads text alone
        weights.write(PLAIN_FLOATS + w.contiguous().numpy().tobytes())
        weights.flush()
        if net.load_model(weights.name) != 0:
            raise RuntimeError("ncnn did not accept the weight")
    return net


def empty_net(threads: int) -> nn.Net:
    """A network to load into, in fp32 on the CPU with so many threads."""
    net = nn.Net()
    net.opt.num_threads = threads
    net.opt.use_vulkan_compute = False
    for name in dir(net.opt):  # nothing is stored or added in fewer bits than fp32
        if name.startswith(("use_fp16_", "use_bf16_", "use_int8_")):
            setattr(net.opt, name, False)
    return net


def layers(spec: ConvSpec) -> str:
    """The network as ncnn's .param text; the shapes let it choose a Winograd tile by them."""
    (stride_h, stride_w), (dilation_h, dilation_w), (top, bottom, left, right) = spec.stride, spec.dilation, spec.sides
    kind, groups = ("Convolution", "") if spec.groups == 1 else ("ConvolutionDepthWise", f" 7={spec.groups}")
    return (
        "7767517\n2 2\n"
        f"Input input 0 1 x 0={spec.w} 1={spec.h} 2={spec.c} -23330=4,3,{spec.w},{spec.h},{spec.c}\n"
        f"{kind} convolution 1 1 x y 0={spec.k} 1={spec.s} 11={spec.r} 2={dilation_w} 12={dilation_h} "
        f"3={stride_w} 13={stride_h} 4={left} 15={right} 14={top} 16={bottom} 6={spec.k * spec.taps}{groups} "
        f"-23330=4,3,{spec.q},{spec.p},{spec.k}\n"
    )


@backend(
    devices={"cpu"},
    dtypes={"fp32"},
    family="winograd",
    source="ncnn, Convolution on the CPU",
    prepare=load,
    any_padding=True,
)
def ncnn(x: Float[Tensor, "n c h w"], net: nn.Net, spec: ConvSpec) -> Float[Tensor, "n k p q"]:
    x = x.contiguous()  # the only layout it takes from outside
    images = [run(net, image, "x", ["y"])[0] for image in x]
    if len(images) == 1:
        return images[0].unsqueeze(0)
    y = torch.empty(spec.y_shape)
    for place, image in zip(y, images, strict=True):
        place.copy_(image)
    return y


def run(net: nn.Net, image: Float[Tensor, "c h w"], given: str, wanted: Sequence[str]) -> list[Tensor]:
    """Outputs of one image, by name, in memory of ncnn's own; their channels may lie apart, for alignment."""
    mat = nn.Mat(image.numpy())
    if mat.cstep % ALIGNED:
        mat = mat.clone()
    extractor = net.create_extractor()
    extractor.input(given, mat)
    found = []
    for name in wanted:
        code, y = extractor.extract(name)
        if code != 0:
            raise RuntimeError(f"ncnn returned {code}")
        found.append(torch.from_numpy(y.numpy()))
    return found
