"""The processor as launches record it."""

import pytest

from resformer.numerics import processor

X86 = ("flags\t\t: fpu vme avx2", "model name\t: AMD EPYC")
ARM = ("CPU part\t: 0xd0c", "Features\t: fp asimd evtstrm")
ELSEWHERE = ("arm", "arm64")
"""As on macOS, which has no /proc."""


@pytest.mark.parametrize(
    ("lines", "model"), [(X86, "AMD EPYC"), (ARM, "0xd0c"), (ELSEWHERE, "arm64"), ((), "")]
)
def test_a_processor_is_named_by_its_model(
    lines: tuple[str, ...], model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "processor", lambda: lines)
    name, _, _ = processor.processor_facts()["processor"].rpartition(" (")
    assert name == model


def test_processors_of_one_model_that_can_do_different_things_differ(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts = []
    for flags in ("flags: avx2", "flags: avx2 avx512f"):
        monkeypatch.setattr(processor, "processor", lambda flags=flags: (flags, X86[1]))
        facts.append(processor.processor_facts()["processor"])
    assert facts[0] != facts[1]
