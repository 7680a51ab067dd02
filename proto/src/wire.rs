//! The generated messages and services, in the packages' names.

#[expect(
    missing_docs,
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::large_enum_variant,
    reason = "generated; the .proto files carry the documentation"
)]
/// `highwater.v1`: the services `Files` and `Operations`.
pub mod v1 {
    tonic::include_proto!("highwater.v1");
}

#[expect(
    missing_docs,
    clippy::pedantic,
    clippy::allow_attributes,
    reason = "generated; the .proto files carry the documentation"
)]
/// The tutorial's unpackaged service `FileStorage`.
pub mod file_storage {
    tonic::include_proto!("_");
}
