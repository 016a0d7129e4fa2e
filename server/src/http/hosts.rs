//! Which `Host` a request may name.
//!
//! A server that listens on the loopback interface is meant for programs on the same machine. A web page from
//! elsewhere can reach it all the same by a host name of its own that resolves to 127.0.0.1 (DNS rebinding), and the
//! browser takes both for one site. Such a request names the foreign host, so on loopback only local names are taken.

use std::net::SocketAddr;

use axum::extract::Request;
use axum::http::header::HOST;
use axum::http::{HeaderMap, StatusCode, Uri};

use super::error::HttpError;
use crate::error_code::Code;

/// Which hosts requests may name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AllowedHosts {
    /// All: the server is reached from outside and stands behind whatever name its operator gave it.
    #[default]
    Any,
    /// This machine's own names, and these.
    LocalAnd(Vec<String>),
}

impl AllowedHosts {
    /// The rule for a server that listens on `address`: anything, unless it is a loopback address.
    pub fn for_address(address: SocketAddr, also: &[String]) -> Self {
        if address.ip().is_loopback() {
            Self::LocalAnd(also.iter().map(|host| host.to_ascii_lowercase()).collect())
        } else {
            Self::Any
        }
    }

    fn allows(&self, host: &str) -> bool {
        let Self::LocalAnd(also) = self else {
            return true;
        };
        let name = without_port(host).to_ascii_lowercase();
        matches!(name.as_str(), "localhost" | "127.0.0.1" | "[::1]")
            || name.ends_with(".localhost")
            || also.contains(&name)
    }

    /// Refuses a request that names another host.
    ///
    /// # Errors
    /// 421 for a host that is not allowed, 400 for one that cannot be read.
    pub(super) fn check(&self, request: &Request) -> Result<(), HttpError> {
        match named_host(request.headers(), request.uri())? {
            Some(host) if !self.allows(host) => {
                let message = "this server listens on the loopback interface and answers to local host names only; \
                               --allowed-hosts takes more";
                Err(HttpError::new(
                    StatusCode::MISDIRECTED_REQUEST,
                    Code::BadRequest,
                    message,
                ))
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn named_host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Result<Option<&'a str>, HttpError> {
    if let Some(authority) = uri.authority() {
        return Ok(Some(authority.as_str()));
    }
    let mut values = headers.get_all(HOST).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match value.to_str() {
            Ok(host) => Ok(Some(host)),
            Err(_) => Err(HttpError::bad_request("the host header cannot be read")),
        },
        (Some(_), Some(_)) => Err(HttpError::bad_request("the request has several host headers")),
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::AllowedHosts;

    #[test]
    fn loopback_answers_to_local_names_only() {
        let address = "127.0.0.1:8000".parse().expect("an address");
        let hosts = AllowedHosts::for_address(address, &["Kohorta.example".to_owned()]);
        for local in [
            "localhost",
            "LOCALHOST:8000",
            "127.0.0.1:8000",
            "[::1]:8000",
            "[::1]",
            "kohorta.localhost",
            "kohorta.example:443",
        ] {
            assert!(hosts.allows(local), "{local}");
        }
        for foreign in [
            "evil.example",
            "evil.example:8000",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "xlocalhost",
            "",
        ] {
            assert!(!hosts.allows(foreign), "{foreign}");
        }
        let outside = "0.0.0.0:8000".parse().expect("an address");
        assert!(AllowedHosts::for_address(outside, &[]).allows("anything.example"));
    }
}
