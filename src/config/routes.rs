//! Routes: which path speaks which dialect, about which jobs, and with which rules.
//!
//! The built-in routes take the place of four existing services. A `[[route]]` in the
//! configuration file replaces the one with its path, or adds another; `default_routes = false`
//! leaves the built-in ones out.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ConfigError, invalid};
use crate::event::{JobKey, MAX_NAME, check_name};
use crate::subject::{DEFAULT_TEMPLATE, SubjectTemplate};

/// A wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// Many jobs on one connection (PROTOCOLS section 1).
    Optimization,
    /// Beam-search image jobs (section 2).
    BeamSearch,
    /// The job in the path, with a polling resource (section 3).
    Training,
    /// The task in the path, without types (section 4).
    Agent,
    /// Server-Sent Events; not a route of its own, but a way to read any job.
    #[serde(skip)]
    Events,
}

impl Dialect {
    /// Every dialect there is.
    pub const ALL: [Self; 5] =
        [Self::Optimization, Self::BeamSearch, Self::Training, Self::Agent, Self::Events];

    /// Its name, which is also the kind of its jobs unless configured.
    pub fn name(self) -> &'static str {
        match self {
            Self::Optimization => "optimization",
            Self::BeamSearch => "beam-search",
            Self::Training => "training",
            Self::Agent => "agent",
            Self::Events => "events",
        }
    }

    /// Whether a connection is about one job, which its path names.
    pub fn names_job_in_path(self) -> bool {
        matches!(self, Self::Training | Self::Agent | Self::Events)
    }
}

/// Where a subscriber without a cursor begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// At the job's first event.
    Start,
    /// With what happens from now on.
    Live,
    /// With the job's state, then what follows it.
    State,
}

/// What a subscriber of a job that does not exist gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownJobRule {
    /// A refusal, after the grace.
    Reject,
    /// Nothing until the job appears.
    Wait,
}

/// What becomes of a connection whose token expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnTokenExpiry {
    /// It is closed with 4001, unless the token is renewed on it.
    Close,
    /// Nothing: it was authenticated once.
    Keep,
}

/// A `[[route]]` of the configuration file. What is absent is the dialect's default.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteSettings {
    /// The path; `{job}` stands for the job's id where the dialect names it in the path.
    pub path: String,
    /// The wire format.
    pub dialect: Dialect,
    /// Path of the resource for those who poll, in the training dialect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub polling_path: Option<String>,
    /// The kind of jobs that are named without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The stream; the one of `[nats]` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// How subjects name jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Where a subscriber without a cursor begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,
    /// What a subscriber of an unknown job gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_job: Option<UnknownJobRule>,
    /// Grace before an unknown job is rejected.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "humantime_serde")]
    pub job_grace: Option<Duration>,
    /// A connection without an event for so long is closed with 1001; `0s`: never.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "humantime_serde")]
    pub idle_timeout: Option<Duration>,
    /// How often a heartbeat message is sent, in the agent dialect.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "humantime_serde")]
    pub heartbeat: Option<Duration>,
    /// Connections to one job in this process; 0: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections_per_job: Option<usize>,
    /// Whether a token may stand in the query as `?token=`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_in_query: Option<bool>,
    /// What becomes of a connection whose token expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_token_expiry: Option<OnTokenExpiry>,
}

/// A route, checked.
#[derive(Debug, Clone)]
pub struct Route {
    /// Its path.
    pub path: PathPattern,
    /// The wire format.
    pub dialect: Dialect,
    /// Path of the resource for those who poll.
    pub polling_path: Option<PathPattern>,
    /// The kind of jobs that are named without one.
    pub kind: Arc<str>,
    /// Number of its source in [`Routes::sources`].
    pub source: usize,
    /// Where a subscriber without a cursor begins.
    pub start: Start,
    /// Grace before an unknown job is rejected; `None`: it is waited for.
    pub job_grace: Option<Duration>,
    /// A connection without an event for so long is closed.
    pub idle_timeout: Option<Duration>,
    /// How often a heartbeat is sent.
    pub heartbeat: Option<Duration>,
    /// Connections to one job in this process.
    pub max_connections_per_job: Option<usize>,
    /// Whether a token may stand in the query.
    pub token_in_query: bool,
    /// What becomes of a connection whose token expires.
    pub on_token_expiry: OnTokenExpiry,
}

/// A stream, and how its subjects name jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceConfig {
    /// The stream's name.
    pub stream: String,
    /// How its subjects name jobs.
    pub subjects: Arc<SubjectTemplate>,
}

