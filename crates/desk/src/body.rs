//! Bodies, read and unpacked within bounds.

use http::StatusCode;
use http_body_util::BodyExt as _;
use hyper::body::Body;
use std::io::Read;

/// A body as it comes over the wire. The biggest request a client may make, whole.
pub(crate) const BODY_MAX_BYTES: usize = model::limits::REQUEST_BODY_MAX_BYTES + 1024 * 1024;
/// The same body unpacked; more is refused before it is in memory.
pub(crate) const UNPACKED_MAX_BYTES: usize = 64 * 1024 * 1024;

const _: () = assert!(BODY_MAX_BYTES < UNPACKED_MAX_BYTES);

/// Why a body was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is, or unpacks to, more than the bound.
    TooLarge,
    /// Its `Content-Encoding` is none of ours.
    UnknownEncoding(String),
    /// It does not unpack, does not decode, or ended early.
    Malformed(String),
}

impl Refusal {
    /// The answer's status.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnknownEncoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
        }
    }

    /// The reason in words.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::TooLarge => format!("more than {BODY_MAX_BYTES} bytes, or {UNPACKED_MAX_BYTES} unpacked"),
            Self::UnknownEncoding(encoding) => {
                format!("content encoding {encoding:?}, not zstd, gzip, deflate or identity")
            }
            Self::Malformed(reason) => reason.clone(),
        }
    }
}

/// Reads a whole body up to `max` bytes, without trusting a declared length.
pub(crate) async fn read<B>(mut body: B, max: usize) -> Result<Vec<u8>, Refusal>
where
    B: Body<Data = bytes::Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Refusal::Malformed(format!("the body ended early: {error}")))?;
        if let Ok(data) = frame.into_data() {
            if data.len() > max.saturating_sub(read.len()) {
                return Err(Refusal::TooLarge);
            }
            read.extend_from_slice(&data);
        }
    }
    Ok(read)
}

/// Reads a body to its end and says only how long it was.
pub(crate) async fn measure<B>(mut body: B) -> Result<u64, Refusal>
where
    B: Body<Data = bytes::Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let mut length = 0_u64;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Refusal::Malformed(format!("the body ended early: {error}")))?;
        length = length.saturating_add(frame.data_ref().map_or(0, |data| data.len() as u64));
    }
    Ok(length)
}

/// Unpacks a body up to `max` bytes by its `Content-Encoding`.
pub(crate) fn unpack(body: Vec<u8>, encoding: Option<&str>, max: usize) -> Result<Vec<u8>, Refusal> {
    match encoding.map(str::trim).unwrap_or_default().to_ascii_lowercase().as_str() {
        "" | "identity" if body.len() > max => Err(Refusal::TooLarge),
        "" | "identity" => Ok(body),
        "zstd" => {
            let decoder = zstd::Decoder::new(body.as_slice())
                .map_err(|error| Refusal::Malformed(format!("zstd: {error}")))?;
            drain(decoder, max, "zstd")
        }
        "gzip" => drain(flate2::read::MultiGzDecoder::new(body.as_slice()), max, "gzip"),
        "deflate" => drain(flate2::read::ZlibDecoder::new(body.as_slice()), max, "deflate"),
        other => Err(Refusal::UnknownEncoding(other.chars().take(40).collect())),
    }
}

fn drain(decoder: impl Read, max: usize, format: &str) -> Result<Vec<u8>, Refusal> {
    let mut unpacked = Vec::new();
    let bound = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    decoder
        .take(bound)
        .read_to_end(&mut unpacked)
        .map_err(|error| Refusal::Malformed(format!("{format}: {error}")))?;
    if unpacked.len() > max { Err(Refusal::TooLarge) } else { Ok(unpacked) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn every_encoding_the_agent_may_use_unpacks() {
        let data = b"as it was".to_vec();
        let packed = zstd::encode_all(data.as_slice(), 1).unwrap();
        assert_eq!(unpack(packed, Some("zstd"), 100), Ok(data.clone()));
        assert_eq!(unpack(gzip(&data), Some("GZIP"), 100), Ok(data.clone()));
        let mut deflate = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        deflate.write_all(&data).unwrap();
        assert_eq!(unpack(deflate.finish().unwrap(), Some("deflate"), 100), Ok(data.clone()));
        assert_eq!(unpack(data.clone(), Some("identity"), 100), Ok(data.clone()));
        assert_eq!(unpack(data.clone(), None, 100), Ok(data));
    }

    #[test]
    fn a_bomb_is_refused_with_413_at_the_bound_and_one_byte_less_is_taken() {
        let zeros = vec![0; 1_000_000];
        let bomb = zstd::encode_all(zeros.as_slice(), 1).unwrap();
        assert_eq!(unpack(bomb.clone(), Some("zstd"), 999_999), Err(Refusal::TooLarge));
        assert_eq!(unpack(bomb, Some("zstd"), 1_000_000).map(|data| data.len()), Ok(1_000_000));
        assert_eq!(unpack(gzip(&zeros), Some("gzip"), 999_999), Err(Refusal::TooLarge));
        assert_eq!(Refusal::TooLarge.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[test]
    fn what_does_not_unpack_or_is_unknown_is_refused_with_its_reason() {
        for encoding in ["zstd", "gzip", "deflate"] {
            let refusal = unpack(b"not packed at all".to_vec(), Some(encoding), 100).unwrap_err();
            assert_eq!(refusal.status(), StatusCode::BAD_REQUEST);
            assert!(refusal.reason().starts_with(encoding), "{}", refusal.reason());
        }
        let refusal = unpack(Vec::new(), Some("br"), 100).unwrap_err();
        assert_eq!(refusal.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert!(refusal.reason().contains("br"));
    }

    #[test]
    fn a_cut_off_body_is_refused() {
        let mut packed = gzip(&vec![7; 10_000]);
        packed.truncate(packed.len() / 2);
        assert!(matches!(unpack(packed, Some("gzip"), 100_000), Err(Refusal::Malformed(_))));
    }
}
