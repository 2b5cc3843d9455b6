"""What the hub's own client asks of the Hugging Face hub to publish a model and to fetch a file, on this machine."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import yaml
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

TOKEN = "hf_of_the_stand_in"


@dataclass
class Hub:
    """What the stand-in holds.

    Attributes:
        address: for HF_ENDPOINT.
        files: of each repository, by path.
        private: the repositories that were asked to be.
        cards: what was asked to be validated.
    """

    address: str = ""
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    cards: list[str] = field(default_factory=list)

    def create(self, asked: dict[str, Any]) -> tuple[int, Any]:
        """POST /api/repos/create."""
        name = f"{asked['organization']}/{asked['name']}"
        status = 409 if name in self.files else 200
        if status == 200:
            self.files[name] = {}
            if asked.get("visibility") == "private" or asked.get("private"):
                self.private.add(name)
        return status, {"url": f"{self.address}/{name}", "name": name, "id": name}

    def validate(self, asked: dict[str, Any]) -> tuple[int, Any]:
        """POST /api/validate-yaml."""
        self.cards.append(asked["content"])
        errors = list(problems_of(asked["content"]))
        return 400 if errors else 200, {"errors": [{"message": error} for error in errors], "warnings": []}

    def preupload(self, asked: dict[str, Any]) -> tuple[int, Any]:
        """POST /api/models/NAME/preupload/main: whatever comes may be part of the commit itself."""
        paths = [file["path"] for file in asked["files"]]
        return 200, {"files": [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in paths]}

    def commit(self, name: str, lines: list[dict[str, Any]]) -> tuple[int, Any]:
        """POST /api/models/NAME/commit/main, a JSON object a line."""
        files = self.files[name]
        for line in lines:
            key, value = line["key"], line["value"]
            if key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "deletedFile":
                del files[value["path"]]
            elif key != "header":
                return 400, {"error": f"the stand-in knows no {key}"}
        return 200, {"commitUrl": f"{self.address}/{name}/commit/{_oid(b'')}", "commitOid": _oid(b"")}

    def tree(self, name: str) -> tuple[int, Any]:
        """GET /api/models/NAME/tree/main."""
        files = self.files[name].items()
        return 200, [{"type": "file", "path": path, "size": len(data), "oid": _oid(data)} for path, data in files]


def problems_of(card: str) -> Iterator[str]:
    """What the hub says against the metadata of a model card, by its documentation."""
    parts = card.split("---\n", 2)
    data = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0] else None
    if not isinstance(data, dict):
        yield "the metadata must be a mapping"
        return
    if not isinstance(data.get("library_name", ""), str):
        yield '"library_name" must be a string'
    tags = data.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        yield '"tags" must be an array of strings'
    bases = data.get("base_model", [])
    for base in bases if isinstance(bases, list) else [bases]:
        try:
            validate_repo_id(base)
        except HFValidationError:
            yield f'"base_model" with value {base!r} is not valid'


def _oid(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = urlsplit(self.path).path
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            self._answer(401, {"error": "Invalid username or password."}, message="Invalid username or password.")
        elif path == "/api/repos/create":
            self._answer(*self.hub.create(json.loads(body)))
        elif path == "/api/validate-yaml":
            self._answer(*self.hub.validate(json.loads(body)))
        else:
            *_, owner, name, verb, _ = path.split("/")
            if verb == "preupload":
                self._answer(*self.hub.preupload(json.loads(body)))
            else:
                self._answer(*self.hub.commit(f"{owner}/{name}", [json.loads(line) for line in body.splitlines()]))

    def do_GET(self) -> None:
        # api/models/OWNER/NAME/tree/REVISION, or OWNER/NAME/resolve/REVISION/FILE
        path = urlsplit(self.path).path.removeprefix("/")
        owner, name, *rest = path.removeprefix("api/models/").split("/", 4)
        files = self.hub.files.get(f"{owner}/{name}")
        file = rest[-1] if rest else ""
        if files is None:
            self._answer(404, {}, code="RepoNotFound", message="Repository not found")
        elif path.startswith("api/models/"):
            self._answer(*self.hub.tree(f"{owner}/{name}"))
        elif file not in files:
            self._answer(404, {}, code="EntryNotFound", message="Entry not found")
        else:
            self._answer(200, files[file])

    def do_HEAD(self) -> None:
        self.do_GET()

    def _answer(self, status: int, content: Any, *, code: str = "", message: str = "") -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/octet-stream" if body is content else "application/json")
        self.send_header("ETag", f'"{_oid(body)}"')
        self.send_header("X-Repo-Commit", _oid(b""))
        if message:
            self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", message)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


@contextmanager
def hub_on_this_machine() -> Iterator[Hub]:
    """An empty hub, as long as the context lasts."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
