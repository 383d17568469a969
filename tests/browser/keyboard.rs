//! Without a mouse.

use fantoccini::key::Key;

use crate::{
    callback::HEADING,
    chromium::{Browser, browse},
    story::{CONSENT, Stage},
    support::oauth::Pkce,
};

async fn press(browser: &Browser, keys: &str) {
    browser.active_element().await.unwrap().send_keys(keys).await.unwrap();
}

async fn focused(browser: &Browser, attribute: &str) -> Option<String> {
    browser.active_element().await.unwrap().attr(attribute).await.unwrap()
}

/// Whether whoever looks at the page can tell where they are.
async fn focus_is_visible(browser: &Browser) -> bool {
    let style =
        browser.script("const s = getComputedStyle(document.activeElement); return s.outlineStyle + s.outlineWidth;");
    let style = style.await;
    style.as_str().is_some_and(|style| !style.starts_with("none") && !style.ends_with("e0px"))
}

#[tokio::test]
async fn tab_and_enter_are_enough_to_log_in_and_approve() {
    browse(async |browser| {
        let mut stage = Stage::set().await;
        browser.goto(&stage.url(&Pkce::next(), "s")).await.unwrap();
        browser.shows("Sign in").await;
        assert_eq!(focused(&browser, "id").await.as_deref(), Some("username"), "typing can begin at once");
        press(&browser, "admin").await;
        press(&browser, &Key::Tab.to_string()).await;
        assert_eq!(focused(&browser, "id").await.as_deref(), Some("password"));
        assert!(focus_is_visible(&browser).await);
        press(&browser, &format!("{}{}", stage.server.password(), Key::Enter)).await;
        browser.shows(CONSENT).await;

        // A stray Enter decides nothing: nothing that decides has the focus.
        press(&browser, &Key::Enter.to_string()).await;
        assert!(stage.listener.is_quiet());
        let mut stations = Vec::new();
        while stations.last().map(String::as_str) != Some("Allow") {
            press(&browser, &Key::Tab.to_string()).await;
            assert!(focus_is_visible(&browser).await);
            stations.push(browser.active_element().await.unwrap().text().await.unwrap());
            assert!(stations.len() < 10, "{stations:?}");
        }
        assert_eq!(stations, ["Not you? Sign out", "Deny", "Allow"]);
        press(&browser, &Key::Enter.to_string()).await;
        browser.shows(HEADING).await;
        assert!(stage.listener.arrival().await.contains_key("code"));
    })
    .await;
}
