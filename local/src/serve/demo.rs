//! What the first start makes: a key ring, a demo issuer with its demo clients, and their secrets.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use latchkey_token::{
    failure::Unavailable,
    json::{Map, Value},
    keys::Algorithm,
    registrations::Registrations,
};
use latchkey_token_aws::SecretText;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::secrets::{new_audit_key, new_secret, new_signing_key, new_tag_key, sha256_hex, write_file};

const SIGNING_KEYS: &str = "signing-keys.json";
const CLIENTS: &str = "clients.json";
pub(super) const CREDENTIALS: &str = "demo-credentials.json";

/// Paths of the demo's pages: where its users sign in and out, and where they arrive.
pub(super) const PORTAL: &str = "/demo/portal";
pub(super) const PORTAL_SIGN_OUT: &str = "/demo/portal/sign-out";
pub(super) const CLIENT: &str = "/demo/client";
/// The path of the demo's protected resource.
pub(super) const MCP: &str = "/demo/mcp";
/// What a token needs there besides the audience.
pub(super) const MCP_SCOPE: &str = "tools";

/// How long a token for it lives that was exchanged for another.
const EXCHANGED_SECONDS: u32 = 300;

/// MCP clients take codes on a loopback address at a port of the moment; a LibreChat on this machine calls its server `demo`.
const MCP_CLIENT: &str = "mcp";
const MCP_CALLBACKS: [&str; 3] =
    ["http://localhost:3080/api/mcp/demo/oauth/callback", "http://localhost/callback", "http://127.0.0.1/callback"];

/// Where MCP clients on this machine that register themselves take codes, on whichever port; `*` is one segment.
const REGISTERED_CALLBACKS: [&str; 5] =
    ["/", "/callback", "/oauth/callback", "/oauth/callback/*", "/api/mcp/*/oauth/callback"];

/// A LibreChat on this machine, as it is without settings of its own: where it takes codes, its admin panel's too, and where
/// it goes after a sign-out.
const LIBRECHAT_CALLBACKS: [&str; 2] =
    ["http://localhost:3080/oauth/openid/callback", "http://localhost:3080/api/admin/oauth/openid/callback"];
pub(super) const LIBRECHAT_LOGIN: &str = "http://localhost:3080/login";

/// The secrets of the demo registrations. Has no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
pub struct DemoCredentials {
    pub issuer_id: String,
    pub issuer_secret: String,
    pub client_id: String,
    pub client_secret: String,
    pub oauth_client_id: String,
    pub oauth_client_secret: String,
}

/// Where this server's own addresses are, which the demo registrations name.
pub(super) struct Places<'a> {
    /// The server's address, if it is a loopback one: its pages are there.
    pub pages: Option<&'a str>,
    /// The address of `/demo/mcp`, as clients see it.
    pub resource: &'a str,
}

/// The demo's registrations and secrets.
pub struct Demo {
    pub clients: SecretText,
    pub credentials: DemoCredentials,
    /// Whether this start has made them: only then are the secrets shown.
    pub is_new: bool,
}

/// Why the demo could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum DemoFault {
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: std::io::Error },
    #[error(
        "{} is missing or not usable, although {} is there: remove both to get new demo clients, or start with --clients",
        credentials.display(),
        clients.display()
    )]
    Credentials { credentials: PathBuf, clients: PathBuf },
    #[error(transparent)]
    Keys(#[from] Unavailable),
}

/// The key ring kept in `directory`, made if it is missing, or one in memory without a directory.
pub fn signing_keys(directory: Option<&Path>) -> Result<SecretText, DemoFault> {
    let Some(directory) = directory else { return Ok(SecretText::Inline(new_key_ring()?)) };
    let path = directory.join(SIGNING_KEYS);
    if !path.exists() {
        write_secret(&path, &new_key_ring()?)?;
    }
    Ok(SecretText::File(path))
}

