//! One grant as its client sees it while things fail: what was sent, what was heard, and what may have happened unheard.

use super::{
    desk::Desk,
    heard::{Heard, ask, heard},
};
use crate::{
    Dice,
    support::oauth::{Answer, Identity, Pkce, Wire, redemption},
};

/// Whether something has ended, as far as its client can know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Alive,
    /// The answer to what would have ended it was lost.
    Doubtful,
    /// It was revoked, or ended by a replay, and this was answered.
    Over,
}

impl Fate {
    /// After a question that ends it: answered, or not.
    fn after(self, answer: &Heard<Answer>) -> Self {
        match answer {
            Ok(_) => Self::Over,
            Err(refusal) if refusal.may_have_happened() && self == Self::Alive => Self::Doubtful,
            Err(_) => self,
        }
    }
}

/// A token that was handed out.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) token: String,
    pub(super) fate: Fate,
}

impl Access {
    pub(super) fn new(token: String) -> Self {
        Self { token, fate: Fate::Alive }
    }

    /// Gives it back. This counts at every instance as soon as it is answered.
    pub(super) async fn revoke(&mut self, wire: &Wire, client: &Identity) -> Heard<()> {
        let answer = heard(wire.try_post("/oauth/revoke", client, &[("token", &self.token)]).await);
        self.fate = self.fate.after(&answer);
        let answer = answer?;
        assert_eq!(answer.status, 200, "{}", answer.body);
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct Story {
    pub(super) wire: Wire,
    pub(super) client: Identity,
    pub(super) code: String,
    pub(super) pkce: Pkce,
    /// A redemption may have happened of which nothing was heard.
    pub(super) redemption_lost: bool,
    /// In the order in which they were handed out.
    pub(super) refresh: Vec<String>,
    /// The newest of them may have been rotated, and nothing was heard of it.
    pub(super) rotation_lost: bool,
    pub(super) access: Vec<Access>,
    pub(super) fate: Fate,
}

impl Story {
    pub(super) fn new(wire: Wire, client: Identity, (code, pkce): (String, Pkce)) -> Self {
        Self {
            wire,
            client,
            code,
            pkce,
            redemption_lost: false,
            refresh: vec![],
            rotation_lost: false,
            access: vec![],
            fate: Fate::Alive,
        }
    }

    /// What a client does next; the name of what was done.
    pub(super) async fn step(&mut self, desk: &Desk, dice: &mut Dice) -> Heard<&'static str> {
        if self.refresh.is_empty() {
            if self.fate == Fate::Over {
                return self.replay_code().await;
            }
            return if dice.roll(100) < 10 { self.redeem_twice(desk).await } else { self.redeem(desk).await };
        }
        let old = self.refresh.len() - 1;
        match dice.roll(100) {
            0..5 => self.revoke().await,
            5..8 => {
                let at = pick(self.access.len(), dice);
                self.access[at].revoke(&self.wire, &self.client).await.map(|()| "revocation of an access token")
            }
            8..22 => self.ask_about_access(desk, dice).await,
            22..30 if self.client.secret.is_some() => self.ask_about_refresh(dice).await,
            30..45 => self.refresh_twice(desk).await,
            45..55 if old >= 1 && !self.rotation_lost => self.refresh_with_parent(desk).await,
            55..57 if old >= 2 => self.replay_refresh(pick(old - 1, dice)).await,
            57..58 => self.replay_code().await,
            _ => self.refresh(desk).await,
        }
    }

    async fn redeem(&mut self, desk: &Desk) -> Heard<&'static str> {
        let answer = self.send_code().await;
        self.note_redemptions(desk, vec![answer]).map(|()| "redemption")
    }

