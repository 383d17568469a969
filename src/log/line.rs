//! Lines: those of `tracing`, with the request at their end.

use std::fmt;

use serde::Serialize;
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    Layer,
    fmt::{
        FmtContext, FormatEvent, FormatFields, MakeWriter,
        format::{Writer, format},
    },
    registry::LookupSpan,
};

use super::{CURRENT, LoggedRequest};

/// Lines for people, in colours if `ansi` says so.
pub fn human<S, W>(writer: W, ansi: bool) -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let event_format = AboutRequest { format: format().with_ansi(ansi), tell: tell_people };
    tracing_subscriber::fmt::layer().with_ansi(ansi).event_format(event_format).with_writer(writer)
}

/// Lines for programs: one JSON object each.
pub fn json<S, W>(writer: W) -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true);
    lines.map_event_format(|format| AboutRequest { format, tell: tell_programs }).with_writer(writer)
}

/// The line as `tracing` has it, and what `tell` makes of it where there is a request.
struct AboutRequest<F> {
    format: F,
    /// Gets the line without its end.
    tell: fn(&mut Writer<'_>, &str, Told) -> fmt::Result,
}

impl<S, N, F> FormatEvent<S, N> for AboutRequest<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        self.format.format_event(context, Writer::new(&mut line), event)?;
        match CURRENT.try_with(Told::of) {
            Ok(told) => (self.tell)(&mut writer, line.trim_end(), told),
            Err(_) => writer.write_str(&line),
        }
    }
}

fn tell_people(writer: &mut Writer<'_>, line: &str, told: Told) -> fmt::Result {
    let Told { id, attempt, method, path } = told;
    write!(writer, "{line} request={id}")?;
    if let Some(attempt) = attempt {
        write!(writer, " attempt={attempt}")?;
    }
    writeln!(writer, " method={method} path={}", path.escape_debug())
}

fn tell_programs(writer: &mut Writer<'_>, line: &str, told: Told) -> fmt::Result {
    let Some(open) = line.strip_suffix('}') else { return writeln!(writer, "{line}") };
    let told = serde_json::to_string(&told).map_err(|_| fmt::Error)?;
    writeln!(writer, r#"{open},"request":{told}}}"#)
}

/// What a line says about its request.
#[derive(Serialize)]
struct Told {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<String>,
    method: String,
    path: String,
}

impl Told {
    fn of(request: &LoggedRequest) -> Self {
        Self {
            id: request.id.to_string(),
            attempt: request.attempt.get().map(|attempt| attempt.to_string()),
            method: request.method.to_string(),
            path: request.uri.path().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use ::http::Uri;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::{
        domain::correlation::{AttemptId, RequestId},
        log::{carried, note_attempt},
    };

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }

        fn writer(&self) -> impl Fn() -> Self + Send + Sync + use<> {
            let lines = self.clone();
            move || lines.clone()
        }
    }

    fn request(path: &'static str) -> LoggedRequest {
        let id = RequestId::parse("abc").unwrap();
        LoggedRequest::new(id, "POST".parse().unwrap(), Uri::from_static(path))
    }

    async fn said_by_human(work: impl Future) -> String {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::registry().with(human(lines.writer(), false));
        let guard = tracing::subscriber::set_default(subscriber);
        work.await;
        drop(guard);
        lines.text()
    }

    #[tokio::test]
    async fn a_line_for_people_ends_with_its_request() {
        let said = said_by_human(request("/oauth/token?code=x").cover(async { tracing::info!(n = 1, "hello") })).await;
        assert!(said.ends_with("hello n=1 request=abc method=POST path=/oauth/token\n"), "{said}");
    }

    #[tokio::test]
    async fn a_line_of_no_request_is_one_of_tracing() {
        let said = said_by_human(async { tracing::info!("hello") }).await;
        assert!(said.ends_with("hello\n"), "{said}");
    }

    #[tokio::test]
    async fn a_task_of_its_own_belongs_to_the_request_with_its_attempt() {
        let said = said_by_human(request("/").cover(async {
            note_attempt(AttemptId::from_entropy([0; 16]));
            let task = carried(async { tracing::info!("hello") });
            // Where another request is worked on meanwhile.
            request("/other").cover(task).await;
        }))
        .await;
        assert!(said.ends_with("request=abc attempt=0000000000000000000000 method=POST path=/\n"), "{said}");
    }

    #[tokio::test]
    async fn no_path_breaks_a_line() {
        let said = said_by_human(request("/\u{2028}\"").cover(async { tracing::info!("hello") })).await;
        assert!(said.ends_with("path=/\\u{2028}\\\"\n"), "{said}");
    }

    #[tokio::test]
    async fn a_line_for_programs_is_one_object_with_the_request_in_it() {
        let lines = Lines::default();
        let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(json(lines.writer())));
        request("/a\"b").cover(async { tracing::info!(n = 1, "hello") }).await;
        tracing::info!("alone");
        drop(guard);
        let said = lines.text();
        let said: Vec<serde_json::Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(said[0]["request"], serde_json::json!({"id": "abc", "method": "POST", "path": "/a\"b"}));
        assert_eq!((&said[0]["message"], &said[0]["n"]), (&"hello".into(), &1.into()));
        assert_eq!((&said[1]["message"], said[1].get("request")), (&"alone".into(), None));
    }
}
