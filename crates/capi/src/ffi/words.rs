//! What the library says of itself.

use super::types::{LASTLIGHT_ABI, lastlight_result};
use std::ffi::{CStr, c_char};

/// The release, ended by NUL.
const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => c"",
};

/// Every result and its words.
const RESULTS: &[(lastlight_result, &CStr)] = &[
    (lastlight_result::Ok, c"done"),
    (lastlight_result::NoRoom, c"too much is under way"),
    (lastlight_result::TooBig, c"over the bounds, or a buffer is too small"),
    (lastlight_result::Invalid, c"an argument is not what it must be"),
    (lastlight_result::TimedOut, c"not done within the time"),
    (lastlight_result::Unavailable, c"nobody serves"),
    (lastlight_result::Closed, c"the handle is closed"),
    (lastlight_result::Panicked, c"a bug of the library, contained"),
    (lastlight_result::NoMemory, c"no memory"),
    (lastlight_result::System, c"the system refused"),
    (lastlight_result::Empty, c"there is nothing to be had"),
];

/// The release, "0.1.0", ended by NUL; never to be freed. Fork- and thread-safe, as the next two.
#[unsafe(no_mangle)]
pub extern "C" fn lastlight_version() -> *const c_char {
    VERSION.as_ptr()
}

/// `LASTLIGHT_ABI` of the library: at least that of the header a program was built with.
#[unsafe(no_mangle)]
pub extern "C" fn lastlight_abi() -> u32 {
    LASTLIGHT_ABI
}

/// A result in words, ended by NUL; never to be freed. For a number that is no result too.
#[unsafe(no_mangle)]
pub extern "C" fn lastlight_result_text(result: i32) -> *const c_char {
    RESULTS
        .iter()
        .find(|(known, _)| *known as i32 == result)
        .map_or(c"not a result of this release", |(_, words)| words)
        .as_ptr()
}
