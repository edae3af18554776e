//! A trace while it is recorded.

use fastrand::Rng;

use crate::context::{self, Context, Source};
use crate::options::TraceOptions;
use crate::sample;
use crate::store::{Full, Store, TagValue, Tags, Text};

/// A span of a [`Trace`], by its place there. It means nothing in another trace, nor after [`Trace::reset`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanId(pub u32);

/// Why something was not recorded. None of these harms what was recorded before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRecorded {
    /// [`TraceOptions::spans_max`], [`TraceOptions::bytes_max`] or
    /// [`SPAN_TAGS_MAX_COUNT`](crate::SPAN_TAGS_MAX_COUNT) is reached. Counted on the root.
    NoRoom,
    /// The trace has no such span.
    NoSuchSpan,
    /// The span is finished, and stays as it was finished.
    Finished,
    /// It comes too late: spans have begun.
    Begun,
    /// A number that is not finite, a priority that does not exist, or a tag without a name.
    Invalid,
}

impl std::fmt::Display for NotRecorded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoRoom => "no room: the trace's bound of spans, bytes or tags is reached",
            Self::NoSuchSpan => "the trace has no such span",
            Self::Finished => "the span is finished",
            Self::Begun => "too late: spans have begun",
            Self::Invalid => "not a finite number, not a priority, or a tag without a name",
        })
    }
}

impl std::error::Error for NotRecorded {}

/// What names a span outside of its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// High 64 bits of the trace id; 0 when it has only 64.
    pub trace_high: u64,
    /// Low 64 bits of the trace id.
    pub trace_low: u64,
    /// The span.
    pub span: u64,
}

/// Spans a trace keeps memory for, from one request to the next.
const KEPT_SPANS: usize = 1_024;

#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) id: u64,
    pub(crate) parent_id: u64,
    /// Place of the parent, when it is here.
    pub(crate) parent: Option<u32>,
    /// Nanoseconds since 1970.
    pub(crate) start: u64,
    /// Nanoseconds; `None` until it is finished.
    pub(crate) duration: Option<u64>,
    pub(crate) name: Text,
    /// [`Text::NONE`]: the process's.
    pub(crate) service: Text,
    /// [`Text::NONE`]: the name.
    pub(crate) resource: Text,
    pub(crate) span_type: Text,
    pub(crate) tags: Tags,
    pub(crate) is_error: bool,
}

/// The spans of one request. One thread at a time uses it.
#[derive(Debug)]
pub struct Trace {
    pub(crate) options: TraceOptions,
    ids: Rng,
    pub(crate) context: Context,
    /// What was said by hand.
    kept: Option<i32>,
    pub(crate) spans: Vec<Span>,
    pub(crate) store: Store,
    pub(crate) spans_dropped: u64,
    pub(crate) tags_dropped: u64,
}

/// What is known of whether a trace is kept.
pub(crate) struct Decision<'a> {
    pub(crate) priority: i32,
    /// `_dd.p.dm`; empty when there is none.
    pub(crate) maker: &'a str,
    /// The rate that decided here.
    pub(crate) rate: Option<f64>,
}

impl Trace {
    /// A trace without spans. Its ids follow from `seed`, which must be random and another one for each trace and
    /// each process.
    pub fn new(options: TraceOptions, seed: u64) -> Self {
        Self {
            store: Store::new(options.bytes_max),
            options,
            ids: Rng::with_seed(seed),
            context: Context::default(),
            kept: None,
            spans: Vec::new(),
            spans_dropped: 0,
            tags_dropped: 0,
        }
    }

    /// What holds for all requests.
    pub fn options(&self) -> &TraceOptions {
        &self.options
    }

    /// Says that this is another process now, as a child must after a fork: its ids follow from another seed, and
    /// what its parent had recorded here is forgotten, for the parent sends it.
    pub fn enter_process(&mut self, process_id: u32, runtime_id: &str, seed: u64) {
        self.reset();
        self.ids = Rng::with_seed(seed);
        self.options.process_id = process_id;
        runtime_id.clone_into(&mut self.options.runtime_id);
    }

    /// Forgets spans and context for the next request. Memory is kept, up to a bound of some 0.7 MB.
    pub fn reset(&mut self) {
        self.context.clear();
        self.kept = None;
        self.spans.clear();
        self.spans.shrink_to(KEPT_SPANS);
        self.store.clear();
        self.spans_dropped = 0;
        self.tags_dropped = 0;
    }

