//! One trace request: decode, process, encode, enqueue, answer. All of it in one go on the worker that
//! read the body, so that a span is touched while it is in the cache and nothing is copied twice.

use super::client::ClientHeaders;
use super::door::{Body, Reason, Refusal};
use super::egress::HEADER_RESERVE_BYTES;
use super::labels::Labels;
use super::routes::Route;
use super::{Intake, Taken};
use crate::clock;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use http_body_util::Full;
use model::limits::{CHUNK_ARENA_MAX_BYTES, TRACE_BATCH_MAX_BYTES, WHOLE_DECODE_MAX_BYTES};
use model::{Bump, Chunk, Payload, Receipt, Signal, Span};
use pipeline::process::{Client, Processed};
use std::cell::RefCell;
use std::sync::Arc;
use wire::intake::traces::{TRACER_PAYLOAD_OVERHEAD_BYTES, TraceEncoder};
use wire::traces::{Format, TraceReader};
use wire::{DecodeError, ErrorKind};

/// Version of the sampling rates, in request and reply (`facts/trace-intake.md` §3.4).
const RATES_VERSION: HeaderName = HeaderName::from_static("datadog-rates-payload-version");
/// What a worker keeps of its scratch memory between requests.
const SCRATCH_KEPT_MAX_BYTES: usize = 1024 * 1024;

/// Chunks of one tracer payload, encoded; with the payload's own fields they fit a batch.
const PIECE_MAX_BYTES: usize = TRACE_BATCH_MAX_BYTES - 2 * HEADER_RESERVE_BYTES;

/// Memory a worker uses over and over.
#[derive(Default)]
struct Scratch {
    /// Holds what the whole payload shares, and all its chunks when the body is small.
    payload: Bump,
    /// Holds one chunk of a big body at a time.
    chunk: Bump,
    /// Chunks encoded for the piece under way.
    content: Vec<u8>,
    /// The fields of the payload around them.
    fields: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Scratch {
    fn reset(&mut self) {
        for arena in [&mut self.payload, &mut self.chunk] {
            if arena.allocated_bytes() > SCRATCH_KEPT_MAX_BYTES {
                *arena = Bump::new();
            } else {
                arena.reset();
            }
            arena.set_allocation_limit(Some(CHUNK_ARENA_MAX_BYTES));
        }
        for buffer in [&mut self.content, &mut self.fields] {
            buffer.clear();
            buffer.shrink_to(SCRATCH_KEPT_MAX_BYTES);
        }
    }
}

impl Intake {
    /// Accepts the spans of one request, or refuses it whole.
    pub(super) fn traces(
        &self,
        route: Route,
        headers: &HeaderMap,
        taken: Taken<'_>,
        labels: &Labels,
    ) -> Result<Response<Body>, Refusal> {
        let Some(format) = route.trace_format(&taken.bytes) else {
            return Err(Refusal::new(Reason::NotFound, "not a trace route"));
        };
        let client = ClientHeaders::read(headers);
        SCRATCH.with(|scratch| {
            // A request that panicked cannot have left it borrowed: the guard is dropped on unwind.
            let mut scratch = scratch.borrow_mut();
            scratch.reset();
            let accepted = self.accept(format, &client, taken, labels, &mut scratch);
            scratch.reset();
            accepted
        })?;
        Ok(self.rates_reply(route, &client))
    }

