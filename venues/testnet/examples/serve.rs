//! Runs a testnet until it is stopped: `cargo run -p omnivenue-testnet --example serve [config.json]`.

use omnivenue_testnet::{Config, Testnet};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = match std::env::args().nth(1) {
        Some(path) => serde_json::from_str(&std::fs::read_to_string(path)?)?,
        None => Config::built_in(),
    };
    let testnet = Testnet::start(config)?;
    println!("{}", testnet.how_to_use());
    loop {
        std::thread::park();
    }
}
