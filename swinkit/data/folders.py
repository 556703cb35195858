"""Class folders: the folder that holds a picture is its class, perhaps below train/, val/ and test/."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..errors import DataError
from .collection import Collection, Sample, shown
from .files import is_picture_name, subfolders, walk

SPLITS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip


def split_folders(folder: Path, labels: bool = True) -> dict[str, str]:
    """Subfolders of ``folder`` that are splits, name -> split; empty where none is. They are splits if all are called like them and one is
    a training set or each holds folders. Beside others a training set makes them so; with ``labels`` only one that holds folders, since
    a class may be called train."""
    names = subfolders(folder)
    found = {name: SPLITS[name.lower()] for name in names if name.lower() in SPLITS}
    training = [name for name, split in found.items() if split == "train"]

    def parted(name: str) -> bool:
        return bool(subfolders(folder / name))

    if len(found) == len(names) and (training or all(map(parted, found))):
        return found
    beside_others = any(map(parted, training)) if labels else bool(training)
    return found if beside_others else {}


def open_folders(folder: Path) -> Collection:
    """Class folders below ``folder``. Pictures may lie deeper; the first level names the class. Raises :class:`DataError`."""
    splits = split_folders(folder)
    if len(set(splits.values())) < len(splits):
        raise DataError(f"{folder}: two folders for one split among {', '.join(splits)}; keep one of each")
    roots: Mapping[str, str | None] = splits or {"": None}
    names = sorted({name for root in roots for name in subfolders(folder / root)})
    if not names:
        raise DataError(
            f"{folder}: no class folders {'in ' + ', '.join(splits) if splits else ''}; expected one folder of pictures per class"
        )
    number = {name: index for index, name in enumerate(names)}
    samples, skipped = [], [(name, f"lies outside {', '.join(splits)}") for name in _outside(folder, splits)]
    for root, split in roots.items():
        for inner, why in walk(folder / root):
            name = f"{root}/{inner}" if root else inner
            top, _, rest = inner.partition("/")
            if why is None and is_picture_name(inner.rpartition("/")[2]) and rest:
                samples.append(Sample(name, (number[top],), split))
            else:
                skipped.append((name, why or ("lies outside the class folders" if not rest else "is no picture by its name")))
    levels = f"below {', '.join(splits)}" if splits else "directly inside"
    reason = f"class folders {levels}: {len(names)} of them ({', '.join(shown(name) for name in names[:5])}{', …' if len(names) > 5 else ''})"
    return Collection(folder, "folders", reason, tuple(names), tuple(samples), skipped=tuple(skipped))


def _outside(folder: Path, splits: Mapping[str, str]) -> list[str]:
    """Folders and pictures of ``folder`` beside its ``splits``, if it has any."""
    if not splits:
        return []
    pictures = sorted(path.name for path in folder.iterdir() if path.is_file() and is_picture_name(path.name))
    return [*(f"{name}/" for name in subfolders(folder) if name not in splits), *pictures]


def open_pictures(folder: Path) -> Collection:
    """Every picture below ``folder``, without labels. The folders' names are left aside, but for those of splits."""
    splits = split_folders(folder, labels=False)
    samples, skipped = [], []
    for name, why in walk(folder):
        if why is None and is_picture_name(name.rpartition("/")[2]):
            samples.append(Sample(name, (), splits.get(name.partition("/")[0])))
        else:
            skipped.append((name, why or "is no picture by its name"))
    nested = any("/" in sample.source for sample in samples)
    reason = "pictures in folders whose names are left aside" if nested else "pictures without class folders: no labels"
    if splits:
        reason += f", but for {', '.join(splits)}"
    return Collection(folder, "pictures", reason, (), tuple(samples), skipped=tuple(skipped))
