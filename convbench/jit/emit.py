"""How is a kernel written? As typed values and loops that write themselves down in LLVM's language.

A `Function` collects the text of one function; its values know it, so `a * b + c` appends the instructions. A number
that is known while the text is written is a plain int, and arithmetic on two of those writes nothing.
"""

import struct
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeVar


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """The result of an instruction, by its name in the text."""

    function: "Function"
    name: str

    def __str__(self) -> str:
        return self.name


class Bit(Value):
    """A comparison's result (i1)."""

    __slots__ = ()
    type = "i1"

    def __and__(self, other: "Bit") -> "Bit":
        return Bit(self.function, self.function.value(f"and i1 {self}, {other}"))

    def __or__(self, other: "Bit") -> "Bit":
        return Bit(self.function, self.function.value(f"or i1 {self}, {other}"))


class Int(Value):
    """A 64-bit integer that is known when the kernel runs."""

    __slots__ = ()
    type = "i64"

    def _with(self, operation: str, first: "Index", second: "Index") -> "Int":
        return Int(self.function, self.function.value(f"{operation} i64 {first}, {second}"))

    def __add__(self, other: "Index") -> "Int":
        return self if _is(other, 0) else self._with("add", self, other)

    __radd__ = __add__

    def __sub__(self, other: "Index") -> "Int":
        return self if _is(other, 0) else self._with("sub", self, other)

    def __rsub__(self, other: int) -> "Int":
        return self._with("sub", other, self)

    def __mul__(self, other: "Index") -> "Int":
        return self if _is(other, 1) else self._with("mul", self, other)

    __rmul__ = __mul__

    def __floordiv__(self, other: "Index") -> "Int":
        """Towards zero, as sdiv does: what is divided here is never negative."""
        return self if _is(other, 1) else self._with("sdiv", self, other)

    def __mod__(self, other: "Index") -> "Int":
        return self._with("srem", self, other)

    def remainder(self, power_of_two: int) -> "Int":
        """The same by a power of two, in one instruction."""
        return self._with("and", self, power_of_two - 1)

    def below(self, other: "Index") -> Bit:
        return self._compare("slt", other)

    def above(self, other: "Index") -> Bit:
        return self._compare("sgt", other)

    def is_not(self, other: "Index") -> Bit:
        return self._compare("ne", other)

    def inside(self, size: "Index") -> Bit:
        """Whether 0 <= self < size, in one comparison: a negative number is a large one without its sign."""
        return self._compare("ult", size)

    def _compare(self, how: str, other: "Index") -> Bit:
        return Bit(self.function, self.function.value(f"icmp {how} i64 {self}, {other}"))


Index = Int | int


def _is(value: Index, number: int) -> bool:
    return isinstance(value, int) and value == number


class Pointer(Value):
    """The address of a float."""

    __slots__ = ()
    type = "ptr"

    def __add__(self, floats: Index) -> "Pointer":
        if _is(floats, 0):
            return self
        return Pointer(self.function, self.function.value(f"getelementptr float, ptr {self}, i64 {floats}"))


class Mask(Value):
    """One bit for each lane."""

    __slots__ = ()


