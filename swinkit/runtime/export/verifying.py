"""Does an exported graph answer as the model did? Asked of every runtime that is there, at every golden size and batch. Free of torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...timing import paced
from .bundle import Bundle, Manifest, Refused
from .golden import BATCHES, Golden, area, by_area
from .sessions import RUNTIMES, Run, first_line, runtimes_for, version_of

Progress = Callable[[str], Any]


@dataclass(frozen=True)
class Check:
    """The largest difference of a logit that ``runtime`` showed for pictures of ``size``, over all batches; None if it failed."""

    runtime: str
    version: str
    size: tuple[int, int]
    error: float | None
    reason: str | None = None

    def passed(self, tolerance: float) -> bool:
        return self.error is not None and self.error <= tolerance

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "size": list(self.size), "batches": list(BATCHES)}

    def __str__(self) -> str:
        height, width = self.size
        return f"{self.runtime} {self.version:9} {height:>5} x {width:<5} {self.reason or f'{self.error:.1e}'}"


def verify(bundle: Bundle, runtime: str | None = None, progress: Progress = lambda line: None) -> list[Check]:
    """Have ``bundle`` answer as :func:`ask` does, and raise :class:`Refused` when it does not answer as it should."""
    checks = ask(bundle, runtime, progress)
    hold(bundle, checks)
    return checks


def ask(bundle: Bundle, runtime: str | None = None, progress: Progress = lambda line: None) -> list[Check]:
    """Run ``bundle`` on its golden pictures, in ``runtime`` or in every installed one that can; a line of progress for each."""
    checks: list[Check] = []
    for name in runtimes_for(bundle.manifest.target, runtime):
        progress(f"asking {name} {version_of(name)} at {len(bundle.golden.pictures)} sizes")
        checks += _run(bundle, name, progress)
    return checks


def hold(bundle: Bundle, checks: Sequence[Check]) -> None:
    """Raise :class:`Refused` with the sizes at which an answer is further from the golden one than the bundle's tolerance, or at which
    there is none."""
    allowed = bundle.manifest.tolerance_at
    failed = [check for check in checks if not check.passed(allowed(check.size))]
    if failed:
        raise Refused(
            f"The graph does not answer as the model does: in {len(failed)} of {len(checks)} checks there is no answer, or a logit is off by more "
            "than the bundle allows\n" + "\n".join(f"  {check}, at most {allowed(check.size):.2g}" for check in failed),
            checked(bundle.manifest, checks),
        )


def checked(manifest: Manifest, checks: Sequence[Check]) -> Manifest:
    """``manifest`` with what was measured in the place of what it knew."""
    return manifest.model_copy(update={"checks": [check.to_dict() for check in checks]})


def _run(bundle: Bundle, name: str, progress: Progress) -> Iterator[Check]:
    version = version_of(name)
    sizes = bundle.golden.pictures
    try:
        session = RUNTIMES[name].session(bundle)
    except Exception as fault:  # whatever a runtime raises for a graph that it does not take
        yield from (Check(name, version, size, None, first_line(fault)) for size in sizes)
        return
    for size in paced(by_area(sizes), area(sizes), math.prod, progress):
        try:
            yield Check(name, version, size, largest_difference(session, bundle.manifest, bundle.golden, size))
        except Exception as fault:
            yield Check(name, version, size, None, first_line(fault))


def largest_difference(
    run: Run, manifest: Manifest, golden: Golden, size: tuple[int, int], batches: Sequence[int] = BATCHES
) -> float:
    """The largest of a logit between ``run`` and the golden answers to pictures of ``size``, over ``batches``. Infinite when an answer has another shape, or where it or the golden one is not a number."""
    pictures, expected = golden.pictures[size], golden.logits[size]
    worst = 0.0
    for batch in batches:
        answer = run(manifest.input.arrange(pictures[:batch], manifest.preprocessing))
        if answer.shape != expected[:batch].shape:
            return math.inf
        difference = float(np.abs(answer - expected[:batch]).max())
        worst = max(worst, difference if math.isfinite(difference) else math.inf)  # of NaN, max() would keep the other
    return worst
