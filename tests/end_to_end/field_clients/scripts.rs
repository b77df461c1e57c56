//! What happens to the job of each system, and what its clients must have seen of it.

use std::net::SocketAddr;

use serde_json::{Value, json};

/// Letters that a careless encoder breaks.
const PROMPT: &str = "ein Leuchtturm – 灯台 🗼 \"im Nebel\" \\ \u{2028} </script>";

/// Types of the events of [`optimization`].
pub const TYPES_OF_OPTIMIZATION: [&str; 6] = [
    "job_started",
    "iteration_completed",
    "job_paused",
    "job_resumed",
    "job_failed",
    "job_completed",
];

/// An event's type and payload.
type Event = (&'static str, Value);

/// A job's life, in the parts between which something happens to its clients.
#[derive(Clone)]
pub struct Script {
    /// The client that watches it.
    pub dialect: &'static str,
    /// `kind/id`.
    pub job: &'static str,
    /// Stored before anybody comes.
    pub beginning: Vec<Event>,
    /// How many messages of it every client receives.
    pub first_messages: usize,
    /// Stored while everybody is there.
    pub middle: Vec<Event>,
    /// It fails, and runs again.
    pub retry: Vec<Event>,
    /// Its end.
    pub ending: Vec<Event>,
    /// Asserts what a client has seen that was there from the beginning.
    pub expected: fn(&[Value]),
}

impl Script {
    /// What its client is told to do.
    pub fn options(&self, address: SocketAddr) -> Value {
        let (_, id) = self.job.split_once('/').expect("kind/id");
        let mut options = json!({ "address": address, "job": id });
        match self.dialect {
            // Pings more often than in the field, so that there are some.
            "optimization" => {
                options["after"] = 0.into();
                options["pingEvery"] = 700.into();
            }
            "training" => options["token"] = "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl".into(),
            _ => {}
        }
        options
    }
}

fn event(event_type: &'static str, second: u8, mut payload: Value) -> Event {
    payload["timestamp"] = format!("2026-03-01T10:00:{second:02}.123Z").into();
    (event_type, payload)
}

fn retry() -> Vec<Event> {
    let failed = json!({ "data": {
        "error": "a node died", "errorStack": "at line 1", "willRetry": true, "message": "a node died",
    } });
    vec![event("job_failed", 20, failed)]
}

/// A prompt optimisation.
pub fn optimization() -> Script {
    let started =
        json!({ "data": { "promptId": "p-1", "datasetId": "d-1", "config": { "text": PROMPT } } });
    let round = |number: u8, score: f64| {
        let payload =
            json!({ "iteration": number, "stage": "scoring", "data": { "score": score } });
        event("iteration_completed", number, payload)
    };
    let paused = json!({ "data": { "pausedAt": "2026-03-01T10:00:10Z", "currentIteration": 2 } });
    let resumed =
        json!({ "data": { "resumedAt": "2026-03-01T10:00:11Z", "resumeFromIteration": 2 } });
    let completed = json!({ "data": { "resultPromptId": "p-2", "finalScore": 0.93 } });
    let mut again = retry();
    again.push(event("job_started", 21, started.clone()));
    Script {
        dialect: "optimization",
        job: "optimization/prompt-17",
        beginning: vec![event("job_started", 0, started)],
        first_messages: 2,
        middle: vec![
            round(1, 0.5),
            event("job_paused", 10, paused),
            event("job_resumed", 11, resumed),
            round(2, 0.75),
        ],
        retry: again,
        ending: vec![round(3, 0.9), event("job_completed", 30, completed)],
        expected: |events| {
            let types: Vec<&str> =
                events.iter().filter_map(|event| event["eventType"].as_str()).collect();
            let expected = [
                "job_started",
                "iteration_completed",
                "job_paused",
                "job_resumed",
                "iteration_completed",
                "job_failed",
                "job_started",
                "iteration_completed",
                "job_completed",
            ];
            assert_eq!(types, expected);
            assert_eq!(events[0]["data"]["config"]["text"], PROMPT);
            let names: Vec<&String> = events[1].as_object().expect("an event").keys().collect();
            assert_eq!(names, ["data", "eventType", "id", "iteration", "stage", "timestamp"]);
        },
    }
}

/// A search for an image.
pub fn beam_search() -> Script {
    let config = json!({ "prompt": PROMPT, "N": 4, "M": 2, "iterations": 2 });
    let started = json!({ "data": { "config": config } });
    let round = |second: u8, number: u8, dimension: &str, status: &str| {
        let data = json!({ "totalIterations": 2, "dimension": dimension, "status": status });
        event("iteration", second, json!({ "iteration": number, "data": data }))
    };
    let candidate = |second: u8, number: u8| {
        let score = json!({ "totalScore": 71.5, "alignmentScore": 80, "aestheticScore": 6.25 });
        let data = json!({ "candidateId": number, "totalCandidates": 4, "score": score });
        event("candidate", second, json!({ "iteration": 1, "data": data }))
    };
    let best = json!({
        "whatPrompt": PROMPT, "howPrompt": "oil on canvas", "combinedPrompt": PROMPT,
        "imagePath": "out/1.png", "totalScore": 71.5,
    });
    let result = json!({ "bestCandidate": best, "iterations": 2, "duration": 6_000 });
    let mut again = retry();
    again.push(event("job_started", 21, started.clone()));
    Script {
        dialect: "beam_search",
        job: "beam-search/image-5",
        beginning: vec![event("job_started", 0, started)],
        first_messages: 1,
        middle: vec![round(1, 1, "what", "started"), candidate(2, 0), candidate(3, 1)],
        retry: again,
        ending: vec![
            round(22, 2, "how", "completed"),
            event("job_completed", 30, json!({ "data": { "result": result } })),
        ],
        expected: |messages| {
            let types: Vec<&str> =
                messages.iter().filter_map(|message| message["type"].as_str()).collect();
            let expected = [
                "started",
                "iteration",
                "candidate",
                "candidate",
                "started",
                "iteration",
                "complete",
            ];
            assert_eq!(types, expected, "a failure that is tried again is no error");
            let score = json!({ "totalScore": 71.5, "alignmentScore": 80, "aestheticScore": 6.25 });
            let candidate = json!({
                "type": "candidate", "jobId": "image-5", "iteration": 1, "candidateId": 1,
                "totalCandidates": 4, "score": score, "timestamp": "2026-03-01T10:00:03.123Z",
            });
            assert_eq!(messages[3], candidate);
            assert_eq!(messages[6]["result"]["bestCandidate"]["combinedPrompt"], PROMPT);
        },
    }
}

/// A training run.
pub fn training() -> Script {
    let epoch = |number: u8, loss: f64| {
        let progress = f64::from(number) / 4.0;
        let data = json!({
            "status": "running", "progress": progress, "total_epochs": 4, "current_loss": loss,
        });
        event("progress", number, json!({ "iteration": number, "data": data }))
    };
    let log = json!({ "data": { "level": "warning", "message": PROMPT } });
    let result = json!({ "data": { "model_id": "m-7", "final_metrics": { "accuracy": 0.93 } } });
    let mut again = retry();
    again.push(event("job_started", 21, json!({})));
    Script {
        dialect: "training",
        job: "training/42",
        beginning: vec![event("job_started", 0, json!({})), epoch(1, 0.9)],
        first_messages: 1,
        middle: vec![epoch(2, 0.5), event("log", 10, log)],
        retry: again,
        ending: vec![epoch(4, 0.25), event("job_completed", 30, result)],
        expected: |messages| {
            let told: Vec<Value> = messages
                .iter()
                .map(|told| {
                    json!([told["type"], told["status"], told["progress"], told["current_epoch"]])
                })
                .collect();
            let expected = json!([
                ["progress", "running", 0.25, 1],
                ["progress", "running", 0.5, 2],
                ["log", null, 0.5, 2],
                ["progress", "pending", 0.5, 2],
                ["progress", "running", 0.5, 2],
                ["progress", "running", 1.0, 4],
                ["complete", "succeeded", 1, 4],
            ]);
            assert_eq!(comparable(&json!(told)), comparable(&expected));
            assert_eq!(messages[2]["message"], PROMPT);
            assert!(messages.iter().all(|message| message["job_id"] == 42), "{messages:?}");
        },
    }
}

/// An agent's task.
pub fn agent() -> Script {
    let step = |second: u8, name: &str, percent: u8| {
        let data = json!({ "tool": "scam_database", "message": PROMPT, "percent": percent });
        event("progress", second, json!({ "stage": name, "data": data }))
    };
    let mut again = retry();
    again.push(step(21, "tool_execution", 30));
    Script {
        dialect: "agent",
        job: "agent/task-9",
        beginning: vec![step(0, "entity_extraction", 10)],
        first_messages: 2,
        middle: vec![step(1, "scam_db", 40), step(2, "reasoning", 85)],
        retry: again,
        ending: vec![
            step(22, "reasoning", 90),
            event("job_completed", 30, json!({ "data": { "message": "Analysis complete" } })),
        ],
        expected: |messages| {
            let told: Vec<Value> =
                messages.iter().map(|told| json!([told["step"], told["percent"]])).collect();
            let retrying = &messages[4]["percent"];
            let expected = json!([
                ["connected", 0],
                ["entity_extraction", 10],
                ["scam_db", 40],
                ["reasoning", 85],
                ["retrying", retrying],
                ["tool_execution", 30],
                ["reasoning", 90],
                ["completed", 100],
            ]);
            assert_eq!(json!(told), expected);
            let scam = json!({
                "step": "scam_db", "tool": "scam_database", "message": PROMPT, "percent": 40,
                "timestamp": "2026-03-01T10:00:01.123Z",
            });
            assert_eq!(messages[2], scam);
        },
    }
}

/// With every number as a float: `1` and `1.0` are one to these clients.
fn comparable(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(comparable).collect(),
        Value::Number(number) => json!(number.as_f64()),
        other => other.clone(),
    }
}
