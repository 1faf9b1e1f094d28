//! How users sign in: given with `add`, changed with `sign-in`.

use clap::Args;
use latchkey_token::{
    json::{Map, Value},
    registrations::Registrations,
};
use serde_json::json;

use super::edits::{self, Party};
use crate::{console::Failure, operator::documents::place::Change};

const REDIRECT_URIS: &str = "redirect_uris";
const POST_LOGOUT_REDIRECT_URIS: &str = "post_logout_redirect_uris";
const PKCE: &str = "pkce";
const SIGN_IN_ISSUER: &str = "sign_in_issuer";
const SIGN_IN_URL: &str = "sign_in_url";
const SIGN_OUT_URL: &str = "sign_out_url";

/// A client's part. Values as they are given: the parser judges them, all at once.
#[derive(Args)]
#[command(next_help_heading = "Sign-in")]
pub(super) struct ClientSignIn {
    /// Where a browser may be sent with the code: https, or http on a loopback host, whose port may then be any. LibreChat's is
    /// https://HOST/oauth/openid/callback
    #[arg(long, value_name = "URI", num_args = 1..)]
    redirect_uri: Vec<String>,
    /// Where a browser may be sent after a sign-out. LibreChat's is https://HOST/login
    #[arg(long, value_name = "URI", num_args = 1..)]
    post_logout_redirect_uri: Vec<String>,
    /// required, or optional for a confidential client that cannot do PKCE [default: required]
    #[arg(long, value_name = "WORD")]
    pkce: Option<String>,
    /// Who signs its users in, where several of its issuers have a sign-in URL [default: the only one that has]
    #[arg(long, value_name = "ISSUER_ID")]
    sign_in_issuer: Option<String>,
}

/// Change how a client's users sign in
///
/// What is given is added to what is there. Browsers are sent to registered addresses only, compared letter for letter; the
/// servers know of a change within their cache time (300 s by default).
#[derive(Args)]
#[command(after_help = "Examples:
  latchkey client sign-in librechat --file clients.json \\
    --redirect-uri https://chat.example.org/oauth/openid/callback
  # when LibreChat has moved:
  latchkey client sign-in librechat --secret-id latchkey/clients \\
    --redirect-uri https://ai.example.org/oauth/openid/callback \\
    --remove-redirect-uri https://chat.example.org/oauth/openid/callback
  latchkey client sign-in librechat --file clients.json --sign-in-issuer portal --dry-run")]
pub(crate) struct ClientSignInChange {
    /// The client's id
    id: String,
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    sign_in: ClientSignIn,
    /// No longer send browsers there with a code
    #[arg(long, value_name = "URI", num_args = 1..)]
    remove_redirect_uri: Vec<String>,
    /// No longer send browsers there after a sign-out
    #[arg(long, value_name = "URI", num_args = 1..)]
    remove_post_logout_redirect_uri: Vec<String>,
    /// Let the only issuer with a sign-in URL sign its users in
    #[arg(long, conflicts_with = "sign_in_issuer")]
    no_sign_in_issuer: bool,
}

/// An issuer's part.
#[derive(Args)]
#[command(next_help_heading = "Sign-in")]
pub(super) struct IssuerSignIn {
    /// The portal's page where browsers are sent to sign in: https, or http on a loopback host
    #[arg(long, value_name = "URL")]
    sign_in_url: Option<String>,
    /// The portal's page where browsers are sent after a sign-out, so that the portal ends its own session
    #[arg(long, value_name = "URL")]
    sign_out_url: Option<String>,
}

/// Change where an issuer's users sign in and out
///
/// The servers know of it within their cache time (300 s by default).
#[derive(Args)]
#[command(after_help = "Examples:
  latchkey issuer sign-in portal --file clients.json --sign-in-url https://portal.example.org/sign-in
  latchkey issuer sign-in portal --secret-id latchkey/clients --no-sign-out-url")]
pub(crate) struct IssuerSignInChange {
    /// The issuer's id
    id: String,
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    sign_in: IssuerSignIn,
    /// Let nobody sign in at this issuer
    #[arg(long, conflicts_with = "sign_in_url")]
    no_sign_in_url: bool,
    /// Send nobody to this issuer after a sign-out
    #[arg(long, conflicts_with = "sign_out_url")]
    no_sign_out_url: bool,
}

impl ClientSignIn {
    fn is_empty(&self) -> bool {
        self.redirect_uri.is_empty()
            && self.post_logout_redirect_uri.is_empty()
            && self.pkce.is_none()
            && self.sign_in_issuer.is_none()
    }

    pub(super) fn put_into(&self, registration: &mut Map<String, Value>) {
        for (member, uris) in
            [(REDIRECT_URIS, &self.redirect_uri), (POST_LOGOUT_REDIRECT_URIS, &self.post_logout_redirect_uri)]
        {
            for uri in uris {
                edits::push_if_missing(registration, member, uri);
            }
        }
        put(registration, PKCE, self.pkce.as_ref());
        put(registration, SIGN_IN_ISSUER, self.sign_in_issuer.as_ref());
    }
}

