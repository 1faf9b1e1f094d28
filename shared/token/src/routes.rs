//! The HTTP API as one table (docs/api.md): what is there, which function answers, who may call.
//!
//! The local server routes by it, the metadata documents build their URLs from it, and tests/workspace/routes holds
//! `template.yaml`, `docs/openapi.yaml`, `docs/api.md` and the sample events against it. To add a route, add it here, and
//! do what that test asks for.

use std::fmt;

/// The methods that routes take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Does something.
    Post,
    /// Ends something.
    Delete,
}

impl Method {
    /// The name on the wire (RFC 9110 §9).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// The functions that answer HTTP requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// Gives out a session's first tokens.
    Issue,
    /// The client's token endpoint.
    Renew,
    /// Ends the session of a token.
    Revoke,
    /// Says whether a token is live.
    Introspect,
    /// Lists a subject's sessions and ends them.
    Sessions,
    /// Publishes keys and metadata.
    Discovery,
    /// Begins and finishes sign-ins, and registers clients.
    Authorize,
}

impl Function {
    /// Its folder below `functions/`.
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Issue => "issue",
            Self::Renew => "renew",
            Self::Revoke => "revoke",
            Self::Introspect => "introspect",
            Self::Sessions => "sessions",
            Self::Discovery => "discovery",
            Self::Authorize => "authorize",
        }
    }
}

/// Who may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The external system's back end.
    Issuer,
    /// The application that holds the tokens.
    Client,
    /// Both.
    IssuerOrClient,
    /// Whoever has an access token.
    Bearer,
    /// Nobody has to say who they are.
    Anyone,
}

/// One method of one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// How it is called.
    pub method: Method,
    /// Below the issuer; a segment in braces stands for any one segment that is not empty, and one that ends in `+}` for one
    /// or more.
    pub path: &'static str,
    /// Which function answers.
    pub function: Function,
    /// Who may call.
    pub who: Who,
    /// Whether caches may keep the answer. Then the local server answers HEAD as well.
    pub is_cacheable: bool,
}

const fn route(method: Method, path: &'static str, function: Function, who: Who) -> Route {
    Route { method, path, function, who, is_cacheable: false }
}

const fn public(path: &'static str) -> Route {
    Route { method: Method::Get, path, function: Function::Discovery, who: Who::Anyone, is_cacheable: true }
}

/// Issue.
pub const ISSUE: Route = route(Method::Post, "/token", Function::Issue, Who::Issuer);
/// Renewal: the client's token endpoint (RFC 6749 §3.2).
pub const RENEW: Route = route(Method::Post, "/token/renew", Function::Renew, Who::Client);
/// Revocation (RFC 7009 §2).
pub const REVOKE: Route = route(Method::Post, "/token/revoke", Function::Revoke, Who::IssuerOrClient);
/// Introspection (RFC 7662 §2).
pub const INTROSPECT: Route = route(Method::Post, "/token/introspect", Function::Introspect, Who::IssuerOrClient);
/// A subject's sessions.
pub const LIST_SESSIONS: Route = route(Method::Get, "/sessions", Function::Sessions, Who::Issuer);
/// The end of a subject's sessions.
pub const END_SESSIONS: Route = route(Method::Delete, "/sessions", Function::Sessions, Who::Issuer);
/// The end of one session.
pub const END_SESSION: Route = route(Method::Delete, "/sessions/{session_id}", Function::Sessions, Who::Issuer);
/// The begin of a sign-in (RFC 6749 §3.1).
pub const AUTHORIZE: Route = route(Method::Get, "/authorize", Function::Authorize, Who::Anyone);
/// The same as a form (OpenID Connect Core §3.1.2.1).
pub const POST_AUTHORIZE: Route = route(Method::Post, "/authorize", Function::Authorize, Who::Anyone);
/// The portal says who has signed in.
pub const ACCEPT_SIGN_IN: Route = route(Method::Post, "/authorize/accept", Function::Issue, Who::Issuer);
/// The portal says no.
pub const REJECT_SIGN_IN: Route = route(Method::Post, "/authorize/reject", Function::Issue, Who::Issuer);
/// What the portal is asked for.
pub const INSPECT_SIGN_IN: Route = route(Method::Post, "/authorize/inspect", Function::Issue, Who::Issuer);
/// The end of a sign-in: the portal's answer on its way to the client.
pub const RETURN_SIGN_IN: Route = route(Method::Get, "/authorize/return", Function::Authorize, Who::Anyone);
/// Who the bearer of an access token is (OpenID Connect Core §5.3).
pub const USERINFO: Route = route(Method::Get, "/userinfo", Function::Introspect, Who::Bearer);
/// The same with POST (OpenID Connect Core §5.3.1).
pub const POST_USERINFO: Route = route(Method::Post, "/userinfo", Function::Introspect, Who::Bearer);
/// Sign-out at the client's wish (OpenID Connect RP-Initiated Logout 1.0 §2).
pub const SIGN_OUT: Route = route(Method::Get, "/sign-out", Function::Revoke, Who::Anyone);
/// The same as a form.
pub const POST_SIGN_OUT: Route = route(Method::Post, "/sign-out", Function::Revoke, Who::Anyone);
/// A client registers itself (RFC 7591 §3).
pub const REGISTER: Route = route(Method::Post, "/register", Function::Authorize, Who::Anyone);
/// The public keys (RFC 7517 §5).
pub const JWKS: Route = public("/.well-known/jwks.json");
/// OpenID Connect Discovery 1.0 §4.
pub const OPENID_CONFIGURATION: Route = public("/.well-known/openid-configuration");
/// RFC 8414 §3.
pub const OAUTH_AUTHORIZATION_SERVER: Route = public("/.well-known/oauth-authorization-server");

