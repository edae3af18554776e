//! JSON trace bodies: the keys of v0.4, read by `serde_json` one chunk at a time.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use model::limits::MSGPACK_MAX_DEPTH;
use model::{AttributeValue, Bump, List, Span, SpanEvent, SpanLink};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::error::DecodeError;
use crate::msgpack::repaired;

/// A position between the chunks of a JSON body.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    body: &'a str,
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Checks the structure of the body and counts its chunks.
    pub(super) fn open(body: &'a [u8], arena: &'a Bump) -> Result<(Self, usize), DecodeError> {
        const WHAT: &str = "an array of traces as JSON";
        let body = match std::str::from_utf8(body) {
            Ok(body) => body,
            Err(_) => repaired(body, arena).ok_or_else(|| DecodeError::too_large(0, WHAT))?,
        };
        let mut scan = Scan { body: body.as_bytes(), offset: 0 };
        if scan.peek() == Some(b'n') && scan.body[scan.offset..].starts_with(b"null") {
            return Ok((Self { body, offset: 0 }, 0));
        }
        scan.expect(b'[', WHAT)?;
        let offset = scan.offset;
        let mut count = 0;
        if scan.peek() == Some(b']') {
            return Ok((Self { body, offset }, 0));
        }
        loop {
            scan.value()?;
            count += 1;
            match scan.peek() {
                Some(b',') => scan.offset += 1,
                Some(b']') => return Ok((Self { body, offset }, count)),
                Some(_) => return Err(DecodeError::malformed(scan.offset, "`,` or `]`")),
                None => return Err(DecodeError::eof(scan.offset, "`,` or `]`")),
            }
        }
    }

    /// Reads the next chunk. The caller knows that there is one.
    pub(super) fn chunk<'b>(
        &mut self,
        arena: &'b Bump,
        spans: &mut List<'b, Span<'b>>,
    ) -> Result<(), DecodeError>
    where
        'a: 'b,
    {
        let mut scan = Scan { body: self.body.as_bytes(), offset: self.offset };
        if scan.peek() == Some(b',') {
            scan.offset += 1;
        }
        let start = scan.offset;
        scan.value()?;
        let text = self.body.get(start..scan.offset).unwrap_or_default();
        self.offset = scan.offset;

        let full = Cell::new(false);
        let seed = Seed::new(Context { arena, full: &full });
        let mut deserializer = serde_json::Deserializer::from_str(text);
        match seed.deserialize(&mut deserializer).and_then(|read| deserializer.end().map(|()| read)) {
            Ok(read) => *spans = read,
            Err(error) => {
                let offset = start + offset_of(text, error.line(), error.column());
                return Err(if full.get() {
                    DecodeError::too_large(offset, "a trace as JSON")
                } else if error.is_eof() {
                    DecodeError::eof(offset, "a trace as JSON")
                } else {
                    DecodeError::malformed(offset, "a valid trace as JSON before this place,")
                });
            }
        }
        Ok(())
    }
}

/// Where a line and a column, both counted from 1, are in a text.
fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    (before + column).min(text.len())
}

/// Finds where values end, looking at nothing but brackets and strings.
struct Scan<'a> {
    body: &'a [u8],
    offset: usize,
}

impl Scan<'_> {
    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.body.get(self.offset) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.offset += 1,
                other => return other.copied(),
            }
        }
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), DecodeError> {
        match self.peek() {
            Some(found) if found == byte => {
                self.offset += 1;
                Ok(())
            }
            Some(_) => Err(DecodeError::malformed(self.offset, what)),
            None => Err(DecodeError::eof(self.offset, what)),
        }
    }

    /// Passes over one value.
    fn value(&mut self) -> Result<(), DecodeError> {
        const WHAT: &str = "a value as JSON";
        let mut depth = 0_usize;
        self.peek();
        let start = self.offset;
        loop {
            match self.body.get(self.offset) {
                None if depth == 0 && self.offset > start => return Ok(()),
                None => return Err(DecodeError::eof(self.offset, WHAT)),
                Some(b'"') => {
                    self.string()?;
                    continue;
                }
                Some(b'[' | b'{') => {
                    depth += 1;
                    if depth > MSGPACK_MAX_DEPTH {
                        return Err(DecodeError::too_deep(self.offset));
                    }
                }
                Some(b']' | b'}' | b',') if depth == 0 => {
                    return if self.offset > start {
                        Ok(())
                    } else {
                        Err(DecodeError::malformed(self.offset, WHAT))
                    };
                }
                Some(b']' | b'}') => depth -= 1,
                Some(_) => {}
            }
            self.offset += 1;
        }
    }

    /// Passes over a string whose opening quote is next.
    fn string(&mut self) -> Result<(), DecodeError> {
        self.offset += 1;
        while let Some(found) = memchr::memchr2(b'"', b'\\', &self.body[self.offset..]) {
            self.offset += found + 1;
            if self.body[self.offset - 1] == b'"' {
                return Ok(());
            }
            // Whatever is escaped cannot end the string.
            self.offset = (self.offset + 1).min(self.body.len());
        }
        self.offset = self.body.len();
        Err(DecodeError::eof(self.offset, "the end of a string as JSON"))
    }
}

