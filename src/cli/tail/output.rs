//! What is written where: events to standard output, talk to standard error.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::bar::Bar;
use super::line::line;
use super::template::Template;
use crate::cli::palette::{Palette, printable};
use crate::cli::standard_output::{self, Reader};
use crate::cli::watching::{Conversation, Event, Gap, Item, Outcome, State};
use crate::event::JobKey;

/// Bytes that wait at most to be written together.
const TOGETHER: usize = 64 * 1024;

/// How events are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// A line for people
    #[default]
    Pretty,
    /// A line of JSON, the event as the gateway sends it
    Json,
    /// A line of JSON, only what the producer put into data
    Raw,
    /// As --template says
    Template,
}

/// Where it goes.
#[derive(Debug)]
pub(super) struct Output {
    job: JobKey,
    format: Format,
    template: Option<Template>,
    is_typed: bool,
    is_quiet: bool,
    bar: Bar,
    events: Palette,
    talk: Palette,
    waiting: Vec<u8>,
    reader: Reader,
    /// Whether the first state was told.
    has_begun: bool,
    /// Whether a lost connection was told, and none since.
    is_lost: bool,
    outcome: Option<Outcome>,
    /// What the job said when it failed.
    failure: Option<String>,
}

impl Output {
    pub(super) fn new(
        job: &JobKey,
        format: Format,
        template: Option<Template>,
        is_typed: bool,
        is_quiet: bool,
    ) -> Self {
        Self {
            job: job.clone(),
            format,
            template,
            is_typed,
            is_quiet,
            bar: Bar::new(!is_quiet),
            events: Palette::of(&io::stdout()),
            talk: Palette::of(&io::stderr()),
            waiting: Vec::new(),
            reader: Reader::Listening,
            has_begun: false,
            is_lost: false,
            outcome: None,
            failure: None,
        }
    }

    /// What the job said of its failure, if it did.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.clone()
    }

    /// An event that is not shown still tells how the job stands.
    pub(super) fn pass(&mut self, event: &Event) {
        self.bar.advance(event);
        if event.event_type == "job_failed" {
            self.failure = error_of(event);
        }
    }

    /// Shows an item.
    pub(super) fn item(&mut self, item: &Item) -> io::Result<()> {
        match item {
            Item::Event(event) => {
                self.pass(event);
                self.event(event)
            }
            Item::Unasked(event) => {
                self.pass(event);
                Ok(())
            }
            Item::Gap(gap) => self.gap(gap),
            Item::Reset { epoch } => {
                self.bar.reset();
                self.failure = None;
                self.typed("reset", &json!({ "epoch": epoch }))?;
                self.say("the stream was made anew: ids start again", true)
            }
            Item::Malformed { id } => {
                self.typed("malformed", &json!({ "id": id }))?;
                self.say(&format!("{id} is stored but no event, and is left out"), true)
            }
        }
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        let text = match self.format {
            Format::Pretty => line(event, self.events),
            Format::Json if self.is_typed => format!("{{\"event\":{}}}", on_one_line(&event.json)),
            Format::Json => on_one_line(&event.json),
            Format::Raw => event.body().data.map_or_else(|| "null".into(), on_one_line),
            Format::Template => self
                .template
                .as_ref()
                .map(|template| template.line(&self.job, event))
                .unwrap_or_default(),
        };
        self.put(&text)
    }

    fn gap(&mut self, gap: &Gap) -> io::Result<()> {
        self.typed("gap", gap)?;
        let Gap { requested_after, first_available, .. } = gap;
        let told = format!(
            "events are missing: after {requested_after} the first that is still stored is \
             {first_available}"
        );
        self.say(&told, true)
    }

    /// A new state.
    pub(super) fn state(&mut self, state: &State) -> io::Result<()> {
        let (name, reason) = match state {
            State::Connecting(reason) => ("connecting", reason.as_str()),
            State::CatchingUp => ("catching-up", "history"),
            State::Live => ("live", "up to date"),
            State::Reconnecting(reason) => ("reconnecting", reason.as_str()),
            State::Ended(outcome) => ("ended", outcome.as_str()),
        };
        self.typed("state", &name_and_reason(name, reason))?;
        match state {
            State::Reconnecting(reason) => self.lost(reason),
            // That it begins is no news.
            State::Connecting(_) if !std::mem::replace(&mut self.has_begun, true) => Ok(()),
            State::Connecting(reason) => self.lost(reason),
            State::Ended(outcome) => {
                self.outcome = Some(*outcome);
                Ok(())
            }
            State::CatchingUp | State::Live => {
                self.outcome = None;
                match std::mem::take(&mut self.is_lost) {
                    true => self.say("connected", false),
                    false => Ok(()),
                }
            }
        }
    }

    fn lost(&mut self, reason: &str) -> io::Result<()> {
        self.is_lost = true;
        self.say(reason, false)
    }

    /// The watch was refused.
    pub(super) fn refused(&mut self, code: &str, sentence: &str) -> io::Result<()> {
        self.typed("error", &json!({ "code": code, "message": sentence }))?;
        self.typed("state", &name_and_reason("closed", "refused"))
    }

    /// The watch is over before the job is.
    pub(super) fn closed(&mut self) -> io::Result<()> {
        self.typed("state", &name_and_reason("closed", "until"))
    }

    /// Where it ended.
    pub(super) fn done(&mut self, place: &Conversation) -> io::Result<()> {
        let done = json!({
            "outcome": self.outcome,
            "lastEventId": place.last().unwrap_or_default(),
            "epoch": place.epoch(),
        });
        self.typed("done", &done)
    }

    fn typed(&mut self, name: &str, value: &impl Serialize) -> io::Result<()> {
        if !self.is_typed {
            return Ok(());
        }
        let text = match name {
            // The state's name and its reason stand side by side.
            "state" => serde_json::to_string(value)?,
            _ => format!("{{\"{name}\":{}}}", serde_json::to_string(value)?),
        };
        self.put(&text)
    }

    fn put(&mut self, text: &str) -> io::Result<()> {
        self.waiting.extend_from_slice(text.as_bytes());
        self.waiting.push(b'\n');
        if self.waiting.len() >= TOGETHER {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self) -> io::Result<Reader> {
        if !self.waiting.is_empty() && self.reader == Reader::Listening {
            let bytes = std::mem::take(&mut self.waiting);
            self.reader = self.bar.aside(|| standard_output::write(&bytes))?;
        }
        self.waiting.clear();
        self.bar.draw();
        Ok(self.reader)
    }

    /// Says something to people, at its place among the events.
    fn say(&mut self, text: &str, is_important: bool) -> io::Result<()> {
        if self.is_quiet && !is_important {
            return Ok(());
        }
        self.flush()?;
        let text = printable(text);
        let told = if is_important { self.talk.striking(text) } else { self.talk.faint(text) };
        // Nobody has to listen.
        let _ = self.bar.aside(|| writeln!(io::stderr(), "jobwire: {told}"));
        Ok(())
    }
}

fn name_and_reason(state: &str, reason: &str) -> serde_json::Value {
    json!({ "state": state, "reason": reason })
}

/// A producer may have written its JSON over several lines. Outside of texts, where JSON has no
/// line breaks, they mean as much as spaces.
fn on_one_line(json: &RawValue) -> String {
    json.get().replace(['\n', '\r'], " ")
}

fn error_of(event: &Event) -> Option<String> {
    let data: serde_json::Value = serde_json::from_str(event.body().data?.get()).ok()?;
    let text = data.get("error")?.as_str()?;
    Some(printable(text).chars().take(500).collect())
}
