"""As much of a Weights & Biases server as its client needs, on this machine's loopback."""

import base64
import itertools
import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

ENTITY = "someone"
KEY = "5ec2e7" * 7


@dataclass
class ServedRun:
    """What the server has of one run."""

    project: str = ""
    sweep: str | None = None
    group: str | None = None
    name: str = ""  # as displayed
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    artifacts: dict[str, dict[str, bytes]] = field(default_factory=dict)
    exit_code: int | None = None


@dataclass
class ServedSweep:
    """A grid, and the runs that its agents were told of."""

    project: str
    config: dict[str, Any]
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)  # settings by the run's id

    def settings(self) -> Iterator[dict[str, Any]]:
        """All of them."""
        names, domains = zip(*self.config["parameters"].items(), strict=True)
        for values in itertools.product(*(domain["values"] for domain in domains)):
            yield dict(zip(names, values, strict=True))


class WandbServer(ThreadingHTTPServer):
    """Knows one key, and keeps runs and sweeps by their id."""

    daemon_threads = True

    def __init__(self, key: str):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.key, self.runs = key, dict[str, ServedRun]()
        self.artifacts: dict[str, dict[str, bytes]] = {}
        self.sweeps: dict[str, ServedSweep] = {}
        self.agents: dict[str, str] = {}  # their sweeps
        self.lock = threading.Lock()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # the client may leave at any time
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def serving(key: str) -> Iterator[WandbServer]:
    """A server that has stopped when the block is left."""
    with WandbServer(key) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: WandbServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        content = self._content()
        if self.path.startswith("/sdk/otel/"):  # as servers without telemetry
            return self._answer({}, 404)
        expected = "Basic " + base64.b64encode(f"api:{self.server.key}".encode()).decode()
        if self.headers["Authorization"] != expected:
            return self._answer({"errors": [{"message": "invalid API key"}]}, 401)
        body = json.loads(content)
        with self.server.lock:
            if self.path == "/graphql":
                (operation,) = re.match(r"\s*(?:query|mutation) (\w+)", body["query"]).groups()
                answer = getattr(self, operation, None)
                if answer is None:
                    return self._answer({"errors": [{"message": f"no {operation}"}]}, 400)
                return self._answer({"data": answer(body.get("variables") or {})})
            self._stream(self.server.runs[self.path.split("/")[-2]], body)
        self._answer({})

    def do_PUT(self) -> None:
        """A file: /run/ID/NAME or /artifact/ID/NAME."""
        content = self._content()
        _, kind, owner, name = self.path.split("/", 3)
        with self.server.lock:
            of_run = kind == "run"
            files = self.server.runs[owner].files if of_run else self.server.artifacts[owner]
            files[name] = content
        self._answer({})

    def log_message(self, *_: object) -> None:
        pass

    def _content(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"] or 0))

    def _answer(self, body: dict[str, Any], status: int = 200) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, run: ServedRun, body: dict[str, Any]) -> None:
        """Lines of history, the summary, and the end of a run."""
        files = body.get("files") or {}
        history = files.get("wandb-history.jsonl", {"offset": 0, "content": []})
        if history["content"]:
            run.history[history["offset"] :] = map(json.loads, history["content"])
        for content in files.get("wandb-summary.json", {}).get("content", []):
            run.summary = json.loads(content)
        if body.get("complete"):
            run.exit_code = body["exitcode"]

    # GraphQL operations, by the names that the client gives them.

    def Viewer(self, _: dict) -> dict:
        user = {"id": "1", "entity": ENTITY, "username": ENTITY, "email": "", "flags": "{}"}
        return {"viewer": user | {"teams": {"edges": []}}}

    def ServerFeaturesQuery(self, _: dict) -> dict:
        return {"serverInfo": {"features": []}}

    def RunResumeStatus(self, asked: dict) -> dict:
        run = self.server.runs.get(asked["name"])
        project = {"id": "p", "name": asked["project"], "entity": {"id": "e", "name": ENTITY}}
        return {"model": project | {"bucket": None if run is None else self._resumed(asked, run)}}

    def _resumed(self, asked: dict, run: ServedRun) -> dict:
        return {
            "id": asked["name"],
            "name": asked["name"],
            "displayName": run.name,
            "summaryMetrics": json.dumps(run.summary),
            "config": json.dumps(run.config),
            "logLineCount": 0,
            "historyLineCount": len(run.history),
            "eventsLineCount": 0,
            "historyTail": json.dumps([json.dumps(row) for row in run.history[-1:]]),
            "eventsTail": "[]",
            "tags": [],
            "notes": "",
            "wandbConfig": json.dumps({"t": run.config["_wandb"]["value"]["t"]}),
        }

    def UpsertBucket(self, asked: dict) -> dict:
        run_id = asked.get("name") or asked["id"]
        inserted = run_id not in self.server.runs
        run = self.server.runs.setdefault(run_id, ServedRun())
        run.project = asked.get("project") or run.project
        run.sweep = asked.get("sweep") or run.sweep
        run.group = asked.get("groupName") or run.group
        run.name = asked.get("displayName") or run.name
        run.config |= json.loads(asked.get("config") or "{}")
        project = {"id": "p", "name": run.project, "entity": {"id": "e", "name": ENTITY}}
        bucket = {
            "id": run_id,
            "name": run_id,
            "displayName": run.name,
            "description": "",
            "config": json.dumps(run.config),
            "sweepName": run.sweep,
            "project": project,
            "historyLineCount": len(run.history),
        }
        return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}

    def CreateRunFiles(self, asked: dict) -> dict:
        run = asked["run"]
        files = [{"name": n, "uploadUrl": f"{self._url}/run/{run}/{n}"} for n in asked["files"]]
        return {"createRunFiles": {"runID": run, "uploadHeaders": [], "files": files}}

    def RunStoppedStatus(self, _: dict) -> dict:
        return {"project": {"run": {"stopped": False}}}

    def XXHashDigestsEnabled(self, _: dict) -> dict:
        return {"entity": {"xxhashDigestsEnabled": False}}

    def FetchArtifactDigestAlgorithm(self, _: dict) -> dict:
        return {"project": {"artifactType": None}}

    def CreateArtifact(self, asked: dict) -> dict:
        about = asked["input"]
        name = (about.get("artifactCollectionNames") or [about.get("artifactCollectionName")])[0]
        number = f"a{len(self.server.artifacts)}"
        files = self.server.artifacts[number] = {}
        self.server.runs[about["runName"]].artifacts[name] = files
        artifact = {"id": number, "state": "PENDING", "artifactSequence": {"latestArtifact": None}}
        return {"createArtifact": {"artifact": artifact}}

    def CreateArtifactManifest(self, asked: dict) -> dict:
        file = {"id": "f", "uploadUrl": f"{self._url}/artifact/{asked['artifactID']}/manifest"}
        manifest = {"id": "m", "file": file | {"uploadHeaders": []}}
        return {"createArtifactManifest": {"artifactManifest": manifest}}

    UpdateArtifactManifest = CreateArtifactManifest

    def CreateArtifactFiles(self, asked: dict) -> dict:
        files = asked["input"]["artifactFiles"]
        edges = [{"node": self._artifact_file(file["artifactID"], file["name"])} for file in files]
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def _artifact_file(self, artifact: str, name: str) -> dict:
        return {
            "storagePath": name,
            "uploadUrl": f"{self._url}/artifact/{artifact}/{name}",
            "uploadHeaders": [],
            "uploadMultipartUrls": None,
            "artifact": {"id": artifact},
        }

    def CommitArtifact(self, asked: dict) -> dict:
        return {"commitArtifact": {"artifact": {"id": asked["artifactID"], "digest": "d"}}}

    def UpsertSweep(self, asked: dict) -> dict:
        name = f"sweep{len(self.server.sweeps)}"
        config = yaml.safe_load(asked["config"])
        self.server.sweeps[name] = ServedSweep(asked["projectName"], config)
        project = {"id": "p", "name": asked["projectName"], "entity": {"id": "e", "name": ENTITY}}
        sweep = {"name": name, "project": project}
        return {"upsertSweep": {"sweep": sweep, "configValidationWarnings": []}}

    def SweepWithRuns(self, asked: dict) -> dict:
        sweep = self.server.sweeps.get(asked["sweep"])
        if sweep is None or sweep.project != asked["project"]:
            return {"project": None}
        found = {"name": asked["sweep"], "config": yaml.safe_dump(sweep.config)}
        return {"project": {"sweep": found | {"runs": {"edges": []}}}}

    def CreateAgent(self, asked: dict) -> dict:
        agent = f"agent{len(self.server.agents)}"
        self.server.agents[agent] = asked["sweep"]
        return {"createAgent": {"agent": {"id": agent}}}

    def Heartbeat(self, asked: dict) -> dict:
        """One run after the other, and the end after the last of them."""
        name = self.server.agents[asked["id"]]
        is_busy = any(json.loads(asked["runState"]).values())
        commands = [] if is_busy else [self._command(name, self.server.sweeps[name])]
        agent = {"agent": {"id": asked["id"]}, "commands": json.dumps(commands)}
        return {"agentHeartbeat": agent}

    def _command(self, name: str, sweep: ServedSweep) -> dict:
        rest = list(sweep.settings())[len(sweep.runs) :]
        if not rest:
            return {"type": "exit"}
        run_id = f"{name}run{len(sweep.runs)}"
        sweep.runs[run_id] = rest[0]
        args = {key: {"value": value} for key, value in rest[0].items()}
        return {"type": "run", "run_id": run_id, "program": sweep.config["program"], "args": args}

    @property
    def _url(self) -> str:
        return self.server.url
