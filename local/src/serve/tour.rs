//! What the server prints at its start: the demo secrets, once, and lines to paste into a shell.

use std::{fmt::Write, path::Path};

use latchkey_token_lambda::settings::Settings;

use super::demo::{CREDENTIALS, Demo};

/// The welcome text.
pub(super) fn welcome(url: &str, demo: Option<&Demo>, settings: &Settings, directory: Option<&Path>) -> String {
    let mut text = String::new();
    let policy = &settings.policy;
    let _ = writeln!(
        text,
        "Latchkey: access tokens live {} s, sessions end after {} s unused and {} s at the latest.\n",
        policy.access_token_seconds, policy.idle_seconds, policy.absolute_seconds
    );
    let Some(demo) = demo else {
        let _ = writeln!(text, "Issue a token with:\n  curl -u ISSUER_ID:ISSUER_SECRET -d subject=alice {url}/token\n");
        return text;
    };
    let credentials = &demo.credentials;
    if demo.is_new {
        let _ = writeln!(text, "Demo secrets, shown this once:");
        for (kind, id, secret) in [
            ("issuer", &credentials.issuer_id, &credentials.issuer_secret),
            ("client", &credentials.client_id, &credentials.client_secret),
            ("client", &credentials.oauth_client_id, &credentials.oauth_client_secret),
        ] {
            let _ = writeln!(text, "  {kind} {id:<16} {secret}");
        }
        let _ = writeln!(text);
    }
    let (issuer_secret, client_secret) = match directory {
        Some(directory) => {
            let file = directory.join(CREDENTIALS);
            let _ = writeln!(text, "The secrets are kept in {}.\n", file.display());
            let read = |name| format!("\"$(field {name} < '{}')\"", file.display());
            (read("issuer_secret"), read("client_secret"))
        }
        None => (credentials.issuer_secret.clone(), credentials.client_secret.clone()),
    };
    let _ = write!(
        text,
        r#"Paste this into a shell to issue a token, renew it, and replay the old one:

  field() {{ sed -n 's/.*"'$1'":"\([^"]*\)".*/\1/p'; }}
  ISSUER={}:{issuer_secret}
  CLIENT={}:{client_secret}
  # issue: what the external system does when alice has signed in
  T1=$(curl -s -u "$ISSUER" -d client_id={} -d subject=alice {url}/token); echo "$T1"
  # renew: what LibreChat does before the access token expires
  renew() {{ curl -s -u "$CLIENT" -d refresh_token="$(echo "$1" | field refresh_token)" -d access_token="$(echo "$1" | field access_token)" {url}/token/renew; }}
  T2=$(renew "$T1"); echo "$T2"
  # the answer was lost? the same request again gives the same refresh token
  renew "$T1"; echo
  # replay: once the new token has been used, the old one gives a thief away and ends the session
  T3=$(renew "$T2"); renew "$T1"; echo; renew "$T3"; echo

"#,
        credentials.issuer_id, credentials.client_id, credentials.client_id,
    );
    text
}
