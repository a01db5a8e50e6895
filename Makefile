# One word for each thing that is done often; each is one command that also works by itself.

.PHONY: run demo test check interop pages fuzz ci tools validate build deploy watch bench load

run: ## the server on http://127.0.0.1:9000, data in memory
	cargo run -p local

demo: ## the whole story with a client and a resource of its own
	cargo run -p local -- --demo

test:
	cargo test --workspace

check: ## what a reviewer would otherwise have to say: format, lints, documentation, licences
	.ci/run format lints docs deny

interop: ## real MCP clients
	tests/interop/run

pages: ## pictures of every page, into docs/pages
	tests/browser/run --pages

SECONDS_EACH ?= 3600
fuzz: ## every parser of what strangers send, SECONDS_EACH (an hour) each
	fuzz/run $(SECONDS_EACH)

ci: ## all of it
	.ci/run

tools: ## cargo-lambda, sam, cfn-lint, checkov
	infra/run tools

validate: ## the template
	infra/run validate

ARCH ?= arm64
build: ## the functions for Lambda; ARCH=x86_64 for the other kind
	infra/run build $(ARCH)

ENV ?= default
deploy: ## target/lambda to an environment of samconfig.toml; PARAMETERS="DomainName=…"
	infra/run deploy $(ENV) $(PARAMETERS)

watch: ## the functions as Lambda runs them, on http://127.0.0.1:9000
	tests/watch/run --serve

bench: ## what a request costs: tables, and target/bench/figures.json
	bench/run all

load: ## mixed traffic for five minutes at one process and at four, with a ledger
	bench/run load
