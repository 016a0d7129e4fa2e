//! The documentation is true: its commands are run, its answers compared, its lists held against the code.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::CommandFactory as _;
use serde_json::{Value, json};
use server::config::Config;
use tests::kohorta::{Kohorta, KohortaOptions};
use tests::markdown::{Block, blocks, says};
use tests::programs::output_directory;

/// The pages whose every command is run, or marked `by-hand`.
const PAGES: [&str; 6] = [
    "README.md",
    "CONTRIBUTING.md",
    "docs/ingesting.md",
    "docs/querying.md",
    "docs/operating.md",
    "docs/scaling.md",
];

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("the crate lies in the workspace").to_owned()
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A folder with a server of its own, in which the blocks of one page are run in order.
struct Reader {
    page: &'static str,
    folder: tempfile::TempDir,
    server: Kohorta,
}

impl Reader {
    fn of(page: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["examples", "schema.graphql"] {
            symlink(root().join(name), folder.path().join(name)).expect("a link can be made");
        }
        let options = KohortaOptions {
            directory: Some(folder.path().to_owned()),
            ..KohortaOptions::default()
        };
        let server = Kohorta::serve(&options).expect("the server starts");
        Self { page, folder, server }
    }

    /// Runs a block, and says what it wrote to standard output.
    async fn run(&self, block: &Block) -> String {
        let place = format!("{}:{}", self.page, block.line);
        let text = at(&block.text, self.server.address());
        let (program, arguments) = match block.language.as_str() {
            "graphql" => return self.ask(&text).await,
            "sh" => ("bash", vec!["-euo", "pipefail", "-c", &text]),
            "js" => ("node", vec!["--input-type=module", "-e", &text]),
            "python" => ("python3", vec!["-c", &text]),
            other => panic!("{place}: nobody knows how to run {other}"),
        };
        let programs = output_directory().expect("the programs are somewhere");
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("PATH", format!("{}:{path}", programs.display()))
            .env_remove("DATABASE_URL");
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        let output = output.expect("the command is waited for");
        let output = output.unwrap_or_else(|error| panic!("{place}: cannot run {program}: {error}"));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{place}: {}\n{said}{complaint}",
            output.status
        );
        said
    }

    async fn ask(&self, query: &str) -> String {
        let answer = self.server.client().graphql(query, &json!({})).await;
        answer.expect("an answer").text()
    }

    fn compare(&self, said: &str, expected: &Block) {
        let place = format!("{}:{}", self.page, expected.line);
        let pattern = at(&expected.text, self.server.address());
        if expected.language != "json" {
            assert!(says(said, &pattern), "{place} should be\n{said}");
            return;
        }
        let said: Value =
            serde_json::from_str(said).unwrap_or_else(|error| panic!("{place}: {error}\n{said}"));
        let pattern: Value =
            serde_json::from_str(&pattern).unwrap_or_else(|error| panic!("{place}: {error}"));
        assert!(json_says(&said, &pattern), "{place} should be\n{said:#}");
    }
}

/// The page's address and paths are those of an installed server; here it is another port and a debug build.
fn at(text: &str, address: SocketAddr) -> String {
    let programs = output_directory().expect("the programs are somewhere");
    text.replace("127.0.0.1:8000", &address.to_string())
        .replace("target/release/", &format!("{}/", programs.display()))
}

/// Whether `said` equals `pattern`, in which a text with `…` stands for any value of that form.
fn json_says(said: &Value, pattern: &Value) -> bool {
    match (said, pattern) {
        (_, Value::String(pattern)) if pattern == "…" => true,
        (Value::String(said), Value::String(pattern)) => says(said, pattern),
        (Value::Object(said), Value::Object(pattern)) => {
            said.len() == pattern.len()
                && pattern
                    .iter()
                    .all(|(key, pattern)| said.get(key).is_some_and(|said| json_says(said, pattern)))
        }
        (Value::Array(said), Value::Array(pattern)) => {
            said.len() == pattern.len()
                && said
                    .iter()
                    .zip(pattern)
                    .all(|(said, pattern)| json_says(said, pattern))
        }
        _ => said == pattern,
    }
}

async fn every_command_does_what_the_page_says(page_name: &'static str) {
    let reader = Reader::of(page_name);
    let mut said: Option<String> = None;
    for block in blocks(&page(page_name)) {
        if block.is("answer") {
            let said = said
                .take()
                .unwrap_or_else(|| panic!("{page_name}:{} answers nothing", block.line));
            reader.compare(&said, &block);
        } else if block.is("run") {
            said = Some(reader.run(&block).await);
        } else {
            let runnable = ["sh", "graphql", "js", "python"].contains(&block.language.as_str());
            assert!(
                !runnable || block.is("by-hand"),
                "{page_name}:{} is not run",
                block.line
            );
        }
    }
}

