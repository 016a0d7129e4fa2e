//! `docs/reliability.md` names a test for each promise, `docs/security.md` for each rule. One whose test is gone is none.

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

/// The tests of a source: functions that say so, and those that a macro makes tests of.
fn tests_of(source: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if line == "#[test]" || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some((_, rest)) = line.split_once("fn ") {
            let name = rest.split('(').next().unwrap_or_default();
            if std::mem::take(&mut is_test) {
                found.insert(name);
            }
        } else if !line.starts_with("#[") && !line.starts_with("//") {
            is_test = false;
        }
    }
    for list in source.split("on_both_databases!(").skip(1) {
        let names = list
            .split(')')
            .next()
            .unwrap_or_default()
            .split(',')
            .map(str::trim);
        let is_there = |name: &&str| source.contains(&format!("async fn {name}("));
        found.extend(names.filter(|name| !name.is_empty()).filter(is_there));
    }
    found
}

/// The sources that may have tests, by the names of their modules.
fn modules() -> BTreeMap<String, String> {
    let mut modules = BTreeMap::new();
    for folder in [
        "activity/src",
        "importer/src",
        "server/src",
        "store/src",
        "tests/tests/it",
    ] {
        sources(&root().join(folder), &mut modules);
    }
    modules
}

/// Checks that each test that a page names exists, as `module::test`, or `module::tests` for all that a file has; gives
/// their number.
fn check_page(name: &str) -> usize {
    let modules = modules();
    let page = fs::read_to_string(root().join(name)).expect("the page is there");
    let mut named = BTreeSet::new();
    for path in quoted(&page).filter(|path| path.contains("::")) {
        let (parents, test) = path.rsplit_once("::").unwrap_or_default();
        let module = parents.rsplit("::").next().unwrap_or_default();
        let tests = tests_of(modules.get(module).map(String::as_str).unwrap_or_default());
        let exists = match test {
            "tests" => !tests.is_empty(),
            test => tests.contains(test),
        };
        assert!(exists, "{name}: {path} is no test");
        named.insert(path.to_owned());
    }
    for path in quoted(&page).filter(|name| name.contains('/') && name.ends_with(".ts")) {
        assert!(root().join(path).exists(), "{path} is not there");
    }
    named.len()
}

#[test]
fn every_test_that_a_promise_names_exists() {
    assert!(check_page("docs/reliability.md") > 50);
}

#[test]
fn every_test_that_a_rule_of_security_names_exists() {
    assert!(check_page("docs/security.md") > 40);
}

#[test]
fn only_tests_are_taken_for_tests() {
    let source = "
        fn helper() {}
        #[test]
        fn plain() {}
        #[tokio::test(flavor = \"multi_thread\")]
        /// Documented.
        async fn waiting() {}
        #[test]
        struct NotOne;
        fn after_something_else() {}
        on_both_databases!(on_both, gone,);
        async fn on_both(database: TestDatabase) {}
    ";
    assert_eq!(tests_of(source), BTreeSet::from(["plain", "waiting", "on_both"]));
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