class FloatVector(Value):
    """As many floats as the target's vectors have lanes."""

    __slots__ = ()

    @property
    def type(self) -> str:
        return self.function.vector

    def _with(self, operation: str, other: "FloatVector") -> "FloatVector":
        text = f"{operation} {self.function.vector} {self}, {other}"
        return FloatVector(self.function, self.function.value(text))

    def __add__(self, other: "FloatVector") -> "FloatVector":
        return self._with("fadd", other)

    def __sub__(self, other: "FloatVector") -> "FloatVector":
        return self._with("fsub", other)

    def __mul__(self, other: "FloatVector") -> "FloatVector":
        return self._with("fmul", other)

    def __truediv__(self, other: "FloatVector") -> "FloatVector":
        return self._with("fdiv", other)

    def at_least(self, floor: "FloatVector") -> "FloatVector":
        """The larger of both; NaN stays NaN, for no comparison with it holds."""
        return self._other_if("olt", floor)

    def at_most(self, ceiling: "FloatVector") -> "FloatVector":
        """The smaller of both; NaN stays NaN."""
        return self._other_if("ogt", ceiling)

    def _other_if(self, how: str, other: "FloatVector") -> "FloatVector":
        f, kind = self.function, self.function.vector
        bits = f.value(f"fcmp {how} {kind} {self}, {other}")
        return FloatVector(f, f.value(f"select <{f.lanes} x i1> {bits}, {kind} {other}, {kind} {self}"))

    def or_nan_of(self, other: "FloatVector") -> "FloatVector":
        """Itself, in the lanes where the other is no NaN; there NaN."""
        f, kind = self.function, self.function.vector
        bits = f.value(f"fcmp uno {kind} {other}, {other}")
        return FloatVector(f, f.value(f"select <{f.lanes} x i1> {bits}, {kind} {other}, {kind} {self}"))

    def rounded(self) -> "FloatVector":
        """To the nearest integer, as a float."""
        f = self.function
        text = f.intrinsic(f.vector, f"llvm.rint.v{f.lanes}f32", [(f.vector, self)])
        return FloatVector(f, f.value(text))

    def root(self) -> "FloatVector":
        """The square root."""
        f = self.function
        return FloatVector(f, f.value(f.intrinsic(f.vector, f"llvm.sqrt.v{f.lanes}f32", [(f.vector, self)])))

    def power_of_two(self) -> "FloatVector":
        """2 to the integer in each lane, from -126 to 128 (infinity)."""
        f, kind = self.function, f"<{self.function.lanes} x i32>"

        def all_of(number: int) -> str:
            return f"<{', '.join([f'i32 {number}'] * f.lanes)}>"

        whole = f.value(f"fptosi {f.vector} {self} to {kind}")
        biased = f.value(f"add {kind} {whole}, {all_of(127)}")
        bits = f.value(f"shl {kind} {biased}, {all_of(23)}")
        return FloatVector(f, f.value(f"bitcast {kind} {bits} to {f.vector}"))

    def where(self, mask: "Mask") -> "FloatVector":
        """Itself in the lanes of the mask, zero in the others."""
        f = self.function
        text = f"select <{f.lanes} x i1> {mask}, {f.vector} {self}, {f.vector} zeroinitializer"
        return FloatVector(f, f.value(text))


Carried = FloatVector | Pointer | Int
Chosen = TypeVar("Chosen", Int, Pointer)


