//! What series and sketches have in common: who made them, and the memory their decoded form may take.

use model::metric::Origin;

use crate::error::DecodeError;
use crate::protobuf::{Reader, Wire, message, varint_field};

/// Bytes the decoded form may take for each byte of the body. Real metrics take up to eight; only hostile bodies
/// come near this.
pub(super) const DECODED_BYTES_PER_BODY_BYTE: usize = 16;
/// Bytes the decoded form of a body may take however short it is.
pub(super) const DECODED_MIN_BYTES: usize = 64 * 1024;

/// Appends a `Metadata` message with its `Origin` (1): product (4), category (5) and service (6), as the published
/// `agent_payload.proto` numbers them.
#[inline]
pub(super) fn origin(field: u8, origin: Option<Origin>, out: &mut Vec<u8>) {
    let Some(Origin { product, category, service }) = origin else { return };
    message(field, 0, out, |out| {
        message(1, 0, out, |out| {
            varint_field(4, u64::from(product), out);
            varint_field(5, u64::from(category), out);
            varint_field(6, u64::from(service), out);
        });
    });
}

/// Reads a `Metadata` message.
pub(super) fn decode_origin(mut reader: Reader<'_>) -> Result<Option<Origin>, DecodeError> {
    let mut origin = None;
    while let Some(field) = reader.field()? {
        match field {
            (1, Wire::Bytes) => {
                let origin: &mut Origin = origin.get_or_insert_default();
                let mut reader = reader.message("the origin of a metric")?;
                while let Some(field) = reader.field()? {
                    match field {
                        (4, Wire::Varint) => origin.product = reader.varint("an origin's product")? as u32,
                        (5, Wire::Varint) => origin.category = reader.varint("an origin's category")? as u32,
                        (6, Wire::Varint) => origin.service = reader.varint("an origin's service")? as u32,
                        (_, wire) => reader.skip(wire)?,
                    }
                }
            }
            (_, wire) => reader.skip(wire)?,
        }
    }
    Ok(origin)
}

/// Bytes the decoded form may still take.
pub(super) struct Budget(usize);

impl Budget {
    pub(super) fn of(body: &[u8]) -> Self {
        Self(body.len().saturating_mul(DECODED_BYTES_PER_BODY_BYTE).saturating_add(DECODED_MIN_BYTES))
    }

    /// The text that is next; what is not UTF-8 is replaced.
    pub(super) fn text(
        &mut self,
        reader: &mut Reader<'_>,
        what: &'static str,
    ) -> Result<String, DecodeError> {
        let text = String::from_utf8_lossy(reader.bytes(what)?);
        self.spend(text.len(), reader.offset(), what)?;
        Ok(text.into_owned())
    }

    /// Appends an element. The room doubles, so that it never depends on what a body declares.
    pub(super) fn push<T>(
        &mut self,
        elements: &mut Vec<T>,
        element: T,
        reader: &Reader<'_>,
        what: &'static str,
    ) -> Result<(), DecodeError> {
        if elements.len() == elements.capacity() {
            let more = elements.len().max(1);
            self.spend(more.saturating_mul(size_of::<T>()), reader.offset(), what)?;
            elements.reserve_exact(more);
        }
        elements.push(element);
        Ok(())
    }

    fn spend(&mut self, bytes: usize, offset: usize, what: &'static str) -> Result<(), DecodeError> {
        self.0 = self.0.checked_sub(bytes).ok_or_else(|| DecodeError::too_large(offset, what))?;
        Ok(())
    }
}
