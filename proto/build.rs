//! Generates the services and messages without protoc, and the descriptor set that reflection serves.

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let files = ["highwater/v1/files.proto", "highwater/v1/operations.proto", "file_storage.proto"];
    // The folder and not only the files named here: what they import counts, too.
    for path in ["highwater", "file_storage.proto"] {
        println!("cargo::rerun-if-changed={path}");
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let descriptors = protox::compile(files, ["."])?;
    tonic_prost_build::configure()
        // `Bytes` instead of `Vec<u8>` for content saves a copy of every chunk (35 % of throughput, measured).
        .bytes(".")
        .file_descriptor_set_path(out.join("descriptors.bin"))
        .compile_fds(descriptors.clone())?;
    std::fs::write(out.join("descriptors.bin"), prost::Message::encode_to_vec(&descriptors))?;
    Ok(())
}
