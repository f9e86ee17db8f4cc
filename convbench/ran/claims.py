"""What is known about a call of F.conv2d, and by which evidence?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from convbench.backend import name_surplus
from convbench.errors import plural
from convbench.ran.patches import account, count_blocks, find_patches, scratch_nbytes
from convbench.ran.seen import LIBRARY, LOWERING, Ran
from convbench.ran.threshold import Threshold, Unchanged
from convbench.ran.verbose import name_layout
from convbench.spec import ITEM_NBYTES

_SELECT = "torch._C._select_conv_backend(x, w, ...)"
_PROFILE = "torch's profiler: operators of the call"
_ALLOCATOR = "torch's profiler: blocks that its allocator returned during the call"
_LOG = "ONEDNN_VERBOSE=1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was asked, and what was answered."""

    asked: str
    answered: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One claim about a call.

    Attributes:
        about: backend, rule, primitive, layouts, memory, patch matrix, kernels.
        words: a sentence.
        kind: "fact" was seen; "inference" follows from what was seen and from how the library works;
            "unknown" could not be found out.
    """

    about: str
    words: str
    kind: str
    evidence: tuple[Evidence, ...] = ()


def sentence(ran: Ran) -> str:
    """What ran, why, and whether it built the patch matrix."""
    if ran.backend is None:
        return f"unknown: {ran.trouble or ran.trace_why or ran.selected_why}"
    why = ran.rule.why if ran.rule else "the rule that chose it is unknown"
    return f"{ran.name}: {why}; {find_patches(ran).words}"


def in_plain_words(ran: Ran, threshold: Threshold | Unchanged | None) -> tuple[str, ...]:
    """What PyTorch did with a call, why, and at which size of the image it would do something else, as sentences."""
    if ran.backend is None:
        return ()
    words = [_what_it_did(ran)]
    if ran.asked:
        words.insert(0, f"First x was padded by {name_surplus(ran.asked)}, since torch pads opposite sides alike.")
    if ran.rule:
        words.append(f"Why: {ran.rule.why}.")
    if threshold is not None:
        words.append(_where_it_changes(threshold, "padded image" if ran.asked else "image"))
    return tuple(words)


def _what_it_did(ran: Ran) -> str:
    patches = find_patches(ran)
    match ran.backend, patches.kind:
        case backend, "whole":
            numbers = patches.nbytes // ITEM_NBYTES[ran.dtype]
            return (
                f"PyTorch really built this patch matrix: {patches.nbytes:,} B of scratch = {numbers:,} numbers in "
                f"{ran.dtype} (its {backend} path)."
            )
        case backend, "pieces":
            times = "" if patches.count == 1 else f"{patches.count:,} times "
            return (
                f"PyTorch really built this patch matrix, in pieces: {times}{patches.nbytes:,} B of scratch "
                f"(its {backend} path)."
            )
        case backend, "x" if backend in LOWERING:
            return f"PyTorch built nothing: here the patch matrix is x itself (its {backend} path)."
        case backend, _:
            name = LIBRARY.get(backend or "", backend)
            return (
                f"PyTorch did not build this patch matrix itself: it handed the call to {name}. `convbench ran "
                f"{ran.asked or ran.spec}` shows which kernel that ran, and in how much memory."
            )


def _where_it_changes(threshold: Threshold | Unchanged, image: str) -> str:
    if isinstance(threshold, Unchanged):
        least, most = threshold.least, threshold.most
        return f"The size of the {image} does not decide: it is the same for {least}x{least} and {most}x{most}."
    small, large = (LIBRARY.get(one, one) for one in (threshold.small, threshold.large))
    below, above = threshold.below, threshold.above
    change = f"up to {below.h}x{below.w} it is {small}, from {above.h}x{above.w} on {large}"
    return f"The size of the {image} decides: {change}."


def list_claims(ran: Ran) -> tuple[Claim, ...]:
    """All claims, each with its evidence."""
    if ran.trouble:
        asked = "a fresh process that makes this call"
        evidence = (Evidence(asked=asked, answered=ran.trouble),)
        return (Claim(about="backend", words="what ran is unknown", kind="unknown", evidence=evidence),)
    found = [_backend_claim(ran), _rule_claim(ran)]
    if ran.backend == "Mkldnn":
        found += [_primitive_claim(ran), *_layout_claim(ran)]
    if ran.kernels:
        found += _kernel_claims(ran)
    return (*found, _memory_claim(ran), _patches_claim(ran))


def _backend_claim(ran: Ran) -> Claim:
    evidence = [
        Evidence(asked=_SELECT, answered=ran.selected or ran.selected_why),
        Evidence(asked=_PROFILE, answered=_listed(ran.operators) if ran.trace else ran.trace_why),
    ]
    if ran.backend is None:
        return Claim(about="backend", words="which backend ran is unknown", kind="unknown", evidence=tuple(evidence))
    library = LIBRARY.get(ran.backend)
    words = f"torch ran {ran.backend}{f', which is {library}' if library else ''}"
    if not ran.operators and ran.spec.n:
        words = f"torch reports {ran.backend}, but none of its own operators was seen"
    elif ran.selected not in (None, ran.backend):
        words += f", although it reports {ran.selected}"
    seen = bool(ran.operators) or ran.spec.n == 0
    return Claim(about="backend", words=words, kind="fact" if seen else "inference", evidence=tuple(evidence))


def _rule_claim(ran: Ran) -> Claim:
    rule, predicted = ran.rule, ran.predicted
    said = "nothing" if predicted is None else predicted.backend if rule else f"{predicted.backend}: {predicted.why}"
    evidence = (
        Evidence(asked="the rule of ATen's Convolution.cpp, with these numbers", answered=said),
        Evidence(asked="what ran", answered=ran.backend or "unknown"),
    )
    if rule is not None:
        return Claim(about="rule", words=rule.why, kind="inference", evidence=evidence)
    words = "the rule that chose it is unknown: the one that convbench knows says otherwise"
    return Claim(about="rule", words=words, kind="unknown", evidence=evidence)


def _primitive_claim(ran: Ran) -> Claim:
    one = ran.primitive
    if one is None:
        words = "which oneDNN primitive ran is unknown: its log has none"
        answered = f"{plural(len(ran.primitives), 'line')}, none for a convolution"
        if ran.unread:
            words = (
                f"which oneDNN primitive ran was not looked up here; `convbench ran {ran.asked or ran.spec}` shows it"
            )
            answered = "not read"
        return Claim(
            about="primitive", words=words, kind="unknown", evidence=(Evidence(asked=_LOG, answered=answered),)
        )
    words = f"oneDNN ran {one.implementation}, algorithm {one.algorithm or 'not named'}"
    return Claim(about="primitive", words=words, kind="fact", evidence=(Evidence(asked=_LOG, answered=one.line),))


def _layout_claim(ran: Ran) -> Iterator[Claim]:
    one = ran.primitive
    if one is None:
        return
    named = {"src": "x", "wei": "w", "dst": "y"}
    layouts = [
        f"{name} {name_layout(memory)} ({memory.tag})"
        for key, name in named.items()
        if (memory := one.memory(key)) is not None
    ]
    count = len(ran.reorders)
    moved = f"{count} reorder{'' if count == 1 else 's'}" if count else "no reorder"
    answered = ", ".join(
        f"{src.tag if src else '?'} to {dst.tag if dst else '?'} of {reorder.sizes} by {reorder.implementation}"
        for reorder in ran.reorders
        for src, dst in [(reorder.memory("src"), reorder.memory("dst"))]
    )
    yield Claim(
        about="layouts",
        words=f"{', '.join(layouts)}; {moved}",
        kind="fact",
        evidence=(Evidence(asked=f"{_LOG}, its reorders", answered=answered or "none"),),
    )


def _kernel_claims(ran: Ran) -> list[Claim]:
    kernels = ran.kernels
    evidence = tuple(Evidence(asked="torch's profiler: kernels on the device", answered=one.name) for one in kernels)
    claims = [
        Claim(
            about="kernels",
            words=", then ".join(f"{one.short} ({one.role})" for one in kernels),
            kind="fact",
            evidence=evidence,
        )
    ]
    read = [" in ".join(word for word in (one.algorithm, one.arithmetic) if word) for one in kernels if one.algorithm]
    named = tuple(Evidence(asked="a name", answered=one.short) for one in kernels if one.algorithm)
    claims.append(
        Claim(
            about="algorithm",
            words=f"by their names: {', '.join(read)}" if read else "the names do not show which algorithm it is",
            kind="inference" if read else "unknown",
            evidence=named or evidence,
        )
    )
    return claims


def _memory_claim(ran: Ran) -> Claim:
    uses, trace = account(ran), ran.trace
    if uses is None or trace is None:
        why = (Evidence(asked=_ALLOCATOR, answered=ran.trace_why),)
        return Claim(about="memory", words="what it allocated is unknown", kind="unknown", evidence=why)
    parts = [f"{use.what} {count_blocks(use)}" for use in uses]
    blocks = [f"{block.nbytes:,} B" for block in trace.blocks]
    words = f"{', '.join(parts) or 'nothing'}; at most {trace.peak_nbytes:,} B at once"
    evidence = [Evidence(asked=_ALLOCATOR, answered=_listed(blocks))]
    if ran.cuda_peak_nbytes is not None:
        asked = "torch.cuda.max_memory_allocated(), above what was allocated before the call"
        evidence.append(Evidence(asked=asked, answered=f"{ran.cuda_peak_nbytes:,} B"))
    return Claim(about="memory", words=words, kind="fact", evidence=tuple(evidence))


def _patches_claim(ran: Ran) -> Claim:
    patches = find_patches(ran)
    kind = "unknown" if patches.kind == "unknown" else "fact" if patches.certain else "inference"
    scratch = scratch_nbytes(ran)
    evidence = [
        Evidence(
            asked="N*C*R*S*P*Q numbers",
            answered=f"{ran.patches_nbytes:,} B; y has {ran.y_nbytes:,} B",
        ),
        Evidence(asked=_ALLOCATOR, answered=ran.trace_why if scratch is None else f"{scratch:,} B of scratch"),
    ]
    if patches.kind in ("whole", "pieces"):
        # Only the sizes of blocks are seen, not their contents.
        block = f"{patches.nbytes:,} B" if patches.count == 1 else f"{patches.count:,} x {patches.nbytes:,} B"
        evidence[1] = Evidence(asked=f"{_ALLOCATOR}, within {ran.operators[-1]}", answered=block)
    if patches.kind in ("tiles", "room") and ran.primitive is not None:
        evidence.append(Evidence(asked=f"{_LOG}, implementation", answered=ran.primitive.implementation))
    return Claim(about="patch matrix", words=patches.words, kind=kind, evidence=tuple(evidence))


def _listed(words: Sequence[str], most: int = 8) -> str:
    shown = list(words[:most])
    if len(words) > most:
        shown.append(f"... {len(words) - most} more")
    return ", ".join(shown) or "none"
