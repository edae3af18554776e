//! Spans and what they hold, as JSON objects whose unknown keys are passed over.

use std::borrow::Cow;
use std::fmt;

use model::{AttributeValue, Bump, List, Span, SpanEvent, SpanLink};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::value::{Context, Seed, Value};

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
