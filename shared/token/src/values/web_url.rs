//! Addresses that browsers are sent to.

use std::net::{Ipv4Addr, Ipv6Addr};

use form_urlencoded::Serializer;

/// Longest address in bytes.
const MAX_BYTES: usize = 1024;

/// An absolute URL that a registration names and a browser may be sent to.
///
/// The grammar is RFC 3986's, narrowed until a URL can be read in one way only: whoever compares two of them byte for byte
/// sees what a browser sees.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WebUrl(String);

/// A URL taken apart. What stands between scheme and host, and before the port, follows from the rest.
#[derive(PartialEq, Eq)]
struct Parts<'t> {
    is_https: bool,
    /// An IPv6 address stands in its brackets.
    host: &'t str,
    port: Option<&'t str>,
    path_and_query: &'t str,
}

impl WebUrl {
    /// What such a URL has to be, for whoever gave one that it is not.
    pub const RULE: &str = "an absolute URL of at most 1024 bytes: https, or http on a loopback host (127.0.0.1, [::1], \
                            localhost); scheme and host in lower case, no user part, no fragment, other characters \
                            percent-encoded";

    /// `None` when the text is anything else than [`WebUrl::RULE`] says.
    pub fn parse(text: &str) -> Option<Self> {
        Parts::of(text).map(|_| Self(text.to_owned()))
    }

    /// The URL as it was registered.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path; empty where there is none.
    pub fn path(&self) -> &str {
        let path_and_query = Parts::of(&self.0).map_or("", |parts| parts.path_and_query);
        path_and_query.split_once('?').map_or(path_and_query, |(path, _)| path)
    }

    /// Whether it has a query, be it an empty one.
    pub fn has_query(&self) -> bool {
        self.0.contains('?')
    }

    /// Whether scheme, host and port are those of `other`. Of http URLs, which are on a loopback host, the port does not
    /// count.
    pub fn has_origin_of(&self, other: &Self) -> bool {
        match (Parts::of(&self.0), Parts::of(&other.0)) {
            (Some(own), Some(other)) => own.origin() == other.origin(),
            _ => false,
        }
    }

    /// The URL, without the port of an http URL on a loopback host: the same for all that [`WebUrl::admits`] takes for one.
    pub fn without_loopback_port(&self) -> String {
        match Parts::of(&self.0) {
            Some(Parts { is_https: false, host, path_and_query, .. }) => format!("http://{host}{path_and_query}"),
            _ => self.0.clone(),
        }
    }

    /// Whether `asked` is this URL, byte for byte. Of an http URL on a loopback host the port may be any: a native
    /// application takes the one that is free (RFC 8252 §7.3).
    pub fn admits(&self, asked: &str) -> bool {
        if self.0 == asked {
            return true;
        }
        match (Parts::of(&self.0), Parts::of(asked)) {
            (Some(own), Some(asked)) => !own.is_https && own == Parts { port: own.port, ..asked },
            _ => false,
        }
    }
}

impl<'t> Parts<'t> {
    /// What a URL has in common with others of its origin; the port of an http URL does not count.
    fn origin(&self) -> (bool, &'t str, Option<&'t str>) {
        (self.is_https, self.host, self.port.filter(|_| self.is_https))
    }

    fn of(text: &'t str) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let (is_https, rest) = match text.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("http://")?),
        };
        let (authority, path_and_query) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        // The colons of an IPv6 address stand before its bracket.
        let end_of_host = authority.rfind(']').unwrap_or(0);
        let (host, port) = match authority.get(end_of_host..)?.find(':') {
            Some(colon) => {
                let (host, port) = authority.split_at(end_of_host + colon);
                (host, Some(port.strip_prefix(':')?))
            }
            None => (authority, None),
        };
        let fits = is_host(host)
            && (is_https || is_loopback(host))
            && port.is_none_or(is_port)
            && is_path_and_query(path_and_query);
        fits.then_some(Self { is_https, host, port, path_and_query })
    }
}

/// A name or an address in the one form that browsers give it.
fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']');
        return address.is_some_and(|text| text.parse::<Ipv6Addr>().is_ok_and(|address| address.to_string() == text));
    }
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
    };
    // A browser reads a host that ends with a number as an address, in forms like 127.1 and 0x7f000001 too.
    let ends_with_a_number =
        host.rsplit('.').next().is_some_and(|last| last.starts_with(|first: char| first.is_ascii_digit()));
    host.split('.').all(is_label) && (!ends_with_a_number || host.parse::<Ipv4Addr>().is_ok())
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host == "[::1]" || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// 1 to 65535, without zeros in front.
fn is_port(port: &str) -> bool {
    !port.starts_with('0') && port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

/// RFC 3986 §3.3 and §3.4: every other character must be percent-encoded.
fn is_path_and_query(text: &str) -> bool {
    let is_plain = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || b"-._~".contains(&byte)
            || b"!$&'()*+,;=".contains(&byte)
            || b":@/?".contains(&byte)
    };
    let mut pieces = text.split('%');
    let first = pieces.next().unwrap_or_default();
    first.bytes().all(is_plain)
        && pieces.all(|piece| {
            let is_encoded = piece.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
            is_encoded && piece.bytes().all(is_plain)
        })
}