/// Where OpenID Connect Discovery's document is for an issuer with a path, if looked for as RFC 8414 §3.1 says.
pub const OPENID_CONFIGURATION_OF_PATH: Route = public("/.well-known/openid-configuration/{issuer_path+}");
/// RFC 8414 §3.1, for an issuer with a path.
pub const OAUTH_AUTHORIZATION_SERVER_OF_PATH: Route = public("/.well-known/oauth-authorization-server/{issuer_path+}");

/// All of them.
pub const ALL: [Route; 23] = [
    ISSUE,
    RENEW,
    REVOKE,
    INTROSPECT,
    LIST_SESSIONS,
    END_SESSIONS,
    END_SESSION,
    AUTHORIZE,
    POST_AUTHORIZE,
    ACCEPT_SIGN_IN,
    REJECT_SIGN_IN,
    INSPECT_SIGN_IN,
    RETURN_SIGN_IN,
    USERINFO,
    POST_USERINFO,
    SIGN_OUT,
    POST_SIGN_OUT,
    REGISTER,
    JWKS,
    OPENID_CONFIGURATION,
    OAUTH_AUTHORIZATION_SERVER,
    OPENID_CONFIGURATION_OF_PATH,
    OAUTH_AUTHORIZATION_SERVER_OF_PATH,
];

impl Route {
    /// The route's address for callers, in a deployment whose `iss` is `issuer`.
    pub fn url(&self, issuer: &str) -> String {
        // An issuer may end in a slash; a path has one.
        format!("{}{}", issuer.trim_end_matches('/'), self.path)
    }

    fn has_path(&self, path: &str) -> bool {
        let mut own = self.path.split('/');
        let mut given = path.split('/');
        loop {
            match (own.next(), given.next()) {
                (None, None) => return true,
                (Some(own), Some(_)) if own.ends_with("+}") => return !path.ends_with('/'),
                (Some(own), Some(given)) if own == given || own.starts_with('{') && !given.is_empty() => {}
                _ => return false,
            }
        }
    }

    /// Whether a request whose path ends like this is for this route: a stage may stand in front.
    pub fn ends(&self, path: &str) -> bool {
        path.ends_with(self.path)
    }

    /// What stands in `path` for the segments in braces at the end of the route's own; a stage may stand in front.
    pub fn inserted_in<'p>(&self, path: &'p str) -> Option<&'p str> {
        let (before, _) = self.path.split_once('{')?;
        path.split_once(before).map(|(_, rest)| rest)
    }

    fn takes(&self, method: &str) -> bool {
        method == self.method.name() || self.is_cacheable && method == "HEAD"
    }
}

