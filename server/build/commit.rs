//! Which commit a program is built from, for `--version`; shared by the build scripts of `kohorta` and `kohorta-import`.
//!
//! `KOHORTA_COMMIT` in the environment says it where the sources come without their history: a tarball, an image.
//! Otherwise git is asked, in release builds only: a debug build would be made anew after every commit. Without
//! either, the version stands alone.

use std::path::Path;
use std::process::Command;

/// As many digits as GitHub shows, and a few more.
const DIGITS: usize = 12;

/// Sets `KOHORTA_VERSION` for the crate that is compiled: `0.1.0` or `0.1.0 (41c2638fb21e)`.
pub(crate) fn set_version() {
    println!("cargo:rerun-if-env-changed=KOHORTA_COMMIT");
    let version = env("CARGO_PKG_VERSION").unwrap_or_default();
    match commit() {
        Some(commit) => println!("cargo:rustc-env=KOHORTA_VERSION={version} ({commit})"),
        None => println!("cargo:rustc-env=KOHORTA_VERSION={version}"),
    }
}

fn commit() -> Option<String> {
    let given = env("KOHORTA_COMMIT").filter(|text| !text.is_empty());
    let commit = given.or_else(|| {
        let release = env("PROFILE").is_some_and(|profile| profile == "release");
        if release { commit_of_git() } else { None }
    })?;
    let is_hash = commit.len() >= 7 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| commit.chars().take(DIGITS).collect())
}

fn commit_of_git() -> Option<String> {
    // Sources that were unpacked inside of somebody else's repository are not of its commit.
    if !Path::new("../.git").exists() {
        return None;
    }
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    for name in ["HEAD", "packed-refs"].into_iter().chain(branch.as_deref()) {
        // A path that does not exist would have the script run at every build.
        if let Some(path) = git(&["rev-parse", "--git-path", name]).filter(|path| Path::new(path).exists()) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
