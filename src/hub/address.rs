//! The addresses of servers: which are accepted, which may get a token, and what messages may show of them.

use std::fmt;
use std::net::Ipv6Addr;

use ureq::http::Uri;

/// An `http:` or `https:` address. Its user and password, if any, are never shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    origin: Origin,
    /// `USER:PASSWORD`, which only the origin may get.
    userinfo: Option<Secret>,
    /// The host as written, with the port if there is one.
    host: String,
    /// The part from the first slash, without a fragment.
    rest: String,
}

/// The identity of a server. Two addresses belong to the same server only if scheme, host and port are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    is_secure: bool,
    host: String,
    port: u16,
}

/// A text that no message may show.
#[derive(Clone, PartialEq, Eq)]
struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// The text that replaces a user and password in messages.
const HIDDEN: &str = "***";

impl Address {
    /// Parses an address. The error describes the fault in a few words.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if !text.bytes().all(|b| b.is_ascii_graphic()) || text.contains('\\') {
            return Err("has characters that no address has");
        }
        let (scheme, after) = text.split_once("://").ok_or("does not begin with https:// or http://")?;
        let is_secure = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err("does not begin with https:// or http://"),
        };
        let (authority, rest) = after.split_at(after.find(['/', '?', '#']).unwrap_or(after.len()));
        let (userinfo, host) = match authority.rsplit_once('@') {
            Some((userinfo, _)) if userinfo.contains('@') => return Err("has more than one @ before its host"),
            Some((userinfo, host)) => (Some(Secret(userinfo.to_owned())), host),
            None => (None, authority),
        };
        let (name, port) = match host.find(']') {
            Some(end) => host.split_at(end + 1),
            None => host.split_at(host.find(':').unwrap_or(host.len())),
        };
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        };
        let inside = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        if !inside.map_or(is_name(name), |number| number.parse::<Ipv6Addr>().is_ok()) {
            return Err("has no host, or a host of characters that no host has");
        }
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => {
                if is_secure {
                    443
                } else {
                    80
                }
            }
            // The integer's parser would accept a plus.
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().ok().filter(|port| *port > 0).ok_or("has a port that is not a number from 1 to 65535")?
            }
            _ => return Err("has a port that is not a number from 1 to 65535"),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let slash = if rest.starts_with('/') { "" } else { "/" };
        let address = Self {
            origin: Origin { is_secure, host: name.to_ascii_lowercase(), port },
            userinfo,
            host: host.to_owned(),
            rest: format!("{slash}{rest}"),
        };
        // The HTTP client decides which characters a path may have.
        address.url().parse::<Uri>().map_err(|_| "has characters that no address has")?;
        Ok(address)
    }

    /// The target of a `Location` in an answer from this address. A redirect must not have a password of its own, or go
    /// from `https:` to `http:`.
    pub fn follow(&self, location: &str) -> Result<Self, &'static str> {
        let scheme = if self.origin.is_secure { "https" } else { "http" };
        let has_scheme = location.split(['/', '?', '#']).next().is_some_and(|first| first.contains(':'));
        let text = if has_scheme {
            location.to_owned()
        } else if location.starts_with("//") {
            format!("{scheme}:{location}")
        } else if location.starts_with('/') {
            format!("{scheme}://{}{location}", self.host)
        } else if location.is_empty() {
            return Err("is empty");
        } else {
            let path = self.rest.split('?').next().unwrap_or_default();
            let end = if location.starts_with('?') { path.len() } else { path.rfind('/').map_or(0, |at| at + 1) };
            format!("{scheme}://{}{}{location}", self.host, path.get(..end).unwrap_or_default())
        };
        let mut next = Self::parse(&text)?;
        if next.userinfo.is_some() {
            return Err("has a user or a password in it");
        }
        if self.origin.is_secure && !next.origin.is_secure {
            return Err("leaves https for http");
        }
        if next.origin == self.origin {
            next.userinfo = self.userinfo.clone();
        }
        Ok(next)
    }

    /// This address with a longer path.
    pub fn join(&self, path: &str) -> Self {
        Self { rest: format!("{}{path}", self.rest.trim_end_matches('/')), ..self.clone() }
    }

    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    pub fn is_secure(&self) -> bool {
        self.origin.is_secure
    }

    /// Whether it names a server, and perhaps a directory there, without a query.
    pub fn is_base(&self) -> bool {
        !self.rest.contains('?')
    }

    /// The whole address with the password, only for the client.
    pub fn url(&self) -> String {
        self.spelled(self.userinfo.as_ref().map(|secret| secret.0.as_str()))
    }

    /// The message without this address's password.
    pub fn redact(&self, message: &str) -> String {
        match &self.userinfo {
            Some(Secret(secret)) => message.replace(&format!("{secret}@"), &format!("{HIDDEN}@")),
            None => message.to_owned(),
        }
    }

    fn spelled(&self, userinfo: Option<&str>) -> String {
        let scheme = if self.origin.is_secure { "https" } else { "http" };
        let (userinfo, at) = userinfo.map_or(("", ""), |userinfo| (userinfo, "@"));
        format!("{scheme}://{userinfo}{at}{}{}", self.host, self.rest)
    }
}

