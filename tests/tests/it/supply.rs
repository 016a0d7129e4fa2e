//! What is linked into Kohorta: only from crates.io, only under the licences of `deny.toml`, and without unsafe code of
//! ours. `cargo deny` checks the same and more, where it is installed; this needs nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    workspace.expect("the crate lies in the workspace").to_owned()
}

/// Every package that is compiled into something on this kind of machine.
fn packages() -> Vec<Value> {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(compiler).arg("-vV").output().expect("rustc runs");
    let version = String::from_utf8(version.stdout).expect("rustc speaks UTF-8");
    let target = version.lines().find_map(|line| line.strip_prefix("host: "));
    let target = target.expect("rustc says what it compiles for");
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--offline",
            "--locked",
            "--filter-platform",
            target,
        ])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    match metadata["packages"].take() {
        Value::Array(packages) => packages,
        other => panic!("{other} is no list"),
    }
}

/// The licences that `deny.toml` allows.
fn allowed() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("deny.toml")).expect("deny.toml is there");
    let list = text
        .split("allow = [")
        .nth(1)
        .and_then(|rest| rest.split(']').next());
    let lines = list.expect("a list of licences").lines();
    lines
        .filter_map(|line| line.trim().strip_prefix('"')?.strip_suffix("\","))
        .map(str::to_owned)
        .collect()
}

/// Whether an SPDX expression can be met with the licences of `allowed`: of alternatives one, of sums all.
fn is_met(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let expression = expression.trim();
    if let Some(parts) = split(expression, &[" OR ", "/"]) {
        return parts.iter().any(|part| is_met(part, allowed));
    }
    if let Some(parts) = split(expression, &[" AND "]) {
        return parts.iter().all(|part| is_met(part, allowed));
    }
    match expression
        .strip_prefix('(')
        .and_then(|inner| inner.strip_suffix(')'))
    {
        Some(inner) => is_met(inner, allowed),
        None => allowed.contains(expression),
    }
}

/// The parts of an expression around `separators` outside of brackets; none if there is no separator.
fn split<'a>(expression: &'a str, separators: &[&str]) -> Option<Vec<&'a str>> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_i32);
    for (position, letter) in expression.char_indices() {
        depth += i32::from(letter == '(') - i32::from(letter == ')');
        let found = separators
            .iter()
            .find(|separator| expression[position..].starts_with(**separator));
        if let Some(separator) = found.filter(|_| depth == 0 && position >= start) {
            parts.push(&expression[start..position]);
            start = position + separator.len();
        }
    }
    if parts.is_empty() {
        return None;
    }
    parts.push(&expression[start..]);
    Some(parts)
}

#[test]
fn every_package_has_a_licence_of_the_list_and_comes_from_the_registry() {
    let allowed = allowed();
    assert!(allowed.contains("MIT") && allowed.len() > 5, "{allowed:?}");
    for package in packages() {
        let name = &package["name"];
        let licence = package["license"].as_str().unwrap_or_default();
        assert!(
            is_met(licence, &allowed),
            "{name} is under {licence:?}, which deny.toml does not allow"
        );
        // Those of this workspace have none.
        if let Some(source) = package["source"].as_str() {
            assert!(source.starts_with("registry+"), "{name} comes from {source}");
        }
    }
}

#[test]
fn expressions_are_met_as_their_words_say() {
    let allowed = BTreeSet::from(["MIT", "Zlib", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned));
    for (expression, met) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("", false),
        ("GPL-3.0 OR MIT", true),
        ("MIT/Apache-2.0", true),
        ("GPL-3.0 AND MIT", false),
        ("(GPL-3.0 OR MIT) AND Zlib", true),
        ("(GPL-3.0 OR LGPL-2.1) AND Zlib", false),
        ("Apache-2.0 WITH LLVM-exception OR GPL-3.0", true),
    ] {
        assert_eq!(is_met(expression, &allowed), met, "{expression}");
    }
}

#[test]
fn no_crate_of_ours_takes_itself_out_of_the_ban_on_unsafe_code() {
    let root = root();
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("the manifest is there");
    assert!(manifest.contains("unsafe_code = \"forbid\""));
    for member in [
        "activity",
        "entity",
        "importer",
        "migration",
        "server",
        "store",
        "tests",
    ] {
        let manifest =
            fs::read_to_string(root.join(member).join("Cargo.toml")).expect("the manifest is there");
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{member} has lints of its own"
        );
    }
}
