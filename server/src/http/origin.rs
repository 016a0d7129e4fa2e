//! Which web pages may open a WebSocket.
//!
//! Browsers let any page open a WebSocket to any server and say in `Origin` where the page is from; nobody else checks.
//! Pages that this server gave out itself may, those of the operator's list, and programs, which send no `Origin`.

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};

use super::cors::Origins;
use super::error::HttpError;
use crate::error_code::Code;

/// Refuses a request that a page from elsewhere has made, unless it is in the list.
pub(super) fn check(headers: &HeaderMap, allowed: &Origins) -> Result<(), HttpError> {
    let mut origins = headers.get_all(ORIGIN).iter();
    let origin = match (origins.next(), origins.next()) {
        (None, _) => return Ok(()),
        (Some(origin), None) => origin.to_str().unwrap_or_default(),
        (Some(_), Some(_)) => "",
    };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    if host.is_some_and(|host| is_own(origin, host)) || allowed.allow(origin) {
        return Ok(());
    }
    let message = "this server takes no WebSockets from pages of another origin; --cors-origin takes more";
    Err(HttpError::new(StatusCode::FORBIDDEN, Code::BadRequest, message))
}

fn is_own(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else {
        return false;
    };
    let usual_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let plain = |name: &str| {
        let name = name.to_ascii_lowercase();
        name.strip_suffix(usual_port).map_or(name.clone(), str::to_owned)
    };
    plain(authority) == plain(host)
}

#[cfg(test)]
mod tests {
    use super::is_own;

    #[test]
    fn only_pages_from_here_may() {
        for (origin, host) in [
            ("http://localhost:8000", "localhost:8000"),
            ("http://LOCALHOST:8000", "localhost:8000"),
            ("https://kohorta.example", "kohorta.example"),
            ("https://kohorta.example", "kohorta.example:443"),
            ("http://kohorta.example:80", "kohorta.example"),
            ("http://[::1]:8000", "[::1]:8000"),
        ] {
            assert!(is_own(origin, host), "{origin} on {host}");
        }
        for (origin, host) in [
            ("http://localhost:8001", "localhost:8000"),
            ("http://localhost", "localhost:8000"),
            ("https://evil.example", "kohorta.example"),
            ("https://kohorta.example.evil.example", "kohorta.example"),
            ("null", "kohorta.example"),
            ("", "kohorta.example"),
            ("file://kohorta.example", "kohorta.example"),
        ] {
            assert!(!is_own(origin, host), "{origin} on {host}");
        }
    }
}
