//! Values of JSON read into an arena: text, bytes, numbers, maps. A null is the default of each.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use model::{Bump, List};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

use crate::msgpack::repaired;

/// Where values are put, and whether there was no more room.
#[derive(Clone, Copy)]
pub(super) struct Context<'b, 'c> {
    pub(super) arena: &'b Bump,
    pub(super) full: &'c Cell<bool>,
}

impl<'b> Context<'b, '_> {
    pub(super) fn full<E: Error>(&self) -> E {
        self.full.set(true);
        E::custom("the arena is full")
    }

    pub(super) fn list<T>(&self) -> List<'b, T> {
        List::new_in(self.arena)
    }

    pub(super) fn push<T, E: Error>(&self, list: &mut List<'b, T>, value: T) -> Result<(), E> {
        list.try_reserve(1).map_err(|_| self.full())?;
        list.push(value);
        Ok(())
    }

    fn bytes<E: Error>(&self, bytes: &[u8]) -> Result<&'b [u8], E> {
        let mut copy = self.list();
        copy.try_reserve_exact(bytes.len()).map_err(|_| self.full())?;
        copy.extend_from_slice(bytes);
        Ok(copy.into_bump_slice())
    }

    fn text<E: Error>(&self, bytes: &[u8]) -> Result<&'b str, E> {
        match std::str::from_utf8(self.bytes(bytes)?) {
            Ok(text) => Ok(text),
            Err(_) => repaired(bytes, self.arena).ok_or_else(|| self.full()),
        }
    }
}

/// A value that is read into an arena.
pub(super) trait Value<'b>: Sized {
    /// What a null means.
    fn absent(context: Context<'b, '_>) -> Self;

    fn read<'de: 'b, D: Deserializer<'de>>(
        deserializer: D,
        context: Context<'b, '_>,
    ) -> Result<Self, D::Error>;
}

/// Reads a `T`, or the default for a null.
pub(super) struct Seed<'b, 'c, T> {
    pub(super) context: Context<'b, 'c>,
    value: PhantomData<T>,
}

impl<'b, 'c, T> Seed<'b, 'c, T> {
    pub(super) fn new(context: Context<'b, 'c>) -> Self {
        Self { context, value: PhantomData }
    }
}

impl<'de: 'b, 'b, T: Value<'b>> DeserializeSeed<'de> for Seed<'b, '_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de: 'b, 'b, T: Value<'b>> Visitor<'de> for Seed<'b, '_, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or null")
    }

    fn visit_none<E: Error>(self) -> Result<T, E> {
        Ok(T::absent(self.context))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        T::read(deserializer, self.context)
    }
}

/// Text. Read as bytes because only so does `serde_json` pass lone surrogates, which are repaired.
impl<'b> Value<'b> for &'b str {
    fn absent(_: Context<'b, '_>) -> Self {
        ""
    }

    fn read<'de: 'b, D: Deserializer<'de>>(
        deserializer: D,
        context: Context<'b, '_>,
    ) -> Result<Self, D::Error> {
        struct Text<'b, 'c>(Context<'b, 'c>);
        impl<'de: 'b, 'b> Visitor<'de> for Text<'b, '_> {
            type Value = &'b str;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<&'b str, E> {
                match std::str::from_utf8(bytes) {
                    Ok(text) => Ok(text),
                    Err(_) => self.0.text(bytes),
                }
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<&'b str, E> {
                self.0.text(bytes)
            }
        }
        deserializer.deserialize_bytes(Text(context))
    }
}

/// Bytes, in base64 as the reference's JSON decoder reads them.
impl<'b> Value<'b> for &'b [u8] {
    fn absent(_: Context<'b, '_>) -> Self {
        &[]
    }

    fn read<'de: 'b, D: Deserializer<'de>>(
        deserializer: D,
        context: Context<'b, '_>,
    ) -> Result<Self, D::Error> {
        let text = <&str>::read(deserializer, context)?;
        let decoded = base64(text.as_bytes(), context)?;
        decoded.ok_or_else(|| D::Error::custom("not base64"))
    }
}