impl Demo {
    /// Reads the demo registrations from `directory`, makes them if they are missing, or makes them in memory without
    /// a directory.
    pub(super) fn load_or_create(directory: Option<&Path>, places: &Places<'_>) -> Result<Self, DemoFault> {
        let Some(directory) = directory else {
            let credentials = new_credentials()?;
            let clients = at_places(places, &credentials, registrations(&credentials, places.resource));
            return Ok(Self { clients: SecretText::Inline(clients), credentials, is_new: true });
        };
        let path = |name: &str| directory.join(name);
        let is_new = !path(CLIENTS).exists();
        let credentials = if is_new {
            let credentials = new_credentials()?;
            let text = format!("{}\n", json!(credentials));
            // The registrations last: as long as it is missing, the next start makes both anew.
            write_secret(&path(CREDENTIALS), &text)?;
            write_secret(
                &path(CLIENTS),
                &at_places(places, &credentials, registrations(&credentials, places.resource)),
            )?;
            credentials
        } else {
            let text = fs::read_to_string(path(CREDENTIALS)).ok();
            let credentials = text
                .and_then(|text| serde_json::from_str(&text).ok())
                .ok_or_else(|| DemoFault::Credentials { credentials: path(CREDENTIALS), clients: path(CLIENTS) })?;
            // What cannot be read is told of when the server reads it.
            if let Ok(before) = fs::read_to_string(path(CLIENTS)) {
                let after = at_places(places, &credentials, before.clone());
                if after != before {
                    write_secret(&path(CLIENTS), &after)?;
                }
            }
            credentials
        };
        Ok(Self { clients: SecretText::File(path(CLIENTS)), credentials, is_new })
    }
}

fn new_credentials() -> Result<DemoCredentials, Unavailable> {
    Ok(DemoCredentials {
        issuer_id: "portal".into(),
        issuer_secret: new_secret()?,
        client_id: "librechat".into(),
        client_secret: new_secret()?,
        oauth_client_id: "librechat-oauth".into(),
        oauth_client_secret: new_secret()?,
    })
}

fn new_key_ring() -> Result<String, Unavailable> {
    let ring = json!({
        "signing": [new_signing_key(Algorithm::Rs256, 0, 0)?], "tagging": [new_tag_key(1)?], "audit": new_audit_key()?,
    });
    Ok(format!("{ring:#}\n"))
}

fn registrations(credentials: &DemoCredentials, resource: &str) -> String {
    let client = |id: &str, secret: &str, requires: &str, callbacks: &[&str], after_sign_out: &[&str]| {
        json!({
            "client_id": id, "type": "confidential", "secret_sha256": [sha256_hex(secret)],
            "profile": "standard", "alg": "RS256", "kid": null, "audience": [credentials.client_id],
            "scopes": ["openid", "profile", "email"],
            "claims": ["email", "name", "preferred_username", "id", "username", "provider"],
            "redirect_uris": callbacks, "post_logout_redirect_uris": after_sign_out,
            "renewal": {"requires": requires},
        })
    };
    // MCP clients run where everybody can look into them: there is no secret to keep.
    let mcp = json!({
        "client_id": MCP_CLIENT, "type": "public", "profile": "standard", "alg": "RS256", "kid": null,
        "audience": [resource], "scopes": [MCP_SCOPE], "redirect_uris": MCP_CALLBACKS,
        "renewal": {"requires": "refresh_token"},
    });
    // LibreChat calls the resource on behalf of its users as well.
    let exchange = json!([{"audience": resource, "scopes": [MCP_SCOPE], "access_token_seconds": EXCHANGED_SECONDS}]);
    let (own, oauth) = (&credentials.client_secret, &credentials.oauth_client_secret);
    let mut librechat =
        client(&credentials.oauth_client_id, oauth, "refresh_token", &LIBRECHAT_CALLBACKS, &[LIBRECHAT_LOGIN]);
    if let Some(members) = librechat.as_object_mut() {
        members.insert("exchange".into(), exchange);
    }
    let registrations = json!({
        "issuers": [{
            "issuer_id": credentials.issuer_id, "secret_sha256": [sha256_hex(&credentials.issuer_secret)],
            "clients": [credentials.client_id, credentials.oauth_client_id, MCP_CLIENT],
        }],
        "clients": [
            client(&credentials.client_id, own, "access_token", &[], &[]),
            librechat,
            mcp,
        ],
    });
    format!("{registrations:#}\n")
}

