"""A Hugging Face Hub on the loopback interface: what the real client asks for in uploads and downloads, and no more.

    with LoopbackHub() as hub:
        subprocess.run([...], env={**os.environ, **hub.environment(home)})
        hub.files("model", "user/name")

A repository is a list of commits a branch; a commit is the whole tree, path -> bytes, so a test can look at each. Writing,
and reading what is private, needs the token. Commits to the names in `hub.full` fail.
"""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import yaml


TOKEN, USER = "hf_x", "user"
LARGE_SUFFIXES = (".safetensors", ".parquet", ".bin")
_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---", re.DOTALL)
_REPO = r"/(?:(datasets|spaces)/)?([\w.-]+/[\w.-]+)"
_KINDS = {"datasets": "dataset", "spaces": "space", "models": "model", None: "model"}


class LoopbackHub:
    """The server; a context manager that serves while it is open."""

    def __init__(self):
        self.repos: dict[tuple[str, str], dict] = {}  # (kind, name) -> {"private", "branches": {name: [commit, ...]}}
        self.large: dict[str, bytes] = {}  # sha256 -> content that was PUT before its commit
        self.requests: list[str] = []  # "METHOD path", and " -> status" where it failed
        self.full: set[str] = set()  # repositories without room
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def environment(self, home, token: str | None = TOKEN) -> dict[str, str]:
        """Variables that make a process talk to this server alone; they count before huggingface_hub is imported."""
        found = {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
        return {**found, "HF_HUB_DISABLE_TELEMETRY": "1", "HF_TOKEN": token or "", "NO_PROXY": "127.0.0.1"}

    def commits(self, kind: str, name: str, branch: str = "main") -> list[dict]:
        return self.repos[kind, name]["branches"][branch]

    def files(self, kind: str, name: str, branch: str = "main") -> dict[str, bytes]:
        """The newest tree of a repository."""
        return self.commits(kind, name, branch)[-1]["files"]

    def commit(self, kind: str, name: str, branch: str, title: str, files: dict[str, bytes]) -> dict:
        history = self.repos[kind, name]["branches"].setdefault(branch, [])
        sha = hashlib.sha1(f"{kind} {name} {branch} {len(history)}".encode()).hexdigest()
        history.append({"sha": sha, "title": title, "files": files})
        return history[-1]


class _Refusal(Exception):
    def __init__(self, status: int, message: str, code: str | None = None, **more):
        super().__init__(message)
        self.status, self.code, self.more = status, code, more


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet, else each answer waits for the client's delayed acknowledgement
    hub: LoopbackHub

    def log_message(self, *_):
        pass

    def _serve(self):
        parts = urlsplit(self.path)
        path, self.query = parts.path, parse_qs(parts.query)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            self.body = b"".join(iter(self._chunk, b""))
        status, headers = 200, {}
        try:
            with self.hub.lock:
                content = self._route(path)
            if isinstance(content, tuple):
                content, headers = content
        except _Refusal as refusal:
            status, content = refusal.status, {"error": str(refusal)}
            headers = {"X-Error-Message": str(refusal)} | ({"X-Error-Code": refusal.code} if refusal.code else {})
            content |= refusal.more
        self.hub.requests.append(f"{self.command} {self.path}" + (f" -> {status}" if status != 200 else ""))
        if not isinstance(content, bytes):
            content, headers["Content-Type"] = json.dumps(content).encode(), "application/json"
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self.wfile.flush()

    do_GET = do_HEAD = do_POST = do_PUT = _serve

    def _chunk(self) -> bytes:
        data = self.rfile.read(int(self.rfile.readline(), 16))
        self.rfile.readline()
        return data

    def _route(self, path: str):
        if path == "/api/validate-yaml":
            return self._validate(json.loads(self.body))
        if path.startswith("/lfs/"):
            if self.command == "PUT":
                self.hub.large[path.removeprefix("/lfs/")] = self.body
            return {}
        if path == "/api/whoami-v2":
            self._need_token()
            return {"name": USER, "type": "user", "orgs": []}
        if path == "/api/repos/create":
            return self._create(json.loads(self.body))
        if match := re.fullmatch(_REPO + r"\.git/info/lfs/objects/batch", path):
            return self._batch(json.loads(self.body))
        if match := re.fullmatch(
            r"/api/(models|datasets|spaces)/([\w.-]+/[\w.-]+)(?:/([\w-]+)(?:/([^/]+)/?(.*))?)?", path
        ):
            kind, name, action, revision, rest = match.groups()
            return self._api(_KINDS[kind], name, action, unquote(revision or "main"), unquote(rest or ""))
        if match := re.fullmatch(_REPO + r"/resolve/([^/]+)/(.+)", path):
            kind, name, revision, file = match.groups()
            return self._resolve(_KINDS[kind], name, unquote(revision), unquote(file))
        raise _Refusal(404, f"no such page: {path}")

    def _need_token(self):
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise _Refusal(401, "Invalid username or password.")

    def _validate(self, request: dict) -> dict:
        match = _FRONT_MATTER.match(request["content"])
        try:
            metadata = yaml.safe_load(match.group(1)) if match else {}
        except yaml.YAMLError as error:
            raise _Refusal(400, f"the YAML does not parse: {error}") from error
        if "license" in metadata and metadata["license"] == "other" and "license_name" not in metadata:
            raise _Refusal(400, '"license_name" is required')
        for entry in metadata.get("model-index", []):
            for result in entry["results"]:
                if not ("type" in result["task"] and {"type", "name"} <= result["dataset"].keys()):
                    raise _Refusal(400, "an entry of model-index lacks its task or data set")
                if not all({"type", "value"} <= metric.keys() for metric in result["metrics"]):
                    raise _Refusal(400, "a metric of model-index lacks its type or value")
        return {"errors": [], "warnings": []}

    def _create(self, request: dict) -> dict:
        self._need_token()
        kind = request.get("type") or "model"
        name = f"{request.get('organization') or USER}/{request['name']}"
        url = f"{self.hub.url}/{'' if kind == 'model' else kind + 's/'}{name}"
        if (kind, name) in self.hub.repos:
            raise _Refusal(409, "You already created this repository", url=url)
        private = request.get("private", request.get("visibility") == "private")
        self.hub.repos[kind, name] = {"private": bool(private), "branches": {}}
        self.hub.commit(kind, name, "main", "initial commit", {".gitattributes": b""})
        return {"url": url, "name": name, "id": name}

    def _repo(self, kind: str, name: str) -> dict:
        repo = self.hub.repos.get((kind, name))
        if repo is None or (repo["private"] and self.headers.get("Authorization") != f"Bearer {TOKEN}"):
            raise _Refusal(401 if repo else 404, "Repository not found", "RepoNotFound")
        return repo

    def _tree(self, kind: str, name: str, revision: str) -> dict:
        branches = self._repo(kind, name)["branches"]
        if revision in branches:
            return branches[revision][-1]
        for history in branches.values():
            for commit in history:
                if commit["sha"] == revision:
                    return commit
        raise _Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def _batch(self, request: dict) -> dict:
        self._need_token()
        objects = []
        for item in request["objects"]:
            href = f"{self.hub.url}/lfs/{item['oid']}"
            actions = {} if item["oid"] in self.hub.large else {"upload": {"href": href}, "verify": {"href": href}}
            objects.append({**item, "actions": actions} if actions else item)
        return {"transfer": "basic", "objects": objects}

    def _api(self, kind: str, name: str, action: str | None, revision: str, rest: str):
        if action in (None, "revision"):
            commit = self._tree(kind, name, revision)
            siblings = [{"rfilename": path} for path in sorted(commit["files"])]
            private = self.hub.repos[kind, name]["private"]
            return {"id": name, "sha": commit["sha"], "siblings": siblings, "private": private, "tags": []}
        if action == "tree":
            return self._list(self._tree(kind, name, revision)["files"], rest)
        if action == "paths-info":
            files = self._tree(kind, name, revision)["files"]
            asked = json.loads(self.body)["paths"] if self.body[:1] == b"{" else parse_qs(self.body.decode())["paths"]
            return [entry for path in asked for entry in self._list(files, "", [path])]
        self._need_token()
        self._repo(kind, name)
        request = [json.loads(line) for line in self.body.splitlines()]
        if action == "preupload":
            large = {True: "lfs", False: "regular"}
            modes = {item["path"]: large[item["path"].endswith(LARGE_SUFFIXES)] for item in request[0]["files"]}
            return {"files": [{"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in modes.items()]}
        if action == "branch":
            branches = self.hub.repos[kind, name]["branches"]
            if revision in branches:
                raise _Refusal(409, "Reference already exists")
            branches[revision] = list(branches["main"])
            return {}
        if action == "commit":
            return self._commit(kind, name, revision, request)
        raise _Refusal(404, f"no such call: {action}")

    def _commit(self, kind: str, name: str, branch: str, lines: list[dict]) -> dict:
        if name in self.hub.full:
            raise _Refusal(403, "storage quota exceeded")
        files, title = dict(self._tree(kind, name, branch)["files"]), ""
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                title = value["summary"]
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        sha = self.hub.commit(kind, name, branch, title, files)["sha"]
        return {
            "success": True,
            "commitOid": sha,
            "commitUrl": f"{self.hub.url}/{name}/commit/{sha}",
            "hookOutput": "",
        }

    def _list(self, files: dict[str, bytes], below: str, only: list[str] | None = None) -> list[dict]:
        folders = {path.rsplit("/", depth)[0] for path in files for depth in range(1, path.count("/") + 1)}
        if below and below not in folders:
            raise _Refusal(404, f"{below} does not exist", "EntryNotFound")
        entries = [{"type": "directory", "path": path, "oid": "0" * 40, "size": 0} for path in sorted(folders)]
        for path, content in sorted(files.items()):
            entry = {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
            if path.endswith(LARGE_SUFFIXES):
                entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 1}
            entries.append(entry)
        if only is not None:
            return [entry for entry in entries if entry["path"] in only]
        start = f"{below}/" if below else ""
        deep = self.query.get("recursive", ["false"])[0].lower() == "true"
        inside = [entry for entry in entries if entry["path"].startswith(start)]
        return [entry for entry in inside if deep or "/" not in entry["path"][len(start) :]]

    def _resolve(self, kind: str, name: str, revision: str, file: str):
        commit = self._tree(kind, name, revision)
        if file not in commit["files"]:
            raise _Refusal(404, "Entry not found", "EntryNotFound")
        content = commit["files"][file]
        return content, {"X-Repo-Commit": commit["sha"], "ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
