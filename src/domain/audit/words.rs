//! What an event can be, how it can end, and why.

use std::fmt;

use crate::domain::grant::RevocationReason;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$of_one:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$of_one])* $variant,)+ }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word in the trail. It is never given another meaning.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// What somebody did, or tried to do.
    Action {
        /// A client asks to be believed who it is: at the token endpoint, at introspection, at revocation.
        ClientAuthenticate = "client.authenticate",
        /// A client registers itself (RFC 7591).
        ClientRegister = "client.register",
        /// A client reads what it is registered as; only refusals are recorded.
        ClientRead = "client.read",
        /// A client is made by an operator.
        ClientCreate = "client.create",
        /// What is known of a client changes: by itself (RFC 7592) or by an operator.
        ClientUpdate = "client.update",
        /// A client gets another secret.
        ClientRotateSecret = "client.rotate_secret",
        /// A client goes: by itself, by an operator, or because nobody uses it.
        ClientDelete = "client.delete",
        /// An account is made.
        UserCreate = "user.create",
        /// An account gets another password.
        UserSetPassword = "user.set_password",
        /// An account is disabled.
        UserDisable = "user.disable",
        /// An account is enabled again.
        UserEnable = "user.enable",
        /// A human logs in.
        UserLogin = "user.login",
        /// A human logs out.
        UserLogout = "user.logout",
        /// A human decides about a client.
        UserConsent = "user.consent",
        /// A client asks for a code in a human's browser.
        Authorize = "authorize",
        /// A code is exchanged for tokens.
        TokenCode = "token.authorization_code",
        /// A refresh token is exchanged for new tokens.
        TokenRefresh = "token.refresh_token",
        /// A client asks for a token for itself.
        TokenClientCredentials = "token.client_credentials",
        /// A client gives a token back.
        TokenRevoke = "token.revoke",
        /// Somebody asks about a token; only refusals are recorded.
        TokenIntrospect = "token.introspect",
        /// A grant ends, and everything issued from it.
        GrantRevoke = "grant.revoke",
        /// Every grant ends, and every session.
        GrantRevokeAll = "grant.revoke_all",
        /// A signing key is added.
        KeyAdd = "key.add",
        /// A signing key that verifies nothing any more is removed.
        KeyRemove = "key.remove",
        /// A signing key is taken back: what it signed counts no more.
        KeyRevoke = "key.revoke",
        /// Somebody writes a backup of everything.
        StoreBackup = "store.backup",
        /// A backup takes the place of the store.
        StoreRestore = "store.restore",
        /// A server reads its configuration again.
        ConfigReload = "config.reload",
        /// A server starts to answer.
        ServerStart = "server.start",
        /// A server has stopped in order.
        ServerStop = "server.stop",
        /// The trail itself has a hole: events are missing from it.
        AuditGap = "audit.gap",
    }
}

words! {
    /// How it ended.
    Outcome {
        /// It was done.
        Success = "success",
        /// The rules, or a human, said no.
        Refused = "refused",
        /// It went wrong.
        Failed = "failed",
    }
}

