"""The page of a tour: texts in one language, values, drawings and one script in a single file that asks nobody for anything."""

from __future__ import annotations

import json
import math
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

from ... import __version__
from ...errors import UsageError
from ...report.inert import digest, inert_templates
from ...weights.atomic import write_atomically
from . import charts
from .charts import Chart
from .facts import Progress, gather
from .measured import Effort
from .painting import Chosen
from .subject import Subject

LANGUAGES = ("en", "ru")
PAGE = files(__package__).joinpath("page")
# what the script draws from; the rest stays in the texts
DRAWN = (
    "shown", "tiny", "size", "vit", "partition", "embedding", "hierarchy", "merging", "costs", "shift", "bias", "attention", "pair",
    "reconstruction",
)  # fmt: skip
ALSO_DRAWN = ("before", "bicubic", "log")


def write_tour(
    path: str | Path, subject: Subject, language: str = "en", effort: Effort | None = None, command: str = "",
    painter: Chosen | None = None, progress: Progress = lambda *_: None,
) -> Path:  # fmt: skip
    """Compute the tour of ``subject`` and put its page at ``path``, whole or not at all; ``painter`` and ``progress`` as in :func:`gather`."""
    path = Path(path)
    facts = gather(subject, effort or Effort(), painter, progress)
    page = render(facts, language, command).encode("utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page)
    return path


def texts(language: str) -> dict[str, Any]:
    """The texts in ``language``, as templates. Raises :class:`UsageError` for a language there is no file of."""
    if language not in LANGUAGES:
        raise UsageError(f"There is no tour in {language!r}. Known: {', '.join(LANGUAGES)}")
    return yaml.safe_load(PAGE.joinpath(f"{language}.yaml").read_text("utf-8"))


def render(facts: dict[str, Any], language: str = "en", command: str = "swinkit tour") -> str:
    """The page as HTML from the values of :func:`~swinkit.explain.tour.facts.gather`."""
    numbers = Numbers(language)
    environment = inert_templates(jinja2.FunctionLoader(_read))
    environment.filters |= {
        "n": numbers.whole, "d": numbers.decimal, "sci": numbers.small, "apart": numbers.difference, "mac": numbers.macs, "mb": numbers.megabytes,
    }  # fmt: skip
    known = {"t_ways": texts(language)["optimise"]["ways"], "f": facts, "version": __version__, "command": command}
    written = filled(texts(language), environment, known)
    environment.globals |= {"t": written, "charts": drawn_charts(facts, written, numbers)}
    style = files("swinkit.report").joinpath("templates/report.css").read_text("utf-8") + _read("tour.css")
    script = _read("tour.js")
    data = _json({"data": _for_script(facts), "text": written["js"], "lang": language})
    return environment.get_template("tour.html.j2").render(
        **known,
        style=Markup(style),
        style_hash=digest(style),
        script=Markup(script),
        script_hash=digest(script),
        json=Markup(data),
    )


def filled(value: Any, environment: jinja2.Environment, known: dict[str, Any]) -> Any:
    """``value`` with every text rendered; what comes out of a value is escaped, what a text itself says is markup."""
    if isinstance(value, dict):
        return {key: filled(inner, environment, known) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, environment, known) for inner in value]
    return Markup(environment.from_string(str(value)).render(**known))