/// `url` with `parameters` appended to its query, form-encoded; the URL has no fragment.
pub fn with_query(url: &str, parameters: &[(&str, &str)]) -> String {
    if parameters.is_empty() {
        return url.to_owned();
    }
    let (target, query) = match url.find('?') {
        Some(mark) => (url.to_owned(), mark + 1),
        None => (format!("{url}?"), url.len() + 1),
    };
    Serializer::for_suffix(target, query).extend_pairs(parameters).finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn url(text: &str) -> WebUrl {
        WebUrl::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn https_is_taken_with_any_host_and_http_on_a_loopback_host_only() {
        for fine in [
            "https://chat.example.org",
            "https://chat.example.org/",
            "https://chat.example.org:8443/oauth/openid/callback",
            "https://chat.example.org?a=b&c=%2F",
            "https://xn--mnchen-3ya.example/",
            "https://chat/",
            "https://192.0.2.1/",
            "https://[2001:db8::1]:1/",
            "http://localhost:3080/oauth/openid/callback",
            "http://localhost",
            "http://127.0.0.1:65535/",
            "http://127.255.0.9/?x",
            "http://[::1]:9000/demo/client",
            "https://chat.example.org/a//b/../c;v=1,2/@x:y/~z?$q=(1)!'*+",
        ] {
            assert_eq!(url(fine).as_str(), fine);
        }
        for bad in [
            "http://chat.example.org/",
            "http://localhost.example.org/",
            "http://127.0.0.1.example.org/",
            "http://128.0.0.1/",
            "http://[::2]/",
            "http://[::ffff:127.0.0.1]/",
            "http://0.0.0.0/",
            "ftp://localhost/",
            "javascript:alert(1)",
            "data:text/html,x",
            "//chat.example.org/",
            "/oauth/openid/callback",
            "chat.example.org",
            "",
        ] {
            assert!(WebUrl::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_none() {
        for bad in [
            "HTTPS://chat.example.org/",
            "https:/chat.example.org/",
            "https:chat.example.org/",
            "https:///chat.example.org",
            "https://",
            "https://:443/",
            "https://?a=b",
            "https://Chat.example.org/",
            "https://chat..example.org/",
            "https://.example.org/",
            "https://chat.example.org./",
            "https://chat%2eexample.org/",
            "https://münchen.example/",
            "https://user@chat.example.org/",
            "https://user:word@chat.example.org/",
            "https://chat.example.org\\@other.example/",
            "https://chat.example.org/#",
            "https://chat.example.org/#a",
            "https://chat.example.org/a b",
            "https://chat.example.org/a\n",
            " https://chat.example.org/",
            "https://chat.example.org/\u{0}",
            "https://chat.example.org/é",
            "https://chat.example.org/\"",
            "https://chat.example.org/<",
            "https://chat.example.org/*/{id}",
            "https://chat.example.org/%",
            "https://chat.example.org/%2",
            "https://chat.example.org/%zz",
            "https://chat.example.org/%%41",
            "https://chat.example.org:/",
            "https://chat.example.org:0/",
            "https://chat.example.org:080/",
            "https://chat.example.org:65536/",
            "https://chat.example.org:+80/",
            "https://chat.example.org:80:80/",
            "https://127.1/",
            "https://0x7f000001/",
            "https://127.0.0.01/",
            "https://a.1/",
            "https://[::1/",
            "https://::1/",
            "https://[::1]x/",
            "https://[::1]80/",
            "https://[0:0:0:0:0:0:0:1]/",
            "https://[2001:DB8::1]/",
            "https://[fe80::1%25eth0]/",
            "https://[localhost]/",
        ] {
            assert!(WebUrl::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_url_has_at_most_1024_bytes() {
        let of = |bytes: usize| format!("https://a.example/{}", "x".repeat(bytes - 18));
        assert!(WebUrl::parse(&of(1024)).is_some() && WebUrl::parse(&of(1025)).is_none());
    }

    #[test]
    fn another_url_is_not_admitted_however_alike() {
        let own = "https://chat.example.org/oauth/callback";
        assert!(url(own).admits(own));
        for other in [
            "https://chat.example.org/oauth/callback/",
            "https://chat.example.org/oauth/Callback",
            "https://chat.example.org/oauth/callback?",
            "https://chat.example.org/oauth/callback?a=b",
            "https://chat.example.org/oauth/callback#",
            "https://chat.example.org/oauth/../oauth/callback",
            "https://chat.example.org/oauth%2Fcallback",
            "https://chat.example.org/oauth/c%61llback",
            "https://chat.example.org:443/oauth/callback",
            "https://chat.example.org.other.example/oauth/callback",
            "https://user@chat.example.org/oauth/callback",
            "https://Chat.example.org/oauth/callback",
            "http://chat.example.org/oauth/callback",
            "javascript:alert(1)",
            "",
        ] {
            assert!(!url(own).admits(other), "{other}");
        }
    }

    #[test]
    fn the_port_of_an_http_url_on_a_loopback_host_may_be_any() {
        let own = url("http://localhost:3080/callback");
        for asked in ["http://localhost:3080/callback", "http://localhost:1/callback", "http://localhost/callback"] {
            assert!(own.admits(asked), "{asked}");
        }
        for other in [
            "http://localhost:3080/callback/",
            "http://127.0.0.1:3080/callback",
            "http://[::1]:3080/callback",
            "https://localhost:3080/callback",
            "http://localhost:0/callback",
            "http://localhost:65536/callback",
            "http://localhost:/callback",
            "http://localhost:3080:1/callback",
            "http://localhost:1@other.example/callback",
        ] {
            assert!(!own.admits(other), "{other}");
        }
        assert!(url("http://[::1]/callback").admits("http://[::1]:49152/callback"));
        assert!(!url("https://localhost:1/callback").admits("https://localhost:2/callback"), "https keeps its port");
    }

    #[test]
    fn parameters_are_appended_after_those_that_are_there() {
        let parameters = [("code", "lkc1_x"), ("state", "a b&c=d#é")];
        let encoded = "code=lkc1_x&state=a+b%26c%3Dd%23%C3%A9";
        for (url, expected) in [
            ("https://a.example/x", format!("https://a.example/x?{encoded}")),
            ("https://a.example", format!("https://a.example?{encoded}")),
            ("https://a.example/x?", format!("https://a.example/x?{encoded}")),
            ("https://a.example/x?y=z", format!("https://a.example/x?y=z&{encoded}")),
        ] {
            assert_eq!(with_query(url, &parameters), expected);
        }
        assert_eq!(with_query("https://a.example/x", &[]), "https://a.example/x");
    }

    /// Text near the edge of what is a URL.
    fn nearly_a_url() -> impl Strategy<Value = String> {
        let scheme = prop_oneof![Just("https://"), Just("http://"), Just("HTTP://"), Just("https:/")];
        let host = prop_oneof![
            Just("localhost".to_owned()),
            Just("127.0.0.1".to_owned()),
            Just("[::1]".to_owned()),
            "[a-cA.:@\\[\\]0-2-]{0,8}"
        ];
        let port = prop_oneof![Just(String::new()), ":[0-9]{0,5}"];
        let rest = "([/?][a-z%2F#@ \\\\é?&=.]{0,8})?";
        (scheme, host, port, rest).prop_map(|(scheme, host, port, rest)| format!("{scheme}{host}{port}{rest}"))
    }

    proptest! {
        #[test]
        fn whatever_is_taken_is_plain_ascii_with_one_host_and_admits_itself(text in nearly_a_url()) {
            let Some(url) = WebUrl::parse(&text) else { return Ok(()) };
            prop_assert_eq!(url.as_str(), &text);
            prop_assert!(url.admits(&text));
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.contains(['#', '\\']));
            let rest = text.split_once("://").unwrap().1;
            let authority = rest.split(['/', '?']).next().unwrap();
            prop_assert!(!authority.is_empty() && !authority.contains('@'));
            prop_assert!(text.starts_with("https://") || ["localhost", "127.", "[::1]"].iter().any(|host| authority.starts_with(host)));
        }

        #[test]
        fn what_is_admitted_differs_in_the_port_of_a_loopback_host_at_most(one in nearly_a_url(), other in nearly_a_url()) {
            let Some(url) = WebUrl::parse(&one) else { return Ok(()) };
            prop_assert_eq!(url.admits(&other), WebUrl::parse(&other).is_some_and(|other| other.admits(&one)));
            if url.admits(&other) && one != other {
                let without_port = |text: &str| {
                    let parts = Parts::of(text).unwrap();
                    (parts.is_https, parts.host.to_owned(), parts.path_and_query.to_owned())
                };
                prop_assert_eq!(without_port(&one), without_port(&other));
                prop_assert!(one.starts_with("http://"));
            }
        }

        #[test]
        fn any_text_is_judged_without_a_panic(text in any::<String>()) {
            let _ = WebUrl::parse(&text);
            prop_assert_eq!(url("http://localhost/").admits(&text), text.starts_with("http://localhost") && WebUrl::parse(&text).is_some_and(|url| url.admits("http://localhost/")));
        }

        #[test]
        fn parameters_come_back_as_they_were(name in "\\PC{1,8}", value in any::<String>()) {
            let all = with_query("https://a.example/x?y=z", &[("first", "1"), (&name, &value)]);
            let query = all.strip_prefix("https://a.example/x?").unwrap();
            let read: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
            let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
            prop_assert_eq!(read, vec![pair("y", "z"), pair("first", "1"), pair(&name, &value)]);
            prop_assert!(!all.contains(['#', ' ', '"', '<']) && all.is_ascii());
        }
    }
}
