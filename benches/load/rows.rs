//! The operations that are measured, what each is compared with, and how they are asked for.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use gateward::{
    http::path,
    testing::server::{OPAQUE_RESOURCE, Parameters, RESOURCE},
};
use tokio::runtime::Runtime;

use crate::{
    bare::Bare,
    generator::{Asking, CONNECTIONS, Talk, Timing, get, member, ok, post},
    program::{EDDSA_RESOURCE, Program, RS256_RESOURCE, basic},
    talk::{Chain, Exchange, Same, boxes, redemption, refresh},
    turns::{self, Contender, Measured},
};

/// More codes than this are not drawn beforehand; where they are spent sooner, the window ends sooner.
const MOST_CODES: usize = 300_000;

/// What a target is a share of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    Bare,
    Layered,
}

/// One operation.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Where [`Bare`] does the same; none for what has no limit of that kind.
    bare: Option<&'static str>,
    /// The least share of a limit that this project wants.
    pub(crate) target: Option<(Limit, f64)>,
    /// Whether the store records something for each request.
    pub(crate) writes: bool,
}

const fn row(name: &'static str, bare: &'static str, limit: Limit, share: f64) -> Row {
    Row { name, bare: Some(bare), target: Some((limit, share)), writes: false }
}

const fn writing(row: Row) -> Row {
    Row { writes: true, ..row }
}

/// In the order of [`Figures`].
pub(crate) const ROWS: [Row; 12] = [
    Row { name: "`GET /livez`, nothing behind it", bare: Some("/livez"), target: None, writes: false },
    row("metadata", path::METADATA, Limit::Layered, 0.95),
    writing(row("client_credentials, opaque token", "/opaque", Limit::Layered, 0.85)),
    row("client_credentials, ES256", "/ES256", Limit::Bare, 0.8),
    row("client_credentials, EdDSA", "/EdDSA", Limit::Bare, 0.8),
    row("client_credentials, RS256", "/RS256", Limit::Bare, 0.95),
    writing(row("refresh, ES256", "/refresh", Limit::Bare, 0.8)),
    writing(Row { name: "authorize, known session and consent", bare: None, target: None, writes: true }),
    writing(row("code exchange, ES256", "/code", Limit::Bare, 0.8)),
    row("introspection, opaque token", "/introspect/opaque", Limit::Layered, 0.85),
    // Above the limit, which checks every signature: a token comes again and again.
    row("introspection, JWT of a human, ES256", "/introspect/ES256", Limit::Bare, 1.0),
    row("introspection, JWT of a worker, EdDSA", "/introspect/EdDSA", Limit::Bare, 1.0),
];

const LIVEZ: usize = 0;
const METADATA: usize = 1;
const OPAQUE: usize = 2;
const ES256: usize = 3;
const EDDSA: usize = 4;
const RS256: usize = 5;
const REFRESH: usize = 6;
const AUTHORIZE: usize = 7;
const EXCHANGE: usize = 8;
const INTROSPECTION_OPAQUE: usize = 9;
const INTROSPECTION_ES256: usize = 10;
const INTROSPECTION_EDDSA: usize = 11;

pub(crate) type Figures = [Option<Measured>; ROWS.len()];

/// Every row of the program.
pub(crate) fn program(program: &Program, load: &Runtime, timing: Timing) -> Figures {
    compared(program, &[], load, timing).remove(0)
}

