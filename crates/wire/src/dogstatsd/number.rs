//! Numbers as the reference's language reads them.

use super::LineError;

/// A finite number.
///
/// # Errors
/// [`LineError::BadValue`] when the text is none, [`LineError::NotFinite`] when it is not finite.
#[inline]
pub(super) fn number(text: &[u8]) -> Result<f64, LineError> {
    let text = std::str::from_utf8(text).map_err(|_| LineError::BadValue)?;
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        Ok(_) => Err(LineError::NotFinite),
        Err(_) => Err(LineError::BadValue),
    }
}

/// A whole decimal number, with or without a sign.
#[inline]
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
