# Targets for people and CI. Needs only GNU make 3.81, a POSIX shell, Rust, Go and a C compiler; the logic is in the
# program `compose`. Settings are taken from the command line or the environment:
#
#   make up NATS_URL=.. DATABASE_URL=.. NODES_FILE=..   start only what is not given
#   make demo NODES=minio                               the nodes: auto (default), minio, embedded
#   make test INSTALL=no                                only say what would be installed
#   make up HIGHWATER_PORT_BASE=8000 HIGHWATER_DATA=..  other ports, other data
.POSIX:

CARGO = cargo
# Where Cargo puts programs: CARGO_TARGET_DIR when it is set, else target/.
BIN = $${CARGO_TARGET_DIR:-target}/debug
RELEASE_BIN = $${CARGO_TARGET_DIR:-target}/release
# The programs that `compose install` found or made, for tests that start one themselves.
WITH_SERVERS = PATH="$$("$(BIN)/compose" path):$$PATH"
DENY_VERSION = 0.20.2
# Docker Compose is built for one check only: people may do without it, and CI not.
FOR_TESTS = $${CI:+--also docker-compose}
# Half as many more tests at once as there are processors, since many of them wait for what is timed: with two of two the
# processors were idle for a quarter of the time. RUST_TEST_THREADS says another number.
# The servers written in Go then only wake each other with more than a thread for each.
AT_ONCE = GOMAXPROCS=$${GOMAXPROCS:-1} RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$((($$(getconf _NPROCESSORS_ONLN) * 3 + 1) / 2))}
# What depends on the S3 nodes: their tests, what is interrupted in the middle of a transfer, uploads in parts.
ON_NODES = nodes:: replication:: journal::archive files::resume:: shutdown::the_gateway shutdown::a_second_signal \
  shutdown::a_replicator on_minio
# But not what is about requests, the catalog, the lines to other servers, and who copies what and when: the nodes only
# stand by.
NOT_ON_NODES = $(NODES_STAND_BY:%=--skip %)
NODES_STAND_BY = nodes::bad_input::names nodes::bad_input::invalid nodes::bad_input::streams \
  nodes::bad_input::downloads nodes::bad_input::the_same nodes::retention replication::again \
  replication::catching_up replication::explain replication::lag replication::lines replication::origins \
  replication::placement replication::scale replication::weights

.PHONY: help demo up test test-nodes build build-tests lint deny bench soak

help:
	@echo "make demo        show the whole story: installs what is missing, builds, runs, stops"
	@echo "make up          start everything and stay in the foreground; Ctrl-C stops it, the data stay"
	@echo "make test        all tests, on real servers; the S3 nodes are embedded ones"
	@echo "make test-nodes  the tests that depend on the S3 nodes, on real MinIO"
	@echo "make lint        formatting, clippy, documentation, the .proto files, the catalog's queries; all warnings are errors"
	@echo "make deny        licences, sources and banned crates (installs cargo-deny when it is missing)"
	@echo "make bench       measure a release build beside its peers (installs rclone and mc)"
	@echo "make soak        the kill test with 200 kills"

build:
	$(CARGO) build --workspace --bins

# All programs first, with the tests: `cargo test` gives a package only its own.
build-tests:
	$(CARGO) build --workspace --bins --tests

demo: build
	"$(BIN)/compose" demo

up: build
	"$(BIN)/compose" up

test: build-tests
	NODES=embedded "$(BIN)/compose" install $(FOR_TESTS)
	$(WITH_SERVERS) $(AT_ONCE) NODES=embedded $(CARGO) test --workspace --no-fail-fast -- --skip on_minio

test-nodes: build-tests
	NODES=minio "$(BIN)/compose" install
	$(WITH_SERVERS) $(AT_ONCE) NODES=minio $(CARGO) test --workspace --no-fail-fast --test it --test memory -- $(ON_NODES) $(NOT_ON_NODES)

lint: build
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps
	NODES=embedded "$(BIN)/compose" install --also buf
	$(WITH_SERVERS) buf lint proto
	fresh=$$(mktemp -d) && $(WITH_SERVERS) "$(BIN)/compose" with-postgres crates/catalog/prepare.sh "$$fresh" \
	  && diff -r "$$fresh" crates/catalog/.sqlx && rm -r "$$fresh"

deny:
	$(CARGO) deny --version >/dev/null 2>&1 \
	  || CARGO_PROFILE_DEV_DEBUG=0 $(CARGO) install cargo-deny@$(DENY_VERSION) --locked --debug
	$(CARGO) deny check bans licenses sources

# What is measured beside it is left out when it cannot be had.
bench:
	$(CARGO) build --workspace --bins --release
	NODES=minio "$(RELEASE_BIN)/compose" install
	-NODES=minio "$(RELEASE_BIN)/compose" install --also rclone --also mc
	PATH="$$("$(RELEASE_BIN)/compose" path):$$PATH" NODES=minio $(CARGO) bench --workspace --bench bench

soak: build-tests
	"$(BIN)/compose" install
	$(WITH_SERVERS) HIGHWATER_TEST_KILLS=200 $(CARGO) test --workspace --no-fail-fast --test it -- --nocapture nodes::kill
