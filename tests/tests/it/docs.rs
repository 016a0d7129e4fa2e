//! The documentation is true: its commands are run, its answers compared, its lists held against the code.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
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
const PAGES: [&str; 12] = [
    "README.md",
    "CONTRIBUTING.md",
    "docs/ingesting.md",
    "docs/querying.md",
    "docs/operating.md",
    "docs/scaling.md",
    "docs/live.md",
    "docs/security.md",
    "docs/importing.md",
    "docs/privacy.md",
    "docs/expiry.md",
    "docs/exploring.md",
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
    live_is_true: PAGES[6],
    security_is_true: PAGES[7],
    importing_is_true: PAGES[8],
    privacy_is_true: PAGES[9],
    expiry_is_true: PAGES[10],
    exploring_is_true: PAGES[11],
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

/// Holds what stands between `<!-- name -->` and `<!-- /name -->` in docs/operating.md, or puts it there if
/// `UPDATE_DOCS` is set.
fn hold_generated(name: &str, rows: &str) {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let text = page("docs/operating.md");
    let (before, rest) = text.split_once(&begin).expect("the beginning of the list");
    let (present, after) = rest.split_once(&end).expect("the end of the list");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let text = format!("{before}{begin}{rows}{end}{after}");
        fs::write(root().join("docs/operating.md"), text).expect("the page can be written");
        return;
    }
    assert_eq!(
        present, rows,
        "docs/operating.md is behind; UPDATE_DOCS=1 cargo nextest run -p tests operating"
    );
}

#[test]
fn operating_lists_every_option_with_its_variable_and_default() {
    let mut rows = String::from("| option | variable | default | |\n|---|---|---|---|\n");
    for option in Config::command().get_arguments() {
        let Some(name) = option
            .get_long()
            .filter(|name| !["help", "version"].contains(name))
        else {
            continue;
        };
        let code = |text: &str| {
            if text.is_empty() {
                "–".to_owned()
            } else {
                format!("`{text}`")
            }
        };
        let variable = option.get_env().and_then(OsStr::to_str).unwrap_or_default();
        let defaults = option
            .get_default_values()
            .iter()
            .filter_map(|value| value.to_str());
        // A switch that is off has "false" as its default, which nobody would write.
        let default = defaults
            .filter(|_| option.get_action().takes_values())
            .collect::<String>();
        let help = option.get_help().map(ToString::to_string).unwrap_or_default();
        let (variable, default, help) = (code(variable), code(&default), help.replace('|', "\\|"));
        rows.push_str(&format!("| `--{name}` | {variable} | {default} | {help} |\n"));
    }
    hold_generated("options", &rows);
}

#[test]
fn operating_explains_every_code_of_errors() {
    let source = fs::read_to_string(root().join("server/src/error_code.rs")).expect("the source");
    let mut meanings = BTreeMap::new();
    let mut codes = Vec::new();
    let mut comment = Vec::new();
    for line in source.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("/// ") {
            comment.push(text);
            continue;
        }
        let comment = std::mem::take(&mut comment).join(" ");
        if let Some(variant) = line.strip_suffix(',').filter(|_| !comment.is_empty()) {
            meanings.insert(variant.to_owned(), comment);
        }
        let named = line
            .strip_prefix("Self::")
            .and_then(|rest| rest.strip_suffix("\","));
        if let Some((variant, code)) = named.and_then(|named| named.split_once(" => \"")) {
            codes.push((variant.to_owned(), code.to_owned()));
        }
    }
    assert!(codes.len() > 10, "the codes stand elsewhere now");
    let mut rows = String::from("| code | meaning |\n|---|---|\n");
    for (variant, code) in codes {
        rows.push_str(&format!(
            "| `{code}` | {} |\n",
            meanings[&variant].trim_end_matches('.')
        ));
    }
    hold_generated("codes", &rows);
}

/// The first cells of the tables of a page, without their quotes.
fn first_cells(page: &str) -> BTreeSet<String> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| Some(row.split_once('`')?.0.to_owned()))
        .collect()
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