    fn accept(
        &self,
        format: Format,
        headers: &ClientHeaders<'_>,
        taken: Taken<'_>,
        labels: &Labels,
        scratch: &mut Scratch,
    ) -> Result<(), Refusal> {
        let Taken { bytes, room, hold } = taken;
        let Scratch { payload: arena, chunk: chunk_arena, content, fields } = scratch;
        let (mut payload, mut reader) = TraceReader::open(format, &bytes, arena).map_err(refused)?;
        fill_from_headers(&mut payload, headers);
        let chunk_count = reader.chunk_count();
        let whole = bytes.len() <= WHOLE_DECODE_MAX_BYTES;
        // Nothing is accepted before everything is understood.
        let Counted { spans, text_bytes } = if whole {
            let mut counted = Counted::default();
            while let Some(chunk) = reader.next_chunk(arena).map_err(refused)? {
                counted.add(format, &chunk);
                payload.chunks.push(chunk);
            }
            counted
        } else {
            count(format, &bytes, chunk_arena)?
        };
        let room = self.cover_text(room, text_bytes)?;
        let mut receipt = self.books.accept(Signal::Traces, spans as u64);
        if let Some(hold) = hold {
            receipt.attach(hold);
        }
        let mut run = Run {
            intake: self,
            labels,
            headers,
            chunk_count,
            now: clock::unix_nanos(),
            receipt,
            kept: 0,
            room,
            content,
            fields,
        };
        if whole {
            // What processing adds is small and must not fail.
            arena.set_allocation_limit(None);
            let mut chunks = std::mem::replace(&mut payload.chunks, model::List::new_in(arena));
            for chunk in &mut chunks {
                run.chunk(arena, &mut payload, chunk);
            }
        } else {
            arena.set_allocation_limit(None);
            let mut shared = Shared::of(&payload, arena);
            loop {
                chunk_arena.reset();
                // The first pass has understood every chunk, so this one does too.
                chunk_arena.set_allocation_limit(Some(CHUNK_ARENA_MAX_BYTES));
                let Ok(Some(mut chunk)) = reader.next_chunk(chunk_arena) else { break };
                chunk_arena.set_allocation_limit(None);
                let mut view = shared.view(chunk_arena);
                run.chunk(chunk_arena, &mut view, &mut chunk);
                shared.learn(&view, arena);
            }
            shared.give_back(&mut payload);
        }
        run.finish(&payload);
        Ok(())
    }

    /// Accepts a chunk of our own, which goes the way of all others. It is small, and there is one: it needs no room.
    pub(super) fn accept_own(&self, labels: &Labels, make: impl for<'a> FnOnce(&'a Bump) -> Chunk<'a>) {
        let arena = Bump::new();
        let mut payload = Payload::new_in(&arena);
        let mut chunk = make(&arena);
        let mut run = Run {
            intake: self,
            labels,
            headers: &ClientHeaders::default(),
            chunk_count: 1,
            now: clock::unix_nanos(),
            receipt: self.books.accept(Signal::Traces, chunk.spans.len() as u64),
            kept: 0,
            room: self.budget.force(Signal::Traces, 0),
            content: &mut Vec::new(),
            fields: &mut Vec::new(),
        };
        run.chunk(&arena, &mut payload, &mut chunk);
        run.finish(&payload);
    }

    /// Takes room for texts that stand once in the body and often in what is sent.
    fn cover_text(
        &self,
        mut room: crate::room::Room,
        text_bytes: usize,
    ) -> Result<crate::room::Room, Refusal> {
        if text_bytes > self.budget.limit(Signal::Traces) {
            return Err(Refusal::new(
                Reason::TooLarge,
                format!(
                    "payload-too-large: written out, the texts of its dictionary take {text_bytes} bytes, more than \
                     the memory bound (LASTLIGHT_MEMORY)"
                ),
            ));
        }
        if text_bytes > room.bytes() && !room.grow(text_bytes - room.bytes()) {
            return Err(super::body::no_room());
        }
        Ok(room)
    }

    /// Status 200 with what the priority sampler wants of each service.
    fn rates_reply(&self, route: Route, client: &ClientHeaders<'_>) -> Response<Body> {
        if matches!(route, Route::TracesV02 | Route::TracesV03) {
            let mut response = Response::new(Full::from("OK\n"));
            response
                .headers_mut()
                .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            return response;
        }
        let rates = self.rates.current(&self.processor);
        let known = client.rates_version == Some(rates.version.as_str());
        let body = if known { Bytes::from_static(b"{}") } else { rates.body.clone() };
        let mut response = Response::new(Full::new(body));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if client.rates_version.is_some()
            && let Ok(version) = HeaderValue::from_str(&rates.version)
        {
            headers.insert(RATES_VERSION, version);
        }
        response
    }
}

/// The chunks of one request on their way through.
struct Run<'r> {
    intake: &'r Intake,
    labels: &'r Labels,
    headers: &'r ClientHeaders<'r>,
    chunk_count: usize,
    now: i64,
    /// Spans not settled and not handed on yet.
    receipt: Receipt,
    /// Spans of the receipt that stand in `content`.
    kept: u64,
    room: crate::room::Room,
    content: &'r mut Vec<u8>,
    fields: &'r mut Vec<u8>,
}

