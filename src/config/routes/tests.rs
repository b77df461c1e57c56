//! What a configuration of routes becomes, and which mistakes are told.

use super::*;

fn resolve(text: &str) -> Result<Routes, ConfigError> {
    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        route: Vec<RouteSettings>,
    }
    let file: File = toml::from_str(text).expect("a table of routes");
    Routes::resolve(file.route, true, "JOBS", Duration::from_secs(2))
}

fn find<'a>(routes: &'a Routes, path: &'a str) -> (&'a Route, Option<&'a str>) {
    routes
        .routes
        .iter()
        .find_map(|route| Some((&**route, route.path.matches(path)?)))
        .expect("a route")
}

#[test]
fn the_four_systems_are_there_without_configuration() {
    let routes = resolve("").unwrap();
    assert_eq!(routes.sources.len(), 1);
    let (training, job) = find(&routes, "/api/v1/training-jobs/42/stream");
    assert_eq!((training.dialect, job), (Dialect::Training, Some("42")));
    assert_eq!(training.start, Start::State);
    assert_eq!(training.job_grace, Some(Duration::ZERO));
    assert_eq!(training.idle_timeout, Some(Duration::from_secs(300)));
    assert_eq!(training.max_connections_per_job, Some(10));
    let (agent, job) = find(&routes, "/ws/agent-progress/t-1");
    assert_eq!((agent.dialect, job, agent.job_grace), (Dialect::Agent, Some("t-1"), None));
    assert_eq!(agent.heartbeat, Some(Duration::from_secs(15)));
    assert_eq!(find(&routes, "/").0.dialect, Dialect::BeamSearch);
    let optimization = find(&routes, "/ws/optimization").0;
    assert_eq!((&*optimization.kind, optimization.start), ("optimization", Start::Live));
}

#[test]
fn a_path_matches_whole_segments_only() {
    let routes = resolve("").unwrap();
    for path in ["/ws/agent-progress/a/b", "/ws/optimization/", "/api/v1/training-jobs/1", ""] {
        assert!(routes.routes.iter().all(|route| route.path.matches(path).is_none()), "{path}");
    }
}

#[test]
fn a_foreign_stream_is_served_by_configuration_alone() {
    let routes = resolve(
        r#"
        [[route]]
        path = "/orders/{job}"
        dialect = "agent"
        kind = "orders"
        stream = "ORDERS"
        subject = "orders.{job}.evt.{type}"
        idle_timeout = "0s"
        "#,
    )
    .unwrap();
    let route = find(&routes, "/orders/17").0;
    assert_eq!((route.source, route.idle_timeout), (1, None));
    assert_eq!(routes.sources[1].stream, "ORDERS");
    for (kind, source) in [("orders", 1), ("agent", 0), ("any", 0)] {
        let job = JobKey::new(kind, "17").unwrap();
        assert_eq!(routes.events_of(&job).map(|route| route.source), Some(source), "{kind}");
    }
    assert_eq!(routes.routes.len(), 6, "the built-in ones are there too");
}

#[test]
fn a_route_replaces_the_built_in_one_with_its_path() {
    let routes = resolve(
        "[[route]]\npath = \"/ws/optimization\"\ndialect = \"optimization\"\nstart = \"start\"",
    )
    .unwrap();
    assert_eq!(find(&routes, "/ws/optimization").0.start, Start::Start);
    assert_eq!(routes.routes.len(), 5);
}

#[test]
fn a_mistake_names_its_setting() {
    let refused = |text: &str| resolve(text).expect_err(text).to_string();
    let route = |more: &str| format!("[[route]]\ndialect = \"agent\"\n{more}");
    assert!(refused(&route("path = \"/x\"")).starts_with("route.path:"));
    assert!(refused(&route("path = \"x/{job}\"")).starts_with("route.path:"));
    assert!(refused(&route("path = \"/x{job}\"")).starts_with("route.path:"));
    assert!(refused(&route("path = \"/x/{job}y\"")).starts_with("route.path:"));
    assert!(refused(&route("path = \"/api/v1/jobs/{job}\"")).starts_with("route.path:"));
    assert!(
        refused(&route("polling_path = \"/y/{job}\"\npath = \"/x/{job}\""))
            .starts_with("route.polling_path:")
    );
    assert!(refused(&route("path = \"/x/{task}\"")).starts_with("route.path:"));
    assert!(refused(&route("path = \"/x/{job}\"\nkind = \"a.b\"")).starts_with("route.kind:"));
    assert!(
        refused(&route("path = \"/x/{job}\"\nsubject = \"a.*\"")).starts_with("route.subject:")
    );
}
