"""What does a run give to Python? A sequence of results that draws itself, and becomes a DataFrame or a CSV file."""

import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self, overload

from convbench.outcome import Failed, Result, Wrong
from convbench.show.notebook import Shown

if TYPE_CHECKING:
    from pandas import DataFrame

    from convbench.session import Session

Pair = tuple[Mapping[str, str], Result]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Results(Shown, Sequence[Result]):
    """The results of a run, in order: one for each case and backend. A prompt prints its tables, a notebook draws them.

    An index gives a `Result`, a slice gives `Results`. Times are in seconds, sizes in bytes.

    Attributes:
        pairs: each result with its row of a CSV file: text by column, in SI units (docs/csv.md).
        notes: what to know about the run: what was left out, and what could not be isolated.

    Example:
        >>> import convbench as cb
        >>> r = cb.verify("unfold-matmul", on="n1c2h5w5k3r3s3_pd1", dtypes="fp32", layouts="nchw", passes="fprop")
        >>> r[0].backend, type(r[0].outcome).__name__, len(r.faults)
        ('unfold-matmul', 'Verified', 0)
        >>> r.to_frame()[["spec", "dtype", "outcome"]].values.tolist()
        [['n1c2h5w5k3r3s3_pd1', 'fp32', 'verified']]
    """

    pairs: Sequence[Pair] = ()
    notes: Sequence[str] = ()
    _reproduce: Callable[[Result], str] | None = None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The rows of a CSV file from `to_csv`, `convbench bench --csv` or `convbench verify --csv`.

        Raises:
            ConvbenchError: it cannot be read, or is not a results file, or a row is damaged.

        Example:
            >>> import convbench as cb
            >>> cb.Results([]).to_csv("none.csv")
            >>> len(cb.Results.load("none.csv"))
            0
        """
        from convbench.errors import ConvbenchError
        from convbench.store import read_pairs

        if not isinstance(path, str | os.PathLike):
            raise ConvbenchError(f"Results.load() got a {type(path).__name__}; give the name of a CSV file")
        notes: list[str] = []
        return cls(read_pairs(os.fspath(path), tell=notes.append), notes)

    @classmethod
    def of_session(
        cls, session: "Session", notes: Iterable[str], reproduce: Callable[[Result], str] | None = None
    ) -> Self:
        """The finished cases of a session; `reproduce` says what reproduces a result, by default a command."""
        from convbench.rows import unguard

        rows = ({column: unguard(cell) for column, cell in row.items()} for row, _ in session.pairs())
        pairs = tuple(zip(rows, session.results, strict=True))
        return cls(pairs, tuple(dict.fromkeys(notes)), reproduce or session.reproduce)

    @overload
    def __getitem__(self, index: int) -> Result: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Result | Self:
        return replace(self, pairs=self.pairs[index]) if isinstance(index, slice) else self.pairs[index][1]

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def faults(self) -> Self:
        """Those that are wrong or failed; printed, each has its cause, its place and what reproduces it.

        Example:
            >>> import convbench as cb
            >>> def no_padding(x, w, spec):
            ...     import torch
            ...     return torch.nn.functional.conv2d(x, w, stride=spec.stride)
            >>> r = cb.verify(no_padding, on="n1c1h4w4k1r3s3_pd1", dtypes="fp32", layouts="nchw")
            >>> [one.outcome.check.evidence for one in r.faults]
            ['returned shape (1, 1, 2, 2), expected (1, 1, 4, 4)']
        """
        return replace(
            self, pairs=tuple(pair for pair in self.pairs if isinstance(pair[1].outcome, Wrong | Failed)), notes=()
        )

    def winner(self) -> frozenset[str]:
        """The names of the backends that cannot be told apart from the fastest; empty if that is unknown.

        All cases count together, each layer as often as in its model. It is unknown without torch, the baseline, if
        fewer than two backends were timed on every case, and if a backend that may be the fastest has an undecided row.

        Example:
            >>> import convbench as cb
            >>> r = cb.bench(["torch", "naive-loops"], on="n1c1h6w6k2r3s3", budget_s=0.05, ceilings=False)
            >>> r.winner() <= {"torch", "naive-loops"}
            True
        """
        from convbench.bench.decision import leaders

        return leaders(self)

    def to_frame(self) -> "DataFrame":
        """A pandas DataFrame: the columns of the CSV file, in SI units, as pandas reads them from it.

        Example:
            >>> import convbench as cb
            >>> cb.Results([]).to_frame().columns[:4].tolist()
            ['suite', 'name', 'count', 'spec']
        """
        import pandas as pd

        return pd.read_csv(io.StringIO(self._csv()))

    def to_csv(self, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
        """Write the rows as a CSV file, which `Results.load`, `convbench report` and `convbench compare` read.

        Raises:
            ConvbenchError: it cannot be written, or exists and `overwrite` is False.

        Example:
            >>> import convbench as cb
            >>> r = cb.verify("torch", on="n1c1h4w4k1r2s2", dtypes="fp32", layouts="nchw", passes="fprop")
            >>> r.to_csv("r.csv")
            >>> cb.Results.load("r.csv").to_frame().equals(r.to_frame())
            True
        """
        put_text(path, self._csv(), overwrite=overwrite)

    def _csv(self) -> str:
        from convbench.rows import csv_line
        from convbench.schema import COLUMNS

        return "".join([csv_line(dict(zip(COLUMNS, COLUMNS, strict=True))), *(csv_line(row) for row, _ in self.pairs)])

    def text(self, width: int | None = None) -> str:
        """Tables, faults and notes in `width` columns (60 to 120); by default as wide as the terminal."""
        from convbench.show.results import results_text

        return results_text(self, self.reproduce, self.notes, width)

    def reproduce(self, result: Result) -> str:
        """What reproduces a result: a command, or a call for a function that no command can load."""
        from convbench.session import reproduce_row

        if self._reproduce is not None:
            return self._reproduce(result)
        commands = (row.get("command", "") for row, one in self.pairs if one is result)
        return reproduce_row(result, next(commands, ""))

    def _repr_html_(self) -> str:
        from convbench.show.results import results_html

        return results_html(self, self.reproduce, self.notes)


def put_text(path: str | os.PathLike[str], text: str, *, overwrite: bool) -> None:
    """Write a file as a whole.

    Raises:
        ConvbenchError: it cannot be written, or exists and `overwrite` is False.
    """
    from convbench.errors import ConvbenchError
    from convbench.files import put

    file = os.fspath(path)
    try:
        put(file, text.encode(), overwrite=overwrite)
    except FileExistsError:
        raise ConvbenchError(f"{file} exists; name another file, or give overwrite=True") from None
    except OSError as error:
        raise ConvbenchError(f"cannot write {file}: {error.strerror}; name another file") from None
