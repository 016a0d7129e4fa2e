//! `Dockerfile` and `docker-compose.yml`: what can be held without an engine. Nothing is exposed, nothing has a default
//! password, everything that runs is watched, and every name means something.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::CommandFactory as _;
use serde_json::{Map, Value};
use server::config::Config;
use tests::kohorta::{Kohorta, KohortaOptions};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the workspace")
}

fn text(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn compose() -> Value {
    serde_norway::from_str(&text("docker-compose.yml")).expect("docker-compose.yml is YAML")
}

fn members(value: &Value) -> &Map<String, Value> {
    value.as_object().expect("a mapping")
}

fn strings(value: &Value) -> Vec<&str> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().map(|item| item.as_str().expect("a text")).collect()
}

/// Each `${NAME…}` of the file: the name and what follows it, such as `:?message` or `:-default`.
fn variables(text: &str) -> Vec<(&str, &str)> {
    let after = text.split("${").skip(1);
    after
        .map(|rest| {
            let inside = rest.split('}').next().expect("a variable ends");
            let end = inside
                .find(|character: char| !character.is_ascii_alphanumeric() && character != '_')
                .unwrap_or(inside.len());
            inside.split_at(end)
        })
        .collect()
}

#[test]
fn plain_up_runs_kohorta_and_its_database_only() {
    let compose = compose();
    let plain = members(&compose["services"])
        .iter()
        .filter(|(_, service)| service["profiles"].is_null());
    let plain: BTreeSet<&str> = plain.map(|(name, _)| name.as_str()).collect();
    assert_eq!(plain, BTreeSet::from(["kohorta", "postgres"]));
}

#[test]
fn every_port_is_bound_to_loopback_and_the_database_has_none() {
    let compose = compose();
    for (name, service) in members(&compose["services"]) {
        for port in strings(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name} is exposed: {port}");
        }
    }
    assert!(compose["services"]["postgres"]["ports"].is_null());
}

#[test]
fn secrets_are_asked_for_and_have_no_default() {
    let compose = text("docker-compose.yml");
    let example = text(".env.example");
    for (name, rest) in variables(&compose) {
        if name == "KOHORTA_COMMIT" {
            continue;
        }
        assert!(
            rest.starts_with(":?"),
            "{name} must be required: ${{{name}{rest}}}"
        );
        assert!(
            example.lines().any(|line| line == format!("{name}=")),
            ".env.example does not name {name}"
        );
    }
}

#[test]
fn what_keeps_running_is_watched_and_started_after_what_it_needs() {
    let compose = compose();
    let services = members(&compose["services"]);
    for (name, service) in services {
        let ends = service["restart"] == "no";
        let of_image = name == "kohorta" && text("Dockerfile").contains("\nHEALTHCHECK ");
        assert!(
            ends || of_image || service["healthcheck"]["test"].is_array(),
            "{name} has no health check"
        );
        for (needed, how) in service["depends_on"].as_object().into_iter().flatten() {
            assert!(
                services.contains_key(needed),
                "{name} needs {needed}, which is no service"
            );
            assert_eq!(how["condition"], "service_healthy", "{name} on {needed}");
        }
    }
}

#[test]
fn what_is_mounted_and_built_exists() {
    let compose = compose();
    let stages = text("Dockerfile");
    for (name, service) in members(&compose["services"]) {
        for mount in strings(&service["volumes"]) {
            let source = mount.split(':').next().unwrap_or_default();
            let known = match source.strip_prefix("./") {
                Some(path) => root().join(path).exists() && mount.ends_with(":ro"),
                None => compose["volumes"].get(source).is_some(),
            };
            assert!(known, "{name} mounts {mount}");
        }
        if let Some(target) = service["build"]["target"].as_str() {
            assert!(
                stages.contains(&format!(" AS {target}\n")),
                "{name} is built from {target}"
            );
        }
    }
}

#[test]
fn the_server_runs_as_an_ordinary_user_on_a_root_that_cannot_be_written() {
    let compose = compose();
    let server = &compose["services"]["kohorta"];
    assert_eq!(server["read_only"], true);
    assert_eq!(server["cap_drop"][0], "ALL");
    assert_eq!(server["security_opt"][0], "no-new-privileges:true");
    let dockerfile = text("Dockerfile");
    let last = dockerfile.rsplit("\nFROM ").next().expect("a last stage");
    assert!(
        last.contains("\nUSER 10001\n") && last.contains("\nSTOPSIGNAL SIGTERM\n"),
        "{last}"
    );
}

#[test]
fn temporary_files_lie_where_the_server_may_write() {
    let dockerfile = text("Dockerfile");
    let last = dockerfile.rsplit("\nFROM ").next().expect("a last stage");
    assert!(
        last.contains("\nVOLUME /var/lib/kohorta\n") && last.contains(" TMPDIR=/var/lib/kohorta\n"),
        "{last}"
    );
}

/// Some of them fill a disk, and mount a small one for it.
#[test]
fn nobody_but_the_tests_has_a_right_beyond_the_usual() {
    let compose = compose();
    for (name, service) in members(&compose["services"]) {
        let expected = if name == "tests" {
            vec!["SYS_ADMIN"]
        } else {
            Vec::new()
        };
        assert_eq!(strings(&service["cap_add"]), expected, "{name}");
        assert!(service["privileged"].is_null(), "{name}");
    }
}

/// A database whose time zone was changed by `kohorta rebuild` would not be served any more.
#[test]
fn the_time_zone_is_given_only_where_somebody_sets_it() {
    let compose = compose();
    let environment = members(&compose["services"]["kohorta"]["environment"]);
    assert_eq!(environment.get("KOHORTA_TIMEZONE"), Some(&Value::Null));
}

#[test]
fn every_setting_is_one_that_the_server_knows() {
    let command = Config::command();
    let mut known: BTreeSet<&str> = command
        .get_arguments()
        .filter_map(|option| option.get_env()?.to_str())
        .collect();
    // Read when the programs are built.
    known.insert("KOHORTA_COMMIT");
    let files = text("docker-compose.yml") + &text("Dockerfile");
    let words = files.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    let settings: BTreeSet<&str> = words.filter(|word| word.starts_with("KOHORTA_")).collect();
    assert!(settings.contains("KOHORTA_LISTEN"));
    for setting in settings {
        assert!(known.contains(setting), "the server knows no {setting}");
    }
}

/// What the engine runs inside the container, with another port.
fn health_check(port: u16) -> Command {
    let dockerfile = text("Dockerfile");
    let (_, check) = dockerfile.split_once("\nHEALTHCHECK ").expect("a health check");
    let (_, words) = check.split_once("CMD ").expect("a command");
    let words = words.lines().next().unwrap_or_default();
    let words: Vec<String> = serde_json::from_str(words).expect("the command is a list of texts");
    let mut command = Command::new(&words[0]);
    command.args(
        words[1..]
            .iter()
            .map(|word| word.replace("8000", &port.to_string())),
    );
    command.stderr(Stdio::null());
    command
}

#[test]
fn the_health_check_tells_a_server_from_none() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut server = Kohorta::serve(&KohortaOptions {
        directory: Some(folder.path().to_owned()),
        ..KohortaOptions::default()
    })
    .expect("the server starts");
    let port = server.address().port();
    let healthy = || health_check(port).status().expect("bash runs").success();
    assert!(healthy());
    server.kill();
    assert!(!healthy());
}
