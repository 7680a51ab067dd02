//! Integration tests on real servers: one binary, a module for each theme. Those that depend on the S3 nodes (`nodes`,
//! `replication`, and some others that the Makefile lists) are run on the embedded node and on real MinIO.

#![expect(unreachable_pub, clippy::unwrap_used, reason = "tests: a failure is a panic with a sentence")]

mod architecture;
mod catalog;
mod config;
mod containers;
mod demo;
mod files;
mod journal;
mod metrics;
mod nodes;
mod outages;
mod outside;
mod plain;
mod replication;
mod runner;
mod s3;
mod shapes;
mod shutdown;
mod surface;
mod tutorial;
