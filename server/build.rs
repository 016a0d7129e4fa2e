//! Embeds the playground anew when its build output changes (the macro that embeds it does not see new files), and
//! says which commit this is.

#[path = "build/commit.rs"]
mod commit;

fn main() {
    println!("cargo:rerun-if-changed=../playground/dist");
    println!("cargo:rerun-if-changed=build");
    commit::set_version();
}
