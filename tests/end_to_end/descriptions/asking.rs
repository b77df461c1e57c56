//! An HTTP client that holds its requests and the answers against the description.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::conversing::is_at;
use super::description::{Description, escaped};
use crate::harness::event_reader::Block;
use crate::harness::plain_http::{Response, exchange, request};

/// Header fields of which an answer has none that is not described.
const TELLING: [&str; 11] = [
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-allow-private-network",
    "access-control-max-age",
    "allow",
    "retry-after",
    "sec-websocket-accept",
    "sec-websocket-protocol",
    "upgrade",
    "www-authenticate",
];

/// Header fields of a request that are parameters.
const WISHES: [&str; 4] = ["Idempotency-Key", "Last-Event-ID", "traceparent", "tracestate"];

/// What may stand below a path beside its parameters.
const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// The answers that any path can give.
const EVERYWHERE: &str = "/x-everywhere";

impl Description {
    /// Asks for a path with GET.
    pub async fn get(&self, address: SocketAddr, path: &str) -> Response {
        self.get_with(address, path, &[]).await
    }

    /// Asks for a path with GET and some header fields.
    pub async fn get_with(
        &self,
        address: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Response {
        let answer = exchange(address, &request(address, path, headers)).await;
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let Some(template) = self.template_of(path) else {
            self.check_answer(EVERYWHERE, &answer);
            return answer;
        };
        // What is out of bounds on purpose is answered with 400.
        let operation = get_of(&template);
        if answer.status != 400 {
            self.check_places(&operation, &template, path);
            self.check_wishes(&operation, query, headers);
        }
        self.check_answer(&format!("{operation}/responses"), &answer);
        answer
    }

    /// Asks for a path with another method, in a way that has nothing to do with what is there.
    pub async fn ask_anywhere(
        &self,
        address: SocketAddr,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Response {
        let request = request(address, path, headers).replacen("GET", method, 1);
        let answer = exchange(address, &request).await;
        self.check_answer(EVERYWHERE, &answer);
        answer
    }

    /// Publishes a body of a media type.
    pub async fn post(
        &self,
        address: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response {
        let length = body.len().to_string();
        let headers = [headers, &[("Content-Length", &*length)]].concat();
        let head = request(address, path, &headers).replacen("GET", "POST", 1);
        let answer = exchange(address, &format!("{head}{body}")).await;
        let template = self.template_of(path).expect("a described path");
        let operation = format!("/paths/{}/post", escaped(&template));
        if answer.status == 201 {
            self.check_places(&operation, &template, path);
            self.check_wishes(&operation, "", &headers);
            self.check_body(&operation, &headers, body);
        }
        self.check_answer(&format!("{operation}/responses"), &answer);
        answer
    }

    fn check_body(&self, operation: &str, headers: &[(&str, &str)], body: &str) {
        let media_type = headers.iter().find(|(name, _)| *name == "Content-Type");
        let (_, media_type) = media_type.expect("a media type");
        let content = format!("{operation}/requestBody/content/{}", escaped(media_type));
        let line = format!("{content}/schema/x-line");
        let has_lines = self.document().pointer(&line).is_some();
        let schema = if has_lines { line } else { format!("{content}/schema") };
        for event in body.lines().filter(|line| !line.trim().is_empty()) {
            self.check(&schema, &serde_json::from_str(event).expect("JSON"));
        }
        self.note(content);
    }

    /// Takes note of a block of a stream of events, which is granted at a path.
    pub fn check_block(&self, path: &str, block: &Block) {
        let template = self.template_of(path).expect("a described path");
        let responses = format!("{}/responses", get_of(&template));
        let content = format!("{responses}/200/content/text~1event-stream");
        let value = json!({ "id": block.id, "event": block.name, "data": block.data });
        self.check(&format!("{content}/schema/x-block"), &value);
        self.note(content);
    }

    /// The described path that a path is one of. A literal one goes before one with places.
    fn template_of(&self, path: &str) -> Option<String> {
        let mut templates = self.names("/paths");
        templates.sort_by_key(|template| template.matches('{').count());
        templates.into_iter().find(|template| is_at(path, template))
    }

    fn check_places(&self, operation: &str, template: &str, path: &str) {
        for (name, text) in template.split('/').zip(path.split('/')) {
            if let Some(name) = name.strip_prefix('{') {
                self.check_parameter(operation, "path", name.trim_end_matches('}'), text);
            }
        }
    }

    fn check_wishes(&self, operation: &str, query: &str, headers: &[(&str, &str)]) {
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if name != "token" {
                self.check_parameter(operation, "query", &name, &value);
            }
        }
        for (name, value) in headers.iter().filter(|(name, _)| WISHES.contains(name)) {
            self.check_parameter(operation, "header", name, value);
        }
    }

    fn check_parameter(&self, operation: &str, within: &str, name: &str, text: &str) {
        let found = self.parameters_of(operation).into_iter().find(|place| {
            let parameter = self.at(place);
            parameter["in"] == within && parameter["name"] == name
        });
        let place = found.unwrap_or_else(|| panic!("{operation} has no {name:?} in its {within}"));
        let schema = format!("{}/schema", self.resolve(&place));
        let value = match self.at(&schema)["type"].as_str() {
            Some("integer") => text.parse::<u64>().map_or(json!(text), Value::from),
            _ => json!(text),
        };
        self.check(&schema, &value);
        self.note(place);
    }

    /// The places of an operation's parameters, before any reference.
    fn parameters_of(&self, operation: &str) -> Vec<String> {
        let (path, _) = operation.rsplit_once('/').expect("a method below a path");
        let lists = [format!("{path}/parameters"), format!("{operation}/parameters")];
        let there = lists.into_iter().filter(|list| self.document().pointer(list).is_some());
        there
            .flat_map(|list| {
                let count = self.at(&list).as_array().map_or(0, Vec::len);
                (0..count).map(move |number| format!("{list}/{number}"))
            })
            .collect()
    }

    fn check_answer(&self, responses: &str, answer: &Response) {
        let here = format!("{responses}/{}", answer.status);
        let is_of_origin = answer.body.contains("ORIGIN_FORBIDDEN");
        let named = if self.document().pointer(&here).is_some() && !is_of_origin {
            here
        } else {
            format!("{EVERYWHERE}/{}", answer.status)
        };
        let place = self.resolve(&named);
        self.note(&named);
        self.check_headers(&place, answer);
        if self.at(&place).get("content").is_none() {
            assert_eq!(answer.body, "", "{named}");
            return;
        }
        let media_type = answer.header("content-type").split(';').next().unwrap_or_default();
        let content = format!("{place}/content/{}", escaped(media_type));
        let value = match media_type {
            "application/json" => answer.json(),
            _ => json!(answer.body),
        };
        self.check(&format!("{content}/schema"), &value);
        self.note(content);
    }

    fn check_headers(&self, place: &str, answer: &Response) {
        let described = match self.at(place).get("headers") {
            Some(_) => self.names(&format!("{place}/headers")),
            None => Vec::new(),
        };
        for name in &described {
            let header = self.resolve(&format!("{place}/headers/{name}"));
            let told = answer.header(&name.to_ascii_lowercase());
            if told.is_empty() {
                assert_ne!(self.at(&header)["required"], true, "no {name} in {answer:?}");
                continue;
            }
            self.check(&format!("{header}/schema"), &json!(told));
            self.note(header);
        }
        for name in TELLING.into_iter().filter(|name| !answer.header(name).is_empty()) {
            let is_described = described.iter().any(|known| known.eq_ignore_ascii_case(name));
            assert!(is_described, "{place} does not tell of {name} in {answer:?}");
        }
    }

    /// The places of all operations.
    pub fn operations(&self) -> Vec<String> {
        let paths = self.names("/paths").into_iter();
        let all = paths.flat_map(|template| {
            let path = format!("/paths/{}", escaped(&template));
            METHODS.map(|method| format!("{path}/{method}"))
        });
        all.filter(|operation| self.document().pointer(operation).is_some()).collect()
    }

    /// Everything that may be asked and answered by the operations with a tag.
    pub fn parts_of_operations(&self, tag: &str) -> BTreeSet<String> {
        let mut parts = BTreeSet::new();
        for operation in self.operations() {
            if self.at(&operation)["tags"] != json!([tag]) {
                continue;
            }
            for parameter in self.parameters_of(&operation) {
                parts.extend(self.parts(&format!("{}/schema", self.resolve(&parameter))));
                parts.insert(parameter);
            }
            parts.extend(self.parts_of_responses(&format!("{operation}/responses")));
            if self.at(&operation).get("requestBody").is_some() {
                parts.extend(self.parts_of_contents(&format!("{operation}/requestBody/content")));
            }
        }
        parts
    }

    /// Everything that any path may answer.
    pub fn parts_of_everywhere(&self) -> BTreeSet<String> {
        self.parts_of_responses(EVERYWHERE)
    }

    fn parts_of_responses(&self, responses: &str) -> BTreeSet<String> {
        let mut parts = BTreeSet::new();
        for status in self.names(responses) {
            let named = format!("{responses}/{status}");
            let response = self.resolve(&named);
            parts.insert(named);
            if self.at(&response).get("content").is_some() {
                parts.extend(self.parts_of_contents(&format!("{response}/content")));
            }
            if self.at(&response).get("headers").is_some() {
                let names = self.names(&format!("{response}/headers"));
                let headers = names.iter().map(|name| format!("{response}/headers/{name}"));
                parts.extend(headers.map(|header| self.resolve(&header)));
            }
        }
        parts
    }

    fn parts_of_contents(&self, contents: &str) -> BTreeSet<String> {
        let mut parts = BTreeSet::new();
        for media_type in self.names(contents) {
            let content = format!("{contents}/{}", escaped(&media_type));
            // What is text to HTTP has parts of its own.
            let schemas = ["x-block", "x-line"].map(|part| format!("{content}/schema/{part}"));
            let of_text = schemas.into_iter().find(|part| self.document().pointer(part).is_some());
            parts.extend(self.parts(&of_text.unwrap_or_else(|| format!("{content}/schema"))));
            parts.insert(content);
        }
        parts
    }
}

fn get_of(template: &str) -> String {
    format!("/paths/{}/get", escaped(template))
}