/// Every route, and the streams they are about. The first source is that of `[nats]`.
#[derive(Debug, Clone)]
pub struct Routes {
    /// The routes, in the order in which they are tried.
    pub routes: Vec<Arc<Route>>,
    /// The streams.
    pub sources: Vec<SourceConfig>,
    /// How each of them is read without a WebSocket.
    events: Vec<Arc<Route>>,
}

/// A path with at most one place for the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    before: String,
    /// What follows the job; `None`: the path is literal.
    after: Option<String>,
}

impl PathPattern {
    fn parse(setting: &'static str, text: &str, dialect: Dialect) -> Result<Self, ConfigError> {
        let refuse = |problem: &str| invalid(setting, format!("{text:?} {problem}"));
        if !text.starts_with('/') || text.contains(['?', '#', ' ']) {
            return Err(refuse("is not a path such as /ws/jobs"));
        }
        if text.strip_prefix(JOBS).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            return Err(refuse("is hidden by the resources that every gateway has there"));
        }
        let places = text.matches('{').count();
        if dialect.names_job_in_path() != (places == 1) || places > 1 {
            return Err(refuse(
                "needs one {job} for this dialect if it names jobs in the path, else none",
            ));
        }
        let Some((before, rest)) = text.split_once('{') else {
            return Ok(Self { text: text.into(), before: text.into(), after: None });
        };
        let after = rest
            .strip_prefix("job}")
            .filter(|after| before.ends_with('/') && (after.is_empty() || after.starts_with('/')));
        match after {
            Some(after) if !after.contains('}') => {
                Ok(Self { text: text.into(), before: before.into(), after: Some(after.into()) })
            }
            _ => Err(refuse("must have {job} as a whole segment")),
        }
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `None` if the path is another; `Some(None)` if it names no job, as it should.
    pub fn matches<'a>(&self, path: &'a str) -> Option<Option<&'a str>> {
        let rest = path.strip_prefix(&*self.before)?;
        match &self.after {
            None => rest.is_empty().then_some(None),
            Some(after) => {
                let job = rest.strip_suffix(&**after)?;
                (!job.contains('/')).then_some(Some(job))
            }
        }
    }
}

/// Below this are the resources of every job, whatever the routes.
pub const JOBS: &str = "/api/v1/jobs";

fn events(source: usize, job_grace: Duration) -> Arc<Route> {
    let path = "/api/v1/jobs/{kind}/{job}/events";
    Arc::new(Route {
        path: PathPattern { text: path.into(), before: path.into(), after: None },
        dialect: Dialect::Events,
        polling_path: None,
        kind: Dialect::Events.name().into(),
        source,
        start: Start::Start,
        job_grace: Some(job_grace),
        idle_timeout: None,
        heartbeat: None,
        max_connections_per_job: None,
        // A browser's EventSource can send no header.
        token_in_query: true,
        on_token_expiry: OnTokenExpiry::Close,
    })
}

/// Path of the built-in polling resource.
const TRAINING_JOB: &str = "/api/v1/training-jobs/{job}";

/// The routes that are there unless they are configured away.
fn built_in() -> Vec<RouteSettings> {
    let route = |path: &str, dialect| RouteSettings {
        path: path.into(),
        dialect,
        polling_path: (dialect == Dialect::Training).then(|| TRAINING_JOB.into()),
        kind: None,
        stream: None,
        subject: None,
        start: None,
        unknown_job: None,
        job_grace: None,
        idle_timeout: None,
        heartbeat: None,
        max_connections_per_job: None,
        token_in_query: None,
        on_token_expiry: None,
    };
    vec![
        route("/ws/optimization", Dialect::Optimization),
        route("/", Dialect::BeamSearch),
        route("/api/v1/training-jobs/{job}/ws", Dialect::Training),
        route("/api/v1/training-jobs/{job}/stream", Dialect::Training),
        route("/ws/agent-progress/{job}", Dialect::Agent),
    ]
}

impl Routes {
    /// Puts the configured routes in place.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with the route's setting that is wrong.
    pub fn resolve(
        configured: Vec<RouteSettings>,
        with_built_in: bool,
        stream: &str,
        job_grace: Duration,
    ) -> Result<Self, ConfigError> {
        let mut all = configured;
        if with_built_in {
            let more: Vec<RouteSettings> = built_in()
                .into_iter()
                .filter(|route| !all.iter().any(|other| other.path == route.path))
                .collect();
            all.extend(more);
        }
        let default = SourceConfig { stream: stream.into(), subjects: Arc::default() };
        let mut routes = Self { routes: Vec::new(), sources: vec![default], events: Vec::new() };
        for settings in all {
            let route = routes.check(settings, stream, job_grace)?;
            if routes.routes.iter().any(|other| other.path == route.path) {
                return Err(invalid("route.path", format!("{:?} stands twice", route.path.text)));
            }
            routes.routes.push(Arc::new(route));
        }
        routes.events = (0..routes.sources.len()).map(|source| events(source, job_grace)).collect();
        Ok(routes)
    }

