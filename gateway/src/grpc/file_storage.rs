//! The tutorial's `FileStorage`: the same files, in the space `main`, as clients of that tutorial expect them.

use bytes::Bytes;
use proto::file_storage as wire;
use proto::{Actor, OnConflict, SpaceName};
use time::format_description::well_known::Rfc3339;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::messages::Messages;
use super::{answer, download};
use crate::error::{Code, Error, Result};
use crate::files::request::{self, Author, NewFile, Place, Range};
use crate::files::{Decision, Files};

/// The call metadata that may carry the file name.
const FILE_NAME: &str = "filename";
/// The same for names that are not ASCII.
const FILE_NAME_BINARY: &str = "filename-bin";

/// What the tutorial's server answers.
const UPLOADED: &str = "File uploaded successfully";

/// The service.
pub(crate) struct Service {
    files: Files,
}

impl Service {
    /// A service on `files`.
    pub(crate) fn new(files: Files) -> Self {
        Self { files }
    }

    async fn store(&self, request: Request<Streaming<wire::FileRequest>>) -> Result<wire::UploadResponse> {
        let said = name_in_metadata(request.metadata())?;
        let mut messages = Messages::new(request.into_inner(), self.files.limits());
        let first = messages.first().await?;
        let in_message = first.as_ref().map(|message| message.file_name.as_str()).filter(|name| !name.is_empty());
        let Some(name) = in_message.map(str::to_owned).or(said) else {
            let problem = "the upload names no file, neither in its first message nor in the call metadata `filename`";
            return Err(Error::new(Code::MetadataMissing, problem));
        };
        let file = new_file(&name)?;
        let chunks = messages.chunks(first.map(|message| message.file_data), move |message| chunk_of(message, &name));
        let receipt = self.files.store(file, chunks).await?.receipt;
        match receipt.decision {
            Decision::Applied | Decision::ConflictedCopy | Decision::Pending => {
                Ok(wire::UploadResponse { message: UPLOADED.to_owned() })
            }
            Decision::Rejected => Err(Error::internal(format!("event {} was rejected", receipt.event_id))),
        }
    }

    async fn open(&self, request: wire::FileDownloadRequest) -> Result<answer::Messages<wire::FileResponse>> {
        let reading = self.files.read(&place(&request.file_name)?, None, Range::WHOLE, None, None).await?;
        Ok(download::chunks(&self.files, reading, |chunk| wire::FileResponse { file_data: chunk }))
    }

    async fn look_up(&self, request: wire::FileMetadataRequest) -> Result<wire::MetadataResponse> {
        let place = place(&request.file_name)?;
        let file = self.files.file(&place, None, None, None).await?;
        let uploaded_at = file.version.row.created_at.format(&Rfc3339).map_err(Error::internal)?;
        Ok(wire::MetadataResponse {
            file_name: place.path.to_string(),
            upload_time: uploaded_at,
            version: file.version.row.version_id.to_string(),
        })
    }
}

fn place(name: &str) -> Result<Place> {
    Ok(Place { space: SpaceName::main(), path: request::path(name)? })
}

fn new_file(name: &str) -> Result<NewFile> {
    let Place { space, path } = place(name)?;
    Ok(NewFile {
        space,
        path,
        size_bytes: None,
        sha256: None,
        content_type: String::new(),
        modified_at: None,
        author: Author { actor: Actor::anonymous(), request_id: None },
        on_conflict: OnConflict::Overwrite,
        if_version: None,
        ack_replicas: 0,
    })
}

/// Later messages may repeat the name, which the tutorial's client does, but not change it.
fn chunk_of(message: wire::FileRequest, name: &str) -> Result<Bytes> {
    if message.file_name.is_empty() || message.file_name == name {
        return Ok(message.file_data);
    }
    Err(Error::new(Code::MetadataTwice, "a later message of the upload names another file"))
}

/// The file name in the call metadata, when there is one.
fn name_in_metadata(metadata: &MetadataMap) -> Result<Option<String>> {
    let bytes = match (metadata.get(FILE_NAME), metadata.get_bin(FILE_NAME_BINARY)) {
        (Some(value), _) => Bytes::copy_from_slice(value.as_encoded_bytes()),
        (None, Some(value)) => value
            .to_bytes()
            .map_err(|_| Error::new(Code::PathInvalid, "the call metadata `filename-bin` is not base64"))?,
        (None, None) => return Ok(None),
    };
    let name = std::str::from_utf8(&bytes)
        .map_err(|_| Error::new(Code::PathInvalid, "the file name in the call metadata is not UTF-8"))?;
    Ok(Some(name.to_owned()).filter(|name| !name.is_empty()))
}

#[tonic::async_trait]
impl wire::file_storage_server::FileStorage for Service {
    type DownloadFileStream = answer::Messages<wire::FileResponse>;

    async fn upload_file(
        &self,
        request: Request<Streaming<wire::FileRequest>>,
    ) -> Result<Response<wire::UploadResponse>, Status> {
        Ok(Response::new(self.store(request).await?))
    }

    async fn download_file(
        &self,
        request: Request<wire::FileDownloadRequest>,
    ) -> Result<Response<Self::DownloadFileStream>, Status> {
        Ok(Response::new(self.open(request.into_inner()).await?))
    }

    async fn get_metadata(
        &self,
        request: Request<wire::FileMetadataRequest>,
    ) -> Result<Response<wire::MetadataResponse>, Status> {
        Ok(Response::new(self.look_up(request.into_inner()).await?))
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    fn name(key: &'static str, value: &[u8]) -> Result<Option<String>> {
        let mut headers = HeaderMap::new();
        headers.insert(key, HeaderValue::from_bytes(value).unwrap());
        name_in_metadata(&MetadataMap::from_headers(headers))
    }

    #[test]
    fn the_name_may_come_with_the_call() {
        assert_eq!(name("filename", b"a.txt").unwrap().as_deref(), Some("a.txt"));
        assert_eq!(name("filename", "\u{fc}.txt".as_bytes()).unwrap().as_deref(), Some("\u{fc}.txt"));
        assert_eq!(name("filename-bin", b"w7wudHh0").unwrap().as_deref(), Some("\u{fc}.txt"));
        assert_eq!(name("filename", b"").unwrap(), None);
        assert_eq!(name("other", b"a").unwrap(), None);
    }

    #[test]
    fn a_name_that_is_no_text_is_refused() {
        assert_eq!(name("filename", b"\xff\xfe").unwrap_err().code(), Code::PathInvalid);
        assert_eq!(name("filename-bin", b"!!").unwrap_err().code(), Code::PathInvalid);
    }

    #[test]
    fn a_name_may_be_repeated_but_not_changed() {
        let message = |name: &str| wire::FileRequest { file_data: Bytes::new(), file_name: name.to_owned() };
        assert!(chunk_of(message("a"), "a").is_ok());
        assert!(chunk_of(message(""), "a").is_ok());
        assert_eq!(chunk_of(message("b"), "a").unwrap_err().code(), Code::MetadataTwice);
    }

    #[test]
    fn names_are_paths() {
        assert_eq!(new_file("a/b.txt").unwrap().path.as_str(), "a/b.txt");
        for name in ["", "../a", "/a", "a\0"] {
            assert_eq!(new_file(name).unwrap_err().code(), Code::PathInvalid);
        }
    }
}
