"""A model for others: a folder with weights, description and a card that says what it is; and that folder on the hub."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from ..config import SwinConfig
from ..errors import SwinkitError, UsageError
from ..preprocessing import Preprocessing
from .atomic import write_atomically
from .attached import attached
from .bare import bare
from .caches import hub_settings
from .download import offline, unreachable
from .files import check_replaceable, config_of, read_model, save_model
from .hub import HUB, REPOSITORY, hub_client
from .saved import lasting

CARD = "README.md"
BEGIN, END = "<!-- written by swinkit: begin -->", "<!-- written by swinkit: end; what stands outside is kept -->"
MOST_CLASSES = 50  # named in the card; config.json has them all


def save_pretrained(
    model: nn.Module, folder: str | Path, *, licence: str | None = None, extra: Mapping[str, Any] | None = None
) -> Path:
    """Write ``model`` into ``folder`` as :func:`~swinkit.weights.files.save_model` does, and a model card beside it.

    ``licence`` is the hub's word for it, such as "apache-2.0", for the head of a new card; ``extra`` goes into ``config.json``, its ``metrics`` into the card.
    Of a card that lies there only what tells of the model is written anew: people write on in them. Raises :class:`UsageError` as :func:`swinkit.save` does.
    """
    check_replaceable(folder)
    left = attached(bare(model))
    folder = save_model(model, folder, multi_label=left.multi_label, extra={**lasting(left.metadata), **(extra or {})})
    card, there = model_card(folder, licence).encode(), folder / CARD
    write_atomically(there, renewed(there.read_bytes(), card) if there.exists() else card)
    return folder


def push_to_hub(
    model: nn.Module, repository: str, *, private: bool = False, licence: str | None = None, message: str = "A model of swinkit",
    token: str | None = None,
) -> str:  # fmt: skip
    """Upload ``model`` and its card to ``org/name`` on the hub, made if it is not there; returns the address of the commit.

    ``token`` defaults to the one that `hf auth login` keeps. Raises :class:`SwinkitError` when the hub refuses or is not reached.
    """
    config_of(bare(model))

    def build(folder: Path) -> None:
        save_pretrained(model, folder, licence=licence)

    return upload(repository, build, private=private, message=message, token=token)


def upload(
    repository: str, build: Callable[[Path], object], *, private: bool = False, message: str = "A model of swinkit",
    token: str | None = None,
) -> str:  # fmt: skip
    """Upload what ``build`` puts into the folder it is given; returns the address of the commit.

    Of a card that the repository has already only what tells of the model is written anew. Raises as :func:`push_to_hub`.
    """
    repository = repository.removeprefix(HUB)
    if not REPOSITORY.fullmatch(repository):
        raise UsageError(f"{repository} is no name on the hub. Expected org/name")
    if offline():
        raise SwinkitError(f"{offline()} forbids the network, so nothing is uploaded. Mend: unset it")
    client = hub_client()
    hub = client.HfApi(endpoint=hub_settings()["endpoint"], token=token)
    with tempfile.TemporaryDirectory(prefix="swinkit-") as folder:
        try:
            hub.create_repo(repository, private=private, exist_ok=True)
            build(Path(folder))
            if hub.file_exists(repository, CARD):
                card = Path(folder) / CARD
                there = client.hf_hub_download(repository, CARD, token=token, **hub_settings())
                card.write_bytes(renewed(Path(there).read_bytes(), card.read_bytes()))
            return str(hub.upload_folder(repo_id=repository, folder_path=folder, commit_message=message).commit_url)
        except client.errors.HfHubHTTPError as fault:
            status = getattr(getattr(fault, "response", None), "status_code", None)
            hint = "run `hf auth login` with a token that may write" if status in (401, 403) else "try again later"
            raise SwinkitError(f"The hub did not take {repository} ({status or fault}). Mend: {hint}") from None
        except OSError as fault:
            raise SwinkitError(unreachable(repository, fault)) from None


def model_card(folder: Path, licence: str | None = None) -> str:
    """The card of the model in ``folder``, Markdown with the hub's YAML header; figures only where they were measured."""
    file = read_model(folder)
    header = {
        "library_name": "swinkit", "pipeline_tag": "image-classification", "tags": ["swin-transformer", "image-classification"],
        **({"license": licence} if licence else {}),
    }  # fmt: skip
    told = "\n".join(f"{name}: {json.dumps(value)}" for name, value in header.items())
    return f"""---
{told}
---

{BEGIN}
# {_title(file.config)}

Made with swinkit {file.metadata["swinkit"]}. Nothing in these files can run code.

```python
import swinkit

model = swinkit.load("hf-hub:org/name")  # the name of this repository
```

## Pictures

{_pictures(file.preprocessing)}

## Classes

{_classes(file.classes, file.multi_label)}
{_measured(file.metadata.get("metrics"))}
## Files

`model.safetensors` SHA-256 `{file.sha256}`, described by `config.json`.
{END}
"""


def renewed(card: bytes, model: bytes) -> bytes:
    """``card`` as it lies there, which people write on in, with what :func:`model_card` says of the model that lies there now in the place
    of what it said of another; one without these marks is its author's alone. Every other byte stays."""
    begin, end = BEGIN.encode(), END.encode()
    before, begun, rest = card.partition(begin)
    _, ended, after = rest.partition(end)
    if not (begun and ended):
        return card
    return before + begin + model.partition(begin)[2].partition(end)[0] + end + after


def _measured(metrics: Any) -> str:
    """Figures of the test, or of the validation, as a run tells them; or those that an author gave."""
    told = dict(metrics or {})
    part = next((name for name in ("test", "validation") if isinstance(told.get(name), Mapping)), None)
    figures = {name: value for name, value in (told[part] if part else told).items() if isinstance(value, int | float)}
    if not figures:
        return ""
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in figures.items())
    return f"\n## Measured{f' in {part}' if part else ''}\n\n| | |\n|---|---|\n{rows}\n"


def _title(config: SwinConfig) -> str:
    window, (height, width) = config.stage_window(0), config.image_size
    return (
        f"Swin V{config.version}, width {config.embed_dim}, depths {config.depths}, window {window[0]}, {height}x{width} pixels"
    )


def _pictures(preprocessing: Preprocessing) -> str:
    height, width = preprocessing.size
    how = {
        "shortest": f"its centre, {preprocessing.crop_ratio:g} of the shorter side",
        "squash": "all of it, squashed",
        "none": "as it is",
    }
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (preprocessing.mean, preprocessing.std))
    return (
        f"{preprocessing.channels} channels, {height}x{width} pixels, {how[preprocessing.resize]}, {preprocessing.interpolation}; "
        f"mean ({mean}), standard deviation ({std}) of values between 0 and 1."
    )


def _classes(names: tuple[str, ...], multi_label: bool) -> str:
    shown = ", ".join(f"`{json.dumps(name, ensure_ascii=False)[1:-1].replace('`', chr(39))}`" for name in names[:MOST_CLASSES])
    more = f", and {len(names) - MOST_CLASSES} more in `config.json`" if len(names) > MOST_CLASSES else ""
    return (
        f"{len(names)}, {'several' if multi_label else 'one'} per picture: {shown}{more}."
        if names
        else "None: its answers are embeddings."
    )
