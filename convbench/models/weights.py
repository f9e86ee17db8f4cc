"""Have a model's weights changed since something was made of them?"""

from collections.abc import MutableMapping
from operator import attrgetter, is_
from typing import Any

from torch import Tensor, nn

_VERSION = attrgetter("_version")  # torch's count of changes in place; it has no public name


class Weights:
    """A model's parameters and buffers as they are now.

    Seen are changes in place, such as those of an optimizer or of load_state_dict, and other tensors or modules in
    their place. Not seen are writes through `.data` or numpy, and in-place changes of tensors that were made in
    inference mode, of which torch keeps no count.
    """

    def __init__(self, model: nn.Module) -> None:
        self._places: list[tuple[MutableMapping[str, Any], str]] = []
        self._held: list[Tensor | nn.Module] = []
        for module in model.modules():
            for holder in (module._parameters, module._buffers, module._modules):  # noqa: SLF001  # where assignments go
                for name, one in holder.items():
                    if one is not None:
                        self._places.append((holder, name))
                        self._held.append(one)
        self._tensors = [one for one in self._held if isinstance(one, Tensor)]
        self._version = self._version_now()

    def changed(self) -> bool:
        """Whether they have."""
        try:
            now = [holder[name] for holder, name in self._places]
        except KeyError:  # one was removed
            return True
        return not all(map(is_, now, self._held)) or self._version != self._version_now()

    def _version_now(self) -> int | None:
        try:
            return sum(int(_VERSION(one)) for one in self._tensors)
        except RuntimeError:  # made in inference mode
            return None
