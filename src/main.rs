//! The doorbell of `git dispatch`: everything is in the library.

fn main() -> std::process::ExitCode {
    git_dispatch::cli::main()
}
