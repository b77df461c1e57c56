//! The parameters of a request's query.

use std::borrow::Cow;

use hyper::Request;

/// A request's query. A parameter that stands twice counts once, as it stands first; unknown ones
/// are ignored.
pub struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    /// The query of a request.
    pub fn of<B>(request: &'a Request<B>) -> Self {
        Self(request.uri().query().unwrap_or_default())
    }

    /// A parameter, decoded.
    pub fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        let mut pairs = form_urlencoded::parse(self.0.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// A parameter that is a whole number between two bounds.
    ///
    /// # Errors
    /// `refusal` if it is anything else.
    pub fn number<E>(
        &self,
        name: &str,
        bounds: std::ops::RangeInclusive<u64>,
        refusal: E,
    ) -> Result<Option<u64>, E> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let number = whole_number(&text).filter(|number| bounds.contains(number));
        number.map(Some).ok_or(refusal)
    }
}

/// A whole number in digits. A sign is no digit, whatever Rust makes of it.
pub fn whole_number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_digits_within_its_bounds() {
        let request = Request::get("/?a=7&b=-1&c=%2B1&d=&e=11&a=9&f=1%30").body(()).unwrap();
        let query = Query::of(&request);
        let number = |name| query.number(name, 0..=10, ());
        assert_eq!(number("a"), Ok(Some(7)));
        assert_eq!(number("f"), Ok(Some(10)));
        assert_eq!(number("g"), Ok(None));
        for name in ["b", "c", "d", "e"] {
            assert_eq!(number(name), Err(()), "{name}");
        }
    }
}