/// Every row of the program, and of each service beside it that does nothing more than it must; the program is the first.
pub(crate) fn compared(program: &Program, limits: &[&Bare], load: &Runtime, timing: Timing) -> Vec<Figures> {
    let mut found: Vec<Figures> = vec![[const { None }; ROWS.len()]; 1 + limits.len()];
    let mut measure = |row: usize, marker, talks: Vec<Box<dyn Talk>>| {
        let asking = |address, expected, talks| load.block_on(Asking::open(address, expected, talks));
        let used = || program.used();
        let mut contenders = vec![Contender { asking: asking(program.address, ok(marker), talks), used: Some(&used) }];
        if let Some(request) = bare_request(row) {
            let beside = limits.iter().map(|bare| asking(bare.address, ok("\""), alike(&request)));
            contenders.extend(beside.map(|asking| Contender { asking, used: None }));
        }
        let measured = turns::measure(load, &mut contenders, timing);
        let rate = measured[0].figure.rate;
        eprintln!("{}: {rate:.0}/s", ROWS[row].name);
        for (figures, measured) in found.iter_mut().zip(measured) {
            figures[row] = Some(measured);
        }
        rate
    };
    let worker = basic("worker");
    let token = |resource: &str| machine_token(&worker, resource);
    measure(LIVEZ, "\"status\":\"ok\"", alike(&get("/livez")));
    measure(METADATA, "\"issuer\":", alike(&get(path::METADATA)));
    measure(OPAQUE, "\"access_token\":\"gw_at_", alike(&token(OPAQUE_RESOURCE)));
    measure(ES256, "\"access_token\":\"eyJ", alike(&token(RESOURCE)));
    measure(EDDSA, "\"access_token\":\"eyJ", alike(&token(EDDSA_RESOURCE)));
    measure(RS256, "\"access_token\":\"eyJ", alike(&token(RS256_RESOURCE)));

    // One code for each connection: its refresh token is the start of a chain, its JWT is introspected later.
    let (codes, _) = program.codes(load, CONNECTIONS);
    let redeem = std::iter::from_fn(|| codes.take()).map(|code| redemption(&code)).collect();
    let tokens = program.each_once(load, redeem, ok("\"refresh_token\":\"gw_rt_"));
    let chains = tokens.iter().map(|answer| Chain::starting_with(member(answer, "refresh_token")));
    let refreshed = measure(REFRESH, "\"refresh_token\":\"gw_rt_", boxes(chains));

    // Some more than there will be time for, if an exchange is about as fast as a rotation.
    let enough = 1.5 * refreshed * turns::asked(1 + limits.len(), timing).as_secs_f64();
    let (codes, drawn) = program.codes(load, (enough as usize).clamp(CONNECTIONS, MOST_CODES));
    eprintln!("{}: {:.0}/s", ROWS[AUTHORIZE].name, drawn.rate);
    measure(EXCHANGE, "\"refresh_token\":\"gw_rt_", boxes((0..CONNECTIONS).map(|_| Exchange::of(&codes))));

    let several = |resource| vec![token(resource); CONNECTIONS];
    let opaque = program.each_once(load, several(OPAQUE_RESOURCE), ok("\"access_token\":\"gw_at_"));
    let eddsa = program.each_once(load, several(EDDSA_RESOURCE), ok("\"access_token\":\"eyJ"));
    measure(INTROSPECTION_OPAQUE, "\"active\":true", about(&opaque, "files"));
    measure(INTROSPECTION_ES256, "\"active\":true", about(&tokens, "mcp"));
    measure(INTROSPECTION_EDDSA, "\"active\":true", about(&eddsa, "eddsa"));
    found[0][AUTHORIZE] = Some(Measured::alone(drawn));
    found
}

/// A signature that can only be told from a good one by checking it: its numbers are in the range of ES256 and of EdDSA.
const SOMEBODY_ELSES: [u8; 64] = {
    let mut signature = [0x5a; 64];
    signature[63] = 5;
    signature
};

/// What the service beside the program is asked, where there is something.
fn bare_request(row: usize) -> Option<Vec<u8>> {
    let path = ROWS[row].bare?;
    let form =
        |pairs: &[(&str, &str)]| pairs.iter().fold(Parameters::default(), |form, (n, v)| form.add(n, v)).encode();
    let a_jwt = || format!("{}.{}.{}", "h".repeat(100), "eyJhIjoiYiJ9", URL_SAFE_NO_PAD.encode(SOMEBODY_ELSES));
    Some(match row {
        LIVEZ | METADATA => get(path),
        REFRESH => elsewhere(refresh(&opaque_text("gw_rt_")), path),
        EXCHANGE => elsewhere(redemption(&opaque_text("gw_ac_")), path),
        INTROSPECTION_OPAQUE => post(path, Some(&basic("files")), &form(&[("token", &opaque_text("gw_at_"))])),
        INTROSPECTION_ES256 | INTROSPECTION_EDDSA => post(path, Some(&basic("mcp")), &form(&[("token", &a_jwt())])),
        _ => elsewhere(machine_token(&basic("worker"), RESOURCE), path),
    })
}

/// A worker's request for an opaque token.
pub(crate) fn opaque_request() -> Vec<u8> {
    machine_token(&basic("worker"), OPAQUE_RESOURCE)
}

fn machine_token(worker: &str, resource: &str) -> Vec<u8> {
    let form = Parameters::from([("grant_type", "client_credentials"), ("scope", "mcp:read"), ("resource", resource)]);
    post(path::TOKEN, Some(worker), &form.encode())
}

/// As long as a credential of gateward.
fn opaque_text(prefix: &str) -> String {
    format!("{prefix}{}", "x".repeat(50))
}

/// A request to the token endpoint, sent to another path.
fn elsewhere(request: Vec<u8>, path: &str) -> Vec<u8> {
    String::from_utf8(request).unwrap().replacen(path::TOKEN, path, 1).into_bytes()
}

fn alike(request: &[u8]) -> Vec<Box<dyn Talk>> {
    boxes((0..CONNECTIONS).map(|_| Same::new(request.to_vec())))
}

/// What a resource server asks about the tokens in `answers`.
fn about(answers: &[String], caller: &str) -> Vec<Box<dyn Talk>> {
    let ask = |answer: &String| {
        let form = Parameters::from([("token", member(answer, "access_token"))]);
        Same::new(post(path::INTROSPECT, Some(&basic(caller)), &form.encode()))
    };
    boxes(answers.iter().map(ask))
}