impl ClientSignInChange {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let removed = [
            (REDIRECT_URIS, &self.remove_redirect_uri),
            (POST_LOGOUT_REDIRECT_URIS, &self.remove_post_logout_redirect_uri),
        ];
        let only_takes_away = self.sign_in.is_empty();
        if only_takes_away && !self.no_sign_in_issuer && removed.iter().all(|(_, uris)| uris.is_empty()) {
            return Err(nothing_to_change());
        }
        let (checked, told) = self.change.make(|draft| {
            if only_takes_away {
                draft.forgive();
            }
            let Some(registration) = edits::registration(draft, Party::Client, &self.id) else { return Ok(Vec::new()) };
            let mut unknown = Vec::new();
            for (member, uris) in removed {
                unknown.extend(uris.iter().filter(|uri| !edits::pull(registration, member, uri)));
            }
            if self.no_sign_in_issuer {
                registration.remove(SIGN_IN_ISSUER);
            }
            self.sign_in.put_into(registration);
            let told = told(registration, [REDIRECT_URIS, POST_LOGOUT_REDIRECT_URIS, PKCE, SIGN_IN_ISSUER]);
            for uri in unknown {
                draft.fault(format!(
                    "client {:?} has no address {uri:?} to remove: see `latchkey client list`",
                    self.id
                ));
            }
            Ok(told)
        })?;
        warn_if_nobody_signs_in(&checked.parsed, &self.id);
        tell(&self.change, Party::Client, &self.id, told)
    }
}

impl IssuerSignIn {
    pub(super) fn put_into(&self, registration: &mut Map<String, Value>) {
        put(registration, SIGN_IN_URL, self.sign_in_url.as_ref());
        put(registration, SIGN_OUT_URL, self.sign_out_url.as_ref());
    }
}

impl IssuerSignInChange {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let removed = [(SIGN_IN_URL, self.no_sign_in_url), (SIGN_OUT_URL, self.no_sign_out_url)];
        let only_takes_away = self.sign_in.sign_in_url.is_none() && self.sign_in.sign_out_url.is_none();
        if only_takes_away && removed.iter().all(|(_, is_meant)| !is_meant) {
            return Err(nothing_to_change());
        }
        let (_, told) = self.change.make(|draft| {
            if only_takes_away {
                draft.forgive();
            }
            let Some(registration) = edits::registration(draft, Party::Issuer, &self.id) else { return Ok(Vec::new()) };
            for (member, _) in removed.iter().filter(|(_, is_meant)| *is_meant) {
                registration.remove(*member);
            }
            self.sign_in.put_into(registration);
            Ok(told(registration, [SIGN_IN_URL, SIGN_OUT_URL]))
        })?;
        tell(&self.change, Party::Issuer, &self.id, told)
    }
}

fn put(registration: &mut Map<String, Value>, member: &'static str, value: Option<&String>) {
    registration.extend(value.map(|value| (member.to_owned(), json!(value))));
}

/// Those of `members` that a registration has.
fn told<const N: usize>(registration: &Map<String, Value>, members: [&'static str; N]) -> Vec<(&'static str, Value)> {
    members.into_iter().filter_map(|member| Some((member, registration.get(member)?.clone()))).collect()
}

fn nothing_to_change() -> Failure {
    Failure::Usage("what is to change? --help names the options".into())
}

fn tell(change: &Change, party: Party, id: &str, members: Vec<(&'static str, Value)>) -> Result<(), Failure> {
    let (is, place) = (change.verb("is", "would be"), change.place());
    eprintln!("the sign-in of {} {id:?} {is} changed in {place}", party.noun());
    change.tell([(party.id_member(), json!(id))].into_iter().chain(members))
}

/// Who signs in the users of the client with this id.
pub(super) fn sign_in_issuer<'a>(registrations: &'a Registrations, id: &str) -> Option<&'a str> {
    let client = registrations.client(id).ok()??;
    Some(registrations.sign_in_issuer(client).ok()??.issuer_id.as_str())
}

/// A client that is ready for sign-ins, and has nobody who says who its users are.
pub(super) fn warn_if_nobody_signs_in(registrations: &Registrations, id: &str) {
    let is_ready = registrations.client(id).ok().flatten().is_some_and(|client| !client.redirect_uris.is_empty());
    if is_ready && sign_in_issuer(registrations, id).is_none() {
        eprintln!(
            "warning: nobody can sign in to it yet: none of its issuers is enabled and has a sign-in URL: `latchkey issuer \
             sign-in ISSUER_ID --sign-in-url URL`"
        );
    }
}