impl Run<'_> {
    fn chunk<'a>(&mut self, arena: &'a Bump, payload: &mut Payload<'a>, chunk: &mut Chunk<'a>) {
        let client = Client {
            lang: payload.language_name,
            tracer_version: payload.tracer_version,
            container_id: payload.container_id,
            chunks_in_payload: self.chunk_count,
            ..self.headers.client()
        };
        let stats = (self.intake.settings.compute_stats && !self.headers.computed_stats)
            .then_some(&self.intake.egress.concentrator);
        let Processed { kept, discarded, why, fault } =
            self.intake.processor.chunk(arena, payload, &client, chunk, stats, self.now);
        if let Some(fault) = fault {
            self.intake.say.warn(fault.name(), || format!("dropped {discarded} spans of a trace: {fault}"));
        }
        if discarded > 0 {
            // A chunk that discards says why.
            self.receipt.take(discarded).dropped(why.unwrap_or(model::Why::Sampled));
        }
        if kept > 0 {
            if let Some(origin) = self.labels.chunk_origin
                && chunk.origin.is_empty()
            {
                chunk.origin = origin;
            }
            self.encode(payload, chunk, &chunk.spans);
        }
    }

    /// Encodes spans of a chunk, in parts when they do not fit one batch (losses.md L1).
    fn encode(&mut self, payload: &Payload<'_>, chunk: &Chunk<'_>, spans: &[Span<'_>]) {
        let start = self.content.len();
        self.labels.encoder.chunk(chunk, spans, self.content);
        if self.content.len() <= PIECE_MAX_BYTES {
            self.kept += spans.len() as u64;
        } else if start > 0 {
            // It did not fit with the others: they go first.
            let overflow = self.content.split_off(start);
            self.emit(payload);
            if overflow.len() <= PIECE_MAX_BYTES {
                *self.content = overflow;
                self.kept = spans.len() as u64;
            } else {
                self.encode(payload, chunk, spans);
            }
        } else if spans.len() > 1 {
            self.content.clear();
            let (first, second) = spans.split_at(spans.len() / 2);
            self.encode(payload, chunk, first);
            self.encode(payload, chunk, second);
        } else {
            // One span bigger than a batch goes alone; the backend decides.
            self.kept = 1;
            self.emit(payload);
        }
    }

    /// Hands the encoded chunks to the batch.
    fn emit(&mut self, payload: &Payload<'_>) {
        if self.kept == 0 {
            return;
        }
        self.fields.clear();
        self.labels.encoder.payload_fields(payload, &self.labels.payload_tags, self.fields);
        let mut start = Vec::with_capacity(TRACER_PAYLOAD_OVERHEAD_BYTES);
        TraceEncoder::tracer_payload_start(self.fields.len() + self.content.len(), &mut start);
        let length = start.len() + self.fields.len() + self.content.len();
        let receipt = self.receipt.take(std::mem::take(&mut self.kept));
        let mut room = self.room.split(length);
        room.cover(length);
        self.intake.egress.push_traces(&[&start, self.fields, self.content], receipt, room);
        self.content.clear();
    }

    fn finish(mut self, payload: &Payload<'_>) {
        self.emit(payload);
        debug_assert_eq!(self.receipt.units(), 0, "every span of a request is settled or handed on");
    }
}

/// What the chunks of a big payload share, kept in an arena that outlives each of them.
struct Shared<'a> {
    payload: Payload<'a>,
}

impl<'a> Shared<'a> {
    fn of(payload: &Payload<'a>, arena: &'a Bump) -> Self {
        let mut copy =
            Payload { chunks: model::List::new_in(arena), tags: model::List::new_in(arena), ..*payload };
        copy.tags.extend(payload.tags.iter().copied());
        Self { payload: copy }
    }

