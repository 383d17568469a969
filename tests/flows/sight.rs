//! What an operator sees: the dashboard and the alert rules in `config/` speak of what a server really tells, and everything that it
//! tells is explained.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use gateward::domain::audit::{Action, Outcome, Reason};
use serde_json::Value;

use crate::{
    story::tell,
    support::{Options, Server, oauth::Wire},
};

/// Every metric by its name, with the values that each of its labels has.
type Told = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// Labels that Prometheus adds.
const ADDED: &[&str] = &["instance", "job"];

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

pub(crate) fn measured() -> Options {
    Options::new().set("GATEWARD_METRICS__LISTEN", "127.0.0.1:0")
}

/// Everything that a server tells after it was asked everything; and what one with TLS tells besides.
async fn told() -> Told {
    let server = Server::start(measured());
    tell(&server, &Wire::to(&server)).await;
    let mut told = Told::new();
    note(&mut told, &read(&server).await);

    let directory = tempfile::tempdir().unwrap();
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(directory.path().join("server.pem"), own.cert.pem()).unwrap();
    fs::write(directory.path().join("server.key"), own.signing_key.serialize_pem()).unwrap();
    let with_tls = Server::start(measured().on_localhost().with_tls(directory.path()));
    note(&mut told, &read(&with_tls).await);
    told
}

fn note(told: &mut Told, text: &str) {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    for line in samples {
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let (name, labels) = series.strip_suffix('}').and_then(|s| s.split_once('{')).unwrap_or((series, ""));
        let known = told.entry(name.to_owned()).or_default();
        for (label, value) in matchers(labels) {
            known.entry(label).or_default().insert(value);
        }
    }
}

pub(crate) async fn read(server: &Server) -> String {
    let stdout = server.stdout();
    let url = stdout.lines().find_map(|line| line.strip_prefix("metrics at ")).expect("it says where");
    let answer = reqwest::get(url).await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.text().await.unwrap()
}

/// `a="x",b=~"y"` as pairs.
fn matchers(text: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('"') {
        let name = name.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '_').to_owned();
        let (value, after) = after.split_once('"').expect("a closed value");
        pairs.push((name, value.to_owned()));
        rest = after;
    }
    pairs
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Metrics with what their labels have to match, and the labels that are grouped by.
type Asked = (Vec<(String, Vec<(String, String)>)>, Vec<String>);

/// What a PromQL expression asks for: each metric with its matchers, and the labels that it groups by.
fn asked(expression: &str) -> Asked {
    let mut metrics = Vec::new();
    for (at, _) in expression.match_indices("gateward_").chain(expression.match_indices("process_")) {
        if expression[..at].ends_with(is_name) {
            continue;
        }
        let name: String = expression[at..].chars().take_while(|c| is_name(*c)).collect();
        let after = &expression[at + name.len()..];
        let labels = after.strip_prefix('{').map_or("", |inside| inside.split_once('}').expect("a closed selector").0);
        metrics.push((name, matchers(labels)));
    }
    let mut groups = Vec::new();
    for word in ["by (", "on ("] {
        for (at, _) in expression.match_indices(word) {
            let list = expression[at + word.len()..].split(')').next().unwrap_or_default();
            groups.extend(list.split(',').map(|label| label.trim().to_owned()));
        }
    }
    (metrics, groups)
}

/// The words of events exist even if this story did not bring them about.
fn values<'a>(told: &'a Told, metric: &str, label: &str) -> BTreeSet<&'a str> {
    let words: Vec<&'static str> = match (metric, label) {
        ("gateward_events_total", "event") => Action::ALL.iter().map(|word| word.as_str()).collect(),
        ("gateward_events_total", "outcome") => Outcome::ALL.iter().map(|word| word.as_str()).collect(),
        ("gateward_events_total", "reason") => Reason::ALL.iter().map(|word| word.as_str()).collect(),
        _ => vec![],
    };
    words.into_iter().chain(told[metric][label].iter().map(String::as_str)).collect()
}

fn check(told: &Told, expression: &str) {
    let (metrics, groups) = asked(expression);
    assert!(!metrics.is_empty(), "it asks for nothing of ours: {expression}");
    for (name, matchers) in &metrics {
        let labels = told.get(name).unwrap_or_else(|| panic!("{name} is not told: {expression}"));
        for (label, wanted) in matchers.iter().filter(|(label, _)| !ADDED.contains(&label.as_str())) {
            assert!(labels.contains_key(label), "{name} has no {label}: {expression}");
            let known = values(told, name, label);
            for value in wanted.split('|') {
                assert!(known.contains(value), "{name} has no {label}={value}, only {known:?}: {expression}");
            }
        }
    }
    for label in groups.iter().filter(|label| !ADDED.contains(&label.as_str())) {
        let has = |name: &String| told[name].contains_key(label);
        assert!(metrics.iter().any(|(name, _)| has(name)), "nothing has {label}: {expression}");
    }
}

/// Every text under one of `keys`, wherever it is.
fn texts<'a>(value: &'a Value, keys: &[&str], found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member.as_str() {
                    Some(text) if keys.contains(&name.as_str()) => found.push(text),
                    _ => texts(member, keys, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, keys, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The expressions of the rules: what follows `expr:`, on its line or indented below it.
fn rules(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((indent, expression)) = line.split_once("expr: ") else { continue };
        let mut expression = expression.trim_matches('|').to_owned();
        while let Some(more) = lines.next_if(|next| next.starts_with(&format!("{indent}  "))) {
            expression.push_str(more.trim());
            expression.push(' ');
        }
        found.push(expression);
    }
    found
}

#[tokio::test]
async fn dashboard_and_alerts_ask_for_what_is_told_and_everything_told_is_explained() {
    let told = told().await;

    let dashboard: Value = serde_json::from_str(&file("config/grafana-dashboard.json")).unwrap();
    let mut expressions = Vec::new();
    texts(&dashboard, &["expr"], &mut expressions);
    assert!(expressions.len() > 15, "{}", expressions.len());
    for expression in expressions {
        check(&told, expression);
    }

    let text = file("config/prometheus-alerts.yaml");
    let rules = rules(&text);
    assert_eq!(rules.len(), text.matches("- alert: ").count());
    for rule in &rules {
        check(&told, rule);
    }

    let explained = file("IMPLEMENTATION.md");
    for name in told.keys() {
        let suffixes = ["_bucket", "_sum", "_count"];
        let metric = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
        assert!(explained.contains(&format!("| `{metric}` |")), "{metric} is not explained in IMPLEMENTATION.md");
    }
}

/// A check that nothing fails checks nothing.
#[test]
fn the_check_finds_what_is_not_told() {
    let labels = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), BTreeSet::from([(*value).to_owned()]))).collect()
    };
    let told = Told::from([("gateward_x_total".to_owned(), labels(&[("a", "1"), ("b", "2")]))]);
    check(&told, r#"sum by (instance, a) (rate(gateward_x_total{b="2", instance=~"$i"}[5m])) > 0"#);
    for wrong in [
        "gateward_y_total",
        r#"gateward_x_total{c="1"}"#,
        r#"gateward_x_total{a="2"}"#,
        "sum by (c) (gateward_x_total)",
        "up == 0",
    ] {
        assert!(std::panic::catch_unwind(|| check(&told, wrong)).is_err(), "{wrong}");
    }
}
