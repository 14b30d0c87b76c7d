"""Traces to a real receiver of OTLP over HTTP, on loopback."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from crewkit.cli.group import crewkit
from crewkit.core.events import Draft
from crewkit.journal.base import Write
from crewkit.journal.sqlite import SqliteJournal
from crewkit.traces.send import CollectorError, send_run


class Collector(HTTPServer):
    """Keeps the spans that it is sent, by their ids."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: dict[bytes, object] = {}
        self.largest = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        request = ExportTraceServiceRequest.FromString(body)
        self.server.largest = max(self.server.largest, len(body))
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.server.spans |= {span.span_id: span for span in scope.spans}
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def attributes(span: object) -> dict[str, object]:
    return {each.key: each.value for each in span.attributes}


def test_a_run_arrives_whole_and_twice_is_once(collector, events):
    many, _ = send_run(events, {}, to=collector.address)
    send_run(events, {}, to=collector.address)
    spans = list(collector.spans.values())
    assert len(spans) == many
    assert {span.trace_id for span in spans} == {spans[0].trace_id}
    [root] = [span for span in spans if span.parent_span_id not in collector.spans]
    assert root.name == "invoke_workflow launch"
    assert all("openinference.span.kind" in attributes(span) for span in spans)
    told = [event.data["usage"] for event in events if event.type == "model.finished"]
    chats = [attributes(span) for span in spans if span.name.startswith("chat")]
    total = sum(chat["llm.token_count.total"].int_value for chat in chats)
    assert total == sum(usage["input_tokens"] + usage["output_tokens"] for usage in told)
    assert collector.largest < 4 * 1024 * 1024


def test_a_collector_that_is_away_is_reported_once(events, capfd):
    with pytest.raises(CollectorError, match="did not take the traces"):
        send_run(events, {}, to="http://127.0.0.1:9")
    assert capfd.readouterr().err == ""


def test_a_collector_that_is_silent_is_asked_once_and_reported_once(events, capfd):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(CollectorError, match="did not take the traces"):
            send_run(events, {}, to=f"http://127.0.0.1:{silent.getsockname()[1]}")
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()
    assert capfd.readouterr().err == ""


@pytest.fixture
def kept(tmp_path, monkeypatch) -> str:
    monkeypatch.setenv("CREWKIT_HOME", str(tmp_path))
    monkeypatch.delenv("CREWKIT_JOURNAL", raising=False)
    with SqliteJournal(tmp_path / "journal.db") as journal:
        lease = journal.begin("r-kept", "digest", "s")
        ts = "2026-01-01T00:00:00.000000Z"
        begun = Draft("run.started", data={"crew": "digest"}, ts=ts)
        drafts = [begun, Draft("run.finished", data={"status": "completed"}, ts=ts)]
        journal.append([Write("r-kept", drafts, lease.epoch)])
        journal.release(lease)
    return "r-kept"


def invoke(*arguments: str):
    from click.testing import CliRunner

    return CliRunner().invoke(crewkit, list(arguments))


def test_the_command_sends_a_run(collector, kept):
    said = invoke("export", kept, "--format", "otlp", "--endpoint", collector.address)
    assert said.output == f"1 span sent to {collector.address}/v1/traces\n"
    assert [span.name for span in collector.spans.values()] == ["invoke_workflow digest"]


def test_what_goes_with_another_format_is_refused(kept):
    assert "goes with --format otlp" in str(invoke("export", kept, "--endpoint", "http://x").exception)
    assert "sent, not written" in str(invoke("export", kept, "--format", "otlp", "-o", "x").exception)


def test_a_run_is_sent_when_it_ends(collector, tmp_path, monkeypatch):
    monkeypatch.setenv("CREWKIT_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "add.py").write_text(
        "from crewkit import Crew, Task\n\ndef add() -> str:\n    return 'sum'\n\ncrew = Crew([Task('add', do=add)])\n"
    )
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.address)
    assert invoke("run", "add.py").exit_code == 0
    assert {span.name for span in collector.spans.values()} >= {"invoke_workflow add", "execute_tool add"}
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    said = invoke("run", "add.py", "--otel")
    assert said.exit_code == 0
    assert said.output.count("did not take the traces") == 1
