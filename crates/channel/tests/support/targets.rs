//! What must hold of what is read from the channel, whatever the bytes. The fuzz targets and the replay in
//! `tests/seeds.rs` share these.

use lastlight_channel::frame::{
    Carried, HEADERS_MAX_BYTES, HEADERS_MAX_COUNT, INLINE_MAX_BYTES, Message, PAYLOAD_MAX_BYTES, Reply,
};

/// A client's datagram.
pub fn sidecar_message(datagram: &[u8]) {
    let Ok(message) = Message::decode(datagram) else { return };
    if let Message::Submit { headers, payload, .. } = message {
        let bytes: usize = headers.iter().map(|(name, value)| 4 + name.len() + value.len()).sum();
        assert!(headers.iter().count() <= HEADERS_MAX_COUNT && bytes <= HEADERS_MAX_BYTES);
        match payload {
            Carried::Inline(payload) => assert!(payload.len() <= INLINE_MAX_BYTES),
            Carried::Descriptor { bytes } => assert!(bytes <= PAYLOAD_MAX_BYTES as u64),
            Carried::Part { total, offset, part } => {
                assert!(!part.is_empty() && part.len() <= INLINE_MAX_BYTES);
                assert!(offset + part.len() as u64 <= total && total <= PAYLOAD_MAX_BYTES as u64);
            }
        }
    }
    let mut again = Vec::new();
    message.encode(&mut again);
    assert_eq!(Message::decode(&again), Ok(message));
    assert_eq!(again.len(), datagram.len());
}

/// A server's datagram.
pub fn sidecar_reply(mut datagram: &[u8]) {
    while let Ok((reply, rest)) = Reply::decode(datagram) {
        assert!(rest.len() < datagram.len());
        if datagram.len() - rest.len() <= lastlight_channel::frame::STATS_MAX_BYTES {
            let mut again = Vec::new();
            reply.encode(&mut again);
            assert_eq!(Reply::decode(&again), Ok((reply, &[][..])));
        }
        datagram = rest;
    }
}
