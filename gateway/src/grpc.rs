//! gRPC: thin translations between the services' messages and [`crate::files::Files`].

mod answer;
mod convert;
mod download;
mod file_storage;
mod files;
mod messages;
mod operations;
mod pages;

use proto::file_storage::file_storage_server::FileStorageServer;
use proto::v1::files_server::FilesServer;
use proto::v1::operations_server::OperationsServer;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::pb::health_server::{Health, HealthServer};

use crate::files::Files;

/// The services whose health is told one by one.
pub(crate) const SERVICES: [&str; 3] = [
    <FilesServer<files::Service> as NamedService>::NAME,
    <OperationsServer<operations::Service> as NamedService>::NAME,
    <FileStorageServer<file_storage::Service> as NamedService>::NAME,
];

/// All services, with health and reflection.
pub(crate) fn routes(files: &Files, health: HealthServer<impl Health>) -> anyhow::Result<Routes> {
    // Above the limit of a chunk, so that a chunk that is a little too large gets our own sentence.
    let message_bytes = usize::try_from(files.limits().chunk_bytes + messages::MESSAGE_OVERHEAD_BYTES)?;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .include_reflection_service(true)
    };
    let mut routes = Routes::builder();
    routes
        .add_service(
            FilesServer::new(files::Service::new(files.clone()))
                .max_decoding_message_size(message_bytes)
                .max_encoding_message_size(usize::MAX),
        )
        .add_service(
            FileStorageServer::new(file_storage::Service::new(files.clone()))
                .max_decoding_message_size(message_bytes)
                .max_encoding_message_size(usize::MAX),
        )
        .add_service(
            OperationsServer::new(operations::Service::new(files.clone()))
                .max_decoding_message_size(message_bytes)
                .max_encoding_message_size(usize::MAX),
        )
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    Ok(routes.routes())
}