    /// Somebody else has the code, too. One of them gets tokens, and not for long.
    async fn redeem_twice(&mut self, desk: &Desk) -> Heard<&'static str> {
        let (one, two) = tokio::join!(self.send_code(), self.send_code());
        self.note_redemptions(desk, vec![one, two]).map(|()| "redemption twice at once")
    }

    async fn send_code(&self) -> Heard<Answer> {
        heard(self.wire.try_post("/oauth/token", &self.client, &redemption(&self.code, &self.pkce)).await)
    }

    fn note_redemptions(&mut self, desk: &Desk, answers: Vec<Heard<Answer>>) -> Heard<()> {
        let answered: Vec<&Answer> = answers.iter().flatten().collect();
        let refused = answers.iter().find_map(|answer| answer.as_ref().err().copied());
        let unheard = answers.iter().filter(|answer| is_open(answer)).count() + usize::from(self.redemption_lost);
        let (given, denied): (Vec<&Answer>, Vec<&Answer>) = answered.iter().partition(|answer| answer.status == 200);
        assert!(given.len() <= 1, "a code was redeemed twice: {answers:?}");
        for answer in &denied {
            let explained = unheard > 0 || !given.is_empty();
            assert!(explained && answer.error() == "invalid_grant", "{}: {self:?}", answer.body);
        }
        if let [answer] = given[..] {
            self.refresh.push(desk.new_token(answer.text("refresh_token")));
            self.access.push(Access::new(desk.new_token(answer.text("access_token"))));
        }
        if !denied.is_empty() {
            // It was proven that somebody else has redeemed it.
            self.fate = Fate::Over;
            desk.count("  of these: grants that a replay ended");
            if given.is_empty() {
                desk.count("  of these: codes lost with the answer to their redemption");
            }
        } else if unheard + given.len() > 1 {
            // The second one may have ended it.
            self.fate = Fate::Doubtful;
        }
        self.redemption_lost |= unheard > 0;
        match refused {
            Some(refusal) if answered.is_empty() => Err(refusal),
            _ => Ok(()),
        }
    }

    async fn refresh(&mut self, desk: &Desk) -> Heard<&'static str> {
        let answer = self.send(self.newest()).await;
        self.note_rotations(desk, vec![answer]).map(|()| "refresh")
    }

    async fn refresh_twice(&mut self, desk: &Desk) -> Heard<&'static str> {
        let (one, two) = tokio::join!(self.send(self.newest()), self.send(self.newest()));
        self.note_rotations(desk, vec![one, two]).map(|()| "refresh twice at once")
    }

    /// A lost answer is asked for again, or the client was restored from a backup that is a moment old.
    async fn refresh_with_parent(&mut self, desk: &Desk) -> Heard<&'static str> {
        let answer = self.send(&self.refresh[self.refresh.len() - 2]).await?;
        if let Some(successor) = self.note_rotation(desk, &answer) {
            assert_eq!(&successor, self.newest(), "a fork: {self:?}");
        }
        Ok("refresh with the parent")
    }

    pub(super) fn newest(&self) -> &str {
        self.refresh.last().expect("a refresh token")
    }

    async fn send(&self, token: &str) -> Heard<Answer> {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        heard(self.wire.try_post("/oauth/token", &self.client, &form).await)
    }

    /// All answers to the same question name the same successor.
    fn note_rotations(&mut self, desk: &Desk, answers: Vec<Heard<Answer>>) -> Heard<()> {
        let mut successor: Option<String> = None;
        let mut refused = None;
        for answer in &answers {
            match answer {
                Ok(answer) => {
                    if let Some(next) = self.note_rotation(desk, answer) {
                        assert!(successor.as_ref().is_none_or(|known| *known == next), "a fork: {self:?}");
                        successor = Some(next);
                    }
                }
                Err(refusal) => refused = Some(*refusal),
            }
        }
        match (successor, refused) {
            (Some(successor), _) => {
                self.refresh.push(desk.new_token(successor));
                self.rotation_lost = false;
            }
            (None, Some(refusal)) => {
                self.rotation_lost |= refusal.may_have_happened();
                return Err(refusal);
            }
            (None, None) => {}
        }
        Ok(())
    }

    /// The successor; `None` if the grant has ended, which is allowed where it may have. A lost rotation does not explain it:
    /// the same question gets the same answer.
    fn note_rotation(&mut self, desk: &Desk, answer: &Answer) -> Option<String> {
        if answer.status == 200 {
            assert_ne!(self.fate, Fate::Over, "a grant that has ended was refreshed: {self:?}");
            self.access.push(Access::new(desk.new_token(answer.text("access_token"))));
            return Some(answer.text("refresh_token"));
        }
        assert_eq!(answer.error(), "invalid_grant", "{}", answer.body);
        assert_ne!(self.fate, Fate::Alive, "nothing has ended it: {self:?}");
        self.fate = Fate::Over;
        None
    }

    async fn revoke(&mut self) -> Heard<&'static str> {
        let form = [("token", self.newest())];
        let answer = heard(self.wire.try_post("/oauth/revoke", &self.client, &form).await);
        self.fate = self.fate.after(&answer);
        assert_eq!(answer?.status, 200);
        Ok("revocation of a grant")
    }

    /// A thief comes with a token whose successor was used.
    async fn replay_refresh(&mut self, at: usize) -> Heard<&'static str> {
        let answer = self.send(&self.refresh[at]).await;
        self.note_replay(answer).map(|()| "replay of a refresh token")
    }

    async fn replay_code(&mut self) -> Heard<&'static str> {
        let answer = self.send_code().await;
        self.note_replay(answer).map(|()| "replay of a code")
    }

    fn note_replay(&mut self, answer: Heard<Answer>) -> Heard<()> {
        self.fate = self.fate.after(&answer);
        assert_eq!(answer?.error(), "invalid_grant", "{self:?}");
        Ok(())
    }

    async fn ask_about_access(&mut self, desk: &Desk, dice: &mut Dice) -> Heard<&'static str> {
        let access = &self.access[pick(self.access.len(), dice)];
        let active = ask(&self.wire, &desk.resource_server, &access.token).await?;
        if let Some(expected) = self.expects(access) {
            assert_eq!(active, expected, "{}: {self:?}", access.token);
        } else if !active && access.fate == Fate::Alive {
            self.fate = Fate::Over;
        }
        Ok("introspection of an access token")
    }

    async fn ask_about_refresh(&mut self, dice: &mut Dice) -> Heard<&'static str> {
        let at = pick(self.refresh.len(), dice);
        let active = ask(&self.wire, &self.client, &self.refresh[at]).await?;
        let is_end = at + 1 == self.refresh.len();
        match self.fate {
            Fate::Alive if is_end && self.rotation_lost => {}
            Fate::Alive => assert_eq!(active, is_end, "{at}: {self:?}"),
            Fate::Doubtful => assert!(is_end || !active, "{at}: {self:?}"),
            Fate::Over => assert!(!active, "{at}: {self:?}"),
        }
        Ok("introspection of a refresh token")
    }

    /// Whether an access token is active; `None` if its client cannot know.
    pub(super) fn expects(&self, access: &Access) -> Option<bool> {
        match (self.fate, access.fate) {
            (Fate::Over, _) | (_, Fate::Over) => Some(false),
            (Fate::Doubtful, _) | (_, Fate::Doubtful) => None,
            (Fate::Alive, Fate::Alive) => Some(true),
        }
    }
}

/// One of so many.
pub(super) fn pick(count: usize, dice: &mut Dice) -> usize {
    usize::try_from(dice.roll(count as u64)).expect("small")
}

fn is_open(answer: &Heard<Answer>) -> bool {
    answer.as_ref().is_err_and(|refusal| refusal.may_have_happened())
}