fn base64<'b, E: Error>(text: &[u8], context: Context<'b, '_>) -> Result<Option<&'b [u8]>, E> {
    let text = text.trim_ascii_end();
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    if !text.len().is_multiple_of(4) || padding > 2 {
        return Ok(None);
    }
    let digits = &text[..text.len() - padding];
    let mut bytes: List<'b, u8> = context.list();
    bytes.try_reserve_exact(digits.len() * 3 / 4).map_err(|_| context.full())?;
    let (mut bits, mut held) = (0_u32, 0_u32);
    for digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return Ok(None),
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
    }
    Ok(Some(bytes.into_bump_slice()))
}

macro_rules! numbers {
    ($($number:ty, $what:literal, $unsigned:expr, $signed:expr, $float:expr;)*) => { $(
        impl<'b> Value<'b> for $number {
            fn absent(_: Context<'b, '_>) -> Self {
                Self::default()
            }

            fn read<'de: 'b, D: Deserializer<'de>>(
                deserializer: D,
                _: Context<'b, '_>,
            ) -> Result<Self, D::Error> {
                struct Number;
                impl Number {
                    fn of<E: Error>(value: Option<$number>) -> Result<$number, E> {
                        value.ok_or_else(|| E::custom(concat!("out of the range of ", $what)))
                    }
                }
                impl Visitor<'_> for Number {
                    type Value = $number;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }

                    fn visit_u64<E: Error>(self, value: u64) -> Result<$number, E> {
                        Self::of($unsigned(value))
                    }

                    fn visit_i64<E: Error>(self, value: i64) -> Result<$number, E> {
                        Self::of($signed(value))
                    }

                    fn visit_f64<E: Error>(self, value: f64) -> Result<$number, E> {
                        Self::of($float(value))
                    }
                }
                deserializer.deserialize_any(Number)
            }
        }
    )* };
}

numbers! {
    u64, "an unsigned integer", Some, |value: i64| Some(value as u64), |value: f64| whole(value)?.try_into().ok();
    i64, "an integer", |value: u64| value.try_into().ok(), Some, |value: f64| whole(value)?.try_into().ok();
    u32, "an unsigned integer of 32 bits", |value: u64| value.try_into().ok(), |value: i64| value.try_into().ok(),
        |value: f64| whole(value)?.try_into().ok();
    i32, "an integer of 32 bits", |value: u64| value.try_into().ok(), |value: i64| value.try_into().ok(),
        |value: f64| whole(value)?.try_into().ok();
    f64, "a number", |value: u64| Some(value as f64), |value: i64| Some(value as f64), Some;
}

/// A float that is a whole number.
fn whole(value: f64) -> Option<i128> {
    (value.fract() == 0.0 && value.abs() < 2_f64.powi(64)).then_some(value as i128)
}

impl<'b> Value<'b> for bool {
    fn absent(_: Context<'b, '_>) -> Self {
        false
    }

    fn read<'de: 'b, D: Deserializer<'de>>(deserializer: D, _: Context<'b, '_>) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }
}

/// A map, in the order of the body.
impl<'b, T: Value<'b> + 'b> Value<'b> for List<'b, (&'b str, T)> {
    fn absent(context: Context<'b, '_>) -> Self {
        context.list()
    }

    fn read<'de: 'b, D: Deserializer<'de>>(
        deserializer: D,
        context: Context<'b, '_>,
    ) -> Result<Self, D::Error> {
        struct Entries<'b, 'c, T>(Seed<'b, 'c, T>);
        impl<'de: 'b, 'b, T: Value<'b> + 'b> Visitor<'de> for Entries<'b, '_, T> {
            type Value = List<'b, (&'b str, T)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let context = self.0.context;
                let mut entries = context.list();
                while let Some(key) = map.next_key_seed(Key(context))? {
                    let value = map.next_value_seed(Seed::new(context))?;
                    context.push(&mut entries, (key, value))?;
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_map(Entries(Seed::new(context)))
    }
}

/// The key of a map's entry; never null.
struct Key<'b, 'c>(Context<'b, 'c>);

impl<'de: 'b, 'b> DeserializeSeed<'de> for Key<'b, '_> {
    type Value = &'b str;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<&'b str, D::Error> {
        <&str>::read(deserializer, self.0)
    }
}
