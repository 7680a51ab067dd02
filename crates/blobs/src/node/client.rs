//! The SDK's client, for what is XML.

use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Region, RequestChecksumCalculation, ResponseChecksumValidation, SharedCredentialsProvider,
    StalledStreamProtectionConfig,
};
use aws_smithy_runtime_api::client::http::http_client_fn;

use crate::transport::Transport;
use crate::{Config, NodeConfig};

/// A client on the transport's connections. It never retries: `runtime::retry` does.
pub(super) fn new(node: &NodeConfig, config: &Config, transport: &Transport) -> aws_sdk_s3::Client {
    let connector = transport.connector();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(config.connect_timeout)
        .operation_timeout(config.operation_timeout)
        .disable_read_timeout()
        .disable_operation_attempt_timeout()
        .build();
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(node.region.clone()))
        .endpoint_url(node.endpoint.trim_end_matches('/'))
        .force_path_style(true)
        .credentials_provider(SharedCredentialsProvider::new(transport.credentials()))
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .build();
    aws_sdk_s3::Client::from_conf(config)
}