    /// The rules of reading without a WebSocket, where no job is named.
    pub fn any_events(&self) -> Option<&Arc<Route>> {
        self.events.first()
    }

    /// How a job is read without a WebSocket; `None` if no stream can hold it.
    ///
    /// Its kind is looked for among the routes first, of which the configured ones come before
    /// the built-in: the default stream could hold a job of any kind, and would hide the others.
    pub fn events_of(&self, job: &JobKey) -> Option<&Arc<Route>> {
        let covers = |source: usize| {
            self.sources.get(source).is_some_and(|source| source.subjects.covers(job))
        };
        let of_routes = self.routes.iter().filter(|route| *route.kind == *job.kind());
        let of_routes = of_routes.map(|route| route.source).find(|source| covers(*source));
        let source =
            of_routes.or_else(|| (0..self.sources.len()).find(|source| covers(*source)))?;
        self.events.get(source)
    }

    fn check(
        &mut self,
        settings: RouteSettings,
        stream: &str,
        job_grace: Duration,
    ) -> Result<Route, ConfigError> {
        let dialect = settings.dialect;
        let kind = settings.kind.unwrap_or_else(|| dialect.name().into());
        check_name(&kind, MAX_NAME)
            .map_err(|error| invalid("route.kind", format!("{kind:?} {error}")))?;
        let template = settings.subject.as_deref().unwrap_or(DEFAULT_TEMPLATE);
        let subjects = SubjectTemplate::parse(template, &kind)
            .map_err(|error| invalid("route.subject", format!("{template:?}: {error}")))?;
        let source = SourceConfig {
            stream: settings.stream.unwrap_or_else(|| stream.into()),
            subjects: Arc::new(subjects.without_spare_kind()),
        };
        let rejects = settings.unknown_job.unwrap_or(match dialect {
            Dialect::Optimization | Dialect::Training => UnknownJobRule::Reject,
            Dialect::BeamSearch | Dialect::Agent | Dialect::Events => UnknownJobRule::Wait,
        }) == UnknownJobRule::Reject;
        let grace = settings.job_grace.unwrap_or(match dialect {
            Dialect::Training => Duration::ZERO,
            _ => job_grace,
        });
        if grace > super::LONGEST_JOB_GRACE {
            return Err(invalid(
                "route.job_grace",
                "at most 8s: a subscribe is answered within 10s",
            ));
        }
        let polling_path = settings.polling_path.as_deref();
        if polling_path.is_some() && dialect != Dialect::Training {
            return Err(invalid("route.polling_path", "only the training dialect has one"));
        }
        let timed = |given: Option<Duration>, default: Option<u64>| {
            given.or(default.map(Duration::from_secs)).filter(|duration| !duration.is_zero())
        };
        Ok(Route {
            path: PathPattern::parse("route.path", &settings.path, dialect)?,
            polling_path: polling_path
                .map(|path| PathPattern::parse("route.polling_path", path, dialect))
                .transpose()?,
            dialect,
            kind: kind.into(),
            source: self.source(source),
            start: settings.start.unwrap_or(match dialect {
                Dialect::Optimization => Start::Live,
                Dialect::Training => Start::State,
                Dialect::BeamSearch | Dialect::Agent | Dialect::Events => Start::Start,
            }),
            job_grace: rejects.then_some(grace),
            idle_timeout: timed(
                settings.idle_timeout,
                match dialect {
                    Dialect::Training => Some(300),
                    Dialect::Agent => Some(60),
                    Dialect::Optimization | Dialect::BeamSearch | Dialect::Events => None,
                },
            ),
            heartbeat: timed(settings.heartbeat, (dialect == Dialect::Agent).then_some(15)),
            max_connections_per_job: settings
                .max_connections_per_job
                .or((dialect == Dialect::Training).then_some(10))
                .filter(|most| *most > 0),
            token_in_query: settings.token_in_query.unwrap_or(dialect == Dialect::Training),
            on_token_expiry: settings.on_token_expiry.unwrap_or(match dialect {
                Dialect::Training => OnTokenExpiry::Keep,
                _ => OnTokenExpiry::Close,
            }),
        })
    }

    /// The number of a source, which is added if no route had it yet.
    fn source(&mut self, source: SourceConfig) -> usize {
        self.sources.iter().position(|known| *known == source).unwrap_or_else(|| {
            self.sources.push(source);
            self.sources.len() - 1
        })
    }
}

#[cfg(test)]
mod tests;
