//! The tutorial's service is the tutorial's: its clients bring their own .proto file.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the descriptors has failed")]

use std::fmt::Write as _;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{FileDescriptorProto, FileDescriptorSet};

const WANTED: &str = "\
UploadFile(stream .FileRequest) returns .UploadResponse
DownloadFile(.FileDownloadRequest) returns stream .FileResponse
GetMetadata(.FileMetadataRequest) returns .MetadataResponse
FileRequest.fileData = 1: Optional Bytes
FileRequest.fileName = 2: Optional String
UploadResponse.message = 1: Optional String
FileDownloadRequest.fileName = 1: Optional String
FileResponse.fileData = 1: Optional Bytes
FileMetadataRequest.fileName = 1: Optional String
MetadataResponse.fileName = 1: Optional String
MetadataResponse.uploadTime = 2: Optional String
MetadataResponse.version = 3: Optional String
";

fn described(file: &FileDescriptorProto) -> String {
    let stream = |is_stream: Option<bool>| if is_stream == Some(true) { "stream " } else { "" };
    let mut all = String::new();
    for method in file.service.iter().flat_map(|service| &service.method) {
        let (input, output) = (stream(method.client_streaming), stream(method.server_streaming));
        let (takes, gives) = (method.input_type(), method.output_type());
        writeln!(all, "{}({input}{takes}) returns {output}{gives}", method.name()).unwrap();
    }
    for message in &file.message_type {
        for field in &message.field {
            let (label, kind): (Label, Type) = (field.label(), field.r#type());
            writeln!(all, "{}.{} = {}: {label:?} {kind:?}", message.name(), field.name(), field.number()).unwrap();
        }
    }
    all
}

#[test]
fn the_tutorials_service_has_exactly_its_messages() {
    let set = FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET).unwrap();
    let file = set.file.iter().find(|file| file.name() == "file_storage.proto").unwrap();
    let services: Vec<&str> = file.service.iter().map(prost_types::ServiceDescriptorProto::name).collect();
    assert_eq!((file.package(), file.syntax(), services), ("", "proto3", vec!["FileStorage"]));
    // Nor presence, which a client that leaves a field out would change.
    assert!(file.message_type.iter().all(|message| message.oneof_decl.is_empty() && message.nested_type.is_empty()));
    assert_eq!(described(file), WANTED);
}