@dataclass(slots=True, eq=False)
class Function:
    """The text of one function, with the instructions that append to it.

    Attributes:
        parameters: (name, Pointer or Int) each.
        lanes: floats in a vector.
        entry: whether it is called from outside: the others are called by their own module alone.
    """

    name: str
    parameters: Sequence[tuple[str, type[Pointer] | type[Int]]]
    lanes: int
    entry: bool = False
    declared: set[str] = field(default_factory=set)
    _lines: list[str] = field(default_factory=list)
    _count: int = 0
    _block: str = "entry"

    @property
    def vector(self) -> str:
        return f"<{self.lanes} x float>"

    def pointers(self, names: str) -> list[Pointer]:
        """Parameters that are addresses."""
        return [Pointer(self, f"%{name}") for name in names.split()]

    def integers(self, names: str) -> list[Int]:
        """Parameters that are integers."""
        return [Int(self, f"%{name}") for name in names.split()]

    @property
    def text(self) -> str:
        parameters = ", ".join(f"{kind.type} %{name}" for name, kind in self.parameters)
        linkage, body = ("" if self.entry else "internal "), "\n".join(self._lines)
        return f"define {linkage}void @{self.name}({parameters}) nounwind {{\nentry:\n{body}\n  ret void\n}}\n"

    # Instructions

    def append(self, text: str) -> None:
        self._lines.append(f"  {text}")

    def value(self, text: str) -> str:
        """Append an instruction with a result, and return the result's name."""
        self._count += 1
        self.append(f"%v{self._count} = {text}")
        return f"%v{self._count}"

    def intrinsic(self, returned: str, name: str, arguments: Sequence[tuple[str, object]]) -> str:
        """The text of a call of one of LLVM's own functions, which is declared."""
        types = ", ".join(kind for kind, _ in arguments)
        self.declared.add(f"declare {returned} @{name}({types})")
        return f"call {returned} @{name}({', '.join(f'{kind} {value}' for kind, value in arguments)})"

    def call(self, name: str, *arguments: Carried | int) -> None:
        words = (f"i64 {one}" if isinstance(one, int) else f"{one.type} {one}" for one in arguments)
        self.append(f"call void @{name}({', '.join(words)})")

    # Numbers and addresses

    def integer(self, number: Index) -> Int:
        """A number as a value."""
        return number if isinstance(number, Int) else Int(self, str(number))

    def most(self, first: Index, second: Index) -> Index:
        if isinstance(first, int) and isinstance(second, int):
            return max(first, second)
        less = self.value(f"icmp slt i64 {first}, {second}")
        return Int(self, self.value(f"select i1 {less}, i64 {second}, i64 {first}"))

    def least(self, first: Index, second: Index) -> Index:
        if isinstance(first, int) and isinstance(second, int):
            return min(first, second)
        less = self.value(f"icmp slt i64 {first}, {second}")
        return Int(self, self.value(f"select i1 {less}, i64 {first}, i64 {second}"))

    def choose(self, bit: Bit, first: Chosen, second: Chosen | int) -> Chosen:
        return type(first)(self, self.value(f"select i1 {bit}, {first.type} {first}, {first.type} {second}"))

    def number(self, block: Pointer, place: Index) -> Int:
        """The integer at a place of a table of 64-bit words."""
        return Int(self, self.value(f"load i64, ptr {block + place * 2}, align 8"))

    def store_number(self, number: Index, block: Pointer, place: Index) -> None:
        self.append(f"store i64 {number}, ptr {block + place * 2}, align 8")

    def address(self, block: Pointer, place: Index) -> Pointer:
        """The address at a place of a table of 64-bit words."""
        return Pointer(self, self.value(f"load ptr, ptr {block + place * 2}, align 8"))

    # Vectors

    def zero(self) -> FloatVector:
        return FloatVector(self, "zeroinitializer")

    def constant(self, number: float | Fraction) -> FloatVector:
        """The number in every lane, as float32."""
        single = struct.unpack("<f", struct.pack("<f", float(number)))[0]
        word = f"float 0x{struct.unpack('<Q', struct.pack('<d', single))[0]:016X}"
        return FloatVector(self, f"<{', '.join([word] * self.lanes)}>")

    def load(self, pointer: Pointer, offset: Index = 0) -> FloatVector:
        return FloatVector(self, self.value(f"load {self.vector}, ptr {pointer + offset}, align 4"))

    def store(self, vector: FloatVector, pointer: Pointer, offset: Index = 0) -> None:
        self.append(f"store {self.vector} {vector}, ptr {pointer + offset}, align 4")

    def spread(self, pointer: Pointer, offset: Index = 0) -> FloatVector:
        """One float of memory in every lane."""
        one = self.value(f"load float, ptr {pointer + offset}, align 4")
        first = self.value(f"insertelement {self.vector} poison, float {one}, i32 0")
        everywhere = f"<{self.lanes} x i32> zeroinitializer"
        return FloatVector(self, self.value(f"shufflevector {self.vector} {first}, {self.vector} poison, {everywhere}"))

    def lanes_of(self, first: Index, last: Index) -> Mask:
        """The lanes with first <= number < last; both may lie outside the vector."""
        kind = f"<{self.lanes} x i32>"
        numbers = f"<{', '.join(f'i32 {lane}' for lane in range(self.lanes))}>"

        def everywhere(number: Index) -> str:
            if isinstance(number, int):
                return f"<{', '.join([f'i32 {number}'] * self.lanes)}>"
            narrow = self.value(f"trunc i64 {number} to i32")
            one = self.value(f"insertelement {kind} poison, i32 {narrow}, i32 0")
            return self.value(f"shufflevector {kind} {one}, {kind} poison, {kind} zeroinitializer")

        low = self.value(f"icmp sge {kind} {numbers}, {everywhere(first)}")
        high = self.value(f"icmp slt {kind} {numbers}, {everywhere(last)}")
        return Mask(self, self.value(f"and <{self.lanes} x i1> {low}, {high}"))

    def load_some(self, pointer: Pointer, mask: Mask) -> FloatVector:
        """The lanes of the mask from memory, zero in the others, whose memory is not touched."""
        name, bits = f"llvm.masked.load.v{self.lanes}f32.p0", f"<{self.lanes} x i1>"
        arguments = [("ptr", pointer), ("i32", 4), (bits, mask), (self.vector, "zeroinitializer")]
        return FloatVector(self, self.value(self.intrinsic(self.vector, name, arguments)))

    def store_some(self, vector: FloatVector, pointer: Pointer, mask: Mask) -> None:
        """The lanes of the mask into memory; that of the others is not touched."""
        name, bits = f"llvm.masked.store.v{self.lanes}f32.p0", f"<{self.lanes} x i1>"
        self.append(self.intrinsic("void", name, [(self.vector, vector), ("ptr", pointer), ("i32", 4), (bits, mask)]))

    def prefetch(self, pointer: Pointer, offset: Index = 0, *, near: int = 3, write: bool = False) -> None:
        """Ask for a line of memory, which may lie anywhere: 3 is the first-level cache, 2 the second."""
        self.declared.add("declare void @llvm.prefetch.p0(ptr, i32 immarg, i32 immarg, i32 immarg)")
        self.append(f"call void @llvm.prefetch.p0(ptr {pointer + offset}, i32 {int(write)}, i32 {near}, i32 1)")

    def copy_float(self, source: Pointer, to: Pointer) -> None:
        one = self.value(f"load float, ptr {source}, align 4")
        self.append(f"store float {one}, ptr {to}, align 4")

    def clear_float(self, to: Pointer) -> None:
        self.append(f"store float 0.0, ptr {to}, align 4")

    def fma(self, a: FloatVector, b: FloatVector, c: FloatVector) -> FloatVector:
        """a * b + c with one rounding."""
        arguments = [(self.vector, one) for one in (a, b, c)]
        return FloatVector(self, self.value(self.intrinsic(self.vector, f"llvm.fma.v{self.lanes}f32", arguments)))

    def shuffle(self, a: FloatVector, b: FloatVector, places: Iterable[int]) -> FloatVector:
        """Lanes of two vectors, those of the second counted on from the first."""
        chosen = ", ".join(f"i32 {place}" for place in places)
        text = f"shufflevector {self.vector} {a}, {self.vector} {b}, <{self.lanes} x i32> <{chosen}>"
        return FloatVector(self, self.value(text))

    # Control

    def loop(
        self,
        first: Index,
        last: Index,
        body: "Callable[..., Sequence[Carried] | None]",
        carried: Sequence[Carried] = (),
        step: Index = 1,
    ) -> list[Carried]:
        """`body(i, *carried) -> carried` for i from `first` to below `last`; returns what the last turn carried on.

        It is tested at its end, so that one turn is one block with one branch, and once before, for it may have none.
        """
        before, turn, after = self._block, self._label(), self._label()
        if isinstance(first, int) and isinstance(last, int):
            if first >= last:
                return list(carried)
            self.append(f"br label %{turn}")
        else:
            some = self.value(f"icmp slt i64 {first}, {last}")
            self.append(f"br i1 {some}, label %{turn}, label %{after}")
        self._begin(turn)
        at = len(self._lines)  # the phis are written when the names that they join are known
        i = Int(self, self._name())
        inside = [type(one)(self, self._name()) for one in carried]
        ends = list(body(i, *inside) or ())
        following = self.value(f"add i64 {i}, {step}")
        more = self.value(f"icmp slt i64 {following}, {last}")
        end = self._block
        self.append(f"br i1 {more}, label %{turn}, label %{after}")
        phis = [f"  {i} = phi i64 [ {first}, %{before} ], [ {following}, %{end} ]"]
        for one, start, result in zip(inside, carried, ends, strict=True):
            phis.append(f"  {one} = phi {start.type} [ {start}, %{before} ], [ {result}, %{end} ]")
        self._lines[at:at] = phis
        self._begin(after)
        if isinstance(first, int) and isinstance(last, int):
            return ends
        return [
            type(start)(self, self.value(f"phi {start.type} [ {start}, %{before} ], [ {result}, %{end} ]"))
            for start, result in zip(carried, ends, strict=True)
        ]

    def when(self, bit: Bit, body: Callable[[], object], otherwise: Callable[[], object] | None = None) -> None:
        yes, no, after = self._label(), self._label(), self._label()
        self.append(f"br i1 {bit}, label %{yes}, label %{no if otherwise else after}")
        for label, do in ((yes, body), (no, otherwise)):
            if do is not None:
                self._begin(label)
                do()
                self.append(f"br label %{after}")
        self._begin(after)

    def until(self, ends: Callable[[Int], Bit], body: Callable[[], object]) -> None:
        """`body()` until `ends(turns so far)`, which is asked before each turn."""
        before, ask, turn, after = self._block, self._label(), self._label(), self._label()
        self.append(f"br label %{ask}")
        self._begin(ask)
        at = len(self._lines)
        count = Int(self, self._name())
        done = ends(count)
        self.append(f"br i1 {done}, label %{after}, label %{turn}")
        self._begin(turn)
        body()
        following = count + 1
        self._lines[at:at] = [f"  {count} = phi i64 [ 0, %{before} ], [ {following}, %{self._block} ]"]
        self.append(f"br label %{ask}")
        self._begin(after)

    def _name(self) -> str:
        self._count += 1
        return f"%v{self._count}"

    def _label(self) -> str:
        self._count += 1
        return f"b{self._count}"

    def _begin(self, label: str) -> None:
        self._lines.append(f"{label}:")
        self._block = label


