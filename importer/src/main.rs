//! The program `kohorta-import`; see the library for what it does.

fn main() {
    std::process::exit(importer::run(std::env::args_os()));
}
