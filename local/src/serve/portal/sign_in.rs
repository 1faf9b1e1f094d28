//! A sign-in at the portal: the ticket arrives, the user says who it is, the service is told and says where to go.

use axum::http::{HeaderMap, Response, StatusCode};
use latchkey_token::{
    json::Value,
    routes::{ACCEPT_SIGN_IN, INSPECT_SIGN_IN, REJECT_SIGN_IN},
};
use latchkey_token_lambda::{Body, response::with_cookie};
use serde_json::json;

use super::{
    desk::{Desk, OpenSignIn, User, Visit},
    html::{WhoAreYou, note},
};
use crate::{
    secrets::new_secret,
    serve::{
        demo::{CLIENT, PORTAL, PORTAL_SIGN_OUT},
        pages::{BackEnd, Called, see_other, unavailable},
    },
};

/// The ways on that pages offer.
const BEGIN_AGAIN: (&str, &str) = (CLIENT, "To the demo client");

/// What a user does with the form.
pub(super) enum Action {
    SignIn { name: String },
    Continue,
    Cancel,
}

/// What the service says of a ticket.
struct Asked {
    client_id: String,
    redirect_uri: String,
    /// The client has registered itself: nobody here knows it.
    is_registered: bool,
    scope: String,
    prompt: String,
    login_hint: String,
    max_age: Option<i64>,
}

impl Asked {
    fn read(answer: &Called) -> Self {
        let text = |name| answer.text(name).unwrap_or_default().to_owned();
        Self {
            client_id: text("client_id"),
            redirect_uri: text("redirect_uri"),
            is_registered: answer.body.get("registered") != Some(&Value::Bool(false)),
            scope: text("scope"),
            prompt: text("prompt"),
            login_hint: text("login_hint"),
            max_age: answer.body.get("max_age").and_then(Value::as_i64),
        }
    }

    fn prompts(&self, for_what: &str) -> bool {
        self.prompt.split(' ').any(|prompt| prompt == for_what)
    }

    /// Whether it is enough that the user has signed in back then.
    fn is_content_with(&self, user: &User, now: i64) -> bool {
        !self.prompts("login") && self.max_age.is_none_or(|seconds| now - user.since <= seconds)
    }
}

/// A browser brings a ticket. It goes into the portal's session and out of the address, where it would be seen, kept in the
/// history and told to others.
pub(super) fn arrive(desk: &Desk, headers: &HeaderMap, ticket: String) -> Response<Body> {
    let form = match new_secret() {
        Ok(form) => form,
        Err(trouble) => return unavailable(trouble),
    };
    let sign_in = OpenSignIn { form, ticket };
    if desk.sessions.with(headers, |visit| visit.bring(sign_in.clone())).is_some() {
        return see_other(PORTAL);
    }
    match desk.sessions.renew(headers, |visit| visit.bring(sign_in)) {
        Ok(cookie) => with_cookie(see_other(PORTAL), &cookie),
        Err(trouble) => unavailable(trouble),
    }
}

/// Asks for the newest sign-in of this browser who the user is.
pub(super) async fn show(desk: &Desk, back_end: &BackEnd<'_>, headers: &HeaderMap) -> Response<Body> {
    let look = |visit: &mut Visit| (visit.newest().cloned(), visit.user.clone());
    match desk.sessions.with(headers, look).unwrap_or_default() {
        (Some(sign_in), user) => ask(desk, back_end, headers, &sign_in, user, None).await,
        (None, Some(user)) => {
            let text = format!("You are signed in at the portal as {}. No application asks for you.", user.subject);
            note(StatusCode::OK, "Welcome", &text, Some((PORTAL_SIGN_OUT, "Sign out")))
        }
        (None, None) => note(
            StatusCode::OK,
            "Nothing to do",
            "Applications send their users here to sign in. Begin at one of them.",
            Some(BEGIN_AGAIN),
        ),
    }
}

/// The user has sent the form with this token.
pub(super) async fn act(
    desk: &Desk,
    back_end: &BackEnd<'_>,
    headers: &HeaderMap,
    form: &str,
    action: Action,
) -> Response<Body> {
    let look = |visit: &mut Visit| (visit.of_form(form).cloned(), visit.user.clone());
    let (Some(sign_in), user) = desk.sessions.with(headers, look).unwrap_or_default() else {
        return note(
            StatusCode::BAD_REQUEST,
            "This form is no longer good",
            "It belongs to no sign-in that is open in this browser. Begin again at the application.",
            Some(BEGIN_AGAIN),
        );
    };
    let accepted = match action {
        Action::Cancel => return reject(desk, back_end, headers, &sign_in, "access_denied").await,
        // A button that was sent proves nothing: what is asked for decides.
        Action::Continue => match goes_on(desk, back_end, &sign_in, user.as_ref()).await {
            Some(user) => accept(desk, back_end, headers, &sign_in, user).await,
            None => Err("Say who you are.".to_owned()),
        },
        Action::SignIn { name } => {
            let since = now(back_end);
            accept(desk, back_end, headers, &sign_in, User { subject: name.trim().to_owned(), since }).await
        }
    };
    match accepted {
        Ok(response) => response,
        Err(said) => ask(desk, back_end, headers, &sign_in, user, Some(&said)).await,
    }
}

