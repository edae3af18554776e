//! From batches of entries to the forwarder: packed, and in parts where the intake takes no more at a time.

use crate::forward::{Forwarder, Kind, Outgoing, Target};
use crate::logging::SayOnce;
use crate::packing::{Packed, Packer, Packing};
use crate::room::{Budget, Room};
use bytes::Bytes;
use http::{HeaderValue, header};
use model::{Receipt, Why};
use pipeline::outbox::Batch;
use std::borrow::Cow;
use std::sync::Arc;

/// How one kind of payload is sent (`facts/delivery.md` §3.7, §6).
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) kind: Kind,
    /// What is added to the endpoint's URL.
    pub(crate) path: &'static str,
    pub(crate) content_type: &'static str,
    /// Bytes of one payload before it is packed, and after.
    pub(crate) bytes_max: usize,
    pub(crate) packed_max: usize,
    /// What helps where a single entry is too big.
    pub(crate) advice: &'static str,
}

/// Makes the body of a batch, where it is more than one entry after the other.
pub(crate) type Wrap = Arc<dyn Fn(&Batch) -> Vec<u8> + Send + Sync>;

/// Packs and submits.
#[derive(Debug)]
pub(crate) struct Shipper {
    pub(crate) forwarder: Forwarder,
    pub(crate) budget: Budget,
    pub(crate) packing: Packing,
    pub(crate) say: Arc<SayOnce>,
}

impl Shipper {
    /// Packs and submits a batch, in halves where it is too big for the intake. The packer's memory is used again for as
    /// long as one batch follows another.
    pub(crate) async fn ship(
        &self,
        parcel: &Parcel,
        batch: Batch,
        receipt: Receipt,
        wrap: Option<Wrap>,
        packer: &mut Packer,
    ) {
        let mut waiting = vec![(batch, receipt)];
        while let Some((batch, mut receipt)) = waiting.pop() {
            let used = std::mem::take(packer);
            let mut batch = Arc::new(batch);
            let made = match &wrap {
                Some(wrap) => {
                    let (wrap, theirs) = (Arc::clone(wrap), Arc::clone(&batch));
                    used.make_aside(move || wrap(&theirs), self.packing).await
                }
                None => {
                    let bytes = Arc::get_mut(&mut batch).map(|batch| std::mem::take(&mut batch.bytes));
                    used.pack_aside(bytes.unwrap_or_default(), self.packing).await
                }
            };
            // The other half of it ended with that work.
            let (Some((packed, bytes, used)), Some(mut batch)) = (made, Arc::into_inner(batch)) else {
                receipt.dropped(Why::Panicked);
                continue;
            };
            *packer = used;
            let unpacked = bytes.len();
            let sent_bytes = packed.as_ref().map_or(unpacked, |(packed, _)| packed.len());
            if unpacked > parcel.bytes_max || sent_bytes > parcel.packed_max {
                if wrap.is_none() {
                    batch.bytes = bytes;
                }
                match batch.halves() {
                    Ok((first, second)) => {
                        let of_second = receipt.take(second.samples());
                        waiting.push((second, of_second));
                        waiting.push((first, receipt));
                    }
                    // Alone it is too big still: an outcome with a name (losses.md L108).
                    Err(_) => {
                        self.say.warn("oversized", || {
                            let (name, advice) = (parcel.kind.name(), parcel.advice);
                            format!("a payload of {name} is too big, alone: {unpacked} bytes, {sent_bytes} packed; it is dropped: {advice}")
                        });
                        receipt.dropped(Why::Oversized);
                    }
                }
                continue;
            }
            self.submit(parcel, packed, bytes, receipt);
        }
    }

    fn submit(&self, parcel: &Parcel, packed: Option<Packed>, bytes: Vec<u8>, receipt: Receipt) {
        let room = self.budget.force(parcel.kind.signal(), 0);
        let target = Target { kind: parcel.kind, path: Cow::Borrowed(parcel.path) };
        self.forwarder.submit(outgoing(target, parcel.content_type, packed, bytes, receipt, room));
    }
}

/// A request of what was packed, or of `bytes` where nothing was. The forwarder makes `room` fit it.
pub(crate) fn outgoing(
    target: Target,
    content_type: &'static str,
    packed: Option<Packed>,
    bytes: Vec<u8>,
    receipt: Receipt,
    room: Room,
) -> Outgoing {
    let mut headers = vec![(header::CONTENT_TYPE, HeaderValue::from_static(content_type))];
    let body = match packed {
        Some((packed, encoding)) => {
            headers.push((header::CONTENT_ENCODING, HeaderValue::from_static(encoding)));
            packed
        }
        None => bytes,
    };
    Outgoing { target, headers, body: Bytes::from(body), receipt, room }
}
