//! Where clients may send browsers that register themselves: addresses, in whose paths `*` is any one segment.

use crate::values::WebUrl;

/// An address of a registration, `*` in it being one whole segment of the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RedirectPattern(WebUrl);

impl RedirectPattern {
    /// What a pattern has to be besides an address, for whoever gave one that it is not.
    pub const RULE: &str = "has no query, and * in it is a whole segment of the path";

    /// `None` unless it has no query, and every `*` is a whole segment of its path.
    pub fn parse(url: WebUrl) -> Option<Self> {
        let mut segments = url.path().split('/');
        (!url.has_query() && segments.all(|segment| segment == "*" || !segment.contains('*'))).then_some(Self(url))
    }

    /// Whether a browser may be sent to `asked`: the same origin, and the same path but for the segments at a `*`. Of an
    /// http URL on a loopback host the port may be any (RFC 8252 §7.3).
    pub fn admits(&self, asked: &WebUrl) -> bool {
        let mut own = self.0.path().split('/');
        let mut others = asked.path().split('/');
        self.0.has_origin_of(asked)
            && !asked.has_query()
            && own.all(|segment| match (segment, others.next()) {
                ("*", Some(other)) => is_plain_segment(other),
                (segment, other) => other == Some(segment),
            })
            && others.next().is_none()
    }
}

/// A segment that every reader takes for one and the same: no browser and no server finds a dot segment, another slash or a
/// parameter in it, however often it decodes.
fn is_plain_segment(segment: &str) -> bool {
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let mut pieces = segment.split('%');
    let first = pieces.next().unwrap_or_default();
    first.bytes().all(is_unreserved)
        && pieces.all(|piece| {
            let encoded = piece.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
            let is_harmless = |byte: u8| byte >= b' ' && !b"./\\;?#%\x7f".contains(&byte);
            encoded.is_some_and(is_harmless) && piece.bytes().skip(2).all(is_unreserved)
        })
        && segment.bytes().any(|byte| byte != b'.')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> RedirectPattern {
        WebUrl::parse(text).and_then(RedirectPattern::parse).unwrap_or_else(|| panic!("{text}"))
    }

    fn admits(pattern: &RedirectPattern, asked: &str) -> bool {
        WebUrl::parse(asked).is_some_and(|asked| pattern.admits(&asked))
    }

    #[test]
    fn a_star_is_a_whole_segment_of_a_path_without_a_query() {
        for fine in ["https://a.example/*", "https://a.example/*/x/*", "https://a.example", "http://localhost/cb"] {
            assert_eq!(pattern(fine).0.as_str(), fine);
        }
        for bad in [
            "https://a.example/x*",
            "https://a.example/*x",
            "https://a.example/**",
            "https://a.example/x?y=*",
            "https://a.example/*?",
            "https://*.example/",
            "https://a.example:*/",
            "http://a.example/*",
            "*",
        ] {
            assert!(WebUrl::parse(bad).and_then(RedirectPattern::parse).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_star_admits_one_segment_and_nothing_that_could_be_read_as_more() {
        let own = pattern("https://chat.example.org/api/mcp/*/oauth/callback");
        for fine in ["github", "a.b", "...a", "My%20Server", "%C3%A9", "~x_y-1"] {
            assert!(admits(&own, &format!("https://chat.example.org/api/mcp/{fine}/oauth/callback")), "{fine}");
        }
        for bad in [
            "", ".", "..", "...", "a/b", "a%2Fb", "a%2fb", "%2e%2e", "%2E", "a%5Cb", "..;", "a;b", "a%3Bb", "%25",
            "%252e", "a%3Fb", "a%23b", "%00", "%0a", "%7f", "*", "a*", "a@b", "a:b", "%", "%4", "%zz", "a?b", "a#b",
            "a\\b", "é",
        ] {
            assert!(!admits(&own, &format!("https://chat.example.org/api/mcp/{bad}/oauth/callback")), "{bad}");
        }
    }

    #[test]
    fn beside_the_star_every_byte_counts() {
        let own = pattern("https://chat.example.org/api/*/callback");
        assert!(admits(&own, "https://chat.example.org/api/x/callback"));
        for other in [
            "https://chat.example.org/api/x/callback/",
            "https://chat.example.org/api/x/callback?a=b",
            "https://chat.example.org/api/x/callback?",
            "https://chat.example.org/api/x/callback#",
            "https://chat.example.org/api/x/c%61llback",
            "https://chat.example.org/API/x/callback",
            "https://chat.example.org//api/x/callback",
            "https://chat.example.org/api/callback",
            "https://chat.example.org/x/callback",
            "https://chat.example.org:8443/api/x/callback",
            "https://chat.example.org:443/api/x/callback",
            "http://chat.example.org/api/x/callback",
            "https://chat.example.org.evil.example/api/x/callback",
            "https://evil.example/chat.example.org/api/x/callback",
            "https://chat-example.org/api/x/callback",
            "https://chat.example.org@evil.example/api/x/callback",
            "https://chat.example.org\\@evil.example/api/x/callback",
            "https://chаt.example.org/api/x/callback",
            "https://xn--cht-5cd.example.org/api/x/callback",
            "javascript:alert(1)//api/x/callback",
        ] {
            assert!(!admits(&own, other), "{other}");
        }
        assert!(!admits(&pattern("https://a.example"), "https://a.example/"), "an empty path is not /");
    }

    #[test]
    fn the_port_of_an_http_address_on_a_loopback_host_may_be_any() {
        let own = pattern("http://127.0.0.1/callback");
        assert!(admits(&own, "http://127.0.0.1:49152/callback") && admits(&own, "http://127.0.0.1/callback"));
        assert!(!admits(&own, "http://localhost/callback") && !admits(&own, "https://127.0.0.1/callback"));
        assert!(!admits(&pattern("https://localhost:1/callback"), "https://localhost:2/callback"));
    }

    proptest! {
        #[test]
        fn a_pattern_admits_what_it_is_with_a_word_at_each_star(words in proptest::collection::vec("[a-z0-9_~-]{1,9}", 1..4)) {
            let stars = vec!["*"; words.len()].join("/x/");
            let own = pattern(&format!("https://a.example/{stars}"));
            let asked = format!("https://a.example/{}", words.join("/x/"));
            prop_assert!(admits(&own, &asked));
            let more = format!("{asked}/y");
            prop_assert!(!admits(&own, &more));
        }

        #[test]
        fn what_is_admitted_at_a_star_has_no_more_segments_once_it_is_decoded(text in "[a-c.;/\\\\%250eEfF]{0,8}") {
            let own = pattern("https://a.example/p/*/q");
            let asked = format!("https://a.example/p/{text}/q");
            if admits(&own, &asked) {
                let decoded = percent_decoded(&percent_decoded(&text));
                prop_assert!(!decoded.contains(['/', '\\', ';']) && decoded != "." && decoded != "..", "{decoded}");
            }
        }
    }

    fn percent_decoded(text: &str) -> String {
        form_urlencoded::parse(format!("x={}", text.replace('+', "%2B")).as_bytes()).next().unwrap().1.into_owned()
    }
}
