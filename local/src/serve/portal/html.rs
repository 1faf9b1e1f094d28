//! The portal's pages. Whatever comes from elsewhere is escaped.

use axum::http::{Response, StatusCode};
use latchkey_token_lambda::Body;

use crate::serve::pages::{escaped, html};

/// The page on which users say who they are.
pub(super) struct WhoAreYou<'a> {
    /// The token of this form.
    pub form: &'a str,
    pub client_id: &'a str,
    /// Where the application is: what it says of itself may be anything.
    pub redirect_uri: &'a str,
    /// The client has registered itself: nobody here knows it.
    pub is_registered: bool,
    pub scope: &'a str,
    /// Who is signed in at the portal, and may go on without saying so again.
    pub user: Option<&'a str>,
    pub hint: &'a str,
    /// Why it asks again.
    pub said: Option<&'a str>,
}

impl WhoAreYou<'_> {
    pub(super) fn response(&self) -> Response<Body> {
        let (form, client, scope) = (escaped(self.form), escaped(self.client_id), escaped(self.scope));
        let status = if self.said.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
        let begin = format!(
            "<form method=\"post\" action=\"/demo/portal\"><input type=\"hidden\" name=\"form\" value=\"{form}\">"
        );
        let said = self.said.map(|said| format!("<p class=\"notice\" role=\"alert\">{}</p>", escaped(said)));
        let said = said.unwrap_or_default();
        let host = self.redirect_uri.split('/').nth(2).unwrap_or_default();
        let asks = if scope.is_empty() { String::new() } else { format!(", and asks for <code>{scope}</code>") };
        let to_whom = match self.is_registered {
            false => format!("<p><b>{client}</b> at <b>{}</b> wants to know who you are{asks}.</p>", escaped(host)),
            // Its id says nothing to anybody, and what it says of itself nobody has looked at.
            true => format!(
                "<p>An application that <b>nobody here knows</b> wants to know who you are{asks}. It will be told at \
                 <code>{}</code>. Go on only if you have just begun to sign in there.</p>",
                escaped(self.redirect_uri)
            ),
        };
        let focus = |is_first: bool| if is_first { " autofocus" } else { "" };
        let goes_on = self.user.map(|user| {
            let user = escaped(user);
            format!(
                "{begin}<button name=\"action\" value=\"continue\"{}>Continue as {user}</button></form>\n\
                 <h2>Or as someone else</h2>",
                focus(true)
            )
        });
        let named = format!(
            "{begin}<label for=\"name\">Your name <input id=\"name\" name=\"name\" value=\"{}\" required maxlength=\"255\" \
             autocomplete=\"username\" autocapitalize=\"none\" spellcheck=\"false\"{}></label>\n\
             <div class=\"actions\"><button name=\"action\" value=\"sign-in\">Sign in</button>\n\
             <button class=\"quiet\" name=\"action\" value=\"cancel\" formnovalidate>Cancel</button></div></form>",
            escaped(self.hint),
            focus(goes_on.is_none())
        );
        let suggested = ["alice", "bob"].map(|name| {
            format!("<button class=\"quiet\" name=\"name\" value=\"{name}\" aria-label=\"Sign in as {name}\">{name}</button>")
        });
        let suggestions = format!(
            "{begin}<input type=\"hidden\" name=\"action\" value=\"sign-in\"><p class=\"suggestions\">One click: {}</p></form>",
            suggested.join(" ")
        );
        let body = [said, to_whom, goes_on.unwrap_or_default(), named, suggestions].join("\n");
        page(status, "Who are you?", &body)
    }
}

/// The page on which a user confirms a sign-out. `form` is its token, `return_to` where the browser goes afterwards.
pub(super) fn sign_out_form(form: &str, user: &str, return_to: Option<&str>) -> Response<Body> {
    let hidden =
        |name: &str, value: &str| format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escaped(value));
    let return_to = return_to.map(|address| hidden("return_to", address)).unwrap_or_default();
    let body = format!(
        "<p>You are signed in at the portal as <b>{}</b>.</p>\n<form method=\"post\" action=\"/demo/portal/sign-out\">{}{return_to}\
         <button autofocus>Sign out</button></form>",
        escaped(user),
        hidden("form", form)
    );
    page(StatusCode::OK, "Sign out?", &body)
}

/// A page that says something and offers a way on: an address and its name.
pub(super) fn note(status: StatusCode, title: &str, text: &str, way_on: Option<(&str, &str)>) -> Response<Body> {
    let text = escaped(text);
    let way_on = way_on.map(|(address, name)| {
        format!("<p class=\"actions\"><a class=\"button\" href=\"{}\">{}</a></p>", escaped(address), escaped(name))
    });
    page(status, title, &format!("<p>{text}</p>\n{}", way_on.unwrap_or_default()))
}

fn page(status: StatusCode, title: &str, body: &str) -> Response<Body> {
    html(status, format!(include_str!("page.html"), title = escaped(title), body = body))
}
