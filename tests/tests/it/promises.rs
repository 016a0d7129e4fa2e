//! `docs/reliability.md` names a test for each promise. A promise whose test is gone is none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    workspace.expect("the crate lies in the workspace").to_owned()
}

/// Every Rust source below `folder`, by the name of its module.
fn sources(folder: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).expect("folders can be read").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
            continue;
        }
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let stem = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        let parent = path
            .parent()
            .and_then(Path::file_name)
            .and_then(|name| name.to_str());
        let module = if stem == "mod" {
            parent.unwrap_or_default()
        } else {
            stem
        };
        let text = fs::read_to_string(&path).expect("sources can be read");
        found.entry(module.to_owned()).or_default().push_str(&text);
    }
}

/// What stands between backticks, outside of blocks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

#[test]
fn every_test_that_a_promise_names_exists() {
    let root = root();
    let mut modules = BTreeMap::new();
    for folder in [
        "activity/src",
        "importer/src",
        "server/src",
        "store/src",
        "tests/tests/it",
    ] {
        sources(&root.join(folder), &mut modules);
    }
    let page = fs::read_to_string(root.join("docs/reliability.md")).expect("the page is there");
    let mut named = BTreeSet::new();
    for (module, test) in quoted(&page).filter_map(|name| name.split_once("::")) {
        let source = modules.get(module).map(String::as_str).unwrap_or_default();
        assert!(
            source.contains(&format!("fn {test}(")),
            "{module}::{test} is no test"
        );
        named.insert(test.to_owned());
    }
    assert!(named.len() > 50, "{named:#?}");
    for path in quoted(&page).filter(|name| name.contains('/') && name.ends_with(".ts")) {
        assert!(root.join(path).exists(), "{path} is not there");
    }
}

#[test]
fn every_test_of_faults_stands_behind_a_promise() {
    let root = root();
    let page = fs::read_to_string(root.join("docs/reliability.md")).expect("the page is there");
    for module in [
        "faults_postgres",
        "faults_sqlite",
        "faults_stop",
        "faults_together",
        "faults_soak",
    ] {
        let source = fs::read_to_string(root.join(format!("tests/tests/it/{module}.rs")));
        let source = source.expect("sources can be read");
        let tests = source
            .split("#[tokio::test")
            .skip(1)
            .chain(source.split("#[test]").skip(1));
        for test in tests {
            let name = test.split("fn ").nth(1).and_then(|rest| rest.split('(').next());
            let name = name.unwrap_or_default();
            assert!(
                page.contains(&format!("`{module}::{name}`")),
                "{module}::{name} is in no table"
            );
        }
    }
}
