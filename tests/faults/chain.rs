//! One grant as its client sees it: a code, and a chain of refresh tokens with the access tokens beside them.

use crate::{
    Dice,
    support::oauth::{Answer, Identity, Pkce, Wire, redemption},
};

/// What was asked and not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pending {
    Redemption,
    Refresh,
    Revocation,
}

/// The connection ended without an answer.
#[derive(Debug)]
pub(crate) struct Cut;

#[derive(Debug)]
pub(crate) struct Chain {
    code: String,
    pkce: Pkce,
    /// In the order in which they were handed out.
    refresh: Vec<String>,
    access: Vec<String>,
    revoked: bool,
    pending: Option<Pending>,
}

impl Chain {
    pub(crate) fn new(code: String, pkce: Pkce) -> Self {
        Self { code, pkce, refresh: vec![], access: vec![], revoked: false, pending: None }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.revoked
    }

    /// The token that the client would present next.
    pub(crate) fn newest(&self) -> Option<&str> {
        self.refresh.last().map(String::as_str)
    }

    /// What a client does next: redeem the code, refresh (now and then twice at once), or give everything back.
    pub(crate) async fn step(&mut self, wire: &Wire, client: &Identity, dice: &mut Dice) -> Result<(), Cut> {
        let Some(newest) = self.newest().map(str::to_owned) else { return self.redeem(wire, client).await };
        match dice.roll(100) {
            0..3 => {
                self.pending = Some(Pending::Revocation);
                let answer = wire.try_post("/oauth/revoke", client, &[("token", &newest)]).await.map_err(|_| Cut)?;
                assert_eq!(answer.status, 200, "{}", answer.body);
                self.revoked = true;
                self.pending = None;
                Ok(())
            }
            3..40 => {
                let (one, two) = tokio::join!(refresh(wire, client, &newest), refresh(wire, client, &newest));
                self.pending = Some(Pending::Refresh);
                self.record(vec![one, two])
            }
            _ => {
                let one = refresh(wire, client, &newest).await;
                self.pending = Some(Pending::Refresh);
                self.record(vec![one])
            }
        }
    }

    pub(crate) async fn redeem(&mut self, wire: &Wire, client: &Identity) -> Result<(), Cut> {
        self.pending = Some(Pending::Redemption);
        let answer = wire.try_post("/oauth/token", client, &redemption(&self.code, &self.pkce)).await;
        self.record(vec![answer.map_err(|_| Cut)])
    }

    /// Somebody presented the newest token and did not wait for the answer.
    pub(crate) fn asked_without_answer(&mut self) {
        self.pending = Some(Pending::Refresh);
    }

    /// Refreshes once; it must be answered.
    pub(crate) async fn refresh(&mut self, wire: &Wire, client: &Identity) {
        let newest = self.newest().expect("a refresh token").to_owned();
        let answer = refresh(wire, client, &newest).await;
        self.record(vec![answer]).expect("an answer");
    }

    /// All answers to the same request name the same successor: the chain does not fork.
    fn record(&mut self, answers: Vec<Result<Answer, Cut>>) -> Result<(), Cut> {
        let answers: Vec<Answer> = answers.into_iter().flatten().collect();
        let Some(first) = answers.first() else { return Err(Cut) };
        let successor = first.text("refresh_token");
        for answer in &answers {
            assert_eq!(answer.text("refresh_token"), successor, "a fork");
            self.access.push(answer.text("access_token"));
        }
        self.refresh.push(successor);
        self.pending = None;
        Ok(())
    }

    /// Whatever the client was told is true, and whatever it was not told did happen as a whole or not at all.
    pub(crate) async fn audit(mut self, wire: &Wire, client: &Identity, resource_server: &Identity) {
        let mut active = Vec::new();
        for token in &self.access {
            active.push(wire.is_active(resource_server, token).await);
        }
        let expected = match self.pending {
            _ if self.revoked => false,
            Some(Pending::Revocation) => active[0],
            Some(Pending::Redemption | Pending::Refresh) | None => true,
        };
        assert!(active.iter().all(|active| *active == expected), "{active:?}, not {expected}: {self:?}");
        if !expected {
            assert_eq!(wire.refresh(client, self.newest().expect("a token")).await.error(), "invalid_grant");
            return;
        }
        if self.refresh.is_empty() {
            let lost = self.pending;
            let answer = wire.redeem(client, &self.code, &self.pkce).await;
            if answer.status != 200 && lost == Some(Pending::Redemption) {
                // It was redeemed, and the answer was lost: this costs one login, and nothing else.
                assert_eq!(answer.error(), "invalid_grant");
                return;
            }
            self.record(vec![Ok(answer)]).expect("an answer");
        } else if let (None, [.., parent, newest]) = (self.pending, &self.refresh[..]) {
            // The last answer may have been lost on its way: the same question gets the same answer.
            assert_eq!(&wire.refresh(client, parent).await.text("refresh_token"), newest);
        }
        self.refresh(wire, client).await;
        let [.., parent, newest] = &self.refresh[..] else { panic!("{self:?}") };
        assert_eq!(&wire.refresh(client, parent).await.text("refresh_token"), newest);
        for token in &self.refresh {
            let answer = wire.introspect(client, token).await;
            assert_eq!(answer["active"] == true, token == newest, "one end and no other: {self:?}");
        }
        // No code is good twice, and trying it ends the grant.
        assert_eq!(wire.redeem(client, &self.code, &self.pkce).await.error(), "invalid_grant");
        assert_eq!(wire.refresh(client, newest).await.error(), "invalid_grant");
        for token in &self.access {
            assert!(!wire.is_active(resource_server, token).await);
        }
    }
}

async fn refresh(wire: &Wire, client: &Identity, token: &str) -> Result<Answer, Cut> {
    let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
    wire.try_post("/oauth/token", client, &form).await.map_err(|_| Cut)
}
