//! What the clients remember, held against what the stores know, at each instance.
//!
//! Grants and tokens are asked of the store whenever they are presented, and nobody keeps copies of them: the bound within which
//! a revocation counts everywhere is none at all.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    desk::Desk,
    load::Client,
    story::{Access, Fate, Story},
};
use crate::{
    shares,
    support::{
        fleet::Fleet,
        oauth::{Identity, Wire},
    },
};

/// How many stories are looked at at once.
const HANDS: usize = 8;

/// The same question at each instance, past the load balancer: they all say the same.
struct Auditor {
    instances: Vec<Wire>,
    desk: Arc<Desk>,
}

pub(super) async fn audit(fleet: &Fleet, desk: Arc<Desk>, clients: Vec<Client>) {
    let instances = (0..super::INSTANCES).map(|number| Wire::past_the_balancer(fleet.instance(number)));
    let auditor = Arc::new(Auditor { instances: instances.collect(), desk });
    let mut lost_ways = Vec::new();
    let (mut stories, mut alone) = (Vec::new(), Vec::new());
    for client in clients {
        lost_ways.extend(client.lost_ways);
        stories.extend(client.stories);
        alone.extend(client.alone.into_iter().map(|(_, access)| access));
    }
    compare_grants(fleet, &stories, &lost_ways);
    let mut audits = tokio::task::JoinSet::new();
    for (share, alone) in shares(stories, HANDS).into_iter().zip(shares(alone, HANDS)) {
        let auditor = auditor.clone();
        audits.spawn(async move {
            for access in alone {
                auditor.compare_alone(&access).await;
            }
            for (number, story) in share.into_iter().enumerate() {
                auditor.compare(story, number).await;
            }
        });
    }
    while let Some(audited) = audits.join_next().await {
        if let Err(error) = audited {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

/// For each registered client: one grant for each time that a human agreed, as alive as its client knows it to be.
fn compare_grants(fleet: &Fleet, stories: &[Story], lost_ways: &[Identity]) {
    #[derive(Debug, Default)]
    struct Count {
        all: usize,
        active: usize,
        /// May be more by so many.
        lost: usize,
        doubtful: usize,
    }
    let mut expected = BTreeMap::<&str, Count>::new();
    for story in stories {
        let count = expected.entry(&story.client.id).or_default();
        count.all += 1;
        count.active += usize::from(story.fate != Fate::Over);
        count.doubtful += usize::from(story.fate == Fate::Doubtful);
    }
    for client in lost_ways {
        expected.entry(&client.id).or_default().lost += 1;
    }
    let grants = fleet.instance(0).run_json(&["grant", "list", "--all", "--json"]);
    let grants = grants.as_array().expect("a list");
    for (id, count) in &expected {
        let own: Vec<_> = grants.iter().filter(|grant| grant["client_id"] == *id).collect();
        let active = own.iter().filter(|grant| grant["state"] == "active").count();
        assert!((count.all..=count.all + count.lost).contains(&own.len()), "{id}: {} grants, not {count:?}", own.len());
        let bounds = count.active - count.doubtful..=count.active + count.lost;
        assert!(bounds.contains(&active), "{id}: {active} active grants, not {count:?}");
    }
    let unknown = grants.iter().find(|grant| !expected.contains_key(grant["client_id"].as_str().expect("a text")));
    assert!(unknown.is_none(), "nobody remembers {unknown:?}");
}

impl Auditor {
    fn instance(&self, number: usize) -> &Wire {
        &self.instances[number % self.instances.len()]
    }

    /// What every instance says of a token.
    async fn is_active(&self, who: &Identity, token: &str) -> bool {
        let mut said = Vec::new();
        for instance in &self.instances {
            said.push(instance.is_active(who, token).await);
        }
        assert!(said.iter().all(|active| *active == said[0]), "{said:?}: {token}");
        said[0]
    }

    async fn compare_alone(&self, access: &Access) {
        let active = self.is_active(&self.desk.resource_server, &access.token).await;
        let expected = match access.fate {
            Fate::Alive => true,
            Fate::Doubtful => active,
            Fate::Over => false,
        };
        assert_eq!(active, expected, "{access:?}");
    }

    /// Whatever the client was told is true, and whatever it was not told did happen as a whole or not at all.
    async fn compare(&self, mut story: Story, number: usize) {
        let mut active = Vec::new();
        for access in &story.access {
            active.push(self.is_active(&self.desk.resource_server, &access.token).await);
        }
        for (access, active) in story.access.iter().zip(&active) {
            assert_eq!(story.expects(access).unwrap_or(*active), *active, "{}: {story:?}", access.token);
        }
        if story.fate == Fate::Doubtful {
            // All of it ended, or nothing.
            let whole = story.access.iter().zip(&active).filter(|(access, _)| access.fate == Fate::Alive);
            let mut whole = whole.map(|(_, active)| *active);
            let first = whole.next();
            assert!(whole.all(|active| Some(active) == first), "{active:?}: {story:?}");
            if let Some(alive) = first {
                story.fate = if alive { Fate::Alive } else { Fate::Over };
            }
        }
        if story.refresh.is_empty() {
            self.redeem(&mut story, number).await;
        }
        if !story.refresh.is_empty() {
            self.compare_chain(story, number).await;
        }
    }

    /// A code that was never redeemed, as far as its client knows.
    async fn redeem(&self, story: &mut Story, number: usize) {
        let answer = self.instance(number).redeem(&story.client, &story.code, &story.pkce).await;
        if answer.status == 200 {
            assert_ne!(story.fate, Fate::Over, "{story:?}");
            story.refresh.push(answer.text("refresh_token"));
            story.access.push(Access::new(answer.text("access_token")));
        } else {
            // It was redeemed, and the answer was lost: this costs one login, and nothing else.
            assert_eq!(answer.error(), "invalid_grant");
            assert!(story.redemption_lost, "{story:?}");
        }
    }

    async fn compare_chain(&self, mut story: Story, number: usize) {
        let refresh = |at: usize, token: String| {
            let client = story.client.clone();
            async move { self.instance(at).refresh(&client, &token).await }
        };
        let last = refresh(number, story.newest().to_owned()).await;
        if last.status == 200 {
            assert_ne!(story.fate, Fate::Over, "{story:?}");
            let (parent, newest) = (story.newest().to_owned(), last.text("refresh_token"));
            // The answer may have been lost on its way: the same question gets the same answer, whoever is asked.
            for at in 0..self.instances.len() {
                assert_eq!(refresh(at, parent.clone()).await.text("refresh_token"), newest, "a fork: {story:?}");
            }
            story.refresh.push(newest);
            story.access.push(Access::new(last.text("access_token")));
        } else {
            assert_eq!(last.error(), "invalid_grant");
            assert_ne!(story.fate, Fate::Alive, "{story:?}");
            story.fate = Fate::Over;
        }
        if story.client.secret.is_some() {
            for token in &story.refresh {
                let is_end = story.fate != Fate::Over && token == story.newest();
                assert_eq!(self.is_active(&story.client, token).await, is_end, "one end and no other: {story:?}");
            }
        }
        // No code is good twice, and trying it ends the grant, at every instance at once.
        let again = self.instance(number + 1).redeem(&story.client, &story.code, &story.pkce).await;
        assert_eq!(again.error(), "invalid_grant");
        for access in &story.access {
            assert!(!self.is_active(&self.desk.resource_server, &access.token).await, "{story:?}");
        }
        assert_eq!(refresh(number + 2, story.newest().to_owned()).await.error(), "invalid_grant");
    }
}