class Numbers:
    """Numbers as people of a language write them."""

    def __init__(self, language: str) -> None:
        self.russian = language == "ru"

    def _local(self, text: str) -> str:
        return text.replace(",", "\u202f").replace(".", ",") if self.russian else text

    def whole(self, value: float) -> str:
        return self._local(f"{value:,.0f}")

    def decimal(self, value: float, digits: int = 1) -> str:
        rounded = round(value, digits) or 0.0  # no minus before a zero
        return self._local(f"{rounded:,.{digits}f}").replace("-", "−")

    def small(self, value: float) -> str:
        """A difference: 0, 0.02 or 1.2·10⁻⁷."""
        if value == 0:
            return "0"
        if abs(value) >= 0.001:
            return self.decimal(value, 3)
        power = math.floor(math.log10(abs(value)))
        raised = str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"{self.decimal(value / 10**power, 1)}·10{raised}"

    def difference(self, value: float) -> str:
        """How far two ways of computing the same lie apart."""
        exact = "0 (бит в бит)" if self.russian else "0 (bit for bit)"
        return exact if value == 0 else self.small(value)

    def macs(self, value: float) -> str:
        unit, letter = _scale(value)
        return f"{self.decimal(value / unit, 2)} {letter}MAC"

    def megabytes(self, value: float) -> str:
        return f"{self.decimal(value / 1e6, 1)} {'МБ' if self.russian else 'MB'}"

    def label(self, value: float) -> str:
        """Of an axis: as short as it can be."""
        if abs(value) >= 1e6:
            unit, letter = _scale(value)
            return f"{value / unit:g} {letter}"
        return self._local(f"{value:,.10g}").replace("-", "−")


def _scale(value: float) -> tuple[float, str]:
    """The unit of a thousand's power below ``value``, and its letter."""
    units = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
    return next(((unit, letter) for unit, letter in units if value >= unit), (1.0, ""))


def drawn_charts(f: dict[str, Any], t: dict[str, Any], numbers: Numbers) -> dict[str, Markup]:
    """Every chart that does not move, by its chapter; "wmsa" has a cursor that the slider moves."""
    streams, second = f["pair"]["streams"], f["second"]
    coordinates, amplitude, logits = second["coordinates"], second["amplitude"], second["logits"]
    pieces = {
        "wmsa": cost_chart(f, t),
        "mlp": Chart(
            t["mlp"]["chart"], list(range(1, len(streams) + 1)),
            {str(t["mlp"][f"line_{name}"]): [one[name] for one in streams] for name in ("stream", "attention", "mlp")},
            t["mlp"]["axis"],
        ),
        "v2norm": Chart(
            t["v2norm"]["chart"], amplitude["factors"], {"V1": amplitude["v1"], "V2": amplitude["v2"]}, t["v2norm"]["axis"], steps=True
        ),
        "v2cosine": Chart(
            t["v2cosine"]["chart"], logits["factors"],
            {str(t["v2cosine"]["line_product"]): logits["product"], str(t["v2cosine"]["line_cosine"]): logits["cosine"]},
            t["v2cosine"]["axis"], steps=True,
        ),
        "v2log": Chart(
            t["v2log"]["chart"], coordinates["offsets"],
            {str(t["v2log"]["line_linear"]): coordinates["linear"], str(t["v2log"]["line_log"]): coordinates["log"]},
            t["v2log"]["axis"],
        ),
    }  # fmt: skip
    answer = {name: charts.line_chart(chart, numbers.label) for name, chart in pieces.items()}
    for name in ("model", "swin_t"):
        parts = {str(t["performance"]["parts"][key]): value for key, value in f["performance"][name]["parts"].items() if value}
        answer[name] = charts.bar_chart(str(t["performance"][f"chart_{name}"]), parts, numbers.macs)
    return answer


def cost_chart(f: dict[str, Any], t: dict[str, Any]) -> Chart:
    rows = f["costs"]["rows"]
    lines = {str(t["wmsa"][f"line_{name}"]): [row[name] for row in rows] for name in ("msa", "wmsa")}
    return Chart(t["wmsa"]["chart"], [row["side"] for row in rows], lines, t["wmsa"]["slider"], log=True, cursor=True)


def _for_script(facts: dict[str, Any]) -> dict[str, Any]:
    chosen = {name: facts[name] for name in DRAWN}
    chosen["transfer"] = {name: facts["second"]["transfer"][name] for name in ALSO_DRAWN}
    rows = facts["costs"]["rows"]
    chosen["cursor"] = charts.places(Chart("", [row["side"] for row in rows], {}))
    return chosen


def _json(value: Any) -> str:
    """JSON that cannot end the element it stands in."""
    written = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return written.replace("<", "\\u003c").replace("\u2028", "\\u2028")


def _read(name: str) -> str:
    return PAGE.joinpath(name).read_text("utf-8")
