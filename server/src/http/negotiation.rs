//! Which media type an answer of GraphQL has, from the request's `Accept` header.
//!
//! `application/graphql-response+json` is for those who name it; everybody else who takes JSON gets
//! `application/json`. Who takes neither is told so (406).

use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, HeaderValue, StatusCode};

use super::error::HttpError;
use crate::error_code::Code;

/// The media type of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MediaType {
    /// `application/json`: the status says little, clients look for `errors`.
    Json,
    /// `application/graphql-response+json`: the status says whether the request was executed.
    GraphqlResponse,
}

impl MediaType {
    /// The value of the `Content-Type` header.
    pub(super) fn content_type(self) -> HeaderValue {
        match self {
            Self::Json => HeaderValue::from_static("application/json; charset=utf-8"),
            Self::GraphqlResponse => {
                HeaderValue::from_static("application/graphql-response+json; charset=utf-8")
            }
        }
    }
}

/// Picks the media type for a request with `headers`.
pub(super) fn negotiate(headers: &HeaderMap) -> Result<MediaType, HttpError> {
    let mut ranges = Vec::new();
    for value in headers.get_all(ACCEPT) {
        let text = value.to_str().map_err(|_| not_acceptable())?;
        ranges.extend(
            text.split(',')
                .map(str::trim)
                .filter(|range| !range.is_empty())
                .map(Range::parse),
        );
    }
    if ranges.is_empty() {
        return Ok(MediaType::Json);
    }
    let named = quality(&ranges, &["application/graphql-response+json"]);
    let json = quality(&ranges, &["application/json", "application/*", "*/*"]);
    if named <= 0.0 && json <= 0.0 {
        return Err(not_acceptable());
    }
    Ok(if named >= json {
        MediaType::GraphqlResponse
    } else {
        MediaType::Json
    })
}

fn not_acceptable() -> HttpError {
    let message = "answers are application/graphql-response+json or application/json; accept one of them";
    HttpError::new(StatusCode::NOT_ACCEPTABLE, Code::BadRequest, message)
}

/// The quality of the first of `names`, from the most to the least specific, that `ranges` mention.
fn quality(ranges: &[Range], names: &[&str]) -> f32 {
    names
        .iter()
        .find_map(|name| ranges.iter().find(|range| range.name == *name))
        .map_or(0.0, |range| range.quality)
}

struct Range {
    name: String,
    quality: f32,
}

impl Range {
    fn parse(text: &str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let quality = parts
            .filter_map(|parameter| parameter.split_once('='))
            .find(|(key, _)| key.trim().eq_ignore_ascii_case("q"))
            .map_or(1.0, |(_, value)| {
                value.trim().parse::<f32>().unwrap_or(0.0).clamp(0.0, 1.0)
            });
        Self { name, quality }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue};

    use super::{MediaType, negotiate};

    fn picked(accept: &'static str) -> Option<MediaType> {
        let mut headers = HeaderMap::new();
        headers.insert("accept", HeaderValue::from_static(accept));
        negotiate(&headers).ok()
    }

    #[test]
    fn the_new_type_is_for_those_who_name_it() {
        use MediaType::{GraphqlResponse, Json};
        assert_eq!(negotiate(&HeaderMap::new()).ok(), Some(Json));
        for (accept, expected) in [
            ("*/*", Some(Json)),
            ("application/*", Some(Json)),
            ("application/json", Some(Json)),
            ("application/json; charset=utf-8", Some(Json)),
            ("application/graphql-response+json", Some(GraphqlResponse)),
            (
                "application/graphql-response+json, application/json;q=0.9",
                Some(GraphqlResponse),
            ),
            (
                "application/json, application/graphql-response+json",
                Some(GraphqlResponse),
            ),
            (
                "application/graphql-response+json;q=0.5, application/json",
                Some(Json),
            ),
            ("Application/JSON", Some(Json)),
            ("text/html, */*;q=0.1", Some(Json)),
            ("application/json;q=0, */*", None),
            ("application/json;q=0", None),
            ("text/html", None),
        ] {
            assert_eq!(picked(accept), expected, "{accept}");
        }
    }
}
