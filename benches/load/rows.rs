//! The operations that are measured, what each is compared with, and how they are asked for.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use gateward::{
    http::path,
    testing::server::{OPAQUE_RESOURCE, Parameters, RESOURCE},
};
use tokio::runtime::Runtime;

use crate::{
    bare::Bare,
    generator::{CONNECTIONS, Figure, ROUNDS, Talk, Timing, get, median, member, ok, post, run},
    program::{EDDSA_RESOURCE, Program, RS256_RESOURCE, basic},
    talk::{Chain, Exchange, Same, boxes, redemption, refresh},
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

/// What was found in one row.
#[derive(Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) figure: Figure,
    /// How much of its core the server used; less than nearly all of it says that something else was the limit.
    pub(crate) busy: Option<f64>,
}

pub(crate) type Figures = [Option<Measured>; ROWS.len()];

/// Every row of the program.
pub(crate) fn program(program: &Program, load: &Runtime, timing: Timing) -> Figures {
    compared(program, &[], load, timing).remove(0)
}

/// Every row of the program, and of each service beside it that does nothing more than it must; the program is the first.
pub(crate) fn compared(program: &Program, limits: &[&Bare], load: &Runtime, timing: Timing) -> Vec<Figures> {
    let rounds = if limits.is_empty() { 1 } else { ROUNDS };
    let mut found: Vec<Figures> = vec![[None; ROWS.len()]; 1 + limits.len()];
    let mut measure = |row: usize, marker, talks: &mut dyn FnMut() -> Vec<Box<dyn Talk>>| {
        let mut taken = vec![Vec::new(); 1 + limits.len()];
        for _ in 0..rounds {
            let asking = || load.block_on(run(program.address, ok(marker), talks(), timing));
            taken[0].push(busy(timing, || program.used(), asking));
            for (bare, taken) in limits.iter().zip(&mut taken[1..]) {
                let Some(request) = bare_request(row) else { continue };
                let asking = || load.block_on(run(bare.address, ok("\""), alike(&request), timing));
                taken.push(busy(timing, || bare.used(), asking));
            }
        }
        for (figures, taken) in found.iter_mut().zip(taken) {
            figures[row] = median(taken, |measured| measured.figure.rate);
        }
        let rate = found[0][row].map_or(0.0, |measured| measured.figure.rate);
        eprintln!("{}: {rate:.0}/s", ROWS[row].name);
        rate
    };
    let worker = basic("worker");
    let token = |resource: &str| machine_token(&worker, resource);
    measure(LIVEZ, "\"status\":\"ok\"", &mut || alike(&get("/livez")));
    measure(METADATA, "\"issuer\":", &mut || alike(&get(path::METADATA)));
    measure(OPAQUE, "\"access_token\":\"gw_at_", &mut || alike(&token(OPAQUE_RESOURCE)));
    measure(ES256, "\"access_token\":\"eyJ", &mut || alike(&token(RESOURCE)));
    measure(EDDSA, "\"access_token\":\"eyJ", &mut || alike(&token(EDDSA_RESOURCE)));
    measure(RS256, "\"access_token\":\"eyJ", &mut || alike(&token(RS256_RESOURCE)));

    // One code for each connection and round: its refresh token is the start of a chain, its JWT is introspected later.
    let (codes, _) = program.codes(load, rounds * CONNECTIONS);
    let redeem = std::iter::from_fn(|| codes.take()).map(|code| redemption(&code)).collect();
    let tokens = program.each_once(load, redeem, ok("\"refresh_token\":\"gw_rt_"));
    let mut starts = tokens.chunks(CONNECTIONS);
    let refreshed = measure(REFRESH, "\"refresh_token\":\"gw_rt_", &mut || {
        let starts = starts.next().unwrap().iter();
        boxes(starts.map(|answer| Chain::starting_with(member(answer, "refresh_token"))))
    });

    // Some more than there will be time for, if an exchange is about as fast as a rotation.
    let enough = 1.3 * refreshed * (timing.warm_up + timing.window).as_secs_f64() * rounds as f64;
    let (codes, drawn) = program.codes(load, (enough as usize).clamp(CONNECTIONS, MOST_CODES));
    eprintln!("{}: {:.0}/s", ROWS[AUTHORIZE].name, drawn.rate);
    measure(EXCHANGE, "\"refresh_token\":\"gw_rt_", &mut || boxes((0..CONNECTIONS).map(|_| Exchange::of(&codes))));

    let several = |resource| vec![token(resource); CONNECTIONS];
    let opaque = program.each_once(load, several(OPAQUE_RESOURCE), ok("\"access_token\":\"gw_at_"));
    let eddsa = program.each_once(load, several(EDDSA_RESOURCE), ok("\"access_token\":\"eyJ"));
    let es256 = &tokens[..CONNECTIONS];
    measure(INTROSPECTION_OPAQUE, "\"active\":true", &mut || about(&opaque, "files"));
    measure(INTROSPECTION_ES256, "\"active\":true", &mut || about(es256, "mcp"));
    measure(INTROSPECTION_EDDSA, "\"active\":true", &mut || about(&eddsa, "eddsa"));
    found[0][AUTHORIZE] = Some(Measured { figure: drawn, busy: None });
    found
}

/// A figure, and how much of its core the server used for it.
fn busy(timing: Timing, used: impl Fn() -> Duration, asking: impl FnOnce() -> Figure) -> Measured {
    let before = used();
    let figure = asking();
    let share = (used() - before).as_secs_f64() / (timing.warm_up + timing.window).as_secs_f64();
    Measured { figure, busy: Some(share) }
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
