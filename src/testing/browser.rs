//! A browser without a screen: it follows what the pages say, as a human would who knows what they want.
//!
//! ```text
//! open(authorize URL) -> Page (login) -> log_in -> Page (consent) -> approve | deny -> Client (the callback URL)
//! ```
//!
//! It keeps cookies, follows redirects inside the server, reads where a form posts to instead of knowing it, and stops where
//! the server sends it to the client.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
};

use reqwest::{
    Client, Method, StatusCode,
    header::{CONTENT_TYPE, COOKIE, HeaderMap, LOCATION, SET_COOKIE},
    redirect::Policy,
};
use thiserror::Error;
use url::{Url, form_urlencoded};

/// More redirects in a row than any story has.
const MAX_REDIRECTS: usize = 10;

/// What went wrong, with the page that was seen.
#[derive(Debug, Error)]
pub enum BrowserError {
    /// No answer.
    #[error("no answer from {url}: {why}")]
    Http {
        /// What was asked for.
        url: String,
        /// What the HTTP client says.
        why: reqwest::Error,
    },
    /// An address that is none.
    #[error("`{0}` is no URL")]
    NotAUrl(String),
    /// Round and round.
    #[error("more than {MAX_REDIRECTS} redirects, the last one to {0}")]
    RedirectLoop(String),
    /// A page, but not the one that the story needs.
    #[error("expected {expected}, and saw {seen}")]
    Unexpected {
        /// What the story needs.
        expected: &'static str,
        /// What came.
        seen: Box<Step>,
    },
}

/// A form of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// Where it posts to.
    pub action: String,
    /// Its hidden fields.
    pub hidden: Vec<(String, String)>,
    /// What is inside, as HTML.
    pub html: String,
}

