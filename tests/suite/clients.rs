//! Clients that others wrote trade on the testnet, unchanged: it speaks the venues' protocols, not our idea of them.
//!
//! They are Python packages, installed into an environment of their own under the target directory: `python3` with its `venv` module and
//! a package index are needed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use omnivenue_testnet::{Config, Testnet};

use crate::support::run;

/// Where the programs are.
fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// The interpreter that has the clients; made once for each list of them.
fn python() -> PathBuf {
    let requirements = programs().join("requirements.txt");
    let wanted = std::fs::read_to_string(&requirements).unwrap();
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(place).unwrap();
    // Tests that run at once make it once.
    let lock = File::create(place.join("clients.lock")).unwrap();
    lock.lock().unwrap();
    let (home, mark) = (place.join("clients"), place.join("clients/requirements.txt"));
    let python = home.join("bin/python");
    if std::fs::read_to_string(&mark).ok().as_deref() != Some(wanted.as_str()) {
        let _ = std::fs::remove_dir_all(&home);
        run(Command::new("python3").args(["-m", "venv"]).arg(&home));
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(&requirements));
        std::fs::write(mark, wanted).unwrap();
    }
    python
}

/// A client's program against a testnet of its own: it compares what it was told with what the exchange recorded.
fn trades(program: &str) {
    let python = python();
    let testnet = Testnet::start(Config::of_venues(["hyperliquid"]).unwrap()).unwrap();
    let venue = &testnet.urls()["hyperliquid"];
    let account = Config::built_in().hyperliquid.unwrap().accounts.remove(0);
    let (key, address) = (account.test_key.unwrap(), account.address);
    let said = run(Command::new(python)
        .arg(programs().join(program))
        .args([venue.rest.as_str(), testnet.admin_url(), key.as_str(), address.as_str()])
        .env("PYTHONUNBUFFERED", "1"));
    println!("{said}");
    assert!(said.lines().count() > 10, "it has hardly done anything:\n{said}");
}

#[test]
fn the_official_python_sdk_trades_on_the_testnet() {
    trades("hyperliquid_sdk.py");
}

#[test]
fn ccxt_trades_on_the_testnet() {
    trades("ccxt_hyperliquid.py");
}
