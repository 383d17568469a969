//! Every page in a narrow and a wide window, light and dark. The pictures are under target/screenshots.

use serde_json::{Value, json};

use crate::{
    chromium::{Browser, browse},
    story::{CONSENT, Stage},
    support::oauth::Pkce,
};

const PHONE: (u32, u32) = (320, 640);
const DESKTOP: (u32, u32) = (1200, 900);

/// Every page of the server, one after the other.
async fn walk(browser: &Browser, stage: &Stage, mut look: impl AsyncFnMut(&'static str)) {
    let url = stage.url(&Pkce::next(), "s");
    browser.goto(&url).await.unwrap();
    browser.shows("Sign in").await;
    look("login").await;
    browser.log_in("admin", "not the password").await;
    browser.element("[role=alert]").await;
    look("login-problem").await;
    browser.log_in("admin", stage.server.password()).await;
    browser.shows(CONSENT).await;
    look("consent").await;
    browser.click("button.quiet").await;
    browser.shows("You are signed out").await;
    look("signed-out").await;
    browser.goto(&url.replace(&stage.client.id, "nobody")).await.unwrap();
    browser.shows("This server does not know the app").await;
    look("error").await;
    browser.goto(&stage.server.url("/oauth/about")).await.unwrap();
    browser.element("main").await;
    look("about").await;
}

/// Nothing sticks out, nothing is cut, and the style sheet passed the policy.
async fn fits(browser: &Browser, page: &str) {
    let found = browser
        .script(
            "const wide = document.documentElement.clientWidth;
             return {
                 rules: document.styleSheets[0].cssRules.length,
                 inner: innerWidth,
                 scroll: document.documentElement.scrollWidth,
                 outside: [...document.querySelectorAll('body *')].filter(e => {
                     const box = e.getBoundingClientRect();
                     return box.width > 0 && (box.right > wide + 1 || box.left < -1);
                 }).map(e => e.outerHTML.slice(0, 80)),
                 small: [...document.querySelectorAll('button, a, input:not([type=hidden])')]
                     .filter(e => getComputedStyle(e).display !== 'inline' && e.getBoundingClientRect().height < 24).map(e => e.outerHTML.slice(0, 80)),
             };",
        )
        .await;
    assert!(found["rules"].as_u64().is_some_and(|rules| rules > 10), "{page}: {found}");
    assert!(found["scroll"].as_u64() <= found["inner"].as_u64(), "{page} scrolls sideways: {found}");
    assert_eq!(found["outside"], json!([]), "{page}");
    // WCAG 2.2 2.5.8: what is to be hit is at least 24 px high, except links inside a sentence.
    assert_eq!(found["small"], json!([]), "{page}");
}

/// The smallest contrast between a text and what is behind it (WCAG 2.2 1.4.3).
async fn contrast(browser: &Browser) -> Value {
    browser
        .script(
            r"const parse = c => { const n = c.match(/[\d.]+/g).map(Number); return n.length > 3 ? n : [...n, 1]; };
             const behind = e => { for (; e; e = e.parentElement) {
                 const c = parse(getComputedStyle(e).backgroundColor); if (c[3] > 0) return c; } return [255, 255, 255, 1]; };
             const light = c => { const [r, g, b] = c.slice(0, 3).map(v => v / 255)
                 .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
             let worst = [21, ''];
             for (const e of document.querySelectorAll('body *')) {
                 if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
                 const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
                 const ratio = (a + 0.05) / (b + 0.05);
                 if (ratio < worst[0]) worst = [ratio, e.outerHTML.slice(0, 100)];
             }
             return worst;",
        )
        .await
}

async fn look_at_every_page(size: (u32, u32), scheme: &'static str) {
    browse(async move |browser| {
        let stage = Stage::set().await;
        browser.resize(size.0, size.1).await;
        browser.colour_scheme(scheme).await;
        walk(&browser, &stage, async |page| {
            fits(&browser, page).await;
            let worst = contrast(&browser).await;
            assert!(worst[0].as_f64().is_some_and(|ratio| ratio >= 4.5), "{page}: {worst}");
            browser.picture(&format!("{page}-{}-{scheme}", size.0)).await;
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn at_320_pixels_every_page_fits_and_is_legible_in_light() {
    look_at_every_page(PHONE, "light").await;
}

#[tokio::test]
async fn at_320_pixels_every_page_fits_and_is_legible_in_dark() {
    look_at_every_page(PHONE, "dark").await;
}

#[tokio::test]
async fn on_a_desktop_every_page_fits_and_is_legible_in_light() {
    look_at_every_page(DESKTOP, "light").await;
}

#[tokio::test]
async fn on_a_desktop_every_page_fits_and_is_legible_in_dark() {
    look_at_every_page(DESKTOP, "dark").await;
}

#[tokio::test]
async fn at_320_pixels_with_text_twice_as_large_every_page_still_fits() {
    browse(async |browser| {
        let stage = Stage::set().await;
        browser.resize(PHONE.0, PHONE.1).await;
        walk(&browser, &stage, async |page| {
            // As the text size of the browser's settings does.
            browser.script("document.documentElement.style.fontSize = '200%'").await;
            fits(&browser, page).await;
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn pages_name_their_language_title_and_main_part_and_label_every_field() {
    browse(async |browser| {
        let stage = Stage::set().await;
        walk(&browser, &stage, async |page| {
            let found = browser
                .script(
                    "const named = e => e.labels?.length || e.textContent.trim() || e.getAttribute('aria-label');
                     const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
                     const references = [...document.querySelectorAll('[aria-describedby], [aria-labelledby]')]
                         .map(e => e.getAttribute('aria-describedby') ?? e.getAttribute('aria-labelledby'));
                     return {
                         lang: document.documentElement.lang, title: document.title.length > 10,
                         main: document.querySelectorAll('main').length, h1: document.querySelectorAll('h1').length,
                         nameless: [...document.querySelectorAll('button, a, input:not([type=hidden])')]
                             .filter(e => !named(e)).map(e => e.outerHTML),
                         twice: ids.filter((id, at) => ids.indexOf(id) !== at),
                         dangling: references.filter(id => !ids.includes(id)),
                         scripts: document.scripts.length,
                     };",
                )
                .await;
            let expected = json!({
                "lang": "en", "title": true, "main": 1, "h1": 1, "nameless": [], "twice": [], "dangling": [], "scripts": 0,
            });
            assert_eq!(found, expected, "{page}");
        })
        .await;
    })
    .await;
}