/// Method and path, as API Gateway writes a route's key: `POST /token`.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method.name(), self.path)
    }
}

/// What a request's method and path lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A route.
    Route(&'static Route),
    /// The path is there, and takes these methods only: what `Allow` says (RFC 9110 §10.2.1).
    OtherMethods(Vec<&'static str>),
    /// No route has this path.
    Nothing,
}

/// Finds the route of a request. `path` has no query and no stage in front.
pub fn find(method: &str, path: &str) -> Found {
    let there = || ALL.iter().filter(|route| route.has_path(path));
    if let Some(route) = there().find(|route| route.takes(method)) {
        return Found::Route(route);
    }
    let methods = methods_of(there());
    if methods.is_empty() { Found::Nothing } else { Found::OtherMethods(methods) }
}

fn methods_of<'r>(routes: impl Iterator<Item = &'r Route>) -> Vec<&'static str> {
    routes.flat_map(|route| [Some(route.method.name()), route.is_cacheable.then_some("HEAD")]).flatten().collect()
}

/// Finds the route of a request that has reached `function`, among its own. A stage may stand in front of `path`, or what a domain maps
/// to the API.
pub fn find_for(function: Function, method: &str, path: &str) -> Found {
    let below =
        path.char_indices().filter(|(_, character)| *character == '/').filter_map(|(index, _)| path.get(index..));
    let mut others = Found::Nothing;
    for path in below {
        let own = || ALL.iter().filter(|route| route.function == function && route.has_path(path));
        if let Some(route) = own().find(|route| route.takes(method)) {
            return Found::Route(route);
        }
        let methods = methods_of(own());
        if !methods.is_empty() {
            others = Found::OtherMethods(methods);
        }
    }
    others
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_found_by_method_and_whole_path() {
        for route in &ALL {
            let path = route.path.replace("{session_id}", "some-id").replace("{issuer_path+}", "prod/eu");
            assert_eq!(find(route.method.name(), &path), Found::Route(route));
        }
        assert_eq!(find("HEAD", "/.well-known/jwks.json"), Found::Route(&JWKS));
        for path in ["/", "", "/token/", "/tokens", "/token/renew/x", "/sessions/", "/sessions/a/b", "/Token", "token"]
        {
            assert_eq!(find("POST", path), Found::Nothing, "{path}");
        }
    }

    #[test]
    fn a_function_answers_its_own_routes_and_no_others_whatever_stands_in_front() {
        for route in &ALL {
            let path = route.path.replace("{session_id}", "some-id").replace("{issuer_path+}", "prod/eu");
            for before in ["", "/prod", "/auth/v1"] {
                let found = find_for(route.function, route.method.name(), &format!("{before}{path}"));
                assert_eq!(found, Found::Route(route), "{before}{path}");
            }
        }
        for path in ["/", "", "/token/", "/tokens", "/token/renew", "/xtoken", "/token/x", "/prod/token/renew", "token"]
        {
            assert_eq!(find_for(Function::Issue, "POST", path), Found::Nothing, "{path}");
        }
        assert_eq!(find_for(Function::Issue, "GET", "/prod/token"), Found::OtherMethods(vec!["POST"]));
    }

    #[test]
    fn another_method_is_told_which_ones_there_are() {
        assert_eq!(find("GET", "/token"), Found::OtherMethods(vec!["POST"]));
        assert_eq!(find("HEAD", "/sessions"), Found::OtherMethods(vec!["GET", "DELETE"]));
        assert_eq!(find("GET", "/sessions/some-id"), Found::OtherMethods(vec!["DELETE"]));
        assert_eq!(find("POST", "/.well-known/jwks.json"), Found::OtherMethods(vec!["GET", "HEAD"]));
    }

    #[test]
    fn a_url_has_one_slash_between_issuer_and_path() {
        for issuer in ["https://id.example.org/prod", "https://id.example.org/prod/"] {
            assert_eq!(RENEW.url(issuer), "https://id.example.org/prod/token/renew");
        }
    }
}
