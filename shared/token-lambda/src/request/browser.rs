//! What a browser sends: parameters in the address or in a form, and the cookie of its sign-ins.

use lambda_http::{
    Request,
    http::{HeaderMap, header::COOKIE},
};
use latchkey_token::tickets::Browser;

use super::parameters::{MAX_BODY_BYTES, RequestFault, body_of, form_pairs, is_form};

/// Parameters as they came, in their order; any may stand there several times. A GET has them in its query string, a POST in
/// a form. Refused is what is none, or longer than `most` bytes once it is decoded: the same in an address and in a form.
pub fn browser_parameters(request: &Request, most: usize) -> Result<Vec<(String, String)>, RequestFault> {
    let query = request.uri().query().unwrap_or_default().as_bytes();
    let is_get = request.method().is_safe();
    let text = if is_get { query } else { body_of(request)? };
    if text.len() > MAX_BODY_BYTES {
        return Err(RequestFault::TooLarge);
    }
    if !is_get && !query.is_empty() {
        return Err(RequestFault::invalid("parameters belong in the form, not in the query string"));
    }
    if !is_get && !is_form(request.headers(), text) {
        return Err(RequestFault::UnsupportedMediaType);
    }
    let parameters = form_pairs(text)?;
    // With the `=` and the `&`.
    let length: usize = parameters.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    if length > most { Err(RequestFault::TooLarge) } else { Ok(parameters) }
}

/// A parameter that stands there once; `None` if it is missing or empty.
pub fn only(parameters: &[(String, String)], name: &str) -> Result<Option<String>, RequestFault> {
    let mut values = parameters.iter().filter(|(own, _)| own == name).map(|(_, value)| value);
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(RequestFault::invalid("a parameter stands twice")),
        (value, None) => Ok(value.filter(|value| !value.is_empty()).cloned()),
    }
}

/// The cookie that binds sign-ins to a browser, in the deployment of one issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrowserCookie {
    is_https: bool,
}

impl BrowserCookie {
    /// Over https nobody but this very host can set it (the prefix `__Host-`). Without, as on the local server, a browser would
    /// refuse such a cookie.
    pub fn of(issuer: &str) -> Self {
        Self { is_https: issuer.starts_with("https://") }
    }

    /// The cookie's name.
    pub const fn name(self) -> &'static str {
        if self.is_https { "__Host-latchkey-sign-in" } else { "latchkey-sign-in" }
    }

    /// The browser that the request comes from, if it has a cookie of the right form.
    pub fn read(self, headers: &HeaderMap) -> Option<Browser> {
        // Other cookies of the host may hold any bytes.
        let cookies = headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
        let mut pairs = cookies.filter_map(|pair| std::str::from_utf8(pair).ok()?.trim().split_once('='));
        pairs.find_map(|(name, value)| Browser::parse(value).filter(|_| name == self.name()))
    }

    /// `Set-Cookie` for a new browser. It lasts as long as the browser runs.
    pub fn set(self, browser: &Browser) -> String {
        let secure = if self.is_https { "; Secure" } else { "" };
        format!("{}={}; Path=/{secure}; HttpOnly; SameSite=Lax", self.name(), browser.expose())
    }
}

#[cfg(test)]
mod tests {
    use lambda_http::{Body, http::Method};

    use super::*;

    fn request(method: Method, uri: &str, content_type: &str, body: &str) -> Request {
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri.parse().unwrap();
        request.headers_mut().insert("content-type", content_type.parse().unwrap());
        request
    }

    const FORM: &str = "application/x-www-form-urlencoded";

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn an_address_and_a_form_say_the_same_in_the_same_order() {
        let expected = Ok(pairs(&[("b", "1 2"), ("a", "é"), ("b", "")]));
        let get = request(Method::GET, "/authorize?b=1+2&a=%C3%A9&b", "", "");
        assert_eq!(browser_parameters(&get, 100), expected);
        let post = request(Method::POST, "/authorize", FORM, "b=1+2&a=%C3%A9&b=");
        assert_eq!(browser_parameters(&post, 100), expected);
        // Three names of one byte, values of three, two and none, and six characters between them.
        assert!(browser_parameters(&post, 14).is_ok());
        assert_eq!(browser_parameters(&post, 13), Err(RequestFault::TooLarge));
    }

    #[test]
    fn what_stands_in_two_places_or_is_no_form_is_refused() {
        let both = request(Method::POST, "/authorize?a=1", FORM, "b=2");
        let json = request(Method::POST, "/authorize", "application/json", "{}");
        let broken = request(Method::GET, "/authorize?a=%zz", "", "");
        for refused in [both, json, broken] {
            assert!(browser_parameters(&refused, 100).is_err());
        }
        let twice = pairs(&[("a", "1"), ("a", "1"), ("b", "")]);
        assert!(only(&twice, "a").is_err());
        assert_eq!((only(&twice, "b"), only(&twice, "c")), (Ok(None), Ok(None)));
    }

    #[test]
    fn the_cookie_is_the_hosts_own_over_https_and_plain_where_a_browser_would_refuse_that() {
        let browser = Browser::from_bytes([7; 32]);
        let https = BrowserCookie::of("https://id.example.org/prod");
        let set = https.set(&browser);
        assert!(set.starts_with("__Host-latchkey-sign-in="), "{set}");
        assert!(set.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax"), "{set}");
        let local = BrowserCookie::of("http://127.0.0.1:9000");
        assert!(local.set(&browser).ends_with("; Path=/; HttpOnly; SameSite=Lax"));
        let read = |cookie: BrowserCookie, header: String| {
            let mut headers = HeaderMap::new();
            headers.insert(COOKIE, header.parse().unwrap());
            cookie.read(&headers).map(|browser| browser.expose())
        };
        let value = browser.expose();
        let both = format!("other=1; __Host-latchkey-sign-in={value};latchkey-sign-in=x");
        assert_eq!(read(https, both.clone()), Some(value.clone()));
        assert_eq!(read(local, both.clone()), None, "not of the form");
        let mut headers = HeaderMap::new();
        let beside_others = [b"name=J\xc3\xbcrgen; x=\xff; ", both.as_bytes()].concat();
        headers.insert(COOKIE, lambda_http::http::HeaderValue::from_bytes(&beside_others).unwrap());
        assert_eq!(https.read(&headers).map(|browser| browser.expose()), Some(value.clone()));
        assert_eq!(read(local, format!("latchkey-sign-in=x; latchkey-sign-in={value}")), Some(value));
        assert_eq!(https.read(&HeaderMap::new()).map(|browser| browser.expose()), None);
    }
}
