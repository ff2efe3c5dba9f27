"""A machine is described by what decides how fast it computes."""

from pathlib import Path

from secondread.cpus import cpu_limit
from secondread.machine import this_machine


def test_the_machine_is_named_with_what_matters_for_8_bit_arithmetic(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text(
        "processor\t: 0\nmodel name\t: Grain Hill 9000\nflags\t\t: fpu sse2 avx2 avx512f avx512_vnni\n\n"
        "processor\t: 1\nmodel name\t: another\nflags\t\t: fpu\n",
        encoding="utf-8",
    )
    found = this_machine(threads=2, cpu_info=info)
    assert str(found) == "Grain Hill 9000 (avx2, avx512f, avx512_vnni), 2 threads"


def test_an_arm_machine_lists_features(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nFeatures\t: fp asimd asimddp i8mm\n", encoding="utf-8")
    assert this_machine(cpu_info=tmp_path / "cpuinfo").flags == ("asimddp", "i8mm")


def test_a_machine_without_a_description_still_has_a_name(tmp_path: Path) -> None:
    found = this_machine(cpu_info=tmp_path / "none")
    assert found.cpu
    assert found.threads == cpu_limit()
