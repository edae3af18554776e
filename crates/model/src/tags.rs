//! Tags as people write them in variables: `key:value`, separated by commas or spaces.

/// Splits a list of tags at commas and white space, dropping empty entries and keeping the order.
///
/// A value may contain colons (`url:http://x:1`); see [`key_value`].
pub fn split(list: &str) -> impl Iterator<Item = &str> {
    list.split([',', ' ', '\t', '\n']).filter(|tag| !tag.is_empty())
}

/// Splits a tag at its *first* colon (losses.md L22); a tag without a colon has no value.
pub fn key_value(tag: &str) -> Option<(&str, &str)> {
    tag.split_once(':').filter(|(key, _)| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l22_a_value_keeps_its_colons() {
        let tags: Vec<_> = split("url:http://x:1, a:b  c").map(key_value).collect();
        assert_eq!(tags, [Some(("url", "http://x:1")), Some(("a", "b")), None]);
    }
}
