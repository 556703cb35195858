"""README and CONTRIBUTING say what is there: verbs, extras, the map of the house, the command that CI runs."""

from __future__ import annotations

import ast
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

from swinkit.cli.doctor import EXTRAS
from swinkit.cli.main import VERBS

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- the map, drawn by `python -m tests.test_documents` -->", "<!-- end of the map -->"
PAGES = [
    "README.md",
    "README.ru.md",
    "CONTRIBUTING.md",
    *(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").rglob("*.md"))),
]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_a_verb_that_is_named_exists(page: str) -> None:
    named = set(re.findall(r"(?:^|[`$] ?)swinkit ([a-z]+)", read(page), re.MULTILINE))
    assert named <= set(VERBS)


@pytest.mark.parametrize("page", PAGES)
def test_python_that_is_shown_names_what_exists(page: str) -> None:
    code = "".join(re.findall(r"```python\n(.*?)```", read(page), re.DOTALL))
    for dotted in set(re.findall(r"\bswinkit((?:\.\w+)+)", code)):
        pkgutil.resolve_name(f"swinkit{dotted}")


RESOLVE = """
import sys
import swinkit
for dotted in sys.argv[1:]:
    found = swinkit
    for name in dotted.split(".")[1:]:
        found = getattr(found, name)
"""


def test_a_name_in_the_text_is_there_once_swinkit_is_imported() -> None:
    named = {dotted for page in PAGES for dotted in re.findall(r"\bswinkit(?:\.\w+)+", read(page))}
    assert len(named) > 50
    # deepest first, so that none is there only because another was asked for before
    names = sorted(named, key=lambda dotted: (-dotted.count("."), dotted))
    done = subprocess.run([sys.executable, "-c", RESOLVE, *names], capture_output=True, text=True, cwd=ROOT, timeout=200)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES)
def test_a_link_inside_the_repository_leads_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", read(page))
    inside = [link for link in links if "://" not in link]
    assert [link for link in inside if not ((ROOT / page).parent / link).exists()] == []


def test_the_extras_have_the_sizes_that_doctor_tells() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.+) \|$", read("README.md"), re.MULTILINE)
    assert dict(rows) == {extra: entry.size for extra, entry in EXTRAS.items()}


def told(name: str) -> dict[str, list[str]]:
    """What a README says apart from its words: headings, links, code in the text, and for each row of its own tables its figures."""
    text = re.sub(r"<!-- results.*?<!-- end of results -->|^```.*?^```", "", read(name), flags=re.MULTILINE | re.DOTALL)
    code = {re.sub(r"--lang \w+", "--lang", span) for span in re.findall(r"`([^`\n]+)`", text)}
    return {
        "headings": re.findall(r"^#+(?= )", text, re.MULTILINE),
        "links": [re.sub(r"\.(en|ru)\.", ".", link) for link in re.findall(r"\]\(([^)#]+)\)", text)],
        "code": sorted(code - {"en", "ru"}),
        "rows": [" ".join(sorted(figures(row))) for row in re.findall(r"^\|.*", text, re.MULTILINE)],
    }


def figures(row: str) -> list[str]:
    """The numbers of ``row`` in one notation, whether 1,418 and 0.5 or 1418 and 0,5."""
    plain = re.sub(r"(?<=\d)(?:,(?=\d{3}\b)|[\u00a0\u202f ](?=\d{3}\b))", "", row)
    return re.findall(r"\d+(?:\.\d+)?", re.sub(r"(?<=\d),(?=\d)", ".", plain))


def test_both_readmes_tell_the_same() -> None:
    english, russian = told("README.md"), told("README.ru.md")
    for kind, values in english.items():
        assert values == russian[kind], kind


def test_ci_runs_the_test_command_of_the_readme() -> None:
    assert "make test" in read(".ci/run").splitlines()
    assert "`make test`" in read("README.md")


def draw_map() -> str:
    """CONTRIBUTING.md with its map made anew: each file of the package with the first line of its docstring."""
    lines = []
    for path in sorted((ROOT / "swinkit").rglob("*.py")):
        purpose = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        if purpose:
            lines.append(f"    {path.relative_to(ROOT / 'swinkit').as_posix():<24} {purpose.splitlines()[0]}")
    head, _, rest = read("CONTRIBUTING.md").partition(BEGIN)
    return f"{head}{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{END}{rest.partition(END)[2]}"


def test_every_file_is_on_the_map() -> None:
    assert read("CONTRIBUTING.md") == draw_map(), "The map is out of date; to draw it anew: python -m tests.test_documents"


def test_the_licence_is_whole() -> None:
    text = read("LICENSE")
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


if __name__ == "__main__":
    (ROOT / "CONTRIBUTING.md").write_text(draw_map(), encoding="utf-8")
