//! Reads what a caller's pointers point to, and writes where they say. Nothing here trusts a length beyond what C cannot
//! do otherwise: that as many bytes are there as the caller says.

use super::boundary::Outcome;
use super::types::{
    lastlight_counts_t, lastlight_options, lastlight_pair, lastlight_result, lastlight_str,
    lastlight_trace_options,
};
use std::mem::MaybeUninit;
use std::{ptr, slice};

/// Longer texts than any of ours: a length that is a mistake is found before its bytes are touched.
pub(super) const TEXT_MAX_BYTES: usize = 64 << 20;
/// A setting, a mode, a path.
pub(super) const SETTING_MAX_BYTES: usize = 64 << 10;
/// More headers or settings than any request has.
pub(super) const PAIRS_MAX_COUNT: usize = 1 << 16;
/// A struct of a newer header is not larger.
const STRUCT_MAX_BYTES: usize = 4096;

/// A struct that says its own size first, of integers, floats and raw pointers only.
///
/// # Safety
/// `repr(C)`, its first field is `size: usize`, and zeros are a value of every field.
pub(super) unsafe trait SaysItsSize: Copy {}

// SAFETY: see types.rs: `size` first; integers, floats and raw pointers after it.
unsafe impl SaysItsSize for lastlight_options {}
// SAFETY: as above.
unsafe impl SaysItsSize for lastlight_trace_options {}
// SAFETY: as above.
unsafe impl SaysItsSize for lastlight_counts_t {}

/// How many bytes the caller says its struct has.
///
/// # Safety
/// `given` is NULL or points to a readable `usize`.
unsafe fn size_of_given<T: SaysItsSize>(given: *const T) -> Outcome<usize> {
    if given.is_null() || !given.is_aligned() {
        return Err(lastlight_result::Invalid);
    }
    // SAFETY: not NULL and aligned, and the caller says it is a struct that begins with its size.
    let size = unsafe { given.cast::<usize>().read() };
    // A field is never cut in its middle: every field, and the halves of texts, end at one of these.
    let is_whole = size.is_multiple_of(align_of::<usize>());
    if size < size_of::<usize>() || size > STRUCT_MAX_BYTES || !is_whole {
        return Err(lastlight_result::Invalid);
    }
    Ok(size)
}

/// A copy of a struct of options: what an older one lacks is zero; what a newer one has beyond ours must be.
///
/// # Safety
/// `given` is NULL or points to as many readable bytes as its first field says.
pub(super) unsafe fn options<T: SaysItsSize>(given: *const T) -> Outcome<T> {
    // SAFETY: the same as is asked of the caller.
    let size = unsafe { size_of_given(given) }?;
    let known = size.min(size_of::<T>());
    // SAFETY: `size` bytes are there, as the caller says.
    let beyond = unsafe { slice::from_raw_parts(given.cast::<u8>().add(known), size - known) };
    if beyond.iter().any(|byte| *byte != 0) {
        return Err(lastlight_result::Invalid);
    }
    let mut copy = MaybeUninit::<T>::zeroed();
    // SAFETY: `known` is within both, which cannot overlap; zeros are a value of every field, so the copy is one too.
    unsafe {
        ptr::copy_nonoverlapping(given.cast::<u8>(), copy.as_mut_ptr().cast::<u8>(), known);
        Ok(copy.assume_init())
    }
}

/// Whether `out` may be NULL, and if it is not, whether it says a size.
///
/// # Safety
/// As [`options`].
pub(super) unsafe fn check_output<T: SaysItsSize>(out: *const T) -> Outcome {
    // SAFETY: the same as is asked of the caller.
    unsafe { size_of_given(out) }.map(|_| ())
}

/// Fills a struct of the caller's up to the size that it says, which stays; what it has beyond ours is zero.
///
/// # Safety
/// As [`options`], and writable.
pub(super) unsafe fn fill<T: SaysItsSize>(out: *mut T, value: T) -> Outcome {
    // SAFETY: the same as is asked of the caller.
    let size = unsafe { size_of_given(out) }?;
    let known = size.min(size_of::<T>());
    // SAFETY: `size` bytes are there; `known` is within both; the first field is the size, which is put back.
    unsafe {
        ptr::write_bytes(out.cast::<u8>(), 0, size);
        ptr::copy_nonoverlapping((&raw const value).cast::<u8>(), out.cast::<u8>(), known);
        out.cast::<usize>().write(size);
    }
    Ok(())
}

