//! The bindings, built and used as their users do: open, execute, events, shutdown, and ways to leave.
//!
//! `python3`, `node` and `timeout` are needed: what hangs has failed. The libraries are built here with the tests' own profile, and laid out as the packages are.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::run;

/// Where the libraries are, built once for all tests.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        run(Command::new(cargo)
            .args(["build", "--quiet", "--locked", "-p", "omnivenue-python", "-p", "omnivenue-node", "--manifest-path"])
            .arg(manifest));
        // The temporary folder of tests is beside the profiles' folders.
        Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in the target folder").join("debug")
    })
}

fn binding(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The Python package in a folder of its own, and an empty folder to run in.
fn python(program: &[&str]) {
    let (package, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let inside = package.path().join("omnivenue");
    std::fs::create_dir(&inside).unwrap();
    for file in std::fs::read_dir(binding("bindings-python/python/omnivenue")).unwrap() {
        let file = file.unwrap();
        if file.path().is_file() {
            std::fs::copy(file.path(), inside.join(file.file_name())).unwrap();
        }
    }
    std::fs::copy(built().join("libomnivenue_python.so"), inside.join("_omnivenue.abi3.so")).unwrap();
    run(Command::new("timeout").args(["120", "python3"]).args(program).current_dir(home.path()).env("PYTHONPATH", package.path()));
}

fn node(arguments: &[&str]) {
    let (package, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for file in ["index.js", "package.json"] {
        std::fs::copy(binding("bindings-node").join(file), package.path().join(file)).unwrap();
    }
    std::fs::copy(built().join("libomnivenue_node.so"), package.path().join("omnivenue.node")).unwrap();
    run(Command::new("timeout")
        .args(["120", "node"])
        .arg(binding("bindings-node/tests/smoke.mjs"))
        .args(arguments)
        .current_dir(home.path())
        .env("OMNIVENUE_PACKAGE", package.path()));
}

fn smoke() -> String {
    binding("bindings-python/tests/smoke.py").to_str().unwrap().to_owned()
}

#[test]
fn python_opens_executes_listens_and_shuts_down() {
    python(&[&smoke(), "works"]);
}

/// pyo3-async-runtimes #58, granian #875: hangs and crashes when the interpreter ends while a call is under way.
#[test]
fn a_python_program_that_just_ends_ends() {
    for _ in 0..20 {
        python(&[&smoke(), "leaves_it_open"]);
    }
}

#[test]
fn a_forked_python_process_gets_a_clear_error() {
    python(&[&smoke(), "forked"]);
}

/// napi-rs #1732: the process never exits, or a promise stays pending after a panic.
#[test]
fn node_opens_executes_listens_and_shuts_down() {
    node(&[]);
}

#[test]
fn a_node_program_that_just_ends_ends() {
    for _ in 0..20 {
        node(&["leaves_it_open"]);
    }
}
