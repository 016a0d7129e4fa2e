//! Which web pages from elsewhere may use the API in their visitors' browsers (CORS).
//!
//! None, unless their origin is in the operator's list. A page from there may send JSON and an API key and read the
//! answers; cookies and other credentials of the browser are never asked for. Answers to everybody else carry no header of
//! CORS, so the browser keeps them from the page.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use crate::limits::PREFLIGHT_MAX_AGE;

/// What pages may send: which methods, and which headers besides those that every page may.
const METHODS: &str = "GET, POST";
const HEADERS: &str = "authorization, content-type, content-encoding, x-request-id";
/// What they may read of an answer's headers besides what every page may.
const EXPOSED: &str = "retry-after, www-authenticate, x-request-id";

/// A list of origins, such as `https://app.example`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(Arc<Vec<String>>);

impl Origins {
    /// The list of these origins.
    pub fn new(origins: impl IntoIterator<Item = Origin>) -> Self {
        Self(Arc::new(origins.into_iter().map(|origin| origin.0).collect()))
    }

    /// Whether the page that `value`, an `Origin` header, names may use the API.
    pub(crate) fn allow(&self, value: &str) -> bool {
        self.0.iter().any(|origin| origin == value)
    }
}

/// The origin of a web page: scheme, host and, where it is not the usual one, port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// Reads an origin as browsers send it.
    ///
    /// # Errors
    /// A phrase that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            "not an origin such as https://app.example or http://localhost:3000: no path, no wildcard";
        let lower = text.to_ascii_lowercase();
        let uri: Uri = lower.parse().map_err(|_| wrong.to_owned())?;
        let (Some(scheme @ ("http" | "https")), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(wrong.to_owned());
        };
        if lower != format!("{scheme}://{authority}") || authority.as_str().contains(['@', '*']) {
            return Err(wrong.to_owned());
        }
        // Browsers leave the usual port out.
        let usual = if scheme == "http" { ":80" } else { ":443" };
        let host = authority.as_str();
        Ok(Self(format!(
            "{scheme}://{}",
            host.strip_suffix(usual).unwrap_or(host)
        )))
    }
}

/// What is shared of one answer.
pub(super) struct Sharing {
    /// Whether it depends on who asks.
    depends: bool,
    is_preflight: bool,
    /// The page that may read it.
    allowed: Option<HeaderValue>,
}

impl Origins {
    /// What the page that sends this request may have of its answer.
    pub(super) fn sharing(&self, request: &Request) -> Sharing {
        let origin = request.headers().get(ORIGIN);
        let allowed = origin.filter(|value| value.to_str().is_ok_and(|text| self.allow(text)));
        Sharing {
            depends: !self.0.is_empty(),
            is_preflight: request.method() == Method::OPTIONS
                && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD),
            allowed: allowed.cloned(),
        }
    }
}

impl Sharing {
    /// The answer to a preflight of a page that may use the API.
    pub(super) fn permission(&self) -> Option<Response> {
        (self.is_preflight && self.allowed.is_some()).then(permission)
    }

    /// The answer, with what lets the page read it.
    pub(super) fn with(self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        if self.depends {
            // For caches too.
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(origin) = self.allowed {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        }
        response
    }
}

fn permission() -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(HEADERS));
    headers.insert(
        ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from(PREFLIGHT_MAX_AGE.as_secs()),
    );
    (StatusCode::NO_CONTENT, headers).into_response()
}

#[cfg(test)]
mod tests {
    use super::{Origin, Origins};

    #[test]
    fn origins_are_read_as_browsers_send_them() {
        for (text, sent) in [
            ("https://app.example", "https://app.example"),
            ("HTTPS://App.Example:443", "https://app.example"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("http://localhost:80", "http://localhost"),
        ] {
            let origins = Origins::new([Origin::parse(text).expect("an origin")]);
            assert!(origins.allow(sent), "{text}");
            assert!(!origins.allow("https://evil.example") && !origins.allow("null"));
        }
        for wrong in [
            "",
            "*",
            "null",
            "app.example",
            "https://",
            "https://app.example/",
            "https://app.example/x",
            "https://*.example",
            "https://user@app.example",
            "ftp://app.example",
        ] {
            assert!(Origin::parse(wrong).is_err(), "{wrong}");
        }
    }
}