/// The registrations with the demo's pages and its resource where this server is: it may have been elsewhere when they were
/// made. Addresses that somebody else has set stay, and so do registrations that are faulty, or would be.
fn at_places(places: &Places<'_>, credentials: &DemoCredentials, text: String) -> String {
    let Some(url) = places.pages.filter(|_| Registrations::parse(&text).is_ok()) else { return text };
    let Ok(before) = serde_json::from_str::<Value>(&text) else { return text };
    let mut after = before.clone();
    if let Some(issuer) = entry(&mut after, "issuers", "issuer_id", &credentials.issuer_id) {
        for (member, path) in [("sign_in_url", PORTAL), ("sign_out_url", PORTAL_SIGN_OUT)] {
            if issuer.get(member).is_none_or(|address| is_at_path(address, path)) {
                issuer.insert(member.into(), format!("{url}{path}").into());
            }
        }
    }
    let own = |audience: &mut Value| {
        if is_at_path(audience, MCP) {
            *audience = places.resource.into();
        }
    };
    if let Some(members) = after.as_object_mut() {
        let dynamic = members.entry("dynamic_clients").or_insert_with(|| dynamic_clients(credentials, places.resource));
        let audience = dynamic.get_mut("audience").and_then(Value::as_array_mut);
        audience.into_iter().flatten().for_each(own);
    }
    if let Some(client) = entry(&mut after, "clients", "client_id", &credentials.oauth_client_id) {
        for member in ["redirect_uris", "post_logout_redirect_uris"] {
            let Some(addresses) = client.get_mut(member).and_then(Value::as_array_mut) else { continue };
            let address = format!("{url}{CLIENT}").into();
            match addresses.iter_mut().find(|address| is_at_path(address, CLIENT)) {
                Some(own) => *own = address,
                None => addresses.push(address),
            }
        }
    }
    if let Some(client) = entry(&mut after, "clients", "client_id", MCP_CLIENT) {
        client.get_mut("audience").and_then(Value::as_array_mut).into_iter().flatten().for_each(own);
    }
    if let Some(client) = entry(&mut after, "clients", "client_id", &credentials.oauth_client_id) {
        let entries = client.get_mut("exchange").and_then(Value::as_array_mut).into_iter().flatten();
        entries.filter_map(|entry| entry.get_mut("audience")).for_each(own);
    }
    let changed = format!("{after:#}\n");
    if after == before || Registrations::parse(&changed).is_err() { text } else { changed }
}

/// Any MCP client on this machine may register itself.
fn dynamic_clients(credentials: &DemoCredentials, resource: &str) -> Value {
    let hosts = ["localhost", "127.0.0.1", "[::1]"];
    let callbacks =
        hosts.iter().flat_map(|host| REGISTERED_CALLBACKS.iter().map(move |path| format!("http://{host}{path}")));
    json!({
        "redirect_uris": callbacks.collect::<Vec<_>>(), "scopes": ["openid", "profile", MCP_SCOPE],
        "audience": [resource], "sign_in_issuer": credentials.issuer_id,
    })
}

fn entry<'a>(document: &'a mut Value, list: &str, id_member: &str, id: &str) -> Option<&'a mut Map<String, Value>> {
    let mut entries = document.get_mut(list)?.as_array_mut()?.iter_mut().filter_map(Value::as_object_mut);
    entries.find(|entry| entry.get(id_member).is_some_and(|own| own == id))
}

/// Whether the address may be this server's with that path, wherever it has been.
fn is_at_path(address: &Value, path: &str) -> bool {
    let authority = address.as_str().and_then(|text| {
        let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"))?;
        rest.strip_suffix(path)
    });
    authority.is_some_and(|authority| !authority.contains('/'))
}

/// Makes the data directory, for its owner alone.
pub(super) fn create_directory(directory: &Path) -> Result<(), DemoFault> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory).map_err(|error| DemoFault::File { path: directory.to_owned(), error })
}

fn write_secret(path: &Path, text: &str) -> Result<(), DemoFault> {
    write_file(path, text).map_err(|error| DemoFault::File { path: path.to_owned(), error })
}