/// Where values are put, and whether there was no more room.
#[derive(Clone, Copy)]
struct Context<'b, 'c> {
    arena: &'b Bump,
    full: &'c Cell<bool>,
}

impl<'b> Context<'b, '_> {
    fn full<E: Error>(&self) -> E {
        self.full.set(true);
        E::custom("the arena is full")
    }

    fn list<T>(&self) -> List<'b, T> {
        List::new_in(self.arena)
    }

    fn push<T, E: Error>(&self, list: &mut List<'b, T>, value: T) -> Result<(), E> {
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
trait Value<'b>: Sized {
    /// What a null means.
    fn absent(context: Context<'b, '_>) -> Self;

    fn read<'de: 'b, D: Deserializer<'de>>(
        deserializer: D,
        context: Context<'b, '_>,
    ) -> Result<Self, D::Error>;
}

/// Reads a `T`, or the default for a null.
struct Seed<'b, 'c, T> {
    context: Context<'b, 'c>,
    value: PhantomData<T>,
}

impl<'b, 'c, T> Seed<'b, 'c, T> {
    fn new(context: Context<'b, 'c>) -> Self {
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

/// A thing that stands in arrays.
trait Element<'b>: Value<'b> + 'b {}

/// An array. A null element is none.
impl<'b, T: Element<'b>> Value<'b> for List<'b, T> {
    fn absent(context: Context<'b, '_>) -> Self {
        context.list()
    }

    fn read<'de: 'b, D: Deserializer<'de>>(
        deserializer: D,
        context: Context<'b, '_>,
    ) -> Result<Self, D::Error> {
        struct Elements<'b, 'c, T>(Seed<'b, 'c, Option<T>>);
        impl<'de: 'b, 'b, T: Element<'b>> Visitor<'de> for Elements<'b, '_, T> {
            type Value = List<'b, T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
                let context = self.0.context;
                let mut elements = context.list();
                while let Some(element) = array.next_element_seed(Seed::<Option<T>>::new(context))? {
                    if let Some(element) = element {
                        context.push(&mut elements, element)?;
                    }
                }
                Ok(elements)
            }
        }
        deserializer.deserialize_seq(Elements(Seed::new(context)))
    }
}

impl<'b, T: Element<'b>> Value<'b> for Option<T> {
    fn absent(_: Context<'b, '_>) -> Self {
        None
    }

    fn read<'de: 'b, D: Deserializer<'de>>(
        deserializer: D,
        context: Context<'b, '_>,
    ) -> Result<Self, D::Error> {
        T::read(deserializer, context).map(Some)
    }
}

