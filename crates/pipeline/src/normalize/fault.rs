//! What was wrong with received spans, by kind.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! faults {
    ($($variant:ident = $name:literal, $drops:literal, $text:literal;)*) => {
        /// A rule of the reference that a span or a chunk broke.
        #[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
        #[repr(u8)]
        pub enum Fault { $(#[doc = $text] $variant),* }

        impl Fault {
            /// Every fault, in the order in which they are listed.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name used in reports and metrics; the reference's where it has one.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// The chunk cannot be repaired and is dropped.
            pub fn drops_chunk(self) -> bool {
                match self { $(Self::$variant => $drops),* }
            }
        }

        impl fmt::Display for Fault {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text),* })
            }
        }
    };
}

faults! {
    EmptyTrace = "empty_trace", true, "a chunk without spans";
    TraceIdZero = "trace_id_zero", true, "a span with trace id 0";
    SpanIdZero = "span_id_zero", true, "a span with span id 0";
    ForeignSpan = "foreign_span", true, "spans of two traces in one chunk";
    ServiceEmpty = "service_empty", false, "a span without a service";
    ServiceTruncated = "service_truncate", false, "a service longer than 100 bytes";
    ServiceInvalid = "service_invalid", false, "a service without a valid character";
    PeerServiceTruncated = "peer_service_truncate", false, "a peer.service longer than 100 bytes";
    PeerServiceInvalid = "peer_service_invalid", false, "a peer.service without a valid character";
    BaseServiceTruncated = "base_service_truncate", false, "a _dd.base_service longer than 100 bytes";
    BaseServiceInvalid = "base_service_invalid", false, "a _dd.base_service without a valid character";
    NameEmpty = "span_name_empty", false, "a span without a name";
    NameTruncated = "span_name_truncate", false, "a span name longer than 100 bytes";
    NameInvalid = "span_name_invalid", false, "a span name without an ASCII letter";
    ResourceEmpty = "resource_empty", false, "a span without a resource";
    TypeTruncated = "type_truncate", false, "a span type longer than 100 bytes";
    InvalidDuration = "invalid_duration", false, "a duration that is negative or ends after the year 2262";
    InvalidStart = "invalid_start_date", false, "a start before the year 2000";
    InvalidHttpStatusCode = "invalid_http_status_code", false, "an http.status_code outside 100..599";
}

/// How often each fault was met.
#[derive(Debug)]
pub struct Faults([AtomicU64; Fault::ALL.len()]);

impl Default for Faults {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Faults {
    /// How often one fault was met: in spans, or in chunks when it drops the chunk.
    pub fn count(&self, fault: Fault) -> u64 {
        self.0[fault as usize].load(Ordering::Relaxed)
    }

    /// The faults that were met, with their counts.
    pub fn met(&self) -> impl Iterator<Item = (Fault, u64)> + '_ {
        Fault::ALL.iter().map(|fault| (*fault, self.count(*fault))).filter(|(_, count)| *count > 0)
    }

    #[cold]
    pub(crate) fn record(&self, fault: Fault) {
        self.0[fault as usize].fetch_add(1, Ordering::Relaxed);
    }
}