@dataclass(frozen=True, slots=True)
class Fields:
    """The arguments of a kernel: a block of 64-bit words, one for each name."""

    names: tuple[str, ...]

    @classmethod
    def of(cls, words: str) -> "Fields":
        return cls(tuple(words.split()))

    def block(self, values: Mapping[str, int], first: int = 0) -> "array[int]":
        """The block for a call, or its words from the `first` on; each of them must have a value, and no other may."""
        names = self.names[first:]
        if values.keys() != set(names):
            raise KeyError(f"{sorted(set(names) ^ values.keys())}")
        return array("q", [values[name] for name in names])

    def on(self, function: Function, block: Pointer) -> "Arguments":
        return Arguments(self, function, block)


@dataclass(frozen=True, slots=True)
class Arguments:
    """The block of a call as a kernel reads it: a number is loaded where it is used, and none waits in a register."""

    fields: Fields
    function: Function
    block: Pointer

    def number(self, name: str) -> Int:
        return Int(self.function, self.function.value(f"load i64, ptr {self._at(name)}, align 8"))

    def address(self, name: str) -> Pointer:
        return Pointer(self.function, self.function.value(f"load ptr, ptr {self._at(name)}, align 8"))

    def spread(self, name: str) -> FloatVector:
        """The float in the lower half of a word, in every lane."""
        return self.function.spread(self._at(name))

    def _at(self, name: str) -> Pointer:
        return self.block + 2 * self.fields.names.index(name)


