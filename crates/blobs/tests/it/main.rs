//! The crate on real S3 servers, through a proxy that breaks things: the same tests on s3s-fs, which is in this process,
//! and on MinIO, when a `minio` program is there.

#![expect(clippy::unwrap_used, reason = "this is all test code")]

mod cluster;
mod fs;
mod minio;
mod proxy;

mod copying;
mod erasing;
mod health;
mod probing;
mod reading;
mod resumable;
mod uploading;

/// Makes one test of each function on each server.
#[macro_export]
macro_rules! on_each_server {
    ($($(#[$attribute:meta])* $name:ident)*) => {
        mod on_fs {
            $(
                $(#[$attribute])*
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name($crate::cluster::Cluster::on_fs().await).await;
                }
            )*
        }
        mod on_minio {
            $(
                $(#[$attribute])*
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    if let Some(cluster) = $crate::cluster::Cluster::on_minio(stringify!($name)).await {
                        super::$name(cluster).await;
                    }
                }
            )*
        }
    };
}
