//! Integration tests on real servers: one binary, a module for each theme. Those below `nodes` depend on the S3 nodes and
//! are run on the embedded node and on real MinIO.

#![expect(unreachable_pub, reason = "tests")]

mod architecture;
mod catalog;
mod containers;
mod journal;
mod nodes;
mod outages;
mod s3;