def float_word(number: float) -> int:
    """A float as a word of a block."""
    return int(struct.unpack("<I", struct.pack("<f", number))[0])


@dataclass(slots=True)
class Module:
    """The functions of one kernel, for vectors of so many lanes."""

    lanes: int
    on_x86: bool = True
    functions: list[Function] = field(default_factory=list)

    def function(self, name: str, pointers: str, integers: str = "", *, entry: bool = False) -> Function:
        """A function of these parameters, addresses first; others of this module call it, if it is no entry."""
        kinds: list[tuple[str, type[Pointer] | type[Int]]] = [(one, Pointer) for one in pointers.split()]
        kinds += [(one, Int) for one in integers.split()]
        self.functions.append(Function(name, kinds, self.lanes, entry=entry))
        return self.functions[-1]

    def task(self, name: str) -> tuple[Function, Pointer, Int, Int]:
        """A kernel: `name(args, piece, thread)` does one piece and knows nothing of the others."""
        function = self.function(name, "args", "piece thread", entry=True)
        (args,), (piece, thread) = function.pointers("args"), function.integers("piece thread")
        return function, args, piece, thread

    @property
    def text(self) -> str:
        declared = sorted(set().union(*(one.declared for one in self.functions)))
        return "\n".join([*(one.text for one in self.functions), *declared, ""])
