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

.PHONY: help demo up test build lint deny bench soak

help:
	@echo "make demo   show the whole story: installs what is missing, builds, runs, stops"
	@echo "make up     start everything and stay in the foreground; Ctrl-C stops it, the data stay"
	@echo "make test   all tests, on real servers"
	@echo "make lint   formatting, clippy and documentation, all warnings are errors"
	@echo "make deny   licences, sources and banned crates (needs cargo-deny)"
	@echo "make bench  measure a release build beside its peers"
	@echo "make soak   the long kill test"

build:
	$(CARGO) build --workspace --bins

demo: build
	"$(BIN)/compose" demo

up: build
	"$(BIN)/compose" up

# All programs first, with the tests: `cargo test` gives a package only its own, and the harness refuses old ones.
test:
	$(CARGO) build --workspace --bins --tests
	"$(BIN)/compose" install
	$(CARGO) test --workspace

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items

deny:
	$(CARGO) deny check bans licenses sources

bench:
	$(CARGO) build --workspace --bins --release
	NODES=$${NODES:-minio} "$(RELEASE_BIN)/compose" install
	NODES=$${NODES:-minio} $(CARGO) bench --workspace --bench bench

soak:
	$(CARGO) build --workspace --bins --tests
	"$(BIN)/compose" install
	HIGHWATER_KILLS=$${HIGHWATER_KILLS:-200} $(CARGO) test --workspace --test it -- --nocapture kills
