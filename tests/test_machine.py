"""What the machine says of itself."""

from pathlib import Path

import pytest

from convbench import machine

X86 = """processor\t: 0
model name\t: AMD EPYC
flags\t\t: fpu vme {flag}avx2

processor\t: 1
model name\t: another
"""


@pytest.mark.parametrize(
    ("text", "virtual"),
    [
        (X86.format(flag="hypervisor "), True),
        (X86.format(flag=""), False),
        (X86.format(flag="nohypervisor "), False),
        ("processor\t: 0\nFeatures\t: fp asimd\n", None),
        ("", None),
    ],
)
def test_a_hypervisor_shows_in_the_flags_of_x86(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, virtual: bool | None
) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(text)
    facts = machine._cpu_facts(file)
    monkeypatch.setattr(machine, "_cpu_facts", lambda: facts)
    assert machine.is_virtual() is virtual


def test_the_first_cpu_speaks_for_all(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(X86.format(flag=""))
    assert machine._cpu_facts(file)["model name"] == "AMD EPYC"
    assert machine._cpu_facts(tmp_path / "missing") == {}
