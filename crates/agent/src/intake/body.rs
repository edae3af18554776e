//! Reading a request's body: room first, then bytes, within a bound and a time.

use super::door::{Reason, Refusal};
use crate::room::{Budget, Room};
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use model::Signal;
use std::time::Duration;

/// What a body may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Bytes of the body itself.
    pub(crate) max_bytes: usize,
    /// Time from the end of the head to the end of the body.
    pub(crate) timeout: Duration,
    /// Room taken per byte of body: what is held is what the body becomes, too.
    pub(crate) room_per_byte: usize,
}

impl Bounds {
    /// Takes room for a body that is here already.
    pub(crate) fn take(self, budget: &Budget, signal: Signal, length: usize) -> Result<Room, Refusal> {
        if length > self.max_bytes {
            return Err(too_large(length, self.max_bytes));
        }
        budget.take(signal, wanted(length, self, budget)).ok_or_else(no_room)
    }
}

/// A body, and the room that is taken for it.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    pub(crate) room: Room,
}

/// Reads the body of a request.
///
/// Room is taken before a byte is read, from Content-Length; a chunked body takes it as it grows, and is
/// cut off at the bound while reading, not after (losses.md L24).
pub(crate) async fn read(
    budget: &Budget,
    signal: Signal,
    headers: &HeaderMap,
    body: Incoming,
    bounds: Bounds,
) -> Result<Received, Refusal> {
    let chunked = headers.contains_key(header::TRANSFER_ENCODING);
    if !chunked && !headers.contains_key(header::CONTENT_LENGTH) {
        return Err(Refusal::new(Reason::LengthRequired, "send Content-Length or a chunked body"));
    }
    // hyper has checked Content-Length to be a number and refuses a head that carries both.
    let declared = body.size_hint().exact().unwrap_or(0);
    let declared = usize::try_from(declared).unwrap_or(usize::MAX);
    if declared > bounds.max_bytes {
        return Err(too_large(declared, bounds.max_bytes));
    }
    let room = budget.take(signal, wanted(declared, bounds, budget));
    match tokio::time::timeout(bounds.timeout, fill(body, declared, room, bounds)).await {
        Ok(received) => received,
        Err(_) => Err(Refusal::new(
            Reason::Timeout,
            format!("timeout: the body did not arrive within {:?}", bounds.timeout),
        )),
    }
}

/// Reads to the end also when there is no room, and keeps nothing then: a sender that is still writing when
/// the connection closes would hear of a broken connection instead of the reason.
async fn fill(
    mut body: Incoming,
    declared: usize,
    mut room: Option<Room>,
    bounds: Bounds,
) -> Result<Received, Refusal> {
    let mut bytes = Vec::with_capacity(if room.is_some() { declared } else { 0 });
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Refusal::new(Reason::Disconnected, format!("unexpected-eof: the body broke off: {error}"))
        })?;
        let Some(data) = frame.data_ref() else { continue };
        length += data.len();
        if length > bounds.max_bytes {
            return Err(too_large(length, bounds.max_bytes));
        }
        let more = if length > declared { data.len().saturating_mul(bounds.room_per_byte) } else { 0 };
        room = room.take().and_then(|mut room| room.grow(more).then_some(room));
        if room.is_some() {
            bytes.extend_from_slice(data);
        } else {
            bytes = Vec::new();
        }
    }
    let room = room.ok_or_else(no_room)?;
    Ok(Received { bytes, room })
}

/// Room to take for a declared length: what it may become, but never more than half of all there is
/// unless the body alone is bigger, so that the biggest body always has a chance.
fn wanted(declared: usize, bounds: Bounds, budget: &Budget) -> usize {
    declared.saturating_mul(bounds.room_per_byte).min(budget.total_bytes() / 2).max(declared)
}

fn too_large(length: usize, max_bytes: usize) -> Refusal {
    Refusal::new(
        Reason::TooLarge,
        format!(
            "payload-too-large: {length} bytes or more, at most {max_bytes} are taken here (DD_APM_MAX_PAYLOAD_SIZE, LASTLIGHT_MEMORY)"
        ),
    )
}

pub(crate) fn no_room() -> Refusal {
    Refusal::new(
        Reason::NoRoom,
        "no room: what is held for the backend fills the memory bound (LASTLIGHT_MEMORY); try again later",
    )
}
