//! What the server prints at its start: the demo secrets, once, and lines to paste into a shell.

use std::{fmt::Write, path::Path};

use latchkey_token_lambda::settings::Settings;

use super::demo::{CREDENTIALS, Demo};

/// The issuer of README.md's set-up for LibreChat.
const HTTPS_ISSUER: &str = "https://localhost:9443";

/// The welcome text. `has_pages`: whether a browser finds the demo's pages.
pub(super) fn welcome(
    url: &str,
    demo: Option<&Demo>,
    settings: &Settings,
    directory: Option<&Path>,
    has_pages: bool,
) -> String {
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
    if has_pages {
        let _ = writeln!(text, "Open {url} in a browser and click: sign in.\n");
        text.push_str(&librechat(&policy.issuer, demo, directory));
    }
    let (issuer_secret, client_secret) = match directory {
        Some(directory) => {
            let file = directory.join(CREDENTIALS);
            let _ = writeln!(text, "The secrets are kept in {}.\n", file.display());
            let quoted = shell_quoted(&file.display().to_string());
            let read = |name| format!("\"$(field {name} < {quoted})\"");
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

/// One word of a POSIX shell, whatever is in it: between single quotes nothing but the quote itself means something.
fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The lines for a LibreChat's `.env`, as README.md has them. They stand at the margin, to be copied as they are.
fn librechat(issuer: &str, demo: &Demo, directory: Option<&Path>) -> String {
    let credentials = &demo.credentials;
    let secret = match directory.filter(|_| !demo.is_new) {
        Some(directory) => format!("(oauth_client_secret in {})", directory.join(CREDENTIALS).display()),
        None => credentials.oauth_client_secret.clone(),
    };
    let (needs, issuer) = match issuer.starts_with("https://") {
        true => (String::new(), issuer),
        // LibreChat's OpenID library refuses plain http, on this machine too.
        false => (
            format!(
                "It takes https only: start this server with LATCHKEY_ISSUER={HTTPS_ISSUER}, behind a proxy that ends TLS\n\
                 (README.md, Sign in with LibreChat). "
            ),
            HTTPS_ISSUER,
        ),
    };
    format!(
        r#"A LibreChat on this machine (http://localhost:3080) signs its users in here with these lines in its .env.
{needs}Then click there: Continue with OpenID.

DOMAIN_CLIENT=http://localhost:3080
DOMAIN_SERVER=http://localhost:3080
ALLOW_SOCIAL_LOGIN=true
ALLOW_SOCIAL_REGISTRATION=true
OPENID_ISSUER={issuer}
OPENID_CLIENT_ID={}
OPENID_CLIENT_SECRET={secret}
OPENID_SESSION_SECRET=anything-long-and-random
OPENID_SCOPE="openid profile email"
OPENID_CALLBACK_URL=/oauth/openid/callback
OPENID_NAME_CLAIM=name
OPENID_REUSE_TOKENS=true
OPENID_USE_END_SESSION_ENDPOINT=true

"#,
        credentials.oauth_client_id
    )
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_path_survives_the_shell_whatever_is_in_it() {
        for path in ["it's here/data", "'", "a'b'c", "$HOME `id` \"x\" \\", "-x y\nz", "é*?"] {
            let script = format!("printf %s \"$(printf %s {})\"", shell_quoted(path));
            let out = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(out.stdout).unwrap(), path);
        }
    }
}
