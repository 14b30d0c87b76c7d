"""Spans on their way to a collector, over OTLP/HTTP with protobuf."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from crewkit.core.events import Event
from crewkit.errors import CrewkitError, InputError
from crewkit.traces.spans import Span, spans, trace_id

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

LARGEST_BATCH = 3_000_000
"""Characters of the texts in one request: collectors refuse more than 4 MiB."""
MOST_SPANS = 512
REACH = 1.0
"""Seconds in which a collector has to answer at all."""
SLOW = 10.0
"""Seconds that it may take over one batch."""

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


class CollectorError(CrewkitError):
    """The collector could not be reached, or did not take the spans."""


def wanted(environ: Mapping[str, str]) -> bool:
    """Say whether the environment asks for traces, by the standard variables."""
    off = (
        environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
        or environ.get("OTEL_TRACES_EXPORTER") == "none"
    )
    return not off and bool(environ.get(ENDPOINT) or environ.get(TRACES_ENDPOINT))


def endpoint(environ: Mapping[str, str], given: str = "") -> str:
    """Return the address that spans are posted to; the collector on this machine where none is named."""
    if environ.get(TRACES_ENDPOINT) and not given:
        return environ[TRACES_ENDPOINT]
    base = (given or environ.get(ENDPOINT) or "http://localhost:4318").rstrip("/")
    return base if base.endswith("/v1/traces") else f"{base}/v1/traces"


def send_run(
    events: Sequence[Event], environ: Mapping[str, str], *, to: str = "", content: bool | None = None
) -> tuple[int, str]:
    """Send a run's spans to the collector that is meant; return how many, and where.

    Args:
        events: All the events of the run.
        environ: Names the collector, and says by the standard variable whether content goes with the spans.
        to: Another collector.
        content: Send what was said, called and returned; left out: as the environment says, yes where it says nothing.

    Raises:
        CollectorError: It does not answer within a second, or did not take them.
        InputError: `crewkit[otel]` is not installed.
    """
    if content is None:
        content = environ.get(CONTENT, "true").lower() not in ("false", "no_content", "0")
    address = endpoint(environ, to)
    return send(events[-1].run, spans(events, content=content), address), address


def send(run: str, found: Sequence[Span], address: str) -> int:
    """Send a run's spans; return how many there were. Sending them again adds nothing: they have the same ids.

    Raises:
        CollectorError: It does not answer within a second, or did not take them.
        InputError: `crewkit[otel]` is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import SpanExportResult
    except ImportError as error:
        raise InputError("Traces need one more package: pip install 'crewkit[otel]'") from error
    with _quiet() as said:
        for timeout, batch in ((REACH, []), *((SLOW, batch) for batch in batches(found))):
            exporter = OTLPSpanExporter(address, timeout=timeout)
            try:
                if exporter.export([_readable(run, span) for span in batch]) is not SpanExportResult.SUCCESS:
                    why = said.last or "no answer"
                    raise CollectorError(f"The collector at {address} did not take the traces: {why:.300}")
            finally:
                exporter.shutdown()
    return len(found)


def batches(found: Sequence[Span]) -> Iterator[list[Span]]:
    """Yield the spans in batches that collectors take."""
    batch: list[Span] = []
    size = 0
    for span in found:
        needed = 500 + sum(4 * len(text) if not text.isascii() else len(text) for text in _texts(span))
        if batch and (size + needed > LARGEST_BATCH or len(batch) == MOST_SPANS):
            yield batch
            batch, size = [], 0
        batch.append(span)
        size += needed
    if batch:
        yield batch


def _texts(span: Span) -> Iterator[str]:
    yield span.name
    yield span.error
    for name, value in span.attributes.items():
        yield name
        yield str(value)


def _readable(run: str, span: Span) -> ReadableSpan:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

    import crewkit

    def context(id: str) -> SpanContext:
        return SpanContext(int(trace_id(run), 16), int(id, 16), is_remote=False, trace_flags=TraceFlags(1))

    return ReadableSpan(
        span.name,
        context=context(span.id),
        parent=context(span.parent) if span.parent else None,
        resource=Resource.create({"service.name": "crewkit"}),
        attributes=span.attributes,
        events=[Event(name, attributes, at) for name, at, attributes in span.events],
        kind=SpanKind.CLIENT if span.name.startswith("chat ") else SpanKind.INTERNAL,
        status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.OK),
        start_time=span.start,
        end_time=span.end,
        instrumentation_scope=InstrumentationScope("crewkit", crewkit.__version__),
    )


class _Last(logging.Handler):
    """Keeps the last thing that was said."""

    last = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage()


@contextmanager
def _quiet() -> Generator[_Last]:
    """Keep what the exporter says of its troubles off the screen: they are reported once, by us."""
    logger, handler = logging.getLogger("opentelemetry"), _Last()
    propagates, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates
