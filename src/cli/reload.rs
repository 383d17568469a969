//! SIGHUP: what can change while the server runs follows its files, and what cannot is named.

use std::{path::PathBuf, sync::Arc};

use tokio::{signal::unix::Signal, task::JoinHandle};
use tracing::{error, info, warn};

use super::{
    certificate::Certificate,
    compose::{Assembly, refuse_unsafe},
    declare::declare,
    failure::Failure,
    limits,
    log::LogFilter,
    read,
};
use crate::{
    domain::audit::{Action, Event, Outcome, Reason},
    http::App,
};

/// Settings and sections that are followed.
const FOLLOWED: &[&str] = &["clients", "limits", "log.filter", "users"];

/// What in them is not: it is for all instances, by a policy that does not change while requests are judged by it.
const NOT_FOLLOWED: &[&str] = &["limits.client_failure_window", "limits.client_max_failures"];

/// What is needed to follow a configuration.
pub(super) struct Reload {
    /// As it was named at start.
    pub(super) file: Option<PathBuf>,
    pub(super) app: App,
    pub(super) assembly: Arc<Assembly>,
    pub(super) log: LogFilter,
    pub(super) certificate: Option<Arc<Certificate>>,
}

impl Reload {
    /// Reads everything again at each signal.
    pub(super) fn follow(self, mut hangups: Signal) -> JoinHandle<()> {
        tokio::spawn(async move {
            while hangups.recv().await.is_some() {
                if let Some(certificate) = &self.certificate {
                    certificate.refresh_now().await;
                }
                let (outcome, reason) = match self.reload().await {
                    Ok(how) => how,
                    Err(failure) => {
                        error!(%failure, "the configuration stays as it was");
                        (Outcome::Refused, Some(Reason::ConfigurationRefused))
                    }
                };
                let event = Event::new(self.assembly.now(), Action::ConfigReload, outcome, reason);
                self.assembly.authority.record(event);
            }
        })
    }

    /// How it ended, in the words of the audit trail.
    ///
    /// # Errors
    ///
    /// Why nothing has changed.
    async fn reload(&self) -> Result<(Outcome, Option<Reason>), Failure> {
        let next = read(self.file.as_deref())?;
        refuse_unsafe(&next, "not safe")?;
        self.log.set(&next.log)?;
        // Whom rates do not count for goes by the mode, and another mode waits for a restart.
        let same_mode = next.mode == self.assembly.config.mode;
        if same_mode {
            self.app.set_limits(&limits::of_config(&next));
        }
        // Compared with what the server was started with: the rest of that is in force until it ends.
        let changes = self.assembly.config.changes(&next).into_iter();
        let later: Vec<String> = changes.filter(|setting| waits_for_restart(setting, same_mode)).collect();
        let mut outcome = Outcome::Success;
        if later.iter().any(|setting| setting.starts_with("resources")) {
            warn!("clients and users stay as they were: they may be for resources that are not known before a restart");
        } else if let Err(failure) = declare(&self.assembly.authority, &next, self.assembly.now()).await {
            error!(%failure, "not every client and user follows the configuration: the next SIGHUP tries again");
            outcome = Outcome::Failed;
        }
        if later.is_empty() {
            info!("the configuration was read again");
        } else {
            warn!(settings = later.join(", "), "the configuration was read again; some settings need a restart");
        }
        Ok((outcome, (!later.is_empty()).then_some(Reason::RestartNeeded)))
    }
}

fn waits_for_restart(setting: &str, same_mode: bool) -> bool {
    let is_of =
        |name: &str| setting.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    let is_among = |names: &[&str]| names.iter().any(|name| is_of(name));
    !is_among(FOLLOWED) || is_among(NOT_FOLLOWED) || (!same_mode && is_of("limits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_wait_for_a_restart_together_with_another_mode() {
        assert!(!waits_for_restart("limits.public_per_address", true));
        assert!(waits_for_restart("limits.public_per_address", false));
        assert!(!waits_for_restart("users[0].password", false), "everything else is followed as ever");
    }

    #[test]
    fn what_only_begins_like_a_setting_that_is_followed_waits() {
        assert!(waits_for_restart("log.filters", true));
        assert!(!waits_for_restart("log.filter", true));
    }
}
