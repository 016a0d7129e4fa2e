//! The web page: the files that `playground` built, from inside the binary.
//!
//! The build output lies compressed in `playground/dist`, one `.gz` file for each, and is embedded as it is. It is
//! sent as it lies there, or inflated for the rare client that does not take gzip. Files under `assets/` have their
//! content's hash in their name and may be kept for ever; pages are checked every time.

use std::borrow::Cow;
use std::io::Read;

use axum::Router;
use axum::extract::Path;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, REFERRER_POLICY, VARY,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::read::GzDecoder;
use rust_embed::{EmbeddedFile, RustEmbed};

use super::error::HttpError;

#[derive(RustEmbed)]
#[folder = "../playground/dist"]
#[allow_missing = true]
struct Files;

/// Nothing from elsewhere, ever; styles inline and workers from blobs are what the code editor needs.
const POLICY: &str = "default-src 'self'; base-uri 'none'; connect-src 'self'; font-src 'self' data:; \
    form-action 'none'; frame-ancestors 'none'; img-src 'self' data:; object-src 'none'; script-src 'self'; \
    style-src 'self' 'unsafe-inline'; worker-src 'self' blob:";

/// The pages, by the path at which they are found and the file that holds them, the first that exists.
const PAGES: [(&str, &[&str]); 2] = [
    ("/", &["index.html", "graphiql.html"]),
    ("/graphiql", &["graphiql.html", "graphiql/index.html"]),
];

/// Adds the pages and every other file of the build output.
pub(super) fn add_routes<S: Clone + Send + Sync + 'static>(mut router: Router<S>) -> Router<S> {
    for (path, files) in PAGES {
        let answer = async move |headers: HeaderMap| serve(files, &headers);
        router = router.route(path, get(answer).fallback(other_method));
    }
    let top: Vec<String> = Files::iter()
        .filter_map(|file| file.strip_suffix(".gz").map(ToOwned::to_owned))
        .filter(|file| !file.contains('/') && !file.ends_with(".html"))
        .collect();
    for file in top {
        let path = format!("/{file}");
        let answer = async move |headers: HeaderMap| serve(&[file.as_str()], &headers);
        router = router.route(&path, get(answer).fallback(other_method));
    }
    router.route("/assets/{*file}", get(asset).fallback(other_method))
}

async fn asset(Path(file): Path<String>, headers: HeaderMap) -> Result<Response, HttpError> {
    serve(&[&format!("assets/{file}")], &headers)
}

async fn other_method() -> HttpError {
    HttpError::method_not_allowed("GET")
}

/// Answers with the first of `names` that exists.
fn serve(names: &[&str], headers: &HeaderMap) -> Result<Response, HttpError> {
    let found = names
        .iter()
        .find_map(|name| Files::get(&format!("{name}.gz")).map(|file| (*name, file)));
    let Some((name, file)) = found else {
        return Err(HttpError::not_found());
    };
    let gzip = accepts_gzip(headers);
    let tag = entity_tag(&file, gzip);
    let mut response = if headers.get(IF_NONE_MATCH).is_some_and(|sent| matches(sent, &tag)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        content(name, file.data, gzip)?
    };
    let out = response.headers_mut();
    out.insert(
        ETAG,
        HeaderValue::try_from(tag).map_err(|_| HttpError::internal())?,
    );
    out.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    out.insert(CACHE_CONTROL, HeaderValue::from_static(caching(name)));
    if name.ends_with(".html") {
        out.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        out.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    }
    Ok(response)
}

fn content(name: &str, compressed: Cow<'static, [u8]>, gzip: bool) -> Result<Response, HttpError> {
    let content_type = HeaderValue::from_static(content_type(name));
    if gzip {
        let encoding = HeaderValue::from_static("gzip");
        let headers = [(CONTENT_TYPE, content_type), (CONTENT_ENCODING, encoding)];
        return Ok((headers, compressed).into_response());
    }
    let mut plain = Vec::new();
    GzDecoder::new(compressed.as_ref())
        .read_to_end(&mut plain)
        .map_err(|error| {
            tracing::error!(name, %error, "an embedded file cannot be inflated");
            HttpError::internal()
        })?;
    Ok(([(CONTENT_TYPE, content_type)], plain).into_response())
}

fn caching(name: &str) -> &'static str {
    if name.starts_with("assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        "wasm" => "application/wasm",
        "txt" => "text/plain; charset=utf-8",
        "webmanifest" => "application/manifest+json",
        _ => "application/octet-stream",
    }
}

/// A tag of the content as sent: the two forms of a file are two things to a cache.
fn entity_tag(file: &EmbeddedFile, gzip: bool) -> String {
    let hash = file.metadata.sha256_hash();
    let digits: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    if gzip {
        format!("\"{digits}-gz\"")
    } else {
        format!("\"{digits}\"")
    }
}

fn matches(sent: &HeaderValue, tag: &str) -> bool {
    let sent = sent.to_str().unwrap_or_default();
    sent.split(',')
        .map(str::trim)
        .any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let named = parts
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case("gzip") || name == "*");
        let refused = parts.any(|part| part.replace(' ', "").trim_start_matches("q=").parse() == Ok(0.0_f32));
        named && !refused
    })
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue};

    use super::{accepts_gzip, caching, matches};

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        let accepts = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("accept-encoding", HeaderValue::from_static(value));
            accepts_gzip(&headers)
        };
        for yes in ["gzip", "br, gzip;q=0.5", "*", "deflate, GZIP"] {
            assert!(accepts(yes), "{yes}");
        }
        for no in ["", "identity", "br", "gzip;q=0", "gzip; q=0.0"] {
            assert!(!accepts(no), "{no}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[test]
    fn only_hashed_names_are_kept_for_ever() {
        assert!(caching("assets/index-abc123.js").contains("immutable"));
        assert_eq!(caching("index.html"), "no-cache");
        assert_eq!(caching("favicon.svg"), "no-cache");
    }

    #[test]
    fn entity_tags_are_compared_one_by_one() {
        assert!(matches(&HeaderValue::from_static("\"a\", W/\"b\""), "\"b\""));
        assert!(!matches(&HeaderValue::from_static("\"ab\""), "\"a\""));
    }
}