/// The bytes of a text; `None` where it is absent.
///
/// # Safety
/// `data` is NULL or points to `length` readable bytes, for `'a`.
pub(super) unsafe fn text<'a>(text: lastlight_str) -> Outcome<Option<&'a [u8]>> {
    if text.data.is_null() {
        return if text.length == 0 { Ok(None) } else { Err(lastlight_result::Invalid) };
    }
    // SAFETY: the same as is asked of the caller.
    unsafe { bytes(text.data.cast(), text.length, TEXT_MAX_BYTES) }.map(Some)
}

/// `length` bytes; none where there are none, whatever the pointer.
///
/// # Safety
/// As [`text`].
pub(super) unsafe fn bytes<'a>(data: *const u8, length: usize, max: usize) -> Outcome<&'a [u8]> {
    if length == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(lastlight_result::Invalid);
    }
    if length > max {
        return Err(lastlight_result::TooBig);
    }
    // SAFETY: not NULL; `length` is under `isize::MAX` and the caller says that as many bytes are there.
    Ok(unsafe { slice::from_raw_parts(data, length) })
}

/// Names and values of headers or settings. An absent value is an empty one; an absent name is a mistake.
///
/// # Safety
/// `pairs` is NULL or points to `count` pairs, each as in [`text`].
pub(super) unsafe fn pairs<'a>(
    pairs: *const lastlight_pair,
    count: usize,
) -> Outcome<Vec<(&'a [u8], &'a [u8])>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    if pairs.is_null() || !pairs.is_aligned() {
        return Err(lastlight_result::Invalid);
    }
    if count > PAIRS_MAX_COUNT {
        return Err(lastlight_result::TooBig);
    }
    let mut read = Vec::new();
    read.try_reserve_exact(count).map_err(|_| lastlight_result::NoMemory)?;
    // SAFETY: not NULL, aligned, and the caller says that as many pairs are there.
    for pair in unsafe { slice::from_raw_parts(pairs, count) } {
        // SAFETY: the same as is asked of the caller.
        let (name, value) = unsafe { (text(pair.name)?, text(pair.value)?) };
        read.push((name.ok_or(lastlight_result::Invalid)?, value.unwrap_or_default()));
    }
    Ok(read)
}

/// Writes one value where the caller said.
///
/// # Safety
/// `out` is NULL or writable.
pub(super) unsafe fn put<T>(out: *mut T, value: T) -> Outcome {
    if out.is_null() || !out.is_aligned() {
        return Err(lastlight_result::Invalid);
    }
    // SAFETY: not NULL, aligned, and writable as the caller says.
    unsafe { out.write(value) };
    Ok(())
}

/// A buffer of the caller's and where its length stands.
pub(super) struct Buffer {
    data: *mut u8,
    length: *mut usize,
}

impl Buffer {
    /// # Safety
    /// `length` is NULL or readable and writable, and `data` is NULL or points to `*length` writable bytes.
    pub(super) unsafe fn new(data: *mut std::ffi::c_char, length: *mut usize) -> Outcome<Self> {
        if length.is_null() || !length.is_aligned() {
            return Err(lastlight_result::Invalid);
        }
        // SAFETY: not NULL, aligned, readable as the caller says.
        if data.is_null() && unsafe { length.read() } != 0 {
            return Err(lastlight_result::Invalid);
        }
        Ok(Self { data: data.cast(), length })
    }

