"""A file from a URL into a folder: whole and with the right hash, or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any, BinaryIO, NoReturn
from urllib.parse import quote, urlsplit

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from ..errors import SwinkitError, WeightsError
from .atomic import replacing, sweep_stale, write_atomically

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PIECE = 1 << 20
AS_THEY_ARE = "%/:=&?~#+!$,;'@()*[] "  # of an address; a blank is left for http.client to refuse
SECONDS = 30  # without an answer or another byte


def offline() -> str | None:
    """The environment variable that forbids the network, if one does."""
    names = ("SWINKIT_OFFLINE", "HF_HUB_OFFLINE")
    return next((name for name in names if os.environ.get(name, "").lower() in ("1", "true", "yes", "on")), None)


def refuse_offline(name: str) -> NoReturn:
    raise WeightsError(
        f"{name} is not in the cache, and {offline()} forbids the network. Mend: unset it and load once, or copy the files here "
        "and give their path"
    )


def download(url: str, folder: Path, sha256: str = "", say: Callable[[str], None] | None = None) -> Path:
    """The file at ``url`` in ``folder``, fetched if it is not there. ``sha256`` is the expected hash or its beginning.

    Before its name stands what tells its address from others, whose files may be called the same. Without ``sha256``, the hash of the
    first download is kept beside the file and holds from then on. Raises :class:`WeightsError`.
    """
    address = hashlib.sha256(url.encode()).hexdigest()[:12]
    target = folder / f"{address}-{Path(urlsplit(url).path).name}"
    note = target.with_name(f"{target.name}.sha256")
    known = sha256 or (note.read_text(encoding="ascii").strip() if note.is_file() else "")
    if target.is_file():
        with open(target, "rb") as file:
            _compare(hashlib.file_digest(file, "sha256").hexdigest(), known, str(target), f"delete {target} and load again")
        return target
    if offline():
        refuse_offline(url)
    check_protected(url)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise SwinkitError(
            f"{folder} cannot hold what is fetched: {fault.strerror}. Mend: set SWINKIT_CACHE to a folder"
        ) from None
    sweep_stale(folder)  # of downloads that were killed, as large as what they fetched
    try:
        with replacing(target) as file:
            digest = _fetch(url, target, file, say or announce)
            _compare(digest, known, url, "try again; if it stays so, the file at its origin was exchanged")
    except (OSError, HTTPException) as fault:
        raise WeightsError(unreachable(url, fault)) from None
    write_atomically(note, digest.encode())
    return target


def check_protected(url: str) -> None:
    """Raises :class:`WeightsError` for an address from which somebody on the way could give another file."""
    if urlsplit(url).scheme != "https" and urlsplit(url).hostname not in LOOPBACK:
        raise WeightsError(f"{url} is not fetched: expected https, over which nobody can exchange the file")


class Redirects(urllib.request.HTTPRedirectHandler):
    """Goes along where the server sends, by protected ways."""

    def redirect_request(self, *given: Any) -> urllib.request.Request | None:
        check_protected(given[-1])
        return super().redirect_request(*given)


def unreachable(name: str, fault: BaseException) -> str:
    """What to tell someone whose network gave ``fault``."""
    if isinstance(fault, urllib.error.HTTPError):
        return f"{name} cannot be had: the server answers {fault.code} {fault.reason}. Mend: check the name"
    if isinstance(fault, OSError) and fault.errno == 28:
        return f"{name} cannot be kept: the disk is full. Mend: free space, or set another cache with SWINKIT_CACHE or HF_HOME"
    reason = getattr(fault, "reason", None) or fault
    return (
        f"{name} cannot be reached ({reason}). Mend: check the network (a proxy is taken from HTTPS_PROXY), or copy the files here "
        "and give their path"
    )


def _fetch(url: str, target: Path, file: BinaryIO, say: Callable[[str], None]) -> str:
    """What lies at ``url`` into ``file``, which will be ``target``; returns its SHA-256."""
    request = urllib.request.Request(quote(url, safe=AS_THEY_ARE), headers={"User-Agent": "swinkit"})
    opener = urllib.request.build_opener(Redirects)
    with opener.open(request, timeout=SECONDS) as reply:
        total = int(reply.headers.get("Content-Length") or 0)
        _announce_size(url, total, target.parent, say)
        digest, have = hashlib.sha256(), 0
        with progress_bar() as bar:
            task = bar.add_task(target.name.partition("-")[2], total=total or None)
            while piece := reply.read(PIECE):
                file.write(piece)
                digest.update(piece)
                have += len(piece)
                bar.update(task, completed=have)
        if total and have != total:
            raise OSError(f"the connection ended after {have:,} of {total:,} bytes")
    return digest.hexdigest()


def progress_bar() -> Progress:
    """A bar on stderr for bytes that come in; nothing where stderr is no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


def _announce_size(url: str, total: int, folder: Path, say: Callable[[str], None]) -> None:
    say(f"Fetching {url} ({total / 1e6:,.1f} MB) into {folder}" if total else f"Fetching {url} into {folder}")
    free = shutil.disk_usage(folder).free
    if total > free:
        raise SwinkitError(
            f"{url} has {total:,} bytes, and {folder} has room for {free:,}. Mend: free space, or set SWINKIT_CACHE"
        )


def announce(sentence: str) -> None:
    """Say ``sentence`` on stderr."""
    Console(stderr=True).print(sentence, markup=False, highlight=False)


def _compare(found: str, expected: str, what: str, mend: str) -> None:
    if not found.startswith(expected.lower()):
        raise WeightsError(f"{what} is not what it should be: expected SHA-256 {expected}, got {found}. Mend: {mend}")
