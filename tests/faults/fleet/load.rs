//! One client of many: it registers, asks humans, redeems, refreshes, asks about tokens and gives them back, in any order.

use std::{sync::Arc, time::Duration};

use gateward::testing::browser::ScriptedBrowser;
use reqwest::header::RETRY_AFTER;
use serde_json::json;

use super::{
    desk::Desk,
    heard::{Heard, ask, code, heard},
    story::{Access, Fate, Story, pick},
};
use crate::{
    Dice,
    support::oauth::{Answer, CALLBACK, Identity},
};

/// How long a client that was refused waits: less than it was told to, so that there is no lack of those who try.
const PATIENCE: Duration = Duration::from_millis(25);

/// A client, and everything that it remembers.
#[derive(Debug)]
pub(super) struct Client {
    desk: Arc<Desk>,
    dice: Dice,
    browser: ScriptedBrowser,
    /// What it has registered.
    pub(super) identities: Vec<Identity>,
    pub(super) stories: Vec<Story>,
    /// Without a human, in the same order as whether they are opaque.
    pub(super) alone: Vec<(bool, Access)>,
    /// Ways through the browser of whose end nothing was heard; each may have left a grant.
    pub(super) lost_ways: Vec<Identity>,
}

impl Client {
    pub(super) fn new(desk: Arc<Desk>, dice: Dice) -> Self {
        let browser = ScriptedBrowser::new().unwrap();
        Self { desk, dice, browser, identities: vec![], stories: vec![], alone: vec![], lost_ways: vec![] }
    }

    /// Goes on until it is told that it is over.
    pub(super) async fn work(mut self) -> Self {
        let mut pauses = tokio::time::interval(PATIENCE);
        pauses.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !self.desk.progress().over {
            match self.act().await {
                Ok(done) => self.desk.complete(done),
                Err(why) => {
                    self.desk.refuse(why);
                    pauses.tick().await;
                }
            }
        }
        self
    }

    async fn act(&mut self) -> Heard<&'static str> {
        if self.identities.is_empty() {
            return self.register().await;
        }
        if self.stories.is_empty() {
            return self.ask_human().await;
        }
        match self.dice.roll(100) {
            0..4 => self.register().await,
            4..14 => self.ask_human().await,
            14..22 => self.ask_for_itself().await,
            22..30 if !self.alone.is_empty() => self.follow_up().await,
            _ => self.go_on().await,
        }
    }

    async fn register(&mut self) -> Heard<&'static str> {
        let public = self.dice.roll(3) == 0;
        let metadata = json!({
            "redirect_uris": [CALLBACK],
            "grant_types": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_method": if public { "none" } else { "client_secret_basic" },
        });
        let wire = self.desk.wire(false);
        let request = wire.http.post(format!("{}/oauth/register", wire.issuer)).json(&metadata).send().await;
        let answer = match request {
            Ok(response) => Answer::of(response).await,
            Err(error) => Err(error),
        };
        let registered = heard(answer)?.json(201);
        let text = |member: &str| registered[member].as_str().map(str::to_owned);
        let secret = text("client_secret");
        assert_eq!(secret.is_none(), public, "{registered}");
        self.identities.push(Identity { id: text("client_id").expect("a client_id"), secret });
        Ok("registration")
    }

    /// A human logs in where they are not, agrees where they have not, and comes back with a code.
    async fn ask_human(&mut self) -> Heard<&'static str> {
        if self.dice.roll(10) == 0 {
            self.browser = ScriptedBrowser::new().unwrap();
        }
        let client = self.identities[pick(self.identities.len(), &mut self.dice)].clone();
        let wire = self.desk.wire(self.dice.roll(2) == 0);
        match code(&mut self.browser, &wire, &client, &self.desk.password).await {
            Ok((code, pkce)) => {
                let code = self.desk.new_token(code);
                self.stories.push(Story::new(wire, client, (code, pkce)));
                Ok("authorization")
            }
            Err(refusal) => {
                self.lost_ways.extend(refusal.may_have_happened().then_some(client));
                Err(refusal)
            }
        }
    }

    async fn ask_for_itself(&mut self) -> Heard<&'static str> {
        let opaque = self.dice.roll(2) == 0;
        let wire = self.desk.wire(opaque);
        let form = [("grant_type", "client_credentials"), ("resource", &wire.resource)];
        let answer = heard(wire.try_post("/oauth/token", &self.desk.worker, &form).await)?;
        assert_eq!(answer.headers.get(RETRY_AFTER), None);
        self.alone.push((opaque, Access::new(self.desk.new_token(answer.text("access_token")))));
        Ok("client credentials")
    }

    /// Asks about a token of its own, or gives it back.
    async fn follow_up(&mut self) -> Heard<&'static str> {
        let at = pick(self.alone.len(), &mut self.dice);
        let (opaque, access) = &mut self.alone[at];
        let wire = self.desk.wire(*opaque);
        if self.dice.roll(4) == 0 {
            return access.revoke(&wire, &self.desk.worker).await.map(|()| "revocation of an access token");
        }
        let active = ask(&wire, &self.desk.resource_server, &access.token).await?;
        match access.fate {
            Fate::Alive => assert!(active, "{access:?}"),
            Fate::Doubtful => {}
            Fate::Over => assert!(!active, "{access:?}"),
        }
        Ok("introspection of an access token")
    }

    async fn go_on(&mut self) -> Heard<&'static str> {
        // Mostly one of the latest, so that there are chains of some length and old ones as well.
        let count = self.stories.len();
        let at = if self.dice.roll(5) == 0 {
            pick(count, &mut self.dice)
        } else {
            count - 1 - pick(count.min(4), &mut self.dice)
        };
        self.stories[at].step(&self.desk, &mut self.dice).await
    }
}