async fn ask(
    desk: &Desk,
    back_end: &BackEnd<'_>,
    headers: &HeaderMap,
    sign_in: &OpenSignIn,
    user: Option<User>,
    said: Option<&str>,
) -> Response<Body> {
    let answer = inspect(desk, back_end, sign_in).await;
    if answer.status != StatusCode::OK {
        return stopped(desk, headers, sign_in, &answer);
    }
    let asked = Asked::read(&answer);
    let user = user.filter(|user| asked.is_content_with(user, now(back_end)));
    if asked.prompts("none") {
        // Without a page: either it is known who this is, or nobody can be asked.
        let accepted = match user.filter(|_| !asked.is_registered) {
            Some(user) => accept(desk, back_end, headers, sign_in, user).await.ok(),
            None => None,
        };
        return match accepted {
            Some(response) => response,
            None => reject(desk, back_end, headers, sign_in, "login_required").await,
        };
    }
    WhoAreYou {
        form: &sign_in.form,
        client_id: &asked.client_id,
        redirect_uri: &asked.redirect_uri,
        is_registered: asked.is_registered,
        scope: &asked.scope,
        user: user.as_ref().map(|user| user.subject.as_str()),
        hint: &asked.login_hint,
        said,
    }
    .response()
}

/// The user who is signed in at the portal, if that is enough for this sign-in.
async fn goes_on(desk: &Desk, back_end: &BackEnd<'_>, sign_in: &OpenSignIn, user: Option<&User>) -> Option<User> {
    let answer = inspect(desk, back_end, sign_in).await;
    let user = user
        .filter(|user| answer.status == StatusCode::OK && Asked::read(&answer).is_content_with(user, now(back_end)));
    user.cloned()
}

async fn inspect(desk: &Desk, back_end: &BackEnd<'_>, sign_in: &OpenSignIn) -> Called {
    back_end.call(INSPECT_SIGN_IN, desk.caller(), &[("ticket", &sign_in.ticket)]).await
}

/// Tells the service who has signed in. An error says what to mend.
async fn accept(
    desk: &Desk,
    back_end: &BackEnd<'_>,
    headers: &HeaderMap,
    sign_in: &OpenSignIn,
    user: User,
) -> Result<Response<Body>, String> {
    let (claims, since) = (claims(&user.subject).to_string(), user.since.to_string());
    let form =
        [("ticket", sign_in.ticket.as_str()), ("subject", &user.subject), ("claims", &claims), ("auth_time", &since)];
    let answer = back_end.call(ACCEPT_SIGN_IN, desk.caller(), &form).await;
    let Some(redirect_to) = answer.text("redirect_to") else { return Err(answer.refusal().to_owned()) };
    // Whoever signs in gets a session of a new id: nobody can have planted it.
    let cookie = desk.sessions.renew(headers, |visit| {
        visit.forget(&sign_in.form);
        visit.user = Some(user);
    });
    Ok(cookie.map_or_else(unavailable, |cookie: String| with_cookie(see_other(redirect_to), &cookie)))
}

async fn reject(
    desk: &Desk,
    back_end: &BackEnd<'_>,
    headers: &HeaderMap,
    sign_in: &OpenSignIn,
    error: &str,
) -> Response<Body> {
    let answer = back_end.call(REJECT_SIGN_IN, desk.caller(), &[("ticket", &sign_in.ticket), ("error", error)]).await;
    let Some(redirect_to) = answer.text("redirect_to") else { return stopped(desk, headers, sign_in, &answer) };
    desk.sessions.with(headers, |visit| visit.forget(&sign_in.form));
    see_other(redirect_to)
}

/// The service knows nothing of the ticket, any more; or it is in trouble, and the same may go well later.
fn stopped(desk: &Desk, headers: &HeaderMap, sign_in: &OpenSignIn, answer: &Called) -> Response<Body> {
    if answer.status.is_server_error() {
        let text = "Nothing was lost. Load this page again in a moment.";
        return note(answer.status, "Not available at the moment", text, Some((PORTAL, "Again")));
    }
    desk.sessions.with(headers, |visit| visit.forget(&sign_in.form));
    let text = format!("The service says: {}. Begin again at the application.", answer.refusal());
    note(StatusCode::BAD_REQUEST, "This sign-in cannot go on", &text, Some(BEGIN_AGAIN))
}

fn now(back_end: &BackEnd<'_>) -> i64 {
    back_end.tokens().clock.now().unix_seconds()
}

/// What a portal knows of its users. This one makes it up from the name.
fn claims(subject: &str) -> Value {
    let (local, is_address) = match subject.split_once('@') {
        Some((local, _)) => (local, true),
        None => (subject, false),
    };
    let mut letters = local.chars();
    let name: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    let mailbox = local.replace(|character: char| !character.is_alphanumeric() && !"._-".contains(character), "-");
    let email = if is_address { subject.to_owned() } else { format!("{}@example.org", mailbox.to_lowercase()) };
    json!({"name": name, "email": email, "preferred_username": subject})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_claims_come_from_the_name() {
        let expected = json!({"name": "Alice", "email": "alice@example.org", "preferred_username": "alice"});
        assert_eq!(claims("alice"), expected);
        assert_eq!(claims("Ann Bo")["email"], "ann-bo@example.org");
        let address = claims("zoe@portal.example");
        assert_eq!((&address["name"], &address["email"]), (&json!("Zoe"), &json!("zoe@portal.example")));
    }

    #[test]
    fn whoever_signed_in_too_long_ago_is_asked_again() {
        let asked = |prompt: &str, max_age| Asked {
            client_id: String::new(),
            redirect_uri: String::new(),
            is_registered: false,
            scope: String::new(),
            prompt: prompt.to_owned(),
            login_hint: String::new(),
            max_age,
        };
        let user = User { subject: "alice".into(), since: 1000 };
        assert!(asked("", None).is_content_with(&user, 99_999));
        assert!(asked("consent", Some(60)).is_content_with(&user, 1060));
        assert!(!asked("", Some(60)).is_content_with(&user, 1061));
        assert!(!asked("login consent", None).is_content_with(&user, 1000));
    }
}