    /// The payload as one chunk sees it.
    fn view<'c>(&self, arena: &'c Bump) -> Payload<'c>
    where
        'a: 'c,
    {
        let mut view: Payload<'c> =
            Payload { chunks: model::List::new_in(arena), tags: model::List::new_in(arena), ..self.payload };
        view.tags.extend(self.payload.tags.iter().copied());
        view
    }

    /// Keeps what processing a chunk told of the whole payload (host, environment, version, process tags).
    fn learn(&mut self, view: &Payload<'_>, arena: &'a Bump) {
        let keep = |text: &str, known: &mut &'a str| {
            if known.is_empty() && !text.is_empty() {
                *known = arena.alloc_str(text);
            }
        };
        keep(view.hostname, &mut self.payload.hostname);
        keep(view.env, &mut self.payload.env);
        keep(view.app_version, &mut self.payload.app_version);
        for (key, value) in view.tags.iter().skip(self.payload.tags.len()) {
            self.payload.tags.push((arena.alloc_str(key), arena.alloc_str(value)));
        }
    }

    fn give_back(self, payload: &mut Payload<'a>) {
        *payload = self.payload;
    }
}

/// Headers fill what the payload itself does not say.
fn fill_from_headers<'a>(payload: &mut Payload<'a>, headers: &ClientHeaders<'a>) {
    let fill = |field: &mut &'a str, header: &'a str| {
        if field.is_empty() {
            *field = header;
        }
    };
    fill(&mut payload.language_name, headers.lang);
    fill(&mut payload.language_version, headers.lang_version);
    fill(&mut payload.tracer_version, headers.tracer_version);
    fill(&mut payload.container_id, headers.container_id);
}

/// What a body carries.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    spans: usize,
    /// All texts, each as often as it is used; counted only where that can be more than the body.
    text_bytes: usize,
}

impl Counted {
    fn add(&mut self, format: Format, chunk: &Chunk<'_>) {
        self.spans += chunk.spans.len();
        if format != Format::V05 {
            return;
        }
        for span in &chunk.spans {
            let fields = [span.service, span.name, span.resource, span.span_type];
            let fields: usize = fields.iter().map(|text| text.len()).sum();
            let meta: usize = span.meta.iter().map(|(key, value)| key.len() + value.len()).sum();
            let metrics: usize = span.metrics.iter().map(|(key, _)| key.len()).sum();
            // A text is counted once per two bytes of body or more, so this needs no check for overflow.
            self.text_bytes += fields + meta + metrics;
        }
    }
}

/// Decodes a big body once to see that all of it can be, one chunk in memory at a time.
fn count(format: Format, bytes: &[u8], arena: &mut Bump) -> Result<Counted, Refusal> {
    // The dictionary of v0.5 lives beside the chunks for this pass.
    let mut head = Bump::new();
    head.set_allocation_limit(Some(CHUNK_ARENA_MAX_BYTES));
    let (_, mut reader) = TraceReader::open(format, bytes, &head).map_err(refused)?;
    let mut counted = Counted::default();
    loop {
        arena.reset();
        match reader.next_chunk(arena).map_err(refused)? {
            Some(chunk) => counted.add(format, &chunk),
            None => break,
        }
    }
    drop(reader);
    head.reset();
    Ok(counted)
}

fn refused(error: DecodeError) -> Refusal {
    match error.kind {
        ErrorKind::TooLarge => Refusal::new(Reason::TooLarge, format!("payload-too-large: {error}")),
        ErrorKind::Eof => Refusal::new(Reason::Malformed, format!("unexpected-eof: {error}")),
        _ => Refusal::new(Reason::Malformed, error.to_string()),
    }
}

/// The rates document, rewritten only when the sampler's rates change.
#[derive(Debug, Default)]
pub(crate) struct RatesReply {
    current: std::sync::Mutex<Option<Arc<RatesDocument>>>,
}

/// A rates document and its version.
#[derive(Debug)]
pub(crate) struct RatesDocument {
    pub(super) version: String,
    pub(super) body: Bytes,
}

impl RatesReply {
    fn current(&self, processor: &pipeline::process::Processor) -> Arc<RatesDocument> {
        let rates = processor.rates(clock::unix_nanos());
        let mut current = self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(document) = &*current
            && document.version == rates.version
        {
            return Arc::clone(document);
        }
        let body = serde_json::json!({ "rate_by_service": rates.by_service });
        let document =
            Arc::new(RatesDocument { version: rates.version.clone(), body: Bytes::from(body.to_string()) });
        *current = Some(Arc::clone(&document));
        document
    }
}
