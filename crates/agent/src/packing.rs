//! How payloads are packed for the way.

use crate::aside::aside;
use std::io::Write as _;

/// How payloads are packed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Packing {
    /// zstd at a level.
    Zstd(i32),
    /// gzip at a level.
    Gzip(u32),
    /// Not at all.
    Plain,
}

/// Packed bytes and what `Content-Encoding` calls them.
pub(crate) type Packed = (Vec<u8>, &'static str);

/// Compresses, with memory that is used again: the tables of zstd, and room for the worst case, which is
/// as big as what is packed.
#[derive(Default)]
pub(crate) struct Packer {
    zstd: Option<(i32, zstd::bulk::Compressor<'static>)>,
    packed: Vec<u8>,
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packer").field("packed_bytes", &self.packed.capacity()).finish_non_exhaustive()
    }
}

impl Packer {
    /// The same on a thread for such work: packing takes milliseconds, for which requests under way should not
    /// wait. Gives everything back; `None` when packing panicked.
    pub(crate) async fn pack_aside(
        self,
        bytes: Vec<u8>,
        packing: Packing,
    ) -> Option<(Option<Packed>, Vec<u8>, Self)> {
        if packing == Packing::Plain {
            return Some((None, bytes, self));
        }
        self.make_aside(move || bytes, packing).await
    }

    /// The same of what `make` makes, on that thread too; `None` when making or packing panicked.
    pub(crate) async fn make_aside(
        mut self,
        make: impl FnOnce() -> Vec<u8> + Send + 'static,
        packing: Packing,
    ) -> Option<(Option<Packed>, Vec<u8>, Self)> {
        let work = move || {
            let bytes = make();
            (self.pack(&bytes, packing), bytes, self)
        };
        aside(work).await
    }

    /// The packed form in memory of just its size, for it may wait in a queue for long; `None` for what is
    /// sent as it is, be it because it cannot be compressed: data is never lost for it (losses.md L11).
    pub(crate) fn pack(&mut self, bytes: &[u8], packing: Packing) -> Option<Packed> {
        let packed = match packing {
            Packing::Zstd(level) => self.zstd(bytes, level).map(|packed| (packed, "zstd")),
            Packing::Gzip(level) => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
                encoder.write_all(bytes).and_then(|()| encoder.finish()).map(|packed| (packed, "gzip"))
            }
            Packing::Plain => return None,
        };
        packed.inspect_err(|error| log::warn!("cannot compress a payload, sending it as it is: {error}")).ok()
    }

    fn zstd(&mut self, bytes: &[u8], level: i32) -> std::io::Result<Vec<u8>> {
        let compressor = match &mut self.zstd {
            Some((of_level, compressor)) if *of_level == level => compressor,
            other => &mut other.insert((level, zstd::bulk::Compressor::new(level)?)).1,
        };
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(bytes.len()));
        compressor.compress_to_buffer(bytes, &mut self.packed)?;
        Ok(self.packed.as_slice().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l11_packing_keeps_every_byte() {
        let bytes: Vec<u8> = (0..100_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let mut packer = Packer::default();
        for (bytes, level) in [(&bytes[..], -1), (&bytes[..7], -1), (b"", 3), (&bytes, 3)] {
            let (packed, encoding) = packer.pack(bytes, Packing::Zstd(level)).expect("zstd");
            assert_eq!(encoding, "zstd");
            assert_eq!(packed.capacity(), packed.len());
            assert_eq!(zstd::bulk::decompress(&packed, bytes.len()).expect("zstd"), bytes);
        }
        let (gzip_packed, encoding) = packer.pack(&bytes, Packing::Gzip(1)).expect("gzip");
        assert_eq!(encoding, "gzip");
        let mut unpacked = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&gzip_packed[..]), &mut unpacked)
            .expect("gzip");
        assert_eq!(unpacked, bytes);
        assert_eq!(packer.pack(&bytes, Packing::Plain), None);
    }
}
