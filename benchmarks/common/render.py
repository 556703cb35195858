"""The tables of measurements of the READMEs, docs/machines.md and docs/pretrain.md, rendered from benchmarks/results between their markers.

python -m benchmarks.common.render            # write all anew
python -m benchmarks.common.render --check    # exit code 1 if one is not what the results say
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from .russian import russian

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
UNFINISHED = "**Stopped before its end**: more is to be measured."
LIBRARIES = ("torch", "timm", "transformers", "openvino", "onnxruntime")


def marked(kind: str) -> re.Pattern[str]:
    """The places of a page that hold tables of one ``kind``: before, name, table, after."""
    return re.compile(rf"(<!-- {kind}: ([\w/]+) -->\n)(.*?)(<!-- end of {kind} -->)", re.DOTALL)


MARKED = marked("results")


class Language(NamedTuple):
    """How a README speaks: ``say`` translates what the results say, the others are templates; ``unknown`` stands for what was not recorded."""

    say: Callable[[str], str]
    absent: str
    origin: str
    unknown: Mapping[str, str]


ENGLISH = Language(
    str,
    "Not measured yet: `{command}`.",
    "`{command}` on {processor}, {cores} cores ({flags}); {versions}; [raw samples]({raw}).",
    {
        "processor": "an unknown processor",
        "cores": "an unknown number of",
        "flags": "flags unknown",
        "versions": "versions unknown",
    },
)
RUSSIAN = Language(
    russian,
    "Ещё не измерено: `{command}`.",
    "`{command}`: {processor}, ядер: {cores} ({flags}); {versions}; [все замеры]({raw}).",
    {
        "processor": "процессор неизвестен",
        "cores": "неизвестно",
        "flags": "возможности неизвестны",
        "versions": "версии неизвестны",
    },
)
READMES = {"README.md": ENGLISH, "README.ru.md": RUSSIAN}
# a page of the site cannot link to what is outside of it
PAGE = ENGLISH._replace(origin=ENGLISH.origin.replace("[raw samples]({raw})", "raw samples: `{raw}`"))
DOCUMENTS = {**READMES, "docs/machines.md": PAGE, "docs/pretrain.md": PAGE}


def command(name: str) -> str:
    """What measures the results ``name``, which are in a folder of their own where they are another processor's."""
    script = f"python benchmarks/{name.rpartition('/')[2]}.py"
    return f"{script} --out benchmarks/results/{name}.json" if "/" in name else script


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table of ``rows``, the first of which is its header."""
    header, *others = rows
    written = [header, ["---"] * len(header), *others]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in written)


def table(name: str, result: dict[str, Any], language: Language = ENGLISH) -> str | None:
    """Markdown of the results ``name``: their table, its notes, the command and the machine; None where there is no table yet."""
    if (content := result.get("table")) is None:
        return None
    rows = [[language.say(cell) for cell in row] for row in (content["columns"], *content["rows"])]
    said = content["notes"] + ([UNFINISHED] if result.get("unfinished") else [])
    notes = "".join(f"\n{language.say(note)}" for note in said)
    environment, processor = result["environment"], result["environment"]["processor"]
    found = {
        "processor": processor["name"],
        "cores": processor["usable_cores"],
        "flags": ", ".join(processor["flags"] or ()),
        "versions": ", ".join(f"{library} {environment[library]}" for library in LIBRARIES if environment.get(library)),
    }
    origin = language.origin.format(
        command=result["command"],
        raw=f"benchmarks/results/{name}.json",
        **{fact: told or language.unknown[fact] for fact, told in found.items()},
    )
    return f"\n{markdown(rows)}\n{notes}\n\n{origin}\n\n"


def filled(
    text: str,
    results: Path,
    table: Callable[[str, dict[str, Any]], str | None],
    absent: Callable[[str], str],
    places: re.Pattern[str] = MARKED,
) -> str:
    """``text`` with each of the marked ``places`` made anew by ``table`` of a name and its results; where there are none, what ``absent`` says of it."""

    def fill(match: re.Match[str]) -> str:
        path = results / f"{match[2]}.json"
        made = table(match[2], json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None
        return match[1] + (f"\n{absent(match[2])}\n\n" if made is None else made) + match[4]

    return places.sub(fill, text)


def render(text: str, results: Path = RESULTS, language: Language = ENGLISH) -> str:
    """``text`` with every marked table made anew; one whose results are absent says which command makes them."""
    return filled(text, results, partial(table, language=language), lambda name: language.absent.format(command=command(name)))


def main(pages: Mapping[Path, Callable[[str], str]], command: str, purpose: str | None) -> None:
    """The command line ``command``: write ``pages`` as their functions make them of what stands there, or with ``--check`` say which are stale."""
    parser = argparse.ArgumentParser(description=purpose, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check, stale = parser.parse_args().check, []
    for path, made in pages.items():
        before = path.read_text(encoding="utf-8")
        if (after := made(before)) != before:
            stale.append(path.name)
            if not check:
                path.write_text(after, encoding="utf-8")
    if stale and check:
        sys.exit(f"{' and '.join(stale)}: not what the results say. Mend: {command}")


if __name__ == "__main__":
    made = {ROOT / name: partial(render, language=language) for name, language in DOCUMENTS.items()}
    main(made, "python -m benchmarks.common.render", __doc__)