/// An object whose fields are dispatched by name. `$field` of `$object` is set for `$key`.
macro_rules! objects {
    ($($object:ident, $what:literal, $new:expr, { $($key:literal => $field:ident),* $(,)? };)*) => { $(
        impl<'b> Element<'b> for $object<'b> {}

        impl<'b> Value<'b> for $object<'b> {
            fn absent(context: Context<'b, '_>) -> Self {
                $new(context.arena)
            }

            fn read<'de: 'b, D: Deserializer<'de>>(
                deserializer: D,
                context: Context<'b, '_>,
            ) -> Result<Self, D::Error> {
                struct Fields<'b, 'c>(Context<'b, 'c>);
                impl<'de: 'b, 'b> Visitor<'de> for Fields<'b, '_> {
                    type Value = $object<'b>;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }

                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                        let mut object: $object<'b> = $new(self.0.arena);
                        while let Some(Name(key)) = map.next_key::<Name<'de>>()? {
                            match &*key {
                                $($key => object.$field = map.next_value_seed(Seed::new(self.0))?,)*
                                _ => {
                                    map.next_value::<IgnoredAny>()?;
                                }
                            }
                        }
                        Ok(object)
                    }
                }
                deserializer.deserialize_map(Fields(context))
            }
        }
    )* };
}

/// The name of a field.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// An event's attribute as it is written: a type and a field for each type.
struct Attribute<'b> {
    kind: i32,
    string: &'b str,
    boolean: bool,
    int: i64,
    double: f64,
    array: Elements<'b>,
}

/// The elements of an array attribute, as they are written.
struct Elements<'b> {
    values: List<'b, Scalar<'b>>,
}

/// An element of an array attribute: the format has no arrays of arrays.
struct Scalar<'b> {
    kind: i32,
    string: &'b str,
    boolean: bool,
    int: i64,
    double: f64,
}

fn no_elements(arena: &Bump) -> Elements<'_> {
    Elements { values: List::new_in(arena) }
}

objects! {
    Span, "a span", Span::new_in, {
        "service" => service, "name" => name, "resource" => resource, "trace_id" => trace_id,
        "span_id" => span_id, "parent_id" => parent_id, "start" => start, "duration" => duration,
        "error" => error, "meta" => meta, "metrics" => metrics, "type" => span_type,
        "meta_struct" => meta_struct, "span_links" => links, "span_events" => events,
    };
    SpanLink, "a span link", |arena| SpanLink {
        trace_id: 0, trace_id_high: 0, span_id: 0, attributes: List::new_in(arena), tracestate: "", flags: 0,
    }, {
        "trace_id" => trace_id, "trace_id_high" => trace_id_high, "span_id" => span_id,
        "attributes" => attributes, "tracestate" => tracestate, "flags" => flags,
    };
    SpanEvent, "a span event", |arena| SpanEvent {
        time_unix_nano: 0, name: "", attributes: List::new_in(arena),
    }, {
        "time_unix_nano" => time_unix_nano, "name" => name, "attributes" => attributes,
    };
    Attribute, "an attribute value", |arena| Attribute {
        kind: 0, string: "", boolean: false, int: 0, double: 0.0, array: no_elements(arena),
    }, {
        "type" => kind, "string_value" => string, "bool_value" => boolean, "int_value" => int,
        "double_value" => double, "array_value" => array,
    };
    Elements, "an array attribute", no_elements, { "values" => values };
    Scalar, "an element of an array attribute", |_| Scalar {
        kind: 0, string: "", boolean: false, int: 0, double: 0.0,
    }, {
        "type" => kind, "string_value" => string, "bool_value" => boolean, "int_value" => int,
        "double_value" => double,
    };
}

impl<'b> Value<'b> for AttributeValue<'b> {
    fn absent(_: Context<'b, '_>) -> Self {
        AttributeValue::String("")
    }

    fn read<'de: 'b, D: Deserializer<'de>>(
        deserializer: D,
        context: Context<'b, '_>,
    ) -> Result<Self, D::Error> {
        let attribute = Attribute::read(deserializer, context)?;
        Ok(match attribute.kind {
            1 => AttributeValue::Bool(attribute.boolean),
            2 => AttributeValue::Int(attribute.int),
            3 => AttributeValue::Double(attribute.double),
            4 => {
                let mut values = context.list();
                let elements = attribute.array.values;
                values.try_reserve_exact(elements.len()).map_err(|_| context.full())?;
                values.extend(elements.into_iter().map(|scalar| match scalar.kind {
                    1 => AttributeValue::Bool(scalar.boolean),
                    2 => AttributeValue::Int(scalar.int),
                    3 => AttributeValue::Double(scalar.double),
                    _ => AttributeValue::String(scalar.string),
                }));
                AttributeValue::Array(values)
            }
            _ => AttributeValue::String(attribute.string),
        })
    }
}