macro_rules! pages {
    ($($test:ident: $page:expr),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                every_command_does_what_the_page_says($page).await;
            }
        )+
    };
}

pages!(
    the_readme_is_true: PAGES[0],
    contributing_is_true: PAGES[1],
    ingesting_is_true: PAGES[2],
    querying_is_true: PAGES[3],
    operating_is_true: PAGES[4],
    scaling_is_true: PAGES[5],
);

#[test]
fn every_link_between_pages_leads_somewhere() {
    let mut pages: Vec<PathBuf> = vec![
        root().join("README.md"),
        root().join("CONTRIBUTING.md"),
        root().join("ARCHITECTURE.md"),
    ];
    for folder in ["docs", "docs/decisions", "examples"] {
        let entries = fs::read_dir(root().join(folder)).expect("the folder is there");
        pages.extend(entries.map(|entry| entry.expect("an entry").path()));
    }
    for page in pages
        .iter()
        .filter(|page| page.extension().is_some_and(|end| end == "md"))
    {
        let text = fs::read_to_string(page).expect("a page");
        for link in text.split("](").skip(1) {
            let target = link.split([')', ' ', '#']).next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let path = page.parent().expect("a folder").join(target);
            assert!(path.exists(), "{}: {target} is not there", page.display());
        }
    }
}

/// The first cells of the tables of a page, without their quotes.
fn first_cells(page: &str) -> BTreeSet<String> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| Some(row.split_once('`')?.0.to_owned()))
        .collect()
}

#[test]
fn operating_lists_every_option_with_its_variable_and_default() {
    let text = page("docs/operating.md");
    for option in Config::command().get_arguments() {
        let Some(name) = option
            .get_long()
            .filter(|name| !["help", "version"].contains(name))
        else {
            continue;
        };
        let row = text
            .lines()
            .find(|line| line.starts_with(&format!("| `--{name}` |")));
        let row = row.unwrap_or_else(|| panic!("docs/operating.md has no row for --{name}"));
        let variable = option
            .get_env()
            .and_then(|variable| variable.to_str())
            .unwrap_or_default();
        assert!(
            row.contains(&format!("`{variable}`")),
            "{row} does not name {variable}"
        );
        for default in option.get_default_values() {
            let default = default.to_str().unwrap_or_default();
            assert!(
                row.contains(&format!("`{default}`")),
                "{row} does not say {default}"
            );
        }
    }
    let known: BTreeSet<String> = Config::command()
        .get_arguments()
        .filter_map(|option| Some(format!("--{}", option.get_long()?)))
        .collect();
    for named in first_cells(&text).iter().filter(|cell| cell.starts_with("--")) {
        assert!(
            known.contains(named),
            "docs/operating.md lists {named}, which is no option"
        );
    }
}

#[test]
fn operating_says_what_every_command_is_for() {
    let text = page("docs/operating.md");
    for command in Config::command().get_subcommands() {
        let name = format!("kohorta {}", command.get_name());
        assert!(
            text.contains(&name),
            "docs/operating.md does not mention `{name}`"
        );
    }
}

#[test]
fn operating_lists_every_metric_and_no_other() {
    let listed: BTreeSet<String> = first_cells(&page("docs/operating.md"))
        .into_iter()
        .filter(|cell| {
            ["kohorta_", "http_", "process_"]
                .iter()
                .any(|prefix| cell.starts_with(prefix))
        })
        .collect();
    let declared = fs::read_to_string(root().join("server/src/metrics.rs")).expect("the source");
    let declared: BTreeSet<String> = declared
        .lines()
        .filter_map(|line| line.strip_prefix("//! | `"))
        .filter_map(|row| Some(row.split_once('`')?.0.to_owned()))
        .collect();
    assert_eq!(listed, declared);
}

#[test]
fn operating_says_what_to_do_about_every_alert() {
    let text = page("docs/operating.md");
    let alerts = page("operate/prometheus/alerts.yml");
    for alert in alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
    {
        assert!(
            text.contains(&format!("| `{alert}` |")),
            "docs/operating.md does not say what to do about {alert}"
        );
    }
}

#[test]
fn operating_names_every_code_of_errors() {
    let text = page("docs/operating.md");
    let codes = fs::read_to_string(root().join("server/src/error_code.rs")).expect("the source");
    let codes = codes
        .lines()
        .filter_map(|line| line.split_once("=> \"")?.1.strip_suffix("\","));
    let mut count = 0;
    for code in codes {
        count += 1;
        assert!(
            text.contains(&format!("| `{code}` |")),
            "docs/operating.md does not explain {code}"
        );
    }
    assert!(count > 10, "the codes stand elsewhere now");
}