impl fmt::Display for Address {
    /// Shows the address without its password, and without a slash at its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.spelled(self.userinfo.as_ref().map(|_| HIDDEN));
        f.write_str(shown.trim_end_matches('/'))
    }
}

/// A text that was meant as an address, without what may be a password.
pub(super) fn redacted(text: &str) -> String {
    let start = text.find("://").map_or(0, |at| at + 3);
    let authority = text.get(start..).unwrap_or_default();
    // In a malformed address, the @ may be anywhere.
    match authority.rfind('@') {
        Some(at) => {
            let (before, after) = (text.get(..start), authority.get(at..));
            format!("{}{HIDDEN}{}", before.unwrap_or_default(), after.unwrap_or_default())
        }
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).expect(text)
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let base = address("https://Hub.example/a");
        for same in
            ["https://hub.example", "https://hub.example:443/x", "https://HUB.EXAMPLE/?q", "https://u:p@hub.example/"]
        {
            assert_eq!(address(same).origin(), base.origin(), "{same}");
        }
        for other in [
            "http://hub.example",
            "http://hub.example:443",
            "https://hub.example:8443",
            "https://hub.example.",
            "https://hub.example.evil",
            "https://hub-example",
            "https://hub.example@evil",
            "https://[::1]",
        ] {
            assert_ne!(address(other).origin(), base.origin(), "{other}");
        }
        assert_eq!(address("http://[::1]:80/").origin(), address("HTTP://[::1]").origin());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in [
            "",
            "hub.example",
            "ftp://x",
            "file:///etc",
            "http://",
            "http:///x",
            "http://:80",
            "http://a b",
            "http://a\n",
            "http://ä",
            "http://a\\b",
            "http://a@b@c",
            "http://a:99999",
            "http://a:65536",
            "http://a:0",
            "http://a:",
            "http://a:+80",
            "http://a:8x",
            "http://a:80:80",
            "http://[::1",
            "http://[::1]x",
            "http://[x]",
            "http://::1",
            "http://a%20b",
            "http://a/<",
        ] {
            assert!(Address::parse(bad).is_err(), "{bad:?}");
        }
        assert!(address("http://a/b").is_base() && !address("http://a/b?c").is_base());
    }

    #[test]
    fn redirects_lead_where_they_say() {
        let from = address("https://u:p@h:1/a/b?q=1");
        for (location, to) in [
            ("/x", "https://u:p@h:1/x"),
            ("x", "https://u:p@h:1/a/x"),
            ("?y", "https://u:p@h:1/a/b?y"),
            ("https://h:1/x#y", "https://u:p@h:1/x"),
            ("HTTPS://H:1", "https://u:p@H:1/"),
            ("//h:1/x", "https://u:p@h:1/x"),
            ("https://h:2/x", "https://h:2/x"),
            ("https://other/x?sign=1:2", "https://other/x?sign=1:2"),
            ("//other/x", "https://other/x"),
            ("/@evil:80/x", "https://u:p@h:1/@evil:80/x"),
            ("a/b:c", "https://u:p@h:1/a/a/b:c"),
        ] {
            assert_eq!(from.follow(location).map(|next| next.url()).as_deref(), Ok(to), "{location}");
        }
        for bad in [
            "",
            "http://h:1/x",
            "file:///etc/passwd",
            "/\\evil/x",
            "https://x:y@h:1/",
            "/a b",
            "/a\r\nb",
            "javascript:x",
        ] {
            assert!(from.follow(bad).is_err(), "{bad:?}");
        }
        assert!(address("http://h").follow("https://h").is_ok(), "to a safer one it may lead");
    }

    #[test]
    fn passwords_are_not_shown() {
        let address = address("http://user:s3cret@h:1/p/");
        assert_eq!(address.to_string(), "http://***@h:1/p");
        assert!(!format!("{address:?}").contains("s3cret"));
        assert_eq!(address.redact("cannot reach http://user:s3cret@h:1"), "cannot reach http://***@h:1");
        for bad in
            ["http://user:s3cret@h:99999", "user:s3cret@h", "ftp://a@user:s3cret@h", "http://s3cret@", "x://h/s3cret@y"]
        {
            assert!(!redacted(bad).contains("s3cret"), "{bad}: {}", redacted(bad));
        }
        assert_eq!(redacted("http://h:1"), "http://h:1");
    }
}
