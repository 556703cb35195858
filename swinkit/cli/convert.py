"""``swinkit convert``: a model from any library's format to any other's, with a certificate that it is the same network."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from .given import MODEL
from .options import SIZE, next_command, print_json, say, shared

if TYPE_CHECKING:
    from ..weights.conversion import Conversion, ConversionPlan

HUB = "hf-hub:"


@click.command("convert")
@click.argument("model", metavar="IN", type=MODEL)
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--to", "format", required=True, metavar="FORMAT",
    help="Of OUT: swinkit, timm, transformers, torchvision, microsoft, openmmlab, simmim, transformers-5, transformers-backbone, microsoft-dense.",
)  # fmt: skip
@click.option("--variant", metavar="NAME", help="What IN is, where its file does not record it (the window of Swin V2).")
@click.option("--image-size", type=SIZE, help="Resize position information for pictures of another size, as 384 or 256x384.")
@click.option("--window-size", type=SIZE, help="And for another window, in patches.")
@click.option(
    "--resize", type=click.Choice(["bicubic", "geometric"]), help="How V1's bias tables are resized; as IN's origin does."
)
@click.option(
    "--geometry",
    type=click.Choice(["classification", "dense"]),
    help="Read the weights for this use, whatever they were trained for.",
)
@click.option(
    "--backbone",
    is_flag=True,
    help="Leave out head, reconstruction, the norms of other outputs, and unknown tensors beside the backbone.",
)
@click.option(
    "--head-map",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Outputs to keep, a number a line (map22kto1k.txt).",
)
@click.option(
    "--head-classes", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Outputs to keep, a class name a line."
)
@click.option(
    "--class-names",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What the outputs are called, a name a line.",
)
@shared("dry_run", "json", "quiet")
def command(model: str, out: Path, format: str, dry_run: bool, as_json: bool, quiet: bool, **changes: Any) -> None:
    """Write IN, weights of any known library, at OUT in another library's FORMAT.

    IN is a file, a folder, a run or a name (hf-hub:org/name, Swin_T_Weights.DEFAULT, an address). Both networks are built and run on
    random and real pictures, the new one in its own library where that is installed; if any stage differs, nothing is kept. With
    --to swinkit, OUT may be hf-hub:org/name, which publishes it.

    \b
    swinkit convert swin_tiny_patch4_window7_224.pth my-swin --to timm
    swinkit convert hf-hub:microsoft/swin-tiny-patch4-window7-224 swin.pth --to openmmlab --geometry dense --backbone
    swinkit convert swin.pth swin-384 --to transformers --image-size 384 --window-size 12
    """
    from ..weights.conversion import check, convert, destination
    from ..weights.targets import find_target

    target = find_target(format)
    remote = str(out).startswith(HUB)
    if remote and target.name != "swinkit":
        raise UsageError(
            f"Only swinkit's own format is published from here. Mend: --to swinkit, or upload the folder that --to {target.name} writes"
        )
    if not remote:
        destination(out, target)
    from ..runtime.converting import PICTURES, Changes, make_plan, picture_batch

    plan = make_plan(model, target, Changes(**changes))
    notes = check(plan)
    if dry_run:
        show_plan(plan, out, notes, as_json)
        return
    say("Running both networks on three pictures …", quiet)
    pictures = picture_batch(plan)
    done = publish(plan, str(out), pictures) if remote else convert(plan, out, pictures, PICTURES)
    if as_json:
        print_json({"out": str(out), **done.certificate})
    else:
        show(done)
    next_command("swinkit", "inspect", out, quiet=quiet)


def publish(plan: ConversionPlan, name: str, pictures: Any) -> Conversion:
    """Convert into a folder that goes to the hub, if the certificate holds; what others wrote in a card that is there is kept."""
    from ..runtime.converting import PICTURES
    from ..weights.conversion import convert
    from ..weights.publishing import upload

    done: list[Conversion] = []
    with tempfile.TemporaryDirectory(prefix="swinkit-") as scratch:
        done.append(convert(plan, Path(scratch) / "model", pictures, PICTURES))

        def build(folder: Path) -> None:
            shutil.copytree(done[0].out, folder, dirs_exist_ok=True)

        say(f"Published: {upload(name, build)}")
    return done[0]


def show_plan(plan: ConversionPlan, out: Path, notes: tuple[str, ...], as_json: bool) -> None:
    """What would be written, and where it would be tried out."""
    from ..extras import is_installed

    library = plan.target.library
    judge = library if library and is_installed(library) else "swinkit, which would read the files back"
    said = {
        "source": plan.source.name, "source_format": plan.source.format, "out": str(out), "format": plan.target.name,
        "compared_in": judge, "configuration": plan.saved.config.model_dump(mode="json"), "notes": list(notes),
    }  # fmt: skip
    if as_json:
        print_json(said)
        return
    config = plan.saved.config
    click.echo(f"{plan.source.name} ({plan.source.format}) -> {out} ({plan.target.name}), to be compared in {judge}")
    click.echo(
        f"Swin V{config.version}, width {config.embed_dim}, depths {config.depths}, windows {config.window_size}, "
        f"{config.image_size[0]}x{config.image_size[1]} pixels, {config.num_classes} outputs, geometry {config.geometry}"
    )
    for note in notes:
        click.echo(f"note: {note}")


def show(done: Conversion) -> None:
    """The certificate, for a reader."""
    from ..weights.conversion import certificate_of

    parity = done.parity
    click.echo(f"{'':12}{'largest difference':>20}{'largest value':>16}")
    for one in parity.differences:
        click.echo(f"{one.where:12}{one.difference:20.2e}{one.largest:16.3g}")
    click.echo(f"same network, compared in {parity.compared_in}; weights identical bit for bit")
    for note in done.certificate["notes"]:
        click.echo(f"note: {note}")
    for name, sha256 in done.certificate["target"]["files"].items():
        click.echo(f"{name}  sha256 {sha256}")
    click.echo(f"certificate: {certificate_of(done.out)}")
