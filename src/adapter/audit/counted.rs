//! Events are counted on their way into the audit trail: what it does not keep, because it is folded or left out, too.

use std::sync::{Arc, OnceLock};

use crate::{
    domain::audit::{Action, Event, Outcome, Reason},
    metrics::{Counter, Counters, Labels, Metrics},
    port::audit::AuditTrail,
};

/// An audit trail that is counted by what happened, how it ended and why.
pub struct CountedTrail {
    inner: Arc<dyn AuditTrail>,
    events: Counters,
    /// One place for each combination; most never occur, and those make no series.
    counted: Box<[OnceLock<Counter>]>,
}

/// Every reason, and none.
const REASONS: usize = Reason::ALL.len() + 1;

impl CountedTrail {
    /// Counts what goes into `inner`.
    pub fn new(inner: Arc<dyn AuditTrail>, metrics: &mut Metrics) -> Self {
        let places = Action::ALL.len() * Outcome::ALL.len() * REASONS;
        Self {
            inner,
            events: metrics.counters("gateward_events", "What happened, how it ended and why, as in the audit trail"),
            counted: std::iter::repeat_with(OnceLock::new).take(places).collect(),
        }
    }

    fn counter(&self, event: &Event) -> Option<&Counter> {
        let (action, outcome) = (event.action as usize, event.outcome as usize);
        let reason = event.reason.map_or(0, |reason| reason as usize + 1);
        let place = self.counted.get((action * Outcome::ALL.len() + outcome) * REASONS + reason)?;
        Some(place.get_or_init(|| {
            let labels: Labels = vec![
                ("event", event.action.as_str()),
                ("outcome", event.outcome.as_str()),
                ("reason", event.reason.map_or("", Reason::as_str)),
            ];
            self.events.with(labels)
        }))
    }
}

impl AuditTrail for CountedTrail {
    fn record(&self, event: Event) {
        if let Some(counter) = self.counter(&event) {
            counter.inc_by(event.times);
        }
        self.inner.record(event);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::domain::time::Timestamp;

    #[derive(Default)]
    struct Kept(Mutex<Vec<Event>>);

    impl AuditTrail for Kept {
        fn record(&self, event: Event) {
            self.0.lock().unwrap().push(event);
        }
    }

    #[test]
    fn every_combination_has_a_series_of_its_own_and_every_event_goes_on() {
        let (mut metrics, kept) = (Metrics::default(), Arc::new(Kept::default()));
        let trail = CountedTrail::new(kept.clone(), &mut metrics);
        let at = Timestamp::from_unix(0);
        let mut count = 0;
        for action in Action::ALL {
            for outcome in Outcome::ALL {
                for reason in Reason::ALL.iter().copied().map(Some).chain([None]) {
                    trail.record(Event::new(at, *action, *outcome, reason));
                    count += 1;
                }
            }
        }
        trail.record(Event { times: 4, ..Event::success(at, Action::Authorize) });
        assert_eq!(kept.0.lock().unwrap().len(), count + 1);
        let text = metrics.encode();
        let series: Vec<&str> = text.lines().filter(|line| line.starts_with("gateward_events_total{")).collect();
        assert_eq!(series.len(), count);
        let authorize = r#"gateward_events_total{event="authorize",outcome="success",reason=""} 5"#;
        assert!(series.contains(&authorize));
        assert_eq!(series.iter().filter(|line| line.ends_with(" 1")).count(), count - 1);
    }
}
