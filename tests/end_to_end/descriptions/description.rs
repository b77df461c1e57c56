//! A document with JSON Schemas in it: what fits them, and which parts of them were met.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use jsonschema::{Draft, Validator};
use serde_json::Value;

/// A description of the API. Its places are named by JSON pointers.
pub struct Description {
    document: Value,
    draft: Draft,
    met: RefCell<BTreeSet<String>>,
    validators: RefCell<HashMap<String, Rc<Validator>>>,
}

impl Description {
    /// What is on WebSockets.
    pub fn of_web_sockets() -> Self {
        Self::read(include_str!("../../../docs/asyncapi.yaml"), Draft::Draft7)
    }

    /// What is over HTTP.
    pub fn of_http() -> Self {
        Self::read(include_str!("../../../docs/openapi.yaml"), Draft::Draft202012)
    }

    fn read(text: &str, draft: Draft) -> Self {
        let mut document: Value = serde_saphyr::from_str(text).expect("YAML");
        close(&mut document);
        let (met, validators) = (RefCell::default(), RefCell::default());
        Self { document, draft, met, validators }
    }

    /// The whole.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// What stands at a place; references lead on.
    pub fn at(&self, place: &str) -> &Value {
        self.document.pointer(&self.resolve(place)).expect("a resolved place is there")
    }

    /// Where a place's references lead to.
    pub fn resolve(&self, place: &str) -> String {
        let found = self.document.pointer(place).unwrap_or_else(|| panic!("no {place}"));
        match found["$ref"].as_str() {
            Some(to) => {
                self.resolve(to.strip_prefix('#').expect("a reference within the document"))
            }
            None => place.to_owned(),
        }
    }

    /// The names of what stands in an object at a place.
    pub fn names(&self, place: &str) -> Vec<String> {
        self.at(place).as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
    }

    /// Why a value does not fit the schema at a place.
    pub fn misfit(&self, place: &str, value: &Value) -> Option<String> {
        let validator = self.validator(place);
        let problem = validator.iter_errors(value).next()?;
        Some(format!("{place}: {problem} (at {:?})", problem.instance_path().as_str()))
    }

    fn validator(&self, place: &str) -> Rc<Validator> {
        if let Some(known) = self.validators.borrow().get(place) {
            return Rc::clone(known);
        }
        // References lead to components alone.
        let mut schema = self.at(place).clone();
        schema["components"] = self.document["components"].clone();
        let options = jsonschema::options().with_draft(self.draft).should_validate_formats(true);
        let validator = Rc::new(options.build(&schema).expect("a schema"));
        self.validators.borrow_mut().insert(place.to_owned(), Rc::clone(&validator));
        validator
    }

    /// Takes note that something that is no schema was met, under a name of its own.
    pub fn note(&self, name: impl Into<String>) {
        self.met.borrow_mut().insert(name.into());
    }

    /// Holds a value against the schema at a place, and takes note of the parts that it meets.
    pub fn check(&self, place: &str, value: &Value) {
        if let Some(misfit) = self.misfit(place, value) {
            panic!("{misfit}\nin {value}");
        }
        self.note_parts(place, value);
    }

    fn note_parts(&self, place: &str, value: &Value) {
        let place = self.resolve(place);
        let schema = self.at(&place);
        if schema["enum"].as_array().is_some_and(|listed| listed.contains(value)) {
            self.note(format!("{place} = {value}"));
        }
        for (number, _) in schema["oneOf"].as_array().into_iter().flatten().enumerate() {
            let branch = format!("{place}/oneOf/{number}");
            if self.misfit(&branch, value).is_none() {
                self.note_parts(&branch, value);
            }
        }
        for (name, _) in schema["properties"].as_object().into_iter().flatten() {
            if let Some(field) = value.get(name) {
                self.note_parts(&format!("{place}/properties/{}", escaped(name)), field);
                self.note(format!("{place}/properties/{}", escaped(name)));
            }
        }
        if schema.get("items").is_some() {
            for item in value.as_array().into_iter().flatten() {
                self.note_parts(&format!("{place}/items"), item);
            }
        }
        self.note(place);
    }

    /// Every part of the schema at a place that some value must meet.
    pub fn parts(&self, place: &str) -> BTreeSet<String> {
        let mut parts = BTreeSet::new();
        self.add_parts(place, &mut parts);
        parts
    }

    fn add_parts(&self, place: &str, parts: &mut BTreeSet<String>) {
        let place = self.resolve(place);
        let schema = self.at(&place);
        let listed = schema["enum"].as_array().into_iter().flatten();
        parts.extend(listed.map(|value| format!("{place} = {value}")));
        for (number, _) in schema["oneOf"].as_array().into_iter().flatten().enumerate() {
            self.add_parts(&format!("{place}/oneOf/{number}"), parts);
        }
        for (name, _) in schema["properties"].as_object().into_iter().flatten() {
            self.add_parts(&format!("{place}/properties/{}", escaped(name)), parts);
            parts.insert(format!("{place}/properties/{}", escaped(name)));
        }
        if schema.get("items").is_some() {
            self.add_parts(&format!("{place}/items"), parts);
        }
        parts.insert(place);
    }

    /// Asserts that all of these were met.
    pub fn assert_met(&self, parts: &BTreeSet<String>) {
        assert!(!parts.is_empty(), "nothing would be asserted");
        let met = self.met.borrow();
        let unmet: Vec<&String> = parts.difference(&met).collect();
        assert!(unmet.is_empty(), "described, and never met: {unmet:#?}");
    }
}

/// A name as a part of a JSON pointer.
pub fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The documents leave objects open, as clients must; what is said here may hold no field that
/// is not described.
fn close(part: &mut Value) {
    match part {
        Value::Object(fields) => {
            if fields.get("type").is_some_and(|kind| kind == "object")
                && fields.contains_key("properties")
            {
                fields.entry("additionalProperties").or_insert(Value::Bool(false));
            }
            fields.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}
