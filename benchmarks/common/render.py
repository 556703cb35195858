"""The tables of measurements of the READMEs and of docs/machines.md, rendered from benchmarks/results between their markers.

python -m benchmarks.common.render            # write all anew
python -m benchmarks.common.render --check    # exit code 1 if one is not what the results say
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from .russian import russian

ROOT = Path(__file__).resolve().parents[2]
MARKED = re.compile(r"(<!-- results: ([\w/]+) -->\n)(.*?)(<!-- end of results -->)", re.DOTALL)
UNFINISHED = "**Stopped before its end**: more is to be measured."
LIBRARIES = ("torch", "timm", "transformers", "openvino", "onnxruntime")


class Language(NamedTuple):
    """How a README speaks: ``say`` translates what the results say, the others are templates."""

    say: Callable[[str], str]
    absent: str
    origin: str
    no_flags: str


ENGLISH = Language(
    str,
    "Not measured yet: `{command}`.",
    "`{command}` on {processor}, {cores} cores ({flags}); {versions}; [raw samples]({raw}).",
    "flags unknown",
)
RUSSIAN = Language(
    russian,
    "Ещё не измерено: `{command}`.",
    "`{command}`: {processor}, ядер: {cores} ({flags}); {versions}; [все замеры]({raw}).",
    "возможности неизвестны",
)
READMES = {"README.md": ENGLISH, "README.ru.md": RUSSIAN}
# a page of the site cannot link to what is outside of it
DOCUMENTS = {
    **READMES,
    "docs/machines.md": ENGLISH._replace(origin=ENGLISH.origin.replace("[raw samples]({raw})", "raw samples: `{raw}`")),
}


def command(name: str) -> str:
    """What measures the results ``name``, which are in a folder of their own where they are another processor's."""
    script = f"python benchmarks/{name.rpartition('/')[2]}.py"
    return f"{script} --out benchmarks/results/{name}.json" if "/" in name else script


def table(name: str, result: dict[str, Any], language: Language = ENGLISH) -> str:
    """Markdown of the results ``name``: their table, its notes, the command and the machine."""
    content = result["table"]
    rows = [[language.say(cell) for cell in row] for row in (content["columns"], *content["rows"])]
    rows.insert(1, ["---"] * len(content["columns"]))
    written = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
    said = content["notes"] + ([UNFINISHED] if result.get("unfinished") else [])
    notes = "".join(f"\n{language.say(note)}" for note in said)
    environment, processor = result["environment"], result["environment"]["processor"]
    origin = language.origin.format(
        command=result["command"],
        processor=processor["name"],
        cores=processor["usable_cores"],
        flags=", ".join(processor["flags"] or [language.no_flags]),
        versions=", ".join(f"{library} {environment[library]}" for library in LIBRARIES if environment.get(library)),
        raw=f"benchmarks/results/{name}.json",
    )
    return f"\n{written}\n{notes}\n\n{origin}\n\n"


def render(text: str, results: Path, language: Language = ENGLISH) -> str:
    """``text`` with every marked table made anew; one whose results are absent says which command makes them."""

    def fill(match: re.Match[str]) -> str:
        path = results / f"{match[2]}.json"
        known = path.is_file() and "table" in (content := json.loads(path.read_text(encoding="utf-8")))
        absent = language.absent.format(command=command(match[2]))
        return match[1] + (table(match[2], content, language) if known else f"\n{absent}\n\n") + match[4]

    return MARKED.sub(fill, text)


def main() -> None:
    stale = []
    for name, language in DOCUMENTS.items():
        path = ROOT / name
        before = path.read_text(encoding="utf-8")
        after = render(before, ROOT / "benchmarks" / "results", language)
        if after != before:
            stale.append(name)
            if "--check" not in sys.argv[1:]:
                path.write_text(after, encoding="utf-8")
    if stale and "--check" in sys.argv[1:]:
        sys.exit(f"{' and '.join(stale)}: not what the results say; python -m benchmarks.common.render")


if __name__ == "__main__":
    main()
