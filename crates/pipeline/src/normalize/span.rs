//! The rules for one span, in one pass over its tags.

use super::{Fault, Faults};
use crate::truncate;
use model::{Bump, Span};

/// Longest span type, in bytes.
const TYPE_MAX_BYTES: usize = 100;
/// 2000-01-01, nanoseconds since the Unix epoch: what started earlier has no valid start.
const YEAR_2000_NS: i64 = 946_684_800_000_000_000;

/// What all spans of a chunk share while they are normalized.
pub(crate) struct Normalizer<'c, 'a> {
    pub(crate) arena: &'a Bump,
    /// Language of the tracer.
    pub(crate) lang: &'c str,
    pub(crate) now_ns: i64,
    pub(crate) faults: &'c Faults,
    /// What was found on the way.
    pub(crate) found: Found<'a>,
    /// The service and the operation met last that had no fault.
    pub(crate) last: Last<'a>,
}

/// Texts met last, and what became of them. Neighbouring spans mostly share them, as one slice of the body.
#[derive(Default)]
pub(crate) struct Last<'a> {
    service: Option<(&'a str, &'a str)>,
    name: Option<(&'a str, &'a str)>,
}

/// Tags of a chunk that mean something beyond their span.
#[derive(Default)]
pub(crate) struct Found<'a> {
    /// High half of the trace id, as the first span has it (`_dd.p.tid`).
    trace_id_high: Option<&'a str>,
    /// Who decided on sampling: the first `_dd.p.dm`.
    pub(crate) decision_maker: Option<&'a str>,
    /// Tags of the traced process, as the first span has them (`_dd.tags.process`).
    pub(crate) process_tags: Option<&'a str>,
}

impl<'a> Normalizer<'_, 'a> {
    /// Normalizes the spans of a chunk.
    ///
    /// # Errors
    /// When the chunk cannot be repaired.
    pub(crate) fn chunk(&mut self, spans: &mut [Span<'a>]) -> Result<(), Fault> {
        let Some(trace_id) = spans.first().map(|span| span.trace_id) else {
            return Err(Fault::EmptyTrace);
        };
        for (index, span) in spans.iter_mut().enumerate() {
            if span.trace_id != trace_id {
                return Err(Fault::ForeignSpan);
            }
            self.span(span, index == 0)?;
        }
        Ok(())
    }

    fn span(&mut self, span: &mut Span<'a>, first: bool) -> Result<(), Fault> {
        if span.trace_id == 0 {
            return Err(Fault::TraceIdZero);
        }
        if span.span_id == 0 {
            return Err(Fault::SpanIdZero);
        }
        span.service = match self.last.service {
            Some((met, normal)) if std::ptr::eq(met, span.service) => normal,
            _ => {
                let found = super::service(self.arena, span.service, self.lang);
                self.last.service = found.1.is_none().then_some((span.service, found.0));
                self.note(found)
            }
        };
        span.name = match self.last.name {
            Some((met, normal)) if std::ptr::eq(met, span.name) => normal,
            _ => {
                let found = super::name(self.arena, span.name);
                self.last.name = found.1.is_none().then_some((span.name, found.0));
                self.note(found)
            }
        };
        if span.resource.is_empty() {
            self.faults.record(Fault::ResourceEmpty);
            span.resource = span.name;
        }
        if span.parent_id == span.trace_id && span.parent_id == span.span_id {
            span.parent_id = 0;
        }
        self.times(span);
        if span.span_type.len() > TYPE_MAX_BYTES {
            self.faults.record(Fault::TypeTruncated);
            span.span_type = truncate::at(span.span_type, TYPE_MAX_BYTES);
        }
        self.meta(span, first)?;
        for link in span.links.iter_mut() {
            for (key, value) in link.attributes.iter_mut() {
                if *key == "link.name" {
                    (*value, _) = super::name(self.arena, value);
                }
            }
        }
        Ok(())
    }

    fn times(&self, span: &mut Span<'_>) {
        if span.duration < 0 || span.start.checked_add(span.duration).is_none() {
            self.faults.record(Fault::InvalidDuration);
            span.duration = 0;
        }
        if span.start < YEAR_2000_NS {
            self.faults.record(Fault::InvalidStart);
            let start = self.now_ns.saturating_sub(span.duration);
            span.start = if start < 0 { self.now_ns } else { start };
        }
    }

    /// The one pass over the tags. Keys are told apart by their length first.
    fn meta(&mut self, span: &mut Span<'a>, first: bool) -> Result<(), Fault> {
        // The last value of a repeated key counts.
        let mut status_is_valid = true;
        for (key, value) in span.meta.iter_mut() {
            match key.len() {
                3 if *key == "env" => *value = super::tag_value(self.arena, value),
                8 if *key == "_dd.p.dm" => {
                    self.found.decision_maker.get_or_insert(value);
                }
                9 if *key == "_dd.p.tid" => {
                    // Tracers set it on the first span; where another has it too, it must agree.
                    if first {
                        self.found.trace_id_high = Some(value);
                    } else if self.found.trace_id_high.is_some_and(|high| high != *value) {
                        return Err(Fault::ForeignSpan);
                    }
                }
                12 if *key == "peer.service" => {
                    *value = self.note(super::peer_service(self.arena, value));
                }
                16 => match *key {
                    "http.status_code" => status_is_valid = is_http_status(value),
                    "_dd.base_service" => {
                        let (normal, fault) = super::peer_service(self.arena, value);
                        *value = normal;
                        match fault {
                            None => {}
                            Some(Fault::PeerServiceTruncated) => {
                                self.faults.record(Fault::BaseServiceTruncated);
                            }
                            Some(_) => self.faults.record(Fault::BaseServiceInvalid),
                        }
                    }
                    "_dd.tags.process" if first => self.found.process_tags = Some(value),
                    _ => {}
                },
                _ => {}
            }
        }
        if !status_is_valid {
            self.faults.record(Fault::InvalidHttpStatusCode);
            span.meta.retain(|(key, _)| *key != "http.status_code");
        }
        Ok(())
    }

    fn note(&self, (value, fault): (&'a str, Option<Fault>)) -> &'a str {
        if let Some(fault) = fault {
            self.faults.record(fault);
        }
        value
    }
}

/// A whole number in 100..600, without a sign.
fn is_http_status(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
        && text.parse::<u64>().is_ok_and(|code| (100..600).contains(&code))
}