    /// Writes the text, or only how long it is where it has no room.
    pub(super) fn write(&self, text: &[u8]) -> Outcome {
        // SAFETY: `new`'s caller said that `length` is readable and writable, and that `data` has as many bytes; a text that
        // is not longer fits. Where it is empty, nothing is copied.
        unsafe {
            let room = self.length.read();
            self.length.write(text.len());
            if text.len() > room {
                return Err(lastlight_result::TooBig);
            }
            if !text.is_empty() {
                ptr::copy_nonoverlapping(text.as_ptr(), self.data, text.len());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zeros() -> lastlight_options {
        // SAFETY: zeros are a value of every field.
        unsafe { MaybeUninit::zeroed().assume_init() }
    }

    #[test]
    fn options_of_an_older_header_have_defaults_for_what_they_lack() {
        let given =
            lastlight_options { size: 16, flags: 1, ready_within_ms: 7, settings_count: 99, ..zeros() };
        // SAFETY: the struct is larger than it says.
        let read = unsafe { options(&raw const given) }.expect("options");
        assert_eq!((read.flags, read.ready_within_ms, read.settings_count), (1, 7, 0));
    }

    #[test]
    fn options_of_a_newer_header_must_have_zeros_beyond() {
        let words = size_of::<lastlight_options>() / 8;
        let mut newer = vec![0_usize; words + 2];
        newer[0] = newer.len() * 8;
        // SAFETY: as many bytes are there as the first field says.
        assert!(unsafe { options(newer.as_ptr().cast::<lastlight_options>()) }.is_ok());
        newer[words + 1] = 1;
        // SAFETY: as above.
        let read = unsafe { options(newer.as_ptr().cast::<lastlight_options>()) };
        assert_eq!(read.map(|_| ()), Err(lastlight_result::Invalid));
    }

    #[test]
    fn l125_what_a_caller_says_is_looked_at_before_it_is_followed() {
        let of_size = |size| lastlight_options { size, ..zeros() };
        for size in [0, 4, 9, STRUCT_MAX_BYTES + 8, usize::MAX] {
            let given = of_size(size);
            // SAFETY: refused before anything but the size is read.
            assert!(unsafe { options(&raw const given) }.is_err(), "{size}");
        }
        // SAFETY: refused, or nothing is read.
        unsafe {
            assert!(options(ptr::null::<lastlight_options>()).is_err());
            assert_eq!(bytes(ptr::null(), 1, 9), Err(lastlight_result::Invalid));
            assert_eq!(bytes(ptr::dangling(), usize::MAX, 9), Err(lastlight_result::TooBig));
            assert_eq!(bytes(ptr::null(), 0, 9), Ok(&[][..]));
            assert_eq!(text(lastlight_str { data: ptr::null(), length: 1 }), Err(lastlight_result::Invalid));
            assert_eq!(text(lastlight_str { data: ptr::null(), length: 0 }), Ok(None));
            assert_eq!(pairs(ptr::null(), 1), Err(lastlight_result::Invalid));
            assert_eq!(pairs(ptr::dangling(), usize::MAX), Err(lastlight_result::TooBig));
            assert!(put(ptr::null_mut::<u64>(), 1).is_err());
            assert!(Buffer::new(ptr::null_mut(), ptr::null_mut()).is_err());
        }
    }

    #[test]
    fn a_buffer_too_small_says_what_is_needed_and_is_left_alone() {
        let mut data = [7_u8; 4];
        let mut length = 3_usize;
        // SAFETY: as long as it says.
        let buffer = unsafe { Buffer::new(data.as_mut_ptr().cast(), &raw mut length) }.expect("a buffer");
        assert_eq!(buffer.write(b"four"), Err(lastlight_result::TooBig));
        assert_eq!((length, data), (4, [7; 4]));
        // SAFETY: as long as it says.
        let buffer = unsafe { Buffer::new(data.as_mut_ptr().cast(), &raw mut length) }.expect("a buffer");
        assert_eq!(buffer.write(b"yes"), Ok(()));
        assert_eq!((length, &data), (3, b"yes\x07"));
    }

    #[test]
    fn an_output_is_filled_as_far_as_it_goes() {
        let mut words = [5_u64; 20];
        words[0] = 24;
        let value = lastlight_counts_t {
            submitted: 1,
            accepted: 2,
            refused: 3,
            ..{
                // SAFETY: zeros are a value of every field.
                unsafe { MaybeUninit::zeroed().assume_init() }
            }
        };
        // SAFETY: at least as many bytes are there as the first field says.
        assert_eq!(unsafe { fill(words.as_mut_ptr().cast(), value) }, Ok(()));
        assert_eq!(words[..5], [24, 1, 2, 5, 5]);
        words[0] = 160;
        // SAFETY: as above.
        assert_eq!(unsafe { fill(words.as_mut_ptr().cast(), value) }, Ok(()));
        assert_eq!((words[..4].to_vec(), words[19]), (vec![160, 1, 2, 3], 0));
    }
}
