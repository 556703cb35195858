"""What was typed after ``swinkit explain``, and the command that repeats it. Free of torch, so that a refusal costs nothing."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Asked:
    """Arguments and options of ``explain`` that bear on what is looked at; stages and blocks count from 1."""

    model: str
    picture: Path
    names: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    at: tuple[int, int] | None = None
    stage: int | None = None
    block: int | None = None
    atlas: bool = False
    window: int | None = None
    resizing: str = "bicubic"
    checked: bool = True
    image_size: tuple[int, int] | None = None
    seed: int | None = None
    device: str = "auto"

    @property
    def line(self) -> str:
        """The command that repeats it."""
        words = ["swinkit", "explain", self.model, str(self.picture)]
        for flag, values in (("--class", self.names), ("--method", self.methods)):
            words += [word for value in values for word in (flag, value)]
        if self.at:
            words += ["--at", "{},{}".format(*self.at)]
        if self.image_size:
            words += ["--image-size", "{}x{}".format(*self.image_size)]
        numbers = {"--stage": self.stage, "--block": self.block, "--window": self.window, "--seed": self.seed}
        for flag, number in numbers.items():
            words += [flag, str(number)] if number is not None else []
        words += ["--atlas"] if self.atlas else []
        words += ["--resizing", self.resizing] if self.window else []
        return shlex.join([*words, *([] if self.checked else ["--no-trust"])])
