//! The rules of the house: which crate may use which. `ARCHITECTURE.md` draws them; here they are held.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Every crate of the workspace and the crates of ours that it uses, tests aside. No other arrow exists.
const ARROWS: [(&str, &[&str]); 6] = [
    ("entity", &[]),
    ("migration", &[]),
    ("activity", &[]),
    ("store", &["activity", "entity"]),
    ("server", &["activity", "migration", "store"]),
    ("importer", &["migration", "store"]),
];

/// What `cargo metadata` says about this workspace.
fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the workspace")
}

fn names(list: &Value) -> impl Iterator<Item = (&str, &Value)> {
    list.as_array()
        .expect("a list")
        .iter()
        .map(|item| (item["name"].as_str().expect("a name"), item))
}

#[test]
fn crates_use_each_other_as_drawn_and_not_otherwise() {
    let metadata = metadata();
    let ours: BTreeSet<&str> = names(&metadata["packages"]).map(|(name, _)| name).collect();
    let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, package) in names(&metadata["packages"]).filter(|(name, _)| *name != "tests") {
        let used = names(&package["dependencies"]).map(|(dependency, _)| dependency);
        let used: BTreeSet<&str> = used.filter(|dependency| ours.contains(dependency)).collect();
        found.insert(name, used.into_iter().collect());
    }
    let drawn: BTreeMap<&str, Vec<&str>> = ARROWS.iter().map(|(name, used)| (*name, used.to_vec())).collect();
    assert_eq!(found, drawn);
}

#[test]
fn only_store_and_those_who_make_tables_know_the_database_library() {
    let allowed = BTreeSet::from(["entity", "migration", "store", "tests"]);
    let metadata = metadata();
    for (name, package) in names(&metadata["packages"]) {
        let knows = names(&package["dependencies"]).any(|(dependency, _)| dependency.starts_with("sea-orm"));
        assert!(
            !knows || allowed.contains(name),
            "{name} must not talk to a database: that is store's work"
        );
    }
}

#[test]
fn the_core_is_pure() {
    let forbidden = [
        "tokio",
        "futures-util",
        "sea-orm",
        "tracing",
        "axum",
        "async-graphql",
    ];
    let metadata = metadata();
    let (_, activity) = names(&metadata["packages"])
        .find(|(name, _)| *name == "activity")
        .expect("activity is a member");
    for (dependency, _) in names(&activity["dependencies"]) {
        assert!(
            !forbidden.contains(&dependency),
            "activity is pure, but uses {dependency}"
        );
    }
}

#[test]
fn only_the_two_programs_carry_the_name_of_the_product() {
    let metadata = metadata();
    let mut programs: Vec<(&str, &str)> = Vec::new();
    for (name, package) in names(&metadata["packages"]).filter(|(name, _)| *name != "tests") {
        let targets = names(&package["targets"]);
        let binaries = targets.filter(|(_, target)| target["kind"][0] == "bin");
        programs.extend(binaries.map(|(binary, _)| (name, binary)));
    }
    programs.sort_unstable();
    assert_eq!(programs, [("importer", "kohorta-import"), ("server", "kohorta")]);
}
