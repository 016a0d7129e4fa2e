//! Says which commit this is.

#[path = "../server/build/commit.rs"]
mod commit;

fn main() {
    println!("cargo:rerun-if-changed=../server/build");
    commit::set_version();
}
