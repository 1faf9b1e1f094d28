//! Sign-in: whose portal says who the user of a client is.

use super::{all::Registrations, client::Client, issuer::Issuer};
use crate::{failure::Unavailable, values::WebUrl};

impl Registrations {
    /// The issuer that signs in the users of `client`: the one that its registration names, or else the only one that may act
    /// for it and has a `sign_in_url`. `None` if there is none, several are, or it is disabled.
    ///
    /// A faulty issuer matters only where no sound one is left: a document with both was refused when it was written.
    pub fn sign_in_issuer(&self, client: &Client) -> Result<Option<&Issuer>, Unavailable> {
        if let Some(id) = &client.sign_in_issuer {
            let Some(issuer) = self.issuer(id.as_str())?.filter(|issuer| issuer.sign_in_url.is_some()) else {
                return Ok(None);
            };
            // Of one that has registered itself the registrations say who signs in, and the issuer need not.
            return Ok(self.is_client_of(&client.client_id, issuer)?.then_some(issuer));
        }
        let signs_in = |issuer: &&Issuer| !issuer.is_disabled && issuer.signs_in_users_of(&client.client_id);
        let mut able = self.issuers.iter().filter(signs_in);
        match (able.next(), able.next()) {
            (Some(only), None) => Ok(Some(only)),
            (Some(_), Some(_)) => Ok(None),
            (None, _) => self.faulty_issuers.check_sign_in(&client.client_id),
        }
    }
}

impl Registrations {
    /// Where a browser goes that signs out of `client`: to the page of the issuer that signs its users in. Where none does, to
    /// that of the only issuer that may act for the client and has one.
    pub fn sign_out_url(&self, client: &Client) -> Result<Option<&WebUrl>, Unavailable> {
        if let Some(issuer) = self.sign_in_issuer(client)? {
            return Ok(issuer.sign_out_url.as_ref());
        }
        let able =
            self.issuers.iter().filter(|issuer| !issuer.is_disabled && issuer.clients.contains(&client.client_id));
        let mut pages = able.filter_map(|issuer| issuer.sign_out_url.as_ref());
        Ok(pages.next().filter(|_| pages.next().is_none()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sha256_hex;

    fn issuer(id: &str, more: &str) -> String {
        format!(r#"{{"issuer_id":"{id}","secret_sha256":["{}"],"clients":["librechat"]{more}}}"#, sha256_hex("s1"))
    }

    fn portal(id: &str, more: &str) -> String {
        issuer(id, &format!(r#","sign_in_url":"https://{id}.example.org/sign-in"{more}"#))
    }

    fn read(issuers: &[String], more: &str) -> Registrations {
        let client = format!(
            r#"{{"client_id":"librechat","type":"public","audience":["a"],"redirect_uris":["https://chat.example.org/cb"]{more}}}"#
        );
        let other = r#"{"client_id":"other","type":"public","audience":["a"]}"#;
        let text = format!(r#"{{"issuers":[{}],"clients":[{client},{other}]}}"#, issuers.join(","));
        Registrations::read(&text).unwrap().value
    }

    /// The id of the issuer, "none" or "unavailable".
    fn who(issuers: &[String], more: &str) -> String {
        let registrations = read(issuers, more);
        match registrations.sign_in_issuer(registrations.client("librechat").unwrap().unwrap()) {
            Ok(Some(issuer)) => issuer.issuer_id.as_str().to_owned(),
            Ok(None) => "none".to_owned(),
            Err(_) => "unavailable".to_owned(),
        }
    }

    const NAMES_B: &str = r#","sign_in_issuer":"b""#;
    const DISABLED: &str = r#","disabled":true"#;
    const FAULTY: &str = r#","assertions_not_before":1"#;

    #[test]
    fn the_only_issuer_with_a_sign_in_url_signs_in() {
        assert_eq!(who(&[issuer("a", ""), portal("b", "")], ""), "b");
        assert_eq!(who(&[issuer("a", "")], ""), "none");
        assert_eq!(who(&[portal("a", "").replace("librechat", "other")], ""), "none", "it may not act for the client");
        assert_eq!(who(&[portal("a", DISABLED), portal("b", "")], ""), "b");
        assert_eq!(who(&[portal("a", DISABLED)], ""), "none");
    }

    #[test]
    fn of_several_issuers_the_one_that_the_client_names_signs_in() {
        let both = [portal("a", ""), portal("b", "")];
        assert_eq!((who(&both, ""), who(&both, NAMES_B)), ("none".into(), "b".into()));
        for named in [portal("b", DISABLED), issuer("b", ""), portal("b", "").replace("librechat", "other")] {
            assert_eq!(who(&[portal("a", ""), named], NAMES_B), "none");
        }
        assert_eq!(who(&[portal("a", "")], NAMES_B), "none", "it is not registered");
    }

    #[test]
    fn a_faulty_issuer_makes_those_sign_ins_unavailable_that_need_it() {
        assert_eq!(who(&[portal("a", ""), portal("b", FAULTY)], NAMES_B), "unavailable");
        assert_eq!(who(&[portal("a", FAULTY), portal("b", "")], NAMES_B), "b");
        assert_eq!(who(&[portal("b", FAULTY)], ""), "unavailable");
        assert_eq!(who(&["{}".to_owned()], NAMES_B), "unavailable", "it may be anybody");
        assert_eq!(who(&[portal("a", ""), portal("b", FAULTY)], ""), "a", "another one is left");
        assert_eq!(who(&[portal("b", &format!("{FAULTY}{DISABLED}"))], ""), "none");
        assert_eq!(who(&[portal("b", FAULTY).replace("librechat", "other")], ""), "none");
        assert_eq!(who(&[issuer("b", FAULTY)], ""), "none", "it has no sign_in_url");
        assert_eq!(who(&[portal("b", "").replace(r#"["librechat"]"#, "[7]")], ""), "unavailable");
        assert_eq!(who(&[portal("b", r#","sign_in_url":"https://c.example.org/""#)], ""), "unavailable", "twice");
        assert_eq!(who(&[portal("b", "").replace("https", "ftp")], ""), "unavailable");
        assert_eq!(who(&["1".to_owned()], ""), "unavailable");
    }

    #[test]
    fn signing_out_leads_to_the_portal_that_signs_in_or_else_to_the_only_page_there_is() {
        let out = |host: &str| format!(r#","sign_out_url":"https://{host}.example.org/out""#);
        let url = |issuers: &[String]| {
            let registrations = read(issuers, "");
            let client = registrations.client("librechat").unwrap().unwrap();
            registrations.sign_out_url(client).unwrap().map(|url| url.as_str().to_owned())
        };
        let page = |host: &str| Some(format!("https://{host}.example.org/out"));
        assert_eq!(url(&[portal("a", &out("a")), issuer("b", &out("b"))]), page("a"));
        assert_eq!(url(&[portal("a", ""), issuer("b", &out("b"))]), None, "that portal has none");
        assert_eq!(url(&[issuer("a", ""), issuer("b", &out("b"))]), page("b"));
        assert_eq!(url(&[issuer("a", &out("a")), issuer("b", &out("b"))]), None, "whose it was is not known");
        assert_eq!(url(&[issuer("b", &format!("{}{DISABLED}", out("b")))]), None);
    }
}
