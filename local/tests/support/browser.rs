//! A browser, as far as a server can tell: it keeps cookies, follows nothing by itself, and says where a request comes from.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpStream,
};

use serde_json::Value;

pub struct Page {
    pub status: u16,
    /// Status line and headers in lower case.
    pub head: String,
    pub location: Option<String>,
    pub body: String,
}

impl Page {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{} {}", self.head, self.body))
    }

    /// Where it sends the browser.
    pub fn redirect(&self) -> &str {
        assert!(matches!(self.status, 302 | 303), "{} {}", self.head, self.body);
        self.location.as_deref().unwrap()
    }

    /// The token of the page's form.
    pub fn form(&self) -> String {
        let (_, rest) = self.body.split_once("name=\"form\" value=\"").unwrap_or_else(|| panic!("{}", self.body));
        rest.split('"').next().unwrap().to_owned()
    }
}

/// The parameter of an address, if it is there; hexadecimal escapes are left as they are.
pub fn parameter<'a>(address: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = address.split_once('?')?;
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(own, _)| *own == name).map(|(_, value)| value)
}

#[derive(Clone)]
pub struct Browser {
    address: String,
    /// By name.
    pub cookies: BTreeMap<String, String>,
}

impl Browser {
    pub fn at(address: &str) -> Self {
        Self { address: address.to_owned(), cookies: BTreeMap::new() }
    }

    /// Another browser, which knows nothing of this one.
    pub fn another(&self) -> Self {
        Self::at(&self.address)
    }

    /// The server's host and port.
    pub fn host(&self) -> &str {
        &self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A user opens an address of the server, whole or from its path on.
    pub fn open(&mut self, address: &str) -> Page {
        let own = self.address.clone();
        self.send("GET", address, &[("Host", &own), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")], "")
    }

    /// Opens `address` and whatever it leads to on the server; the last answer.
    pub fn follow(&mut self, address: &str) -> Page {
        let mut page = self.open(address);
        for _ in 0..10 {
            match &page.location {
                Some(location) if !location.starts_with("http") || location.starts_with(&self.url()) => {
                    page = self.open(&location.clone());
                }
                _ => return page,
            }
        }
        panic!("it goes round and round");
    }

    /// A page of the server sends a form.
    pub fn submit(&mut self, path: &str, form: &str) -> Page {
        let own = self.address.clone();
        let origin = self.url();
        self.send("POST", path, &[("Host", &own), ("Origin", &origin), ("Sec-Fetch-Site", "same-origin")], form)
    }

    pub fn send(&mut self, method: &str, address: &str, headers: &[(&str, &str)], body: &str) -> Page {
        let path = address.strip_prefix(&self.url()).unwrap_or(address);
        assert!(path.starts_with('/'), "elsewhere: {address}");
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        let kind = if body.starts_with('{') { "json" } else { "x-www-form-urlencoded" };
        request.push_str(&format!("Content-Type: application/{kind}\r\n"));
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.cookies.is_empty() {
            let pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request.push_str(&format!("Cookie: {}\r\n", pairs.join("; ")));
        }
        let mut connection = TcpStream::connect(&self.address).unwrap();
        connection.write_all(format!("{request}\r\n{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let header = |wanted: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.to_owned())
        };
        if let Some(set) = header("set-cookie") {
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            match set.contains("Max-Age=0") {
                true => self.cookies.remove(name),
                false => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        Page {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            location: header("location"),
            head: head.to_lowercase(),
            body: body.to_owned(),
        }
    }
}
