"""A stand-in for the Hugging Face hub and for a host of files, on 127.0.0.1: what their protocols say, no more."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

COMMIT = "c0ffee" * 6 + "abcd"
LOOPBACK, HOST = "127.0.0.1", "localhost"  # two hosts, as the hub and the place of its large files are


class Hub:
    """``repositories`` map org/name to files; ``requests`` are those that came, "METHOD path"; ``faults`` are wrong answers.

    Faults: "hash" (other bytes than announced), "cut" (half of a file), "down" (503 to all).
    """

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.uploads: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.faults: set[str] = set()
        self.private: set[str] = set()
        self.address = ""


@contextmanager
def hub_at_work() -> Iterator[Hub]:
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None: ...

    def do_HEAD(self) -> None:
        self._serve(body=False)

    def do_GET(self) -> None:
        self._serve(body=True)

    def do_POST(self) -> None:
        self._note()
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/api/repos/create":
            asked = json.loads(content)
            name = "/".join(part for part in (asked.get("organization"), asked["name"]) if part)
            self.hub.repositories.setdefault(name, {})
            return self._json({"url": f"{self.hub.address}/{name}", "name": name})
        if self.path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        if match := re.fullmatch(r"/api/models/(.+)/preupload/main", self.path):
            return self._json({"files": [self._mode(file) for file in json.loads(content)["files"]]})
        if match := re.fullmatch(r"/(.+)\.git/info/lfs/objects/batch", self.path):
            return self._json({"transfer": "basic", "objects": [self._place(item) for item in json.loads(content)["objects"]]})
        if match := re.fullmatch(r"/api/models/(.+)/commit/main", self.path):
            self._commit(match[1], [json.loads(line) for line in content.splitlines()])
            return self._json({"commitUrl": f"{self.hub.address}/{match[1]}/commit/{COMMIT}", "commitOid": COMMIT})
        return self._json({"error": "no such thing"}, 404)

    def do_PUT(self) -> None:
        self._note()
        self.hub.uploads[self.path.rpartition("/")[2]] = self.rfile.read(int(self.headers["Content-Length"]))
        self._json({})

    def _serve(self, body: bool) -> None:
        self._note()
        path = self.path.partition("?")[0]
        if "down" in self.hub.faults:
            return self._json({"error": "down"}, 503, body)
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            return self._info(match[1], match[2] or "main", body)
        if match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self._resolve(*match.groups(), body)
        if match := re.fullmatch(r"/cdn/([^/]+/[^/]+)/(.+)", path):
            return self._bytes(self.hub.repositories[match[1]][match[2]], body)
        if match := re.fullmatch(r"/releases/download/(.+)", path):
            return self._bytes(self.hub.repositories["releases"][unquote(match[1])], body)
        return self._json({"error": "no such thing"}, 404, body)

    def _info(self, name: str, revision: str, body: bool) -> None:
        if name in self.hub.private:
            return self._missing("GatedRepo", 403, body)
        if name not in self.hub.repositories:
            return self._missing("RepoNotFound", 401, body)
        if revision not in ("main", "v1", COMMIT):
            return self._missing("RevisionNotFound", 404, body)
        siblings = []
        for path, content in self.hub.repositories[name].items():
            file: dict[str, Any] = {"rfilename": path, "size": len(content), "blobId": hashlib.sha1(content).hexdigest()}
            if path.endswith((".safetensors", ".bin")):
                file["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 1}
            siblings.append(file)
        return self._json(
            {"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings, "tags": [], "private": False}, 200, body
        )

    def _resolve(self, name: str, revision: str, path: str, body: bool) -> None:
        files = self.hub.repositories.get(name)
        if files is None:
            return self._missing("RepoNotFound", 401, body)
        if path not in files:
            return self._missing("EntryNotFound", 404, body)
        content = files[path]
        headers = {"X-Repo-Commit": COMMIT, "X-Linked-Size": str(len(content)), "Accept-Ranges": "bytes"}
        headers["ETag"] = headers["X-Linked-Etag"] = f'"{hashlib.sha256(content).hexdigest()}"'
        if path.endswith(".safetensors"):  # as large files are: from another place
            return self._answer(
                302, b"", {**headers, "Location": f"{self.hub.address.replace(LOOPBACK, HOST)}/cdn/{name}/{path}"}, body
            )
        return self._answer(200, content, headers, body)

    def _bytes(self, content: bytes, body: bool) -> None:
        if "hash" in self.hub.faults:
            content = bytes(len(content) - 1) + b"!"
        if "cut" in self.hub.faults and body:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
            return
        self._answer(200, content, {"ETag": f'"{hashlib.sha256(content).hexdigest()}"'}, body)

    def _mode(self, file: dict[str, Any]) -> dict[str, Any]:
        mode = "lfs" if file["path"].endswith(".safetensors") else "regular"
        return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": None}

    def _place(self, item: dict[str, Any]) -> dict[str, Any]:
        return {**item, "actions": {"upload": {"href": f"{self.hub.address}/upload/{item['oid']}"}}}

    def _commit(self, name: str, lines: list[dict[str, Any]]) -> None:
        files = self.hub.repositories[name]
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            if line["key"] == "lfsFile":
                files[value["path"]] = self.hub.uploads[value["oid"]]

    def _note(self) -> None:
        self.hub.requests.append(f"{self.command} {self.path}")

    def _missing(self, code: str, status: int, body: bool) -> None:
        self._answer(status, b"{}", {"X-Error-Code": code, "X-Error-Message": code}, body)

    def _json(self, value: Any, status: int = 200, body: bool = True) -> None:
        self._answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"}, body)

    def _answer(self, status: int, content: bytes, headers: dict[str, str], body: bool) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)
