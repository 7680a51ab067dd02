//! The same bytes straight to the nodes, with aws-sdk-s3 set up as well as we know.

use std::fs;

use aws_credential_types::Credentials;
use aws_sdk_s3::config::{BehaviorVersion, Region, RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::operation::head_object::HeadObjectError;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use compose::NodeEntry;

/// A client of one node.
#[derive(Debug, Clone)]
pub(crate) struct Direct {
    client: aws_sdk_s3::Client,
    bucket: String,
}

impl Direct {
    pub(crate) fn new(entry: &NodeEntry) -> anyhow::Result<Self> {
        Self::of_bucket(entry, &entry.bucket)
    }

    /// A client for another bucket than Highwater's.
    pub(crate) fn of_bucket(entry: &NodeEntry, bucket: &str) -> anyhow::Result<Self> {
        let secret = fs::read_to_string(&entry.secret_key_file)?;
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(entry.region.clone()))
            .endpoint_url(&entry.endpoint)
            .force_path_style(true)
            .credentials_provider(Credentials::new(&entry.access_key, secret.trim(), None, None, "bench"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .build();
        Ok(Self { client: aws_sdk_s3::Client::from_conf(config), bucket: bucket.to_owned() })
    }

    pub(crate) async fn create_bucket(&self) -> anyhow::Result<()> {
        self.client.create_bucket().bucket(&self.bucket).send().await?;
        Ok(())
    }

    pub(crate) async fn put(&self, key: String, bytes: Bytes) -> anyhow::Result<()> {
        let body = ByteStream::from(bytes);
        self.client.put_object().bucket(&self.bucket).key(key).body(body).send().await?;
        Ok(())
    }

    pub(crate) async fn get(&self, key: String) -> anyhow::Result<u64> {
        let mut body = self.client.get_object().bucket(&self.bucket).key(key).send().await?.body;
        let mut size = 0;
        while let Some(chunk) = body.try_next().await? {
            size += chunk.len() as u64;
        }
        Ok(size)
    }

    pub(crate) async fn has(&self, key: &str) -> anyhow::Result<bool> {
        match self.client.head_object().bucket(&self.bucket).key(key).send().await {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(HeadObjectError::is_not_found) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// How many objects there are below a prefix.
    pub(crate) async fn count(&self, prefix: &str) -> anyhow::Result<u64> {
        let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(format!("{prefix}/"));
        let mut pages = list.into_paginator().send();
        let mut count = 0;
        while let Some(page) = pages.try_next().await? {
            count += page.contents().len() as u64;
        }
        Ok(count)
    }
}
