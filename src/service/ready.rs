//! Whether this instance can do its work: whether its stores answer.
//!
//! Anybody may ask, as often as they like, so the stores are asked once in a second of the clock and never twice at the same
//! time; everybody else shares the answer. The question belongs to a task of its own: a caller that hangs up cannot have it
//! asked again.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use super::Authority;
use crate::{domain::time::Timestamp, port::store::StoreError};

/// How long the stores may take: less than whoever asks is patient.
const PATIENCE: Duration = Duration::from_secs(2);

/// The latest question, and its answer.
#[derive(Debug, Default)]
pub struct Readiness {
    latest: Mutex<Option<Question>>,
}

#[derive(Debug)]
struct Question {
    asked_at: Timestamp,
    answer: watch::Receiver<Option<bool>>,
}

impl Question {
    fn is_open(&self) -> bool {
        self.answer.borrow().is_none() && self.answer.has_changed().is_ok()
    }
}

impl Authority {
    /// Whether every store answers, as far as is known at `now`: within two seconds, and no older than a second of the clock.
    pub async fn is_ready(&self, readiness: &Readiness, now: Timestamp) -> bool {
        let mut answer = self.ask(readiness, now);
        let answered = answer.wait_for(Option::is_some).await;
        answered.is_ok_and(|ready| *ready == Some(true))
    }

    fn ask(&self, readiness: &Readiness, now: Timestamp) -> watch::Receiver<Option<bool>> {
        let mut latest = readiness.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(question) = latest.as_ref().filter(|question| question.asked_at == now || question.is_open()) {
            return question.answer.clone();
        }
        let (tell, answer) = watch::channel(None);
        let authority = self.clone();
        tokio::spawn(async move {
            let ready = authority.stores_answer().await;
            tell.send_replace(Some(ready));
        });
        *latest = Some(Question { asked_at: now, answer: answer.clone() });
        answer
    }

    async fn stores_answer(&self) -> bool {
        let pings =
            async { tokio::try_join!(self.clients.ping(), self.tokens.ping(), self.accounts.ping(), self.keys.ping()) };
        let answered = tokio::time::timeout(PATIENCE, pings).await;
        let answered = answered.unwrap_or_else(|_| Err(StoreError::Unavailable("it does not answer in time".into())));
        if let Err(error) = &answered {
            tracing::error!(error = error as &dyn std::error::Error, "not ready");
        }
        answered.is_ok()
    }
}