impl Form {
    /// The value of a hidden field.
    pub fn hidden(&self, name: &str) -> Option<&str> {
        self.hidden.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Whether it has an element with this attribute.
    pub fn has(&self, attribute: &str) -> bool {
        self.html.contains(attribute)
    }
}

/// A page of the server.
#[derive(Debug, Clone)]
pub struct Page {
    /// Where it was found.
    pub url: String,
    /// 200, unless something is wrong.
    pub status: StatusCode,
    /// All of them.
    pub headers: HeaderMap,
    /// The text of its `h1`.
    pub heading: String,
    /// As it came.
    pub body: String,
    /// Its forms.
    pub forms: Vec<Form>,
}

impl Page {
    /// The login form, if this is the login page.
    pub fn login_form(&self) -> Option<&Form> {
        self.forms.iter().find(|form| form.has(r#"name="password""#))
    }

    /// The consent form, if this is the consent page.
    pub fn consent_form(&self) -> Option<&Form> {
        self.forms.iter().find(|form| form.has(r#"name="decision""#))
    }

    /// The form of "Not you? Sign out", if there is one.
    pub fn sign_out_form(&self) -> Option<&Form> {
        self.forms.iter().find(|form| form.html.contains("Sign out"))
    }

    /// What a human reads: no tags, single spaces.
    pub fn text(&self) -> String {
        visible_text(element(&self.body, "main").unwrap_or(&self.body))
    }
}

/// Where a click led.
#[derive(Debug, Clone)]
pub enum Step {
    /// To a page of the server.
    Page(Page),
    /// Out of the server, to the client: the callback URL, which was not visited.
    Client(String),
}

impl Step {
    /// The page, or an error that says what was seen instead.
    pub fn page(self) -> Result<Page, BrowserError> {
        match self {
            Self::Page(page) => Ok(page),
            Self::Client(_) => Err(BrowserError::Unexpected { expected: "a page", seen: Box::new(self) }),
        }
    }

    /// The callback URL, or an error that says what was seen instead.
    pub fn client(self) -> Result<String, BrowserError> {
        match self {
            Self::Client(callback) => Ok(callback),
            Self::Page(_) => Err(BrowserError::Unexpected { expected: "the way to the client", seen: Box::new(self) }),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(callback) => write!(f, "a redirect to {callback}"),
            Self::Page(page) => write!(f, "{} at {}: {}", page.status, page.url, page.text()),
        }
    }
}

/// A parameter of the URL that the browser was sent to the client with.
pub fn callback_parameter(callback: &str, name: &str) -> Option<String> {
    let url = Url::parse(callback).ok()?;
    url.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}

/// A browser with its cookies. A clone is the same browser at another moment, with a copy of the cookies.
#[derive(Debug, Clone)]
pub struct ScriptedBrowser {
    http: Client,
    cookies: BTreeMap<String, String>,
}

impl ScriptedBrowser {
    /// A browser that was never used.
    pub fn new() -> Result<Self, reqwest::Error> {
        // A connection for each request: one that is kept open does not survive a restart of the server.
        let http = Client::builder().redirect(Policy::none()).no_proxy().pool_max_idle_per_host(0).build()?;
        Ok(Self::over(http))
    }

    /// The same, by an HTTP client of one's own, which must not follow redirects.
    pub fn over(http: Client) -> Self {
        Self { http, cookies: BTreeMap::new() }
    }

    /// Its cookies, by name.
    pub fn cookies(&self) -> &BTreeMap<String, String> {
        &self.cookies
    }

    /// Opens an address, e.g. an authorization request.
    pub async fn open(&mut self, url: &str) -> Result<Step, BrowserError> {
        self.visit(Method::GET, parse(url)?, None).await
    }

    /// Fills in the login form of a page.
    pub async fn log_in(&mut self, page: &Page, username: &str, password: &str) -> Result<Step, BrowserError> {
        let form = page.login_form().ok_or_else(|| unexpected("the login page", page))?;
        self.submit(page, form, &[("username", username), ("password", password)]).await
    }

    /// Agrees.
    pub async fn approve(&mut self, page: &Page) -> Result<Step, BrowserError> {
        self.decide(page, "approve").await
    }

    /// Refuses.
    pub async fn deny(&mut self, page: &Page) -> Result<Step, BrowserError> {
        self.decide(page, "deny").await
    }

    async fn decide(&mut self, page: &Page, decision: &str) -> Result<Step, BrowserError> {
        let form = page.consent_form().ok_or_else(|| unexpected("the consent page", page))?;
        self.submit(page, form, &[("decision", decision)]).await
    }

    /// Somebody else is logged in: signs them out.
    pub async fn sign_out(&mut self, page: &Page) -> Result<Step, BrowserError> {
        let form = page.sign_out_form().ok_or_else(|| unexpected("a page to sign out from", page))?;
        self.submit(page, form, &[]).await
    }

    /// Posts a form of a page, with its hidden fields and these.
    pub async fn submit(&mut self, page: &Page, form: &Form, fields: &[(&str, &str)]) -> Result<Step, BrowserError> {
        let action = parse(&page.url)?.join(&form.action).map_err(|_| BrowserError::NotAUrl(form.action.clone()))?;
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form.hidden.iter().map(|(name, value)| (name.as_str(), value.as_str())))
            .extend_pairs(fields)
            .finish();
        self.visit(Method::POST, action, Some(body)).await
    }

    /// The whole way: opens an authorization request, logs in if asked to, agrees if asked to. The callback URL.
    pub async fn authorize(&mut self, url: &str, username: &str, password: &str) -> Result<String, BrowserError> {
        let mut step = self.open(url).await?;
        if let Step::Page(page) = &step
            && page.login_form().is_some()
        {
            step = self.log_in(&page.clone(), username, password).await?;
        }
        if let Step::Page(page) = &step
            && page.consent_form().is_some()
        {
            step = self.approve(&page.clone()).await?;
        }
        step.client()
    }

    /// Goes on to the client: what a program on this machine answers at its loopback callback.
    pub async fn deliver(&mut self, callback: &str) -> Result<Step, BrowserError> {
        // Another origin: the server's cookies stay at home.
        let response = self.http.get(callback).send().await;
        let response = response.map_err(|why| BrowserError::Http { url: callback.to_owned(), why })?;
        self.read(parse(callback)?, response).await
    }

    async fn visit(&mut self, method: Method, url: Url, body: Option<String>) -> Result<Step, BrowserError> {
        let home = url.origin();
        let (mut method, mut url, mut body) = (method, url, body);
        for _ in 0..MAX_REDIRECTS {
            let mut request = self.http.request(method, url.clone());
            if !self.cookies.is_empty() {
                let cookies = self.cookies.iter().fold(String::new(), |mut all, (name, value)| {
                    let separator = if all.is_empty() { "" } else { "; " };
                    let _ = write!(all, "{separator}{name}={value}");
                    all
                });
                request = request.header(COOKIE, cookies);
            }
            if let Some(body) = body {
                request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
            }
            let response = request.send().await;
            let response = response.map_err(|why| BrowserError::Http { url: url.to_string(), why })?;
            self.keep_cookies(response.headers());
            let Some(location) = location(&response) else { return self.read(url, response).await };
            let next = url.join(&location).map_err(|_| BrowserError::NotAUrl(location.clone()))?;
            if next.origin() != home {
                // As the server wrote it, not as a URL type would.
                return Ok(Step::Client(location));
            }
            (method, url, body) = (Method::GET, next, None);
        }
        Err(BrowserError::RedirectLoop(url.into()))
    }

    async fn read(&self, url: Url, response: reqwest::Response) -> Result<Step, BrowserError> {
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.text().await.map_err(|why| BrowserError::Http { url: url.to_string(), why })?;
        let heading = element(&body, "h1").map(visible_text).unwrap_or_default();
        let forms = forms(&body);
        Ok(Step::Page(Page { url: url.into(), status, headers, heading, body, forms }))
    }

    fn keep_cookies(&mut self, headers: &HeaderMap) {
        for cookie in headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
            let (pair, attributes) = cookie.split_once(';').unwrap_or((cookie, ""));
            let Some((name, value)) = pair.trim().split_once('=') else { continue };
            if attributes.split(';').any(|attribute| attribute.trim().eq_ignore_ascii_case("max-age=0")) {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

fn parse(url: &str) -> Result<Url, BrowserError> {
    Url::parse(url).map_err(|_| BrowserError::NotAUrl(url.to_owned()))
}

fn unexpected(expected: &'static str, page: &Page) -> BrowserError {
    BrowserError::Unexpected { expected, seen: Box::new(Step::Page(page.clone())) }
}

fn location(response: &reqwest::Response) -> Option<String> {
    let location = response.headers().get(LOCATION).filter(|_| response.status().is_redirection())?;
    location.to_str().ok().map(str::to_owned)
}

/// The first element of this name with its tags. Our own pages do not nest forms or headings.
fn element<'a>(html: &'a str, name: &str) -> Option<&'a str> {
    let (open, close) = (format!("<{name}"), format!("</{name}>"));
    let start = html.match_indices(&open).map(|(at, _)| at).find(|at| {
        let after = html[at + open.len()..].chars().next();
        after.is_some_and(|c| c == '>' || c.is_whitespace())
    })?;
    let end = html[start..].find(&close)? + start + close.len();
    Some(&html[start..end])
}

fn forms(html: &str) -> Vec<Form> {
    let mut rest = html;
    let mut found = Vec::new();
    while let Some(form) = element(rest, "form") {
        let hidden = form
            .split("<input")
            .skip(1)
            .filter_map(|after| after.split_once('>').map(|(tag, _)| tag))
            .filter(|tag| attribute(tag, "type").as_deref() == Some("hidden"))
            .filter_map(|tag| Some((attribute(tag, "name")?, attribute(tag, "value").unwrap_or_default())))
            .collect();
        let opening = form.split_once('>').map_or(form, |(tag, _)| tag);
        found.push(Form { action: attribute(opening, "action").unwrap_or_default(), hidden, html: form.to_owned() });
        let after = form.as_ptr() as usize - rest.as_ptr() as usize + form.len();
        rest = &rest[after..];
    }
    found
}

/// The value of a double-quoted attribute of a tag.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, after) = tag.split_once(&format!(" {name}=\""))?;
    let (value, _) = after.split_once('"')?;
    Some(unescape(value))
}

fn visible_text(html: &str) -> String {
    let mut inside = false;
    let mut text = String::new();
    for c in html.chars() {
        match c {
            '<' => inside = true,
            '>' if inside => {
                inside = false;
                text.push(' ');
            }
            c if !inside => text.push(c),
            _ => {}
        }
    }
    unescape(&text).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn unescape(text: &str) -> String {
    let entities = [
        ("&#60;", "<"),
        ("&lt;", "<"),
        ("&#62;", ">"),
        ("&gt;", ">"),
        ("&#34;", "\""),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&nbsp;", " "),
        ("&#38;", "&"),
        ("&amp;", "&"),
    ];
    entities.iter().fold(text.to_owned(), |text, (entity, character)| text.replace(entity, character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_with_its_action_and_hidden_fields() {
        let html = r#"<main><form method="post" action="/a?b=1&amp;c=2"><input type="hidden" name="request" value="x&#38;y" autocomplete="off">
            <input name="password" type="password"></form><form action="/out"><button>Sign out</button></form></main>"#;
        let forms = forms(html);
        assert_eq!(forms.len(), 2);
        assert_eq!((forms[0].action.as_str(), forms[0].hidden("request")), ("/a?b=1&c=2", Some("x&y")));
        assert_eq!((forms[1].action.as_str(), forms[1].hidden.len()), ("/out", 0));
    }

    #[test]
    fn text_is_what_a_human_reads() {
        assert_eq!(visible_text("<h1 id=\"x\"><b>A&#38;B</b>\n wants&nbsp;it</h1>"), "A&B wants it");
    }
}