    /// Takes the context from a request's headers (name, value), whose names are compared without case; others are
    /// passed over. See the rules at [`Source`]. What is malformed is ignored and counted
    /// ([`HEADERS_IGNORED`](crate::HEADERS_IGNORED)).
    ///
    /// # Errors
    /// [`NotRecorded::Begun`] when there are spans already.
    pub fn extract<'h>(
        &mut self,
        headers: impl IntoIterator<Item = (&'h [u8], &'h [u8])>,
    ) -> Result<Source, NotRecorded> {
        if !self.spans.is_empty() {
            return Err(NotRecorded::Begun);
        }
        Ok(context::extract(headers, &mut self.context))
    }

    /// Begins a span at `start` (nanoseconds since 1970). Without a parent it is the root, whose parent is the
    /// extracted context's span when there is one; later ones without a parent are children of the root.
    ///
    /// # Errors
    /// [`NotRecorded::NoRoom`], which is counted, or [`NotRecorded::NoSuchSpan`] for the parent.
    pub fn start(&mut self, parent: Option<SpanId>, name: &[u8], start: u64) -> Result<SpanId, NotRecorded> {
        let is_full = self.spans.len() >= self.options.spans_max.min(u32::MAX as usize);
        if is_full || self.spans.try_reserve(1).is_err() {
            self.spans_dropped += 1;
            return Err(NotRecorded::NoRoom);
        }
        let (parent, parent_id) = match parent.or((!self.spans.is_empty()).then_some(SpanId(0))) {
            Some(SpanId(place)) => (Some(place), self.span(SpanId(place))?.id),
            None => {
                if !self.context.is_known() {
                    // As Datadog's tracers: the begin in seconds, zeros, and 64 bits at random.
                    self.context.trace_high = (start / 1_000_000_000) << 32;
                    self.context.trace_low = new_id(&mut self.ids);
                }
                (None, self.context.parent_id)
            }
        };
        let Ok(name) = self.store.text(name) else {
            self.spans_dropped += 1;
            return Err(NotRecorded::NoRoom);
        };
        let place = SpanId(self.spans.len() as u32);
        self.spans.push(Span {
            id: new_id(&mut self.ids),
            parent_id,
            parent,
            start,
            duration: None,
            name,
            service: Text::NONE,
            resource: Text::NONE,
            span_type: Text::NONE,
            tags: Tags::default(),
            is_error: false,
        });
        Ok(place)
    }

    /// Names a span anew.
    ///
    /// # Errors
    /// [`NotRecorded::NoRoom`], which is counted as a tag, or [`NotRecorded::NoSuchSpan`].
    pub fn set_name(&mut self, span: SpanId, name: &[u8]) -> Result<(), NotRecorded> {
        self.set(span, name, |span| &mut span.name)
    }

    /// Sets the service, in place of the process's.
    ///
    /// # Errors
    /// As [`Trace::set_name`].
    pub fn set_service(&mut self, span: SpanId, service: &[u8]) -> Result<(), NotRecorded> {
        self.set(span, service, |span| &mut span.service)
    }

    /// Sets the resource, in place of the name.
    ///
    /// # Errors
    /// As [`Trace::set_name`].
    pub fn set_resource(&mut self, span: SpanId, resource: &[u8]) -> Result<(), NotRecorded> {
        self.set(span, resource, |span| &mut span.resource)
    }

    /// Sets the type: `web`, `sql`, `http`, ...
    ///
    /// # Errors
    /// As [`Trace::set_name`].
    pub fn set_type(&mut self, span: SpanId, span_type: &[u8]) -> Result<(), NotRecorded> {
        self.set(span, span_type, |span| &mut span.span_type)
    }

    fn set(
        &mut self,
        span: SpanId,
        text: &[u8],
        field: impl Fn(&mut Span) -> &mut Text,
    ) -> Result<(), NotRecorded> {
        let span = self.spans.get_mut(span.0 as usize).ok_or(NotRecorded::NoSuchSpan)?;
        let result = self.store.replace(field(span), text);
        self.counted(result)
    }

    /// Sets a tag, in place of a tag or metric of the same name. Finished spans may be tagged too.
    ///
    /// # Errors
    /// [`NotRecorded::NoRoom`], which is counted, [`NotRecorded::NoSuchSpan`], or [`NotRecorded::Invalid`] for an
    /// empty name.
    pub fn tag(&mut self, span: SpanId, key: &[u8], value: &[u8]) -> Result<(), NotRecorded> {
        self.set_tag(span, key, TagValue::Text(value))
    }

    /// Sets a metric, in place of a tag or metric of the same name.
    ///
    /// # Errors
    /// As [`Trace::tag`]; [`NotRecorded::Invalid`] also for a number that is not finite.
    pub fn metric(&mut self, span: SpanId, key: &[u8], value: f64) -> Result<(), NotRecorded> {
        if !value.is_finite() {
            return Err(NotRecorded::Invalid);
        }
        self.set_tag(span, key, TagValue::Number(value))
    }

    fn set_tag(&mut self, span: SpanId, key: &[u8], value: TagValue<'_>) -> Result<(), NotRecorded> {
        if key.is_empty() {
            return Err(NotRecorded::Invalid);
        }
        let span = self.spans.get_mut(span.0 as usize).ok_or(NotRecorded::NoSuchSpan)?;
        let result = self.store.tag(&mut span.tags, key, value);
        self.counted(result)
    }

    fn counted(&mut self, result: Result<(), Full>) -> Result<(), NotRecorded> {
        result.map_err(|Full| {
            self.tags_dropped += 1;
            NotRecorded::NoRoom
        })
    }

    /// Marks a span as failed, with `error.type`, `error.message` and `error.stack` as far as they are not empty.
    ///
    /// # Errors
    /// As [`Trace::tag`]; the span is marked even when a text finds no room.
    pub fn error(
        &mut self,
        span: SpanId,
        error_type: &[u8],
        message: &[u8],
        stack: &[u8],
    ) -> Result<(), NotRecorded> {
        self.spans.get_mut(span.0 as usize).ok_or(NotRecorded::NoSuchSpan)?.is_error = true;
        let tags: [(&[u8], &[u8]); 3] =
            [(b"error.type", error_type), (b"error.message", message), (b"error.stack", stack)];
        let mut result = Ok(());
        for (key, value) in tags {
            if !value.is_empty() {
                result = result.and(self.tag(span, key, value));
            }
        }
        result
    }

    /// Finishes a span that took `duration` nanoseconds.
    ///
    /// # Errors
    /// [`NotRecorded::Finished`] when it is finished, [`NotRecorded::NoSuchSpan`].
    pub fn finish(&mut self, span: SpanId, duration: u64) -> Result<(), NotRecorded> {
        let span = self.spans.get_mut(span.0 as usize).ok_or(NotRecorded::NoSuchSpan)?;
        if span.duration.is_some() {
            return Err(NotRecorded::Finished);
        }
        span.duration = Some(duration);
        Ok(())
    }

    /// What names the span outside.
    ///
    /// # Errors
    /// [`NotRecorded::NoSuchSpan`].
    pub fn ids(&self, span: SpanId) -> Result<Ids, NotRecorded> {
        let span = self.span(span)?.id;
        Ok(Ids { trace_high: self.context.trace_high, trace_low: self.context.trace_low, span })
    }

    /// Says by hand whether the trace is kept: 2 (keep) or -1 (drop), or the automatic 1 and 0. It overrules
    /// context and rate, from now on: what was injected before carries what held then.
    ///
    /// # Errors
    /// [`NotRecorded::Invalid`] for any other priority.
    pub fn keep(&mut self, priority: i32) -> Result<(), NotRecorded> {
        if !sample::PRIORITIES.contains(&priority) {
            return Err(NotRecorded::Invalid);
        }
        self.kept = Some(priority);
        Ok(())
    }

    /// The sampling priority as it stands; `None` before the first span when no context says it.
    pub fn priority(&self) -> Option<i32> {
        (self.kept.is_some() || self.context.priority.is_some() || !self.spans.is_empty())
            .then(|| self.decision().priority)
    }

    /// Spans that are recorded.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether nothing is recorded.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Gives the headers that hand `span` on to whoever is called, both Datadog's and W3C's: `each` takes a name in
    /// lower case and a value of printable ASCII.
    ///
    /// # Errors
    /// [`NotRecorded::NoSuchSpan`].
    pub fn inject(&self, span: SpanId, each: impl FnMut(&str, &str)) -> Result<(), NotRecorded> {
        context::inject(&self.context, &self.decision(), self.span(span)?.id, each);
        Ok(())
    }

    pub(crate) fn decision(&self) -> Decision<'_> {
        let decision = |priority, maker| Decision { priority, maker, rate: None };
        match (self.kept, self.context.priority, self.options.sample_rate.filter(|rate| !rate.is_nan())) {
            (Some(priority), ..) => decision(priority, if priority > 0 { sample::MANUAL } else { "" }),
            (None, Some(priority), _) => decision(priority, &self.context.decision_maker),
            (None, None, None) => decision(1, sample::DEFAULT),
            (None, None, Some(rate)) => {
                let rate = rate.clamp(0.0, 1.0);
                let (priority, maker) =
                    if sample::keeps(self.context.trace_low, rate) { (2, sample::RULE) } else { (-1, "") };
                Decision { priority, maker, rate: Some(rate) }
            }
        }
    }

    fn span(&self, span: SpanId) -> Result<&Span, NotRecorded> {
        self.spans.get(span.0 as usize).ok_or(NotRecorded::NoSuchSpan)
    }
}

/// 63 bits, for languages whose integers are signed; never 0, which means none.
fn new_id(ids: &mut Rng) -> u64 {
    ids.u64(1..1 << 63)
}
