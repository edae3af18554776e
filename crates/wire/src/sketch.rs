//! The protobuf form of a DDSketch (`facts/trace-intake.md` §4.5).
//!
//! A store of bins is 1 `binCounts` (map from sint32 to double), 2 `contiguousBinCounts` (doubles) and
//! 3 `contiguousBinIndexOffset` (sint32).

use model::sketch::{Bins, Mapping, Sketch};

use crate::error::DecodeError;
use crate::protobuf::{
    Reader, Wire, double_field, message, tag, unzigzag32, varint, varint_field, varint_len, zigzag32,
};

/// Bins of one store: four times the limit of the reference's sketches, whose tracers collapse bins at 2048.
pub const STORE_MAX_BINS: usize = 8192;

/// Reads a sketch. No bytes at all are an empty sketch, which has no mapping.
///
/// # Errors
/// When the bytes are no sketch, a store has more than [`STORE_MAX_BINS`] bins, a count is negative or not
/// finite, or the mapping is none a value could be read by (gamma at most 1 or not finite).
pub fn decode(bytes: &[u8]) -> Result<Sketch, DecodeError> {
    let mut sketch = Sketch::default();
    let mut reader = Reader::new(bytes);
    while let Some(field) = reader.field()? {
        match field {
            (1, Wire::Bytes) => mapping(reader.message("the mapping of a sketch")?, &mut sketch.mapping)?,
            (2, Wire::Bytes) => store(reader.message("the positive bins")?, &mut sketch.positive)?,
            (3, Wire::Bytes) => store(reader.message("the negative bins")?, &mut sketch.negative)?,
            (4, Wire::Fixed64) => sketch.zero_count = count(&mut reader)?,
            (_, wire) => reader.skip(wire)?,
        }
    }
    let Mapping { gamma, index_offset, interpolation } = sketch.mapping;
    let empty = sketch.zero_count == 0.0 && no_bins(&sketch.positive) && no_bins(&sketch.negative);
    let usable =
        gamma.is_finite() && gamma > 1.0 && index_offset.is_finite() && (0..4).contains(&interpolation);
    if usable || empty && sketch.mapping == Mapping::default() {
        Ok(sketch)
    } else {
        Err(DecodeError::malformed(0, "a sketch with a usable mapping"))
    }
}

/// Appends a sketch. An empty one without a mapping is no bytes at all.
pub fn encode(sketch: &Sketch, out: &mut Vec<u8>) {
    if *sketch == Sketch::default() {
        return;
    }
    let Mapping { gamma, index_offset, interpolation } = sketch.mapping;
    message(1, 24, out, |out| {
        double_field(1, gamma, out);
        double_field(2, index_offset, out);
        varint_field(3, i64::from(interpolation) as u64, out);
    });
    // Both stores are written even when they are empty: readers exist that expect them.
    for (field, bins) in [(2, &sketch.positive), (3, &sketch.negative)] {
        message(field, 8 * bins.contiguous.len() + 12 * bins.sparse.len(), out, |out| {
            encode_store(bins, out)
        });
    }
    double_field(4, sketch.zero_count, out);
}

fn no_bins(bins: &Bins) -> bool {
    bins.contiguous.is_empty() && bins.sparse.is_empty()
}

fn encode_store(bins: &Bins, out: &mut Vec<u8>) {
    for (index, count) in &bins.sparse {
        let key = u64::from(zigzag32(*index));
        out.extend_from_slice(&[
            tag(1, Wire::Bytes),
            // A tag, the index, a tag, a double: less than 128 bytes.
            (1 + varint_len(key) + 9) as u8,
            tag(1, Wire::Varint),
        ]);
        varint(key, out);
        out.push(tag(2, Wire::Fixed64));
        out.extend_from_slice(&count.to_le_bytes());
    }
    if !bins.contiguous.is_empty() {
        message(2, 8 * bins.contiguous.len(), out, |out| {
            for count in &bins.contiguous {
                out.extend_from_slice(&count.to_le_bytes());
            }
        });
    }
    varint_field(3, u64::from(zigzag32(bins.first_index)), out);
}

fn mapping(mut reader: Reader<'_>, mapping: &mut Mapping) -> Result<(), DecodeError> {
    while let Some(field) = reader.field()? {
        match field {
            (1, Wire::Fixed64) => mapping.gamma = reader.double("the gamma of a sketch")?,
            (2, Wire::Fixed64) => mapping.index_offset = reader.double("the index offset of a sketch")?,
            (3, Wire::Varint) => mapping.interpolation = reader.varint("an interpolation")? as i32,
            (_, wire) => reader.skip(wire)?,
        }
    }
    Ok(())
}

fn store(mut reader: Reader<'_>, bins: &mut Bins) -> Result<(), DecodeError> {
    const TOO_MANY: &str = "a store of bins";
    while let Some(field) = reader.field()? {
        match field {
            (1, Wire::Bytes) => {
                let bin = sparse_bin(reader.message("a bin")?)?;
                bins.sparse.push(bin);
            }
            (2, Wire::Bytes) => {
                let mut counts = reader.message("neighbouring bins")?;
                if counts.remaining() / 8 > STORE_MAX_BINS {
                    return Err(DecodeError::too_large(counts.offset(), TOO_MANY));
                }
                bins.contiguous.reserve(counts.remaining() / 8);
                while counts.remaining() > 0 {
                    bins.contiguous.push(count(&mut counts)?);
                }
            }
            // The same, not packed.
            (2, Wire::Fixed64) => bins.contiguous.push(count(&mut reader)?),
            (3, Wire::Varint) => bins.first_index = unzigzag32(reader.varint("the index of the first bin")?),
            (_, wire) => reader.skip(wire)?,
        }
        if bins.sparse.len() + bins.contiguous.len() > STORE_MAX_BINS {
            return Err(DecodeError::too_large(reader.offset(), TOO_MANY));
        }
    }
    let bins_after_first = i32::try_from(bins.contiguous.len()).unwrap_or(i32::MAX);
    match bins.first_index.checked_add(bins_after_first) {
        Some(_) => Ok(()),
        None => Err(DecodeError::malformed(reader.offset(), "bins whose indexes have 32 bits")),
    }
}

fn sparse_bin(mut reader: Reader<'_>) -> Result<(i32, f64), DecodeError> {
    let mut bin = (0, 0.0);
    while let Some(field) = reader.field()? {
        match field {
            (1, Wire::Varint) => bin.0 = unzigzag32(reader.varint("the index of a bin")?),
            (2, Wire::Fixed64) => bin.1 = count(&mut reader)?,
            (_, wire) => reader.skip(wire)?,
        }
    }
    Ok(bin)
}

fn count(reader: &mut Reader<'_>) -> Result<f64, DecodeError> {
    let count = reader.double("a count")?;
    if count.is_finite() && count >= 0.0 {
        Ok(count)
    } else {
        Err(DecodeError::malformed(reader.offset() - 8, "a count that is finite and not negative"))
    }
}
