//! JSON objects taken apart without being rewritten: each field stays as its author wrote it, and
//! is only looked at to see whether it is of the type that a wire format promises.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The fields of one object, in their order. Of fields with the same name the last one counts, as
/// in JavaScript and Python; `null` counts as absent.
#[derive(Debug, Default)]
pub(crate) struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// A number as it was written, and what it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Number<'a> {
    /// Its spelling.
    pub(crate) raw: &'a RawValue,
    /// Its value, always finite.
    pub(crate) value: f64,
}

impl<'a> Number<'a> {
    /// Reads a number; `None` for anything else, and for one that no client could hold.
    pub(crate) fn read(raw: &'a RawValue) -> Option<Self> {
        let value: f64 = serde_json::from_str(raw.get()).ok()?;
        value.is_finite().then_some(Self { raw, value })
    }
}

/// The text of a JSON string. `None` for another type, and for half a surrogate pair: RawValue
/// lets it pass, but some clients give up at text that is not Unicode.
pub(crate) fn decoded(raw: &RawValue) -> Option<Cow<'_, str>> {
    Key::deserialize(&mut serde_json::Deserializer::from_str(raw.get())).ok().map(|key| key.0)
}

impl<'a> Fields<'a> {
    /// Takes an object apart; anything else has no fields.
    pub(crate) fn of(object: Option<&'a RawValue>) -> Self {
        object.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    }

    /// A field of any type but `null`.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        let (_, raw) = self.0.iter().rfind(|(key, _)| key == name)?;
        (raw.get() != "null").then_some(*raw)
    }

    /// A number.
    pub(crate) fn number(&self, name: &str) -> Option<Number<'a>> {
        self.get(name).and_then(Number::read)
    }

    /// A string.
    pub(crate) fn string(&self, name: &str) -> Option<&'a RawValue> {
        self.get(name).filter(|raw| decoded(raw).is_some())
    }

    /// A string or a number: what identifiers are in the systems served.
    pub(crate) fn identifier(&self, name: &str) -> Option<&'a RawValue> {
        self.string(name).or_else(|| self.number(name).map(|number| number.raw))
    }

    /// An object.
    pub(crate) fn object(&self, name: &str) -> Option<&'a RawValue> {
        self.get(name).filter(|raw| raw.get().starts_with('{'))
    }

    /// Whether it is literally `true`.
    pub(crate) fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|raw| raw.get() == "true")
    }

    /// Every field in its order, `null` and names that come twice included.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(key, raw)| (key.as_ref(), *raw))
    }
}

/// A string that is borrowed where nothing in it is escaped.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some((Key(key), raw)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
            fields.push((key, raw));
        }
        Ok(Fields(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_fields(object: &str, check: impl FnOnce(Fields<'_>)) {
        let raw: &RawValue = serde_json::from_str(object).unwrap();
        check(Fields::of(Some(raw)));
    }

    #[test]
    fn a_field_is_found_by_its_name_as_it_was_written() {
        with_fields(r#"{"a":1.50,"\u0062":"x\n","c":{"d":[ 1 ]},"e":true}"#, |fields| {
            assert_eq!(fields.number("a").unwrap().raw.get(), "1.50");
            assert_eq!(fields.string("b").unwrap().get(), r#""x\n""#);
            assert_eq!(fields.object("c").unwrap().get(), r#"{"d":[ 1 ]}"#);
            assert!(fields.is_true("e") && !fields.is_true("a") && !fields.is_true("z"));
        });
    }

    #[test]
    fn a_field_of_another_type_is_as_good_as_absent() {
        with_fields(r#"{"n":null,"s":"1","a":[],"big":1e999,"half":"\ud800"}"#, |fields| {
            assert!(fields.get("n").is_none() && fields.get("z").is_none());
            assert!(fields.number("s").is_none() && fields.number("big").is_none());
            assert!(fields.string("a").is_none() && fields.string("half").is_none());
            assert!(fields.object("a").is_none() && fields.identifier("a").is_none());
        });
    }

    #[test]
    fn the_last_of_two_equal_names_counts() {
        with_fields(r#"{"a":1,"b":2,"a":3}"#, |fields| {
            assert_eq!(fields.get("a").unwrap().get(), "3");
        });
    }

    #[test]
    fn nothing_has_no_fields() {
        assert!(Fields::of(None).get("a").is_none());
        for other in ["[]", "7", r#""a""#] {
            with_fields(other, |fields| assert_eq!(fields.each().count(), 0, "{other}"));
        }
    }
}