words! {
    /// Why, or how.
    Reason {
        // Who asks.
        UnknownClient = "unknown_client",
        RemovedClient = "removed_client",
        DisabledClient = "disabled_client",
        WrongMethod = "wrong_method",
        WrongSecret = "wrong_secret",
        AssertionInvalid = "assertion_invalid",
        AssertionRefused = "assertion_refused",
        AssertionReplayed = "assertion_replayed",
        PublicClient = "public_client",
        UnknownUser = "unknown_user",
        WrongPassword = "wrong_password",
        DisabledUser = "disabled_user",
        TooManyAttempts = "too_many_attempts",
        // What is presented.
        UnknownCode = "unknown_code",
        CodeReplayed = "code_replayed",
        RedirectMismatch = "redirect_mismatch",
        VerifierMissing = "verifier_missing",
        VerifierMismatch = "verifier_mismatch",
        UnknownToken = "unknown_token",
        RefreshReplayed = "refresh_replayed",
        /// A refresh token came twice within its window, and got the same successor.
        RefreshRepeated = "refresh_repeated",
        WrongClient = "wrong_client",
        Expired = "expired",
        GrantRevoked = "grant_revoked",
        // What is asked for.
        UnauthorizedClient = "unauthorized_client",
        TargetRefused = "target_refused",
        ScopeRefused = "scope_refused",
        NothingGranted = "nothing_granted",
        ChallengeRefused = "challenge_refused",
        Denied = "denied",
        // The form of an answer.
        ForgedForm = "forged_form",
        OtherBrowser = "other_browser",
        ClientChanged = "client_changed",
        AnsweredBefore = "answered_before",
        // Registration.
        RegistrationClosed = "registration_closed",
        WrongInitialToken = "wrong_initial_token",
        WrongRegistrationToken = "wrong_registration_token",
        MetadataRefused = "metadata_refused",
        LimitReached = "limit_reached",
        // By whom, or on whose behalf.
        ByClient = "by_client",
        ByOperator = "by_operator",
        ByConfiguration = "by_configuration",
        BySchedule = "by_schedule",
        NeverAuthorized = "never_authorized",
        Idle = "idle",
        Enabled = "enabled",
        Disabled = "disabled",
        // Of a configuration that is read again.
        /// It is broken or not safe: nothing has changed.
        ConfigurationRefused = "configuration_refused",
        /// Something in it waits for a restart.
        RestartNeeded = "restart_needed",
        // What went wrong.
        /// A store did not answer. What was under way has happened or has not.
        Unavailable = "unavailable",
        Internal = "internal",
        /// There was no place at the password hasher.
        Overloaded = "overloaded",
        /// Whoever asked hung up before the answer, or it took too long. What was under way has happened or has not.
        Abandoned = "abandoned",
        // The trail.
        /// The store could not take them in time; they are in the log.
        Unwritten = "unwritten",
        /// The run before did not end in order: what it had not written yet is missing.
        UncleanStop = "unclean_stop",
    }
}

impl From<RevocationReason> for Reason {
    fn from(reason: RevocationReason) -> Self {
        match reason {
            RevocationReason::ByClient => Self::ByClient,
            RevocationReason::CodeReplayed => Self::CodeReplayed,
            RevocationReason::RefreshReplayed => Self::RefreshReplayed,
            RevocationReason::ByOperator => Self::ByOperator,
            RevocationReason::ClientRemoved => Self::RemovedClient,
            RevocationReason::UserDisabled => Self::DisabledUser,
        }
    }
}

impl Action {
    /// Those of this word, or of this group: `token.revoke`, or `token` for every `token.`; none if there is no such word.
    pub fn named(word: &str) -> Vec<Self> {
        let fits = |action: &&Self| {
            let rest = action.as_str().strip_prefix(word);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        Self::ALL.iter().filter(fits).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_words_are_the_same_and_each_is_plain() {
        fn check(words: Vec<&'static str>) {
            assert_eq!(words.iter().collect::<BTreeSet<_>>().len(), words.len());
            let plain = |word: &str| word.bytes().all(|b| b.is_ascii_lowercase() || b"._".contains(&b));
            assert!(words.iter().all(|word| plain(word) && word.len() <= 32), "{words:?}");
        }
        check(Action::ALL.iter().map(|word| word.as_str()).collect());
        check(Outcome::ALL.iter().map(|word| word.as_str()).collect());
        check(Reason::ALL.iter().map(|word| word.as_str()).collect());
    }

    #[test]
    fn a_word_names_one_event_or_a_group() {
        assert_eq!(Action::named("token.revoke"), [Action::TokenRevoke]);
        assert_eq!(Action::named("token").len(), 5);
        assert_eq!(Action::named("authorize"), [Action::Authorize]);
        for none in ["", "tok", "token.", "revoke", "token.revoke.x"] {
            assert_eq!(Action::named(none), [], "{none}");
        }
    }
}
