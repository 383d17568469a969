//! Whether the server is there, whether its certificate is one that clients accept, and what time it thinks it is.

use http::Method;
use url::Url;
use x509_cert::{Certificate, der::Decode};

use super::{Context, check::Check, probe::is_this_machine, report::Section};
use crate::domain::time::Timestamp;

/// How long before its end a certificate should have been renewed, in days.
const RENEWED_BEFORE: u64 = 14;
/// What clocks may differ by without anybody noticing, and what tokens and assertions tolerate, in seconds.
const UNNOTICED: u64 = 10;
const TOLERATED: u64 = 60;

pub(super) const REACHABLE: Check = Check {
    name: "transport.reachable",
    title: "The server answers",
    breaks: "no client gets anywhere",
    remedy: "check the name, the address, the port, and what listens there; clients in the cloud reach public addresses only",
};
pub(super) const HTTPS: Check = Check {
    name: "transport.https",
    title: "It speaks https",
    breaks: "codes and tokens can be read and changed on the way; Claude and ChatGPT refuse plain http",
    remedy: "serve it over https; plain http is for localhost",
};
pub(super) const CERTIFICATE: Check = Check {
    name: "transport.certificate",
    title: "The certificate is one that this machine accepts",
    breaks: "no client connects",
    remedy: "serve a certificate for this very name, not expired, with every intermediate certificate, from a public authority",
};
pub(super) const CERTIFICATE_END: Check = Check {
    name: "transport.certificate_end",
    title: "The certificate does not expire soon",
    breaks: "everybody, on the day when it expires",
    remedy: "renew it, and see to it that it is renewed by itself",
};
pub(super) const CLOCK: Check = Check {
    name: "transport.clock",
    title: "Its clock agrees with that of this machine",
    breaks: "tokens that are not valid yet or no longer, client assertions that are refused",
    remedy: "synchronise the clocks of both machines (NTP)",
};

pub(super) const CHECKS: &[&Check] = &[&REACHABLE, &HTTPS, &CERTIFICATE, &CERTIFICATE_END, &CLOCK];

/// Whether the server answers at all: without that the rest makes no sense.
pub(super) async fn examine(context: &Context<'_>, section: &mut Section, url: &Url) -> bool {
    let is_https = url.scheme() == "https";
    if is_https {
        section.pass(&HTTPS, "https");
    } else if is_this_machine(url) {
        section.pass(&HTTPS, "plain http on this machine, where clients in the cloud cannot come");
    } else {
        section.fail(&HTTPS, "plain http");
    }
    let answer = match context.probe.send(context.probe.get(url.as_str())).await {
        Ok(answer) => answer,
        Err(reason) => {
            if reason.is_certificate {
                section.pass(&REACHABLE, "it answers, with a certificate that is refused");
                section.fail(&CERTIFICATE, &reason.reason);
            } else {
                section.fail(&REACHABLE, &reason.reason);
            }
            section.skip_rest(CHECKS, "there was no answer to look at");
            return false;
        }
    };
    section.pass(&REACHABLE, format!("status {}", answer.status));
    if is_https {
        certificate(context, section, url, answer.certificate.as_deref()).await;
    } else {
        section.skip(&CERTIFICATE, "plain http has none");
        section.skip(&CERTIFICATE_END, "plain http has none");
    }
    clock(section, context.clock.now(), answer.header("date"));
    true
}

async fn certificate(context: &Context<'_>, section: &mut Section, url: &Url, der: Option<&[u8]>) {
    // Who is accepted only because of an authority that was named is accepted nowhere else.
    match &context.without_authorities {
        None => section.pass(&CERTIFICATE, "accepted"),
        Some(probe) => match probe.send(probe.request(Method::GET, url.as_str())).await {
            Err(reason) if reason.is_certificate => section.warn(
                &CERTIFICATE,
                format!("accepted only because of the authority that was named; without it: {reason}"),
            ),
            Ok(_) | Err(_) => section.pass(&CERTIFICATE, "accepted"),
        },
    }
    let parsed = der.and_then(|der| Certificate::from_der(der).ok());
    let Some(certificate) = parsed else {
        return section.skip(&CERTIFICATE_END, "the certificate cannot be read");
    };
    let end = certificate.tbs_certificate().validity().not_after.to_unix_duration();
    let days = Timestamp::EPOCH.plus(end).since(context.clock.now()).as_secs() / 86_400;
    let saw = format!("{days} days left");
    if days < RENEWED_BEFORE { section.warn(&CERTIFICATE_END, saw) } else { section.pass(&CERTIFICATE_END, saw) }
}

fn clock(section: &mut Section, now: Timestamp, date: Option<&str>) {
    let told = date.and_then(|date| httpdate::parse_http_date(date).ok());
    let since_1970 = told.and_then(|told| told.duration_since(std::time::UNIX_EPOCH).ok());
    let Some(since_1970) = since_1970 else { return section.skip(&CLOCK, "it sends no Date") };
    let theirs = Timestamp::EPOCH.plus(since_1970);
    let (ahead, behind) = (theirs.since(now).as_secs(), now.since(theirs).as_secs());
    let (apart, way) = if ahead > 0 { (ahead, "ahead of") } else { (behind, "behind") };
    let saw = format!("{apart} s {way} this machine");
    if apart > TOLERATED {
        section.fail(&CLOCK, saw);
    } else if apart > UNNOTICED {
        section.warn(&CLOCK, saw);
    } else {
        section.pass(&CLOCK, saw);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{check::Verdict, report::Kind};

    #[test]
    fn a_clock_is_judged_by_how_far_it_is_off_in_either_direction() {
        let now = Timestamp::from_unix(1_750_204_800);
        for (date, verdict) in [
            ("Wed, 18 Jun 2025 00:00:09 GMT", Verdict::Pass),
            ("Tue, 17 Jun 2025 23:59:30 GMT", Verdict::Warning),
            ("Wed, 18 Jun 2025 00:02:00 GMT", Verdict::Failure),
            ("Tue, 17 Jun 2025 23:00:00 GMT", Verdict::Failure),
            ("yesterday", Verdict::Skipped),
        ] {
            let mut section = Section::new(Kind::McpServer, "https://a.example");
            clock(&mut section, now, Some(date));
            assert_eq!(section.findings[0].verdict, verdict, "{date}");
        }
    }
}