impl fmt::Debug for Demo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Demo").field("is_new", &self.is_new).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use latchkey_token::values::WebUrl;

    use super::*;

    fn credentials() -> DemoCredentials {
        let id = |text: &str| text.to_owned();
        DemoCredentials {
            issuer_id: id("portal"),
            issuer_secret: id("s1"),
            client_id: id("librechat"),
            client_secret: id("s2"),
            oauth_client_id: id("librechat-oauth"),
            oauth_client_secret: id("s3"),
        }
    }

    const RESOURCE: &str = "https://localhost:9443/demo/mcp";

    fn at(url: &str, text: &str) -> String {
        let resource = format!("{url}{MCP}");
        at_places(&Places { pages: Some(url), resource: &resource }, &credentials(), text.to_owned())
    }

    fn made() -> String {
        registrations(&credentials(), RESOURCE)
    }

    #[test]
    fn the_demos_pages_are_registered_where_the_server_is() {
        let made = made();
        let nowhere = Places { pages: None, resource: "http://192.0.2.1/demo/mcp" };
        assert_eq!(at_places(&nowhere, &credentials(), made.clone()), made, "no loopback address");
        let here = at("http://127.0.0.1:9000", &made);
        let read = Registrations::parse(&here).unwrap();
        let client = read.client("librechat-oauth").unwrap().unwrap();
        let issuer = read.sign_in_issuer(client).unwrap().unwrap();
        assert_eq!(issuer.sign_in_url.as_ref().unwrap().as_str(), "http://127.0.0.1:9000/demo/portal");
        assert_eq!(issuer.sign_out_url.as_ref().unwrap().as_str(), "http://127.0.0.1:9000/demo/portal/sign-out");
        for uri in LIBRECHAT_CALLBACKS.into_iter().chain(["http://127.0.0.1:9000/demo/client"]) {
            assert!(client.redirects_to(uri), "{uri}");
        }
        assert_eq!(read.client(MCP_CLIENT).unwrap().unwrap().audience, ["http://127.0.0.1:9000/demo/mcp"]);
        assert_eq!(client.exchange[0].audience, "http://127.0.0.1:9000/demo/mcp");
        assert!(client.redirects_after_sign_out_to(LIBRECHAT_LOGIN));
        assert!(client.redirects_after_sign_out_to("http://127.0.0.1:9000/demo/client"));
        let dynamic = read.dynamic_clients().unwrap().unwrap();
        assert_eq!(dynamic.audience, ["http://127.0.0.1:9000/demo/mcp"]);
        for (uri, is_admitted) in [
            ("http://localhost:6274/oauth/callback", true),
            ("http://127.0.0.1:33418/", true),
            ("http://localhost:3080/api/mcp/github/oauth/callback", true),
            ("https://chat.example.org/callback", false),
        ] {
            assert_eq!(dynamic.admit(&WebUrl::parse(uri).unwrap()), is_admitted, "{uri}");
        }
        assert_eq!(at("http://127.0.0.1:9000", &here), here, "nothing is written anew");
    }

    #[test]
    fn a_server_that_listens_elsewhere_takes_its_pages_along() {
        let made = made();
        let here = at("http://127.0.0.1:9000", &made);
        assert_eq!(at("http://[::1]:1", &here), at("http://[::1]:1", &made));
    }

    #[test]
    fn addresses_of_somebody_else_and_faulty_registrations_stay() {
        let here = at("http://127.0.0.1:9000", &made());
        let other = here.replace("http://127.0.0.1:9000/demo/portal", "https://portal.example.org");
        let moved = at("http://127.0.0.1:1", &other);
        assert_eq!(moved, other.replace("127.0.0.1:9000", "127.0.0.1:1"));
        let twice = here.replacen("\"issuer_id\"", "\"issuer_id\": \"x\", \"issuer_id\"", 1);
        for faulty in [twice, here.replace("RS256", "none"), String::new()] {
            assert_eq!(at("http://127.0.0.1:1", &faulty), faulty);
        }
        let second = r#""issuers": [{"issuer_id":"second","secret_sha256":[],"clients":["librechat-oauth"],"sign_in_url":"https://a.example/"},"#;
        let second = second.replace("[]", &format!(r#"["{}"]"#, sha256_hex("s4")));
        let mut without: Value = serde_json::from_str(&other).unwrap();
        without.as_object_mut().unwrap().remove("dynamic_clients");
        let without = format!("{without:#}");
        let without = without.lines().filter(|line| !line.contains("sign_in_url")).collect::<Vec<_>>().join("\n");
        let two = without.replacen("\"issuers\": [", &second, 1);
        assert!(
            Registrations::parse(&two).is_ok() && at("http://127.0.0.1:1", &two) == two,
            "it would not be clear whose"
        );
    }
}
