//! Embeds the playground anew when its build output changes: the macro that embeds it does not see new files.

fn main() {
    println!("cargo:rerun-if-changed=../playground/dist");
}
