"""A hub of this machine: what the hub's client asks to push and to download, answered from repositories in memory."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_this_test"
REVISION = "0123456789abcdef0123456789abcdef01234567"
LARGE = (".onnx", ".data", ".onnx_data", ".safetensors")


@dataclass
class Stored:
    """One repository: its files, and how each commit changed them."""

    private: bool = False
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[list[tuple[str, str]]] = field(default_factory=list)


class FakeHub:
    """What the server knows, what it was asked, and what it is told to refuse: {(method, start of path): status}."""

    def __init__(self) -> None:
        self.repositories: dict[str, Stored] = {}
        self.objects: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.refuse: dict[tuple[str, str], int] = {}
        self.ignored: set[str] = set()
        self.broken: set[str] = set()
        self.url = ""

    def paths(self, method: str) -> list[str]:
        """The paths that were asked by one method."""
        return [path for verb, path in self.asked if verb == method]

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, object, dict[str, str]]:
        """Status, JSON or bytes, and headers."""
        route = path.removeprefix("/api/models/")
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            bad = "license: bad" in json.loads(body)["content"]
            return (400 if bad else 200), {"errors": [{"message": "bad licence"}] if bad else [], "warnings": []}, {}
        if path.startswith("/lfs/"):
            assert hashlib.sha256(body).hexdigest() == path.removeprefix("/lfs/")
            self.objects[path.removeprefix("/lfs/")] = body
            return 200, {}, {}
        if path.endswith(".git/info/lfs/objects/batch"):
            return 200, {"transfer": "basic", "objects": [self._large(x) for x in json.loads(body)["objects"]]}, {}
        name = "/".join(route.lstrip("/").split("/")[:2])
        if name not in self.repositories:
            return 404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"}
        stored, rest = self.repositories[name], route.lstrip("/").removeprefix(name).lstrip("/")
        if rest.startswith("preupload/"):
            return 200, {"files": [self._mode(file) for file in json.loads(body)["files"]]}, {}
        if rest.startswith("commit/"):
            return self._commit(name, stored, [json.loads(line) for line in body.splitlines()])
        if rest.startswith("tree/"):
            return 200, [self._described(path, content) for path, content in stored.files.items()], {}
        if rest.startswith("resolve/"):
            return self._file(stored, rest.split("/", 2)[2])
        siblings = [{"rfilename": path} for path in stored.files]
        return 200, {"id": name, "sha": REVISION, "private": stored.private, "siblings": siblings}, {}

    def _create(self, wanted: dict) -> tuple[int, object, dict[str, str]]:
        name = f"{wanted['organization']}/{wanted['name']}"
        exists = name in self.repositories
        if not exists:
            first = {".gitattributes": b"*.onnx filter=lfs"}
            self.repositories[name] = Stored(private=wanted.get("visibility") == "private", files=first)
        return (409 if exists else 200), {"url": f"{self.url}/{name}", "error": "exists"}, {}

    def _large(self, wanted: dict) -> dict:
        if wanted["oid"] in self.objects:
            return wanted
        return {**wanted, "actions": {"upload": {"href": f"{self.url}/lfs/{wanted['oid']}"}}}

    def _mode(self, file: dict) -> dict:
        mode = "lfs" if file["path"].endswith(LARGE) else "regular"
        return {"path": file["path"], "uploadMode": mode, "shouldIgnore": file["path"] in self.ignored}

    def _commit(self, name: str, stored: Stored, lines: list[dict]) -> tuple[int, object, dict[str, str]]:
        files, done = dict(stored.files), []
        for line in lines:
            value, path = line["value"], line["value"].get("path", "")
            if line["key"] == "file":
                files[path] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[path] = self.objects[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[path]
            done.append((line["key"], path or value.get("summary", "")))
        stored.files = {path: content[:-1] if path in self.broken else content for path, content in files.items()}
        stored.commits.append(done)
        url = f"{self.url}/{name}/commit/{REVISION}"
        return 200, {"commitUrl": url, "commitOid": REVISION, "pullRequestUrl": None}, {}

    def _described(self, path: str, content: bytes) -> dict:
        told = {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
        sums = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
        return {**told, "lfs": sums} if path.endswith(LARGE) else told

    def _file(self, stored: Stored, path: str) -> tuple[int, object, dict[str, str]]:
        if path not in stored.files:
            return 404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"}
        content = stored.files[path]
        tag = (hashlib.sha256 if path.endswith(LARGE) else hashlib.sha1)(content).hexdigest()
        return 200, content, {"ETag": f'"{tag}"', "X-Repo-Commit": REVISION}


@contextmanager
def running_hub() -> Iterator[FakeHub]:
    """The hub behind a port of this machine."""
    hub = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            path = unquote(urlsplit(self.path).path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            hub.asked.append((self.command, path))
            refused = [
                code
                for (verb, start), code in hub.refuse.items()
                if (verb, path[: len(start)]) == (self.command, start)
            ]
            public = path.startswith("/lfs/") or path == "/api/validate-yaml"
            if refused:
                status, answer, headers = refused[0], {"error": "said the hub"}, {}
            elif not public and self.headers.get("Authorization") != f"Bearer {TOKEN}":
                status, answer, headers = 401, {"error": "Invalid username or password."}, {}
            else:
                status, answer, headers = hub.answer(self.command, path, body)
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def __getattr__(self, name: str) -> object:
            if name.startswith("do_"):
                return self._handle
            raise AttributeError(name)

        def log_message(self, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
